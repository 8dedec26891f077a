# SPDX-License-Identifier: Apache-2.0
"""Drills: requests of a disk neither succeed nor fail."""

import unittest

from fault_support import Disk, FaultCase, loaded
from lab.cache import until


class Hang(FaultCase):
    timeout_s = 180

    def test_a_disk_that_hangs_under_writes_is_given_up(self):
        """A cycle waits for its requests; what was written after the last generation is lost, as
        --on-loss allows, and as the engine said before."""
        with loaded([Disk(), Disk(nbdkit=True)]) as vm:
            sidecar = self.protect(vm, on_loss="rollback", interval=1000)
            vm.wait_more(20)
            boots = len(vm.acks.boots)
            vm.disks[1].hang()
            fault = sidecar.wait("fault", kind="disk-hang", timeout=60)
            self.assertEqual(fault["resource"], "vdb")
            said = sidecar.wait("recovery", strategy="pivot")
            self.assertGreater(said["predicted_loss_bytes"], 0)
            recovered = sidecar.wait("recovered", strategy="rollback", timeout=60)
            self.assertGreater(recovered["lost_bytes"], 0)
            vm.acks.wait_boots(boots)
            # Records have 4 KiB, and those of one block share it, as do those of one slot.
            slots = len(vm.disks) * vm.guest["region"] // vm.guest["size"]
            lost = min(vm.acks.before_boot - vm.acks.boots[-1], slots)
            self.assertLessEqual(lost * 4096, recovered["lost_bytes"])
            vm.wait_more(100)
            vm.order("pause")
            verdict = vm.check(self.images(vm, recovered), at_least=1)
            self.assertTrue(verdict["consistent"], verdict)

    def test_a_disk_that_hangs_under_reads_is_left_without_loss(self):
        with loaded([Disk(), Disk(nbdkit=True)], mix=50, until=300) as vm:
            sidecar = self.protect(vm, generations=0)
            vm.wait_ack(300)
            sidecar.wait_caught_up()
            vm.disks[1].hang()
            sidecar.wait("fault", kind="disk-hang", resource="vdb", timeout=60)
            said = sidecar.wait("recovery", strategy="pivot")
            self.assertEqual(said["predicted_loss_bytes"], 0)
            recovered = sidecar.wait("recovered", strategy="pivot", timeout=60)
            self.assertEqual(recovered["lost_bytes"], 0)
            vm.order("until 0")
            vm.wait_more(100)
            vm.order("pause")
            self.nothing_lost(vm, self.images(vm, recovered))

    def test_a_loss_that_nobody_allowed_is_not_taken(self):
        """The server works again: nothing was given up, nothing is lost."""
        with loaded([Disk(), Disk(nbdkit=True)]) as vm:
            sidecar = self.protect(vm, on_loss="hold", interval=1000)
            vm.disks[1].hang()
            sidecar.wait("fault", kind="disk-hang", timeout=60)
            vm.disks[1].hang(False)
            vm.wait_more(100)
            vm.order("pause")
            self.nothing_lost(vm, [disk.path for disk in vm.disks])
            self.assertFalse(sidecar.find("recovered"))

    def test_a_failed_disk_whose_reads_hang_is_protected_again_when_they_come_back(self):
        """QEMU does not let go of the export, and so of the bitmap, before the reads end."""
        with loaded([Disk(nbdkit=True)]) as vm:
            sidecar = self.protect(vm, on_loss="hold")
            vm.order("pause")
            sidecar.wait_caught_up()
            vm.fail(0, "write")
            vm.disks[0].hang()
            vm.console.send("resume")
            sidecar.wait("fault", kind="disk-write-error")
            until(lambda: sidecar.status()["state"] == "held", "the guest is held", 120)
            since = len(sidecar.events)
            vm.disks[0].hang(False)
            until(lambda: not vm.qmp("query-block-exports"), "the export is gone")
            vm.repair(0)
            vm.qmp("cont")
            sidecar.wait("protected", since=since, timeout=60)
            sidecar.wait_generations(3)
            vm.wait_more(50)
            vm.order("pause")
            sidecar.wait_caught_up()
            for images in ([vm.disks[0].path], sidecar.heads()):
                self.nothing_lost(vm, images)


if __name__ == "__main__":
    unittest.main()
