# SPDX-License-Identifier: Apache-2.0
"""Drills: the guest's own system fails. Panic, watchdog, crash kernel; reset, and in the end roll
back."""

import json
import signal
import time
import unittest

from fault_support import FaultCase, loaded
from lab.cache import until
from quiesce_test import guest

DEVICES = ["-device", "pvpanic", "-device", "ib700", "-action", "panic=pause,watchdog=pause"]


class Guest(FaultCase):
    once = True  # about the policy, not about QEMU
    timeout_s = 400  # three boots, on a busy machine

    def boots_again(self, vm, sidecar, boots, images=None):
        """It came back, wrote on, and everything it was told is on its disks."""
        vm.acks.wait_boots(boots)
        vm.wait_more(50, 120)  # a boot; a busy machine takes its time
        if sidecar.find("recovered"):
            self.assertEqual(sidecar.wait("well")["evidence"], "writes")
        sidecar.wait_generations(2)
        vm.order("pause")
        verdict = vm.check(images, at_least=vm.acked)
        self.assertTrue(verdict["consistent"], verdict)
        self.assertEqual(verdict["lost"], 0)

    def struck(self, order, kind):
        # One disk, whose cycles need no pause: the `cont` of one could let a guest go on that
        # panicked just now, and it would boot by itself.
        with loaded(disks=1, extra=DEVICES) as vm:
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

    def bitten(self, action):
        """A guest that hangs, whose owner chose what QEMU does then."""
        vm = self.enterContext(loaded(disks=1, extra=[*DEVICES, "-action", f"watchdog={action}"]))
        sidecar = self.protect(vm, restart="recorded")
        vm.order("watchdog")
        return vm, sidecar

    def test_a_watchdog_that_is_to_do_nothing_resets_no_guest(self):
        vm, sidecar = self.bitten("none")
        fault = sidecar.wait("fault", kind="guest-watchdog")
        self.assertTrue(fault["warning"])
        sidecar.wait("recovery", strategy="hold")
        self.assertEqual((vm.status(), len(vm.acks.boots)), ("running", 1))
        self.assertEqual(sidecar.find("recovered"), [])

    def test_a_guest_may_write_its_dump_after_the_nmi_of_its_watchdog(self):
        vm, sidecar = self.bitten("inject-nmi")
        sidecar.wait("fault", kind="guest-watchdog", cause="panic-dumping", warning=False)
        self.assertIn("dump", sidecar.wait("recovery", strategy="hold")["why"])
        self.assertEqual((vm.status(), len(vm.acks.boots)), ("running", 1))
        self.assertEqual(sidecar.find("recovered"), [])

    def test_a_guest_that_its_watchdog_powers_off_stays_off(self):
        vm, sidecar = self.bitten("poweroff")
        vm.process.wait(60)
        self.assertIn("shut down", sidecar.wait("degraded")["reason"])
        self.assertEqual(sidecar.process.wait(30), 0)
        self.assertEqual(sidecar.find("fault") + sidecar.find("recovered"), [])

    def test_an_agent_that_a_halted_sidecar_did_not_ask_is_not_silent(self):
        with guest() as vm:
            sidecar = self.protect(vm, agent=vm.agent_path)
            until(lambda: "answered_s" in sidecar.status()["health"]["agent"], "it answers", 60)
            sidecar.halt()
            time.sleep(65)  # longer than an agent may be silent
            sidecar.process.send_signal(signal.SIGCONT)
            until(lambda: sidecar.status()["health"]["agent"]["answered_s"] < 30, "once more", 60)
            self.assertEqual(sidecar.find("fault", kind="guest-agent-silent"), [])
            self.assertEqual(sidecar.find("recovered"), [])

    def test_a_crash_kernel_may_write_its_dump(self):
        with loaded(disks=1, extra=DEVICES) as vm:
            sidecar = self.protect(vm)
            boots = len(vm.acks.boots)
            vm.order("crash 4")
            sidecar.wait("fault", kind="guest-panic", cause="panic-dumping")
            self.assertFalse(sidecar.find("recovered"))
            self.boots_again(vm, sidecar, boots)
            self.assertFalse(sidecar.find("recovered"))

    def test_what_panics_again_and_again_is_rolled_back(self):
        with loaded(disks=2, rate=500, extra=DEVICES) as vm:
            sidecar = self.protect(vm, on_loss="rollback", interval=2000, generations=1)
            vm.wait_more(60)
            self.assertEqual(sidecar.command("points", "--create", "good")[0], 0)
            vm.wait_more(60)
            vm.order("poison")
            sidecar.wait_generations(2)
            # One that is taken too late has the reason on its disk. (There is something new for it,
            # and it waits for that: a point of the generation before the panic would be one from
            # before the panic.)
            vm.wait_more(10)
            vm.order("panic")
            sidecar.wait("recovered", strategy="reset")
            panic = sidecar.wait("fault", kind="guest-panic")
            until(lambda: any(event["at"] - event["lag_ms"] / 1000 > panic["at"]
                              for event in sidecar.find("generation")), "what is new is copied")
            self.assertEqual(sidecar.command("points", "--create", "bad")[0], 0)
            recovery = sidecar.wait("recovery", strategy="rollback", timeout=240)
            back = sidecar.wait("recovered", strategy="rollback", timeout=60)
            self.assertEqual(len(sidecar.find("recovered", strategy="reset")), 2)
            self.assertEqual(back["point"], "good")
            self.assertEqual(back["lost_bytes"], recovery["predicted_loss_bytes"])
            self.assertGreater(back["lost_bytes"], 0)
            boots = len(vm.acks.boots) - 1
            self.boots_again(vm, sidecar, boots, self.images(vm, back))
            self.assertEqual(vm.status(), "running")
            # What it was before is kept.
            names = [point["name"] for point in
                     json.loads(sidecar.command("points", "--json")[1])["points"]]
            self.assertIn(back["before"], names)

    def test_it_is_left_panicked_when_nothing_may_be_lost(self):
        with loaded(disks=1, rate=500, extra=DEVICES) as vm:
            sidecar = self.protect(vm)
            self.assertEqual(sidecar.command("points", "--create", "good")[0], 0)
            vm.order("poison")
            vm.order("panic")
            hold = sidecar.wait("recovery", strategy="hold", timeout=240)
            self.assertIn("on-loss", hold["why"])
            self.assertEqual(len(sidecar.find("recovered", strategy="reset")), 2)
            self.assertEqual(sidecar.status()["state"], "held")
            self.assertEqual(vm.status(), "guest-panicked")


if __name__ == "__main__":
    unittest.main()
