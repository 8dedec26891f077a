# SPDX-License-Identifier: Apache-2.0
"""Drills: a fault while the last one is being answered, and faults without end."""

import time
import unittest

from drill_restart_test import RestartCase
from fault_support import seeds

DEVICES = ["-device", "pvpanic", "-action", "panic=pause"]


class Sequence(RestartCase):
    once = True  # about the policy, not about QEMU
    timeout_s = 300

    def test_qemu_dies_in_a_reset(self):
        for random in seeds(1):
            # One disk, whose cycles need no pause: the `cont` of one could let a guest go on that
            # panicked just now.
            with self.guest(disks=1, extra=DEVICES) as vm:
                sidecar = self.protect(vm, restart="recorded")
                vm.order("panic")
                sidecar.wait("recovery", strategy="reset")
                time.sleep(random.random() * 0.03)
                since, acked = len(sidecar.events), vm.acked
                vm.kill()
                sidecar.wait("recovered", since=since, strategy="restart", timeout=60)
                self.goes_on(vm, sidecar, since)
                self.assertGreaterEqual(vm.acks.boots[-1], acked)

    def test_qemu_dies_in_a_roll_back(self):
        """It was taken back, or it is done: the guest boots on one or the other, whole."""
        for random in seeds(1):
            with self.guest(rate=500, extra=DEVICES) as vm:
                sidecar = self.protect(vm, restart="recorded", on_loss="rollback")
                self.assertEqual(sidecar.command("points", "--create", "good")[0], 0)
                vm.wait_more(60)
                vm.order("poison")
                vm.order("panic")
                sidecar.wait("recovery", strategy="rollback", timeout=120)
                time.sleep(random.random() * 0.2)
                since = len(sidecar.events)
                vm.kill()
                sidecar.wait("recovered", since=since, strategy="restart", timeout=60)
                vm.adopt()
                # Taken back, it boots into the panic once more, and is rolled back then.
                sidecar.wait("well", since=since, timeout=90)
                vm.order("pause")
                images = self.images_of(vm)
                self.assertEqual(len({"rollback-" in image for image in images}), 1, images)
                verdict = vm.check(images, acked=0)
                self.assertTrue(verdict["consistent"], verdict)

    def test_faults_without_end_end_in_a_hold(self):
        with self.guest(disks=1) as vm:
            config = vm.work / "flap.conf"
            config.write_text("[limits]\nflap-limit = 3\nbackoff-s = 0\n")
            sidecar = self.protect(vm, restart="recorded", config=config)
            for _ in range(20):
                since = len(sidecar.events)
                vm.kill()
                recovery = sidecar.wait("recovery", since=since, timeout=60)
                if recovery["strategy"] != "restart":
                    break
                sidecar.wait("recovered", since=since, strategy="restart", timeout=60)
                vm.adopt()
                sidecar.wait("attached", since=since, timeout=60)
            self.assertEqual(recovery["strategy"], "hold")
            self.assertIn("flap limit", recovery["why"])
            self.assertEqual(len(sidecar.find("recovered")), 3)
            self.assertEqual(sidecar.process.wait(30), 1)
            self.assertEqual(vm.processes(), [])


if __name__ == "__main__":
    unittest.main()
