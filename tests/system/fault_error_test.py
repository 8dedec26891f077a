# SPDX-License-Identifier: Apache-2.0
"""A disk begins to fail under load: the guest must not notice."""

import unittest

from fault_support import MIB, FaultCase, loaded


class Errors(FaultCase):
    def test_write_errors_under_load(self):
        with loaded(disks=1) as vm:
            sidecar = self.protect(vm)
            vm.fail(0, "write")
            self.survived(vm, sidecar, [0])

    def test_one_disk_of_three_fails(self):
        with loaded(disks=3) as vm:
            sidecar = self.protect(vm)
            vm.fail(1, "write")
            recovered = self.survived(vm, sidecar, [1])
            self.assertEqual(len(recovered["images"]), 1)

    def test_write_errors_at_the_shortest_interval(self):
        with loaded(disks=2, mix=20) as vm:
            sidecar = self.protect(vm, interval=50, generations=10)
            vm.fail(0, "write")
            self.survived(vm, sidecar, [0])

    def test_write_errors_long_after_the_last_generation(self):
        with loaded(disks=2) as vm:
            sidecar = self.protect(vm, interval=3600000, generations=0)
            vm.wait_more(500)
            vm.fail(1, "write")
            recovered = self.survived(vm, sidecar, [1])
            self.assertGreater(recovered["catch_up_bytes"], 0)

    def test_flush_errors_of_a_page_cache_that_syncs(self):
        with loaded(disks=2, mode="fsync") as vm:
            sidecar = self.protect(vm)
            vm.fail(0, "flush")
            self.survived(vm, sidecar, [0])

    def test_disk_full_moves_the_guest_to_the_replica(self):
        with loaded(disks=2) as vm:
            sidecar = self.protect(vm)
            vm.fail(1, "write", errno=28)
            self.survived(vm, sidecar, [1], kind="disk-full")

    def test_transient_error_that_goes_away(self):
        with loaded(disks=2) as vm:
            sidecar = self.protect(vm)
            vm.fail(1, "write", once=True)
            if sidecar.wait("recovered")["strategy"] == "pivot":
                self.survived(vm, sidecar, [1])
                return
            # The `cont` of a pause of the sidecar made QEMU try again, with success.
            self.assertEqual(sidecar.find("recovered")[0]["strategy"], "resume")
            vm.wait_more(200)
            vm.order("pause")
            self.nothing_lost(vm, [disk.path for disk in vm.disks])
            self.assertEqual(sidecar.status()["state"], "protected")

    def test_discards_and_reads_work_on_after_a_pivot(self):
        with loaded(disks=1, mix=60) as vm:
            sidecar = self.protect(vm)
            vm.fail(0, "write")
            self.survived(vm, sidecar, [0], more=1000)


class BadSectors(FaultCase):
    """Sectors that were written long ago: the newest writes can still be read."""

    region = 1 * MIB
    slots = region // 4096

    def sectors(self, vm):
        """Half a round away from where the guest writes now; it reads there, too."""
        first = (vm.acked // len(vm.disks) + self.slots // 2) % self.slots // 16 * 16
        return [(first + i) % self.slots * 8 for i in range(64)]

    def reads_fail(self, kind, fault):
        with loaded(disks=3, pattern="seq", region=self.region, mix=50) as vm:
            sidecar = self.protect(vm)
            vm.wait_ack(3 * self.slots)
            vm.order("rate 200")
            sidecar.wait_generations(2)
            vm.fail(1, kind, sector=self.sectors(vm))
            sidecar.wait("recovered", strategy="pivot")
            vm.order("rate 0")
            self.survived(vm, sidecar, [1], kind=fault)

    def test_read_errors_under_load(self):
        self.reads_fail("read", "disk-read-error")

    def test_read_and_write_errors_under_load(self):
        self.reads_fail("all", None)

    def test_read_errors_of_a_guest_that_only_reads(self):
        with loaded(disks=3, mix=50, until=500) as vm:
            sidecar = self.protect(vm, generations=0)
            vm.wait_ack(500)
            sidecar.wait_caught_up()
            vm.fail(2, "read")
            sidecar.wait("recovered", strategy="pivot")
            vm.order("until 0")
            self.survived(vm, sidecar, [2], kind="disk-read-error")


if __name__ == "__main__":
    unittest.main()
