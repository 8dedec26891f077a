# SPDX-License-Identifier: Apache-2.0
"""QEMU hangs for longer than a command may take, and goes on: what it did not answer it does then."""

import signal
import threading
import time
import unittest

from fault_support import FaultCase, loaded
from harm_support import MIB, HarmTest, Sidecar, Vm, dice, hang_in_cycle
from lab.disk import Disk
from lab.proxy import Proxy


class Hang(HarmTest):
    timeout_s = 400  # that long it takes to hang

    def hang(self, moment, seconds):
        with Vm(2, region=4 * MIB, pattern="rand") as vm, Sidecar(vm, interval=50) as sidecar:
            sidecar.wait("protected")
            sidecar.wait_generations(2)
            since = len(sidecar.events)
            moment(vm, sidecar)
            time.sleep(seconds)
            vm.process.send_signal(signal.SIGCONT)
            vm.wait_more(20)
            sidecar.wait_generations(3, timeout=90)
            self.assertEqual((vm.status(), vm.guest_errors), ("running", []))
            self.assertEqual(sidecar.status()["state"], "protected")
            self.assertEqual(sidecar.find("recovered", since), [])
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)

    def test_in_mid_cycle(self):
        self.hang(hang_in_cycle, dice("hang in mid-cycle").choice([40, 70]))

    def test_at_any_moment(self):
        random = dice("hang")

        def moment(vm, _):
            time.sleep(random.uniform(0, 0.2))
            vm.process.send_signal(signal.SIGSTOP)
        self.hang(moment, random.choice([70, 100]))

    def test_a_sidecar_that_is_told_to_end_does(self):
        with Vm(2, region=4 * MIB, pattern="rand") as vm, Sidecar(vm, interval=50) as sidecar:
            sidecar.wait("protected")
            sidecar.wait_generations(2)
            hang_in_cycle(vm, sidecar)
            self.assertIn(sidecar.stop(timeout=150), (0, 1))
            vm.process.send_signal(signal.SIGCONT)
            vm.wait_more(20)
            with Sidecar(vm, interval=50) as again:
                again.wait("protected")
                again.wait_generations(2)
                self.assert_replica(vm, again)
            self.assert_nothing_left(vm)


class HangAndFault(FaultCase):
    timeout_s = 400

    def test_a_disk_fails_when_qemu_goes_on_in_mid_freeze(self):
        """The filter comes in when nobody waits for it any more, and then the disk is needed."""
        with loaded(disks=[Disk(nbdkit="pwrite"), Disk()]) as vm, \
                Proxy(vm.qmp_path, vm.work / "proxy.sock") as proxy:
            own, vm.qmp_path = vm.qmp_path, vm.work / "proxy.sock"
            sidecar = self.protect(vm)
            vm.qmp_path = own
            stopped = threading.Event()

            def stop():
                vm.process.send_signal(signal.SIGSTOP)
                stopped.set()
            proxy.before(["qom-set", "snapshot-access"], stop)
            self.assertTrue(stopped.wait(30))
            sidecar.wait("degraded", timeout=200)
            since = len(sidecar.events)
            vm.disks[0].error()
            vm.process.send_signal(signal.SIGCONT)
            recovered = sidecar.wait("recovered", timeout=90, since=since)
            self.assertEqual((recovered["strategy"], recovered["image"]["disk"]), ("pivot", "vda"))
            vm.wait_more(100)
            vm.order("pause")
            self.nothing_lost(vm, self.images(vm, recovered))


if __name__ == "__main__":
    unittest.main()
