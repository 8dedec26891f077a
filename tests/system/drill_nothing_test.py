# SPDX-License-Identifier: Apache-2.0
"""Drills without a fault: what a guest and its owner do on purpose is none, and nothing is done about
it, though all is allowed.

QHEAL_QUIET_S: how long a loaded guest is watched; 3600 is the hour that has to pass without an alarm.
"""

import os
import signal
import time
import unittest

from fault_support import FaultCase, loaded
from lab.cache import until

SILENCES = {"fault", "recovery", "recovered", "recovery-failed"}
DEVICES = ["-device", "pvpanic", "-action", "panic=pause"]
QUIET_S = int(os.environ.get("QHEAL_QUIET_S", 45))


class Nothing(FaultCase):
    once = True  # about what is not done
    timeout_s = 240  # of boots, on a busy machine

    def guest(self, disks=2, **guest):
        return loaded(disks, detached=True, extra=DEVICES, **guest)

    def watched(self, vm):
        return self.protect(vm, restart="recorded", on_loss="rollback")

    def nothing_done(self, vm, sidecar, seconds=3.0):
        time.sleep(seconds)
        self.assertEqual([event for event in sidecar.events if event["event"] in SILENCES], [])

    def ended(self, vm, sidecar):
        """QEMU is gone, and stays so."""
        vm.process.wait(30)
        self.assertEqual(sidecar.process.wait(30), 0, sidecar.report())
        sidecar.reader.join()
        self.nothing_done(vm, sidecar, 1.0)
        self.assertEqual(vm.processes(), [])
        self.assertIn("shut down", sidecar.find("degraded")[-1]["reason"])

    def test_a_guest_that_shuts_down(self):
        with self.guest() as vm:
            sidecar = self.watched(vm)
            vm.order("poweroff")
            self.ended(vm, sidecar)

    def test_an_owner_who_quits(self):
        with self.guest() as vm:
            sidecar = self.watched(vm)
            vm.qmp("quit")
            self.ended(vm, sidecar)

    def test_an_owner_who_terminates_the_process(self):
        with self.guest() as vm:
            sidecar = self.watched(vm)
            vm.process.send_signal(signal.SIGTERM)
            self.ended(vm, sidecar)

    def test_a_guest_that_reboots(self):
        with self.guest() as vm:
            sidecar = self.watched(vm)
            for again in (lambda: vm.order("reboot"), lambda: vm.qmp("system_reset")):
                since = len(vm.console.lines)
                again()
                vm.console.wait("READY", 90, since=since)
                vm.wait_more(50)
            self.nothing_done(vm, sidecar)

    def test_an_owner_who_pauses(self):
        with self.guest() as vm:
            sidecar = self.watched(vm)
            vm.stop()
            self.nothing_done(vm, sidecar)
            self.assertEqual(vm.status(1), "paused")
            vm.qmp("cont")
            vm.wait_more(50)
            self.nothing_done(vm, sidecar)

    def test_a_sidecar_that_stood_still(self):
        """QEMU's answer was there all the time."""
        with self.guest() as vm:
            sidecar = self.watched(vm)
            for _ in range(2):
                sidecar.process.send_signal(signal.SIGSTOP)
                time.sleep(13)
                sidecar.process.send_signal(signal.SIGCONT)
                sidecar.wait_generations(2)
            self.nothing_done(vm, sidecar)
            self.assertIsNone(vm.process.poll())

    def test_a_guest_that_shuts_down_and_whose_qemu_stays(self):
        with loaded(1, detached=True, extra=["-no-shutdown"]) as vm:
            sidecar = self.watched(vm)
            vm.order("poweroff")
            self.nothing_done(vm, sidecar)
            self.assertEqual(vm.status(), "shutdown")
            vm.qmp("quit")
            self.ended(vm, sidecar)

    def test_an_owner_who_migrates_it_away(self):
        with self.guest(1) as vm:
            sidecar = self.watched(vm)
            path = vm.work / "state"
            vm.qmp("migrate", uri=f"exec:cat > {path}")
            until(lambda: vm.status() == "postmigrate", "it is migrated", every=0.05)
            self.nothing_done(vm, sidecar)
            vm.qmp("quit")
            self.ended(vm, sidecar)


class Loaded(FaultCase):
    once = True
    timeout_s = QUIET_S + 240

    def test_a_loaded_guest(self):
        with loaded(2, detached=True, rate=500, extra=DEVICES) as vm:
            spare = vm.work / "spare"
            spare.mkdir()
            sidecar = self.protect(vm, interval=250, restart="recorded", on_loss="rollback",
                                   spare=spare, scrub_rate=20, heal=True, keep="last=4",
                                   point_every=15)
            end = time.monotonic() + QUIET_S
            while time.monotonic() < end:
                time.sleep(min(15, max(0.0, end - time.monotonic())))
                self.assertEqual([event for event in sidecar.events
                                  if event["event"] in SILENCES | {"degraded"}], [])
                self.assertIsNone(sidecar.process.poll(), sidecar.report())
                vm.wait_more(20)
            status = sidecar.status()
            self.assertEqual((status["state"], status["failed_cycles"]), ("protected", 0), status)
            self.assertGreater(status["scrub"]["checked_bytes"], 0)
            vm.order("pause")
            self.nothing_lost(vm, None)


if __name__ == "__main__":
    unittest.main()
