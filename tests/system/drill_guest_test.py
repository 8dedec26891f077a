# SPDX-License-Identifier: Apache-2.0
"""Drills: the guest's own system fails. Panic, watchdog, crash kernel; reset, and in the end roll
back."""

import time
import unittest

from fault_support import FaultCase, loaded

DEVICES = ["-device", "pvpanic", "-device", "ib700", "-action", "panic=pause,watchdog=pause"]


class Guest(FaultCase):
    def boots_again(self, vm, sidecar, boots):
        """It came back, wrote on, and everything it was told is on its disks."""
        deadline = time.monotonic() + 120
        while len(vm.acks.boots) <= boots and time.monotonic() < deadline:
            vm.acks.read()
            time.sleep(0.05)
        self.assertGreater(len(vm.acks.boots), boots)
        vm.wait_more(50, 120)  # a boot; a busy machine takes its time
        if sidecar.find("recovered"):
            self.assertEqual(sidecar.wait("well")["evidence"], "writes")
        sidecar.wait_generations(2)
        vm.order("pause")
        verdict = vm.check(at_least=vm.acked)
        self.assertTrue(verdict["consistent"], verdict)
        self.assertEqual(verdict["lost"], 0)

    def struck(self, order, kind):
        with loaded(disks=2, extra=DEVICES) as vm:
            sidecar = self.protect(vm)
            boots = len(vm.acks.boots)
            vm.order(order)
            fault = sidecar.wait("fault", kind=kind)
            self.assertEqual(fault["resource"], "guest")
            recovery = sidecar.wait("recovery", strategy="reset")
            recovered = sidecar.wait("recovered", strategy="reset")
            self.assertEqual((recovery["predicted_loss_bytes"], recovered["lost_bytes"]), (0, 0))
            self.boots_again(vm, sidecar, boots)
            code, out, _ = sidecar.command("incidents")
            self.assertEqual(code, 0)
            self.assertIn(kind, out)

    def test_a_panic_resets_the_guest(self):
        self.struck("panic", "guest-panic")

    def test_a_watchdog_resets_the_guest(self):
        self.struck("watchdog", "guest-watchdog")

    def test_a_crash_kernel_may_write_its_dump(self):
        with loaded(disks=1, extra=DEVICES) as vm:
            sidecar = self.protect(vm)
            boots = len(vm.acks.boots)
            vm.order("crash 4")
            sidecar.wait("fault", kind="guest-panic", cause="panic-dumping")
            self.assertFalse(sidecar.find("recovered"))
            self.boots_again(vm, sidecar, boots)
            self.assertFalse(sidecar.find("recovered"))


if __name__ == "__main__":
    unittest.main()
