# SPDX-License-Identifier: Apache-2.0
"""Every kind of disk that can be protected survives its death."""

import unittest

from fault_support import MIB, Disk, FaultCase, loaded


class Kinds(FaultCase):
    """At most one disk that the guest calls sdX: it probes two in any order."""

    def one_of_two_fails(self, vm, kind="write"):
        sidecar = self.protect(vm)
        vm.fail(0, kind)
        return self.survived(vm, sidecar, [0], kind=None)

    def test_virtio_scsi(self):
        with loaded([Disk(device="virtio-scsi"), Disk()]) as vm:
            self.one_of_two_fails(vm)

    def test_ide(self):
        with loaded([Disk(device="ide"), Disk()]) as vm:
            self.one_of_two_fails(vm)

    def test_qcow2_on_scsi_beside_others(self):
        disks = [Disk(), Disk(format="qcow2"), Disk(device="virtio-scsi", format="qcow2")]
        with loaded(disks) as vm:
            sidecar = self.protect(vm)
            vm.fail(2, "write")
            self.survived(vm, sidecar, [2])

    def test_qcow2(self):
        with loaded([Disk(format="qcow2"), Disk(format="qcow2")]) as vm:
            self.one_of_two_fails(vm)

    def test_page_cache_of_the_host(self):
        with loaded([Disk(direct=False), Disk(direct=False)]) as vm:
            self.one_of_two_fails(vm)

    def test_given_by_drive(self):
        """No node names: the fault is on the server behind it."""
        with loaded([Disk(style="drive", nbdkit="pwrite"), Disk(style="drive")]) as vm:
            sidecar = self.protect(vm)
            vm.disks[0].error()
            self.survived(vm, sidecar, [0])

    def test_given_by_drive_in_qcow2_on_scsi(self):
        disk = Disk(style="drive", format="qcow2", nbdkit="pwrite", device="virtio-scsi")
        with loaded([disk, Disk(style="drive", format="qcow2")]) as vm:
            sidecar = self.protect(vm)
            vm.disks[0].error()
            self.survived(vm, sidecar, [0])


class Sizes(FaultCase):
    def test_no_multiple_of_the_block(self):
        """Records up to the last sector, which lies in a block of 512 bytes."""
        size = 2 * MIB + 4096 + 512
        disks = [Disk(size=size), Disk(size=size + 512)]
        with loaded(disks, region=2 * MIB, base=4096 + 512) as vm:
            sidecar = self.protect(vm)
            vm.wait_more(300)
            vm.fail(0, "write")
            self.survived(vm, sidecar, [0], more=600)

    def test_smaller_than_a_block(self):
        disks = [Disk(size=20480), Disk()]
        with loaded(disks, region=20480) as vm:
            sidecar = self.protect(vm)
            vm.fail(0, "write")
            self.survived(vm, sidecar, [0])

    def test_eight_disks(self):
        with loaded(disks=8, region=1 * MIB) as vm:
            sidecar = self.protect(vm)
            vm.fail(5, "write")
            self.survived(vm, sidecar, [5])

    def test_large_records(self):
        with loaded(disks=2, size=65536, region=8 * MIB) as vm:
            sidecar = self.protect(vm)
            vm.fail(1, "write")
            self.survived(vm, sidecar, [1])

    def test_small_blocks_of_the_store(self):
        with loaded(disks=2) as vm:
            sidecar = self.protect(vm, block_size=4)
            vm.fail(1, "write")
            self.survived(vm, sidecar, [1])

    def test_large_blocks_of_the_store(self):
        with loaded(disks=2) as vm:
            sidecar = self.protect(vm, block_size=1024)
            vm.fail(1, "write")
            self.survived(vm, sidecar, [1])


if __name__ == "__main__":
    unittest.main()
