# SPDX-License-Identifier: Apache-2.0
"""The fault comes at the worst moment: in the first copy, in a cycle, in a commit, in a recovery."""

import time
import unittest

from fault_support import (MIB, Disk, FaultCase, Sidecar, Vm, filled_image, loaded, raw_copy,
                           same_from, seeds)

from lab.cache import Late

REGION = 4 * MIB


def roomy(work_size=256 * MIB, **guest):
    """A second, large disk behind the records: burst makes cycles that last."""
    return Vm([Disk(size=work_size), Disk()], region=REGION, pattern="rand", **guest)


class FirstCopy(FaultCase):
    SIZE = 512 * MIB

    def test_fault_in_the_middle_of_the_first_copy(self):
        vm = loaded(disks=[Disk(size=self.SIZE), Disk()])
        filled_image(vm.disks[0].path, self.SIZE, REGION)
        original = vm.work / "original.raw"
        original.hardlink_to(vm.disks[0].path)
        with vm:
            sidecar = Sidecar(vm)
            self.addCleanup(sidecar.__exit__, None, None, None)
            sidecar.start()
            sidecar.wait("progress")
            vm.fail(0, "write")
            fault = sidecar.wait("fault")
            if sidecar.find("protected"):
                raise Late("the copy was over too soon")
            recovered = self.survived(vm, sidecar, [0])
            self.assertEqual(fault["resource"], "vda")
            copy = raw_copy(recovered["image"]["path"], vm.work / "promoted.raw")
            self.assertTrue(same_from(original, copy, REGION), "the disk's old content differs")

    def test_fault_before_the_sidecar_came(self):
        """The guest stands still already; a first copy of a failing disk brings it back."""
        with loaded(disks=2) as vm:
            vm.wait_more(100)
            vm.fail(0, "write")
            vm.qmp.wait_event("STOP")
            self.survived(vm, self.protect(vm, generations=0), [0])


class Cycle(FaultCase):
    def cycle_fails(self, dice, latest_s, fault="write"):
        """The fault comes within latest_s of the moment that a large cycle froze its point."""
        with roomy() as vm:
            sidecar = self.protect(vm, interval=1000, generations=1)
            vm.order("burst 48")
            vm.qmp.poll().clear()
            vm.qmp.wait_event("STOP")
            time.sleep(dice.random() * latest_s)
            vm.fail(0, fault)
            self.survived(vm, sidecar, [0])

    def test_fault_in_the_middle_of_a_long_cycle(self):
        for dice in seeds():
            with self.subTest():
                self.cycle_fails(dice, 0.05)

    def test_fault_around_a_commit(self):
        """Short cycles: freeze, read, commit and thaw within some 30 ms of their beginning."""
        for dice in seeds():
            with self.subTest(), loaded(disks=2) as vm:
                sidecar = self.protect(vm)
                vm.qmp.poll().clear()
                vm.qmp.wait_event("STOP")
                time.sleep(dice.random() * 0.03)
                vm.fail(dice.randrange(2), "write")
                recovered = sidecar.wait("recovered", strategy="pivot")
                failed = "vda vdb".split().index(recovered["image"]["disk"])
                self.survived(vm, sidecar, [failed])

    def test_decided_before_the_cycle_is_over(self):
        """Who listens hears at once what is done; the generation under way is finished first."""
        with roomy() as vm:
            sidecar = self.protect(vm, interval=1000, generations=1)
            vm.order("burst 96")
            vm.qmp.poll().clear()
            vm.qmp.wait_event("STOP")
            vm.fail(1, "write")
            recovered = self.survived(vm, sidecar, [1])
            names = [event["event"] for event in sidecar.events]
            ended = names.index("generation", names.index("fault"))
            if ended > names.index("recovery"):
                raise Late("the cycle was over too soon")
            decision, = sidecar.find("decision")
            self.assertLess(names.index("decision"), ended)
            self.assertEqual((decision["strategy"], decision["kind"], decision["resource"]),
                             ("pivot", "disk-write-error", "vdb"))
            self.assertGreater(decision["predicted_downtime_ms"], 0)
            self.assertEqual([step["name"] for step in recovered["steps"]][:3],
                             ["detect", "wait", "drain"])


class Second(FaultCase):
    """Something else fails while the recovery is at it."""

    def long_catch_up(self, vm, **options):
        """A sidecar that has 128 MiB to catch up as soon as a disk fails."""
        sidecar = self.protect(vm, generations=0, interval=3600000, **options)
        vm.order("burst 128")
        return sidecar

    def held(self, vm, sidecar):
        failed = sidecar.wait("recovery-failed", next="hold")
        self.assertEqual(failed["strategy"], "pivot")
        self.assertEqual(sidecar.find("recovered"), [])
        self.assertEqual(sidecar.status()["state"], "held")
        self.assertIn(vm.status(1), ("io-error", "paused"))
        self.assertEqual(vm.guest_errors, [])

    def test_reads_begin_to_fail_during_the_catch_up(self):
        with roomy() as vm:
            sidecar = self.long_catch_up(vm)
            before = sidecar.status()["generation"]
            vm.fail(0, "write")
            sidecar.wait("recovery", strategy="pivot")
            vm.fail(0, "all")
            self.held(vm, sidecar)
            self.assertEqual(sidecar.status()["generation"], before)
            # The own images still hold everything: nothing was changed.
            self.nothing_lost(vm, [disk.path for disk in vm.disks])

    def test_the_other_disk_cannot_be_read_either(self):
        """Nobody reads it, so nobody knows; it is not needed to bring the failed one back."""
        with roomy() as vm:
            sidecar = self.protect(vm, generations=0, interval=3600000)
            vm.wait_more(100)
            vm.fail(1, "read")
            vm.fail(0, "write")
            self.survived(vm, sidecar, [0])

    def test_the_other_disk_fails_writes_during_the_catch_up(self):
        """Both must go to the replica, in one recovery or in two."""
        with roomy() as vm:
            sidecar = self.long_catch_up(vm)
            vm.fail(0, "write")
            sidecar.wait("recovery", strategy="pivot")
            vm.fail(1, "write")
            self.both_moved(vm, sidecar, {"vda", "vdb"})

    def test_two_disks_fail_at_once(self):
        with loaded(disks=3) as vm:
            sidecar = self.protect(vm)
            vm.fail(0, "write")
            vm.fail(2, "write")
            self.both_moved(vm, sidecar, {"vda", "vdc"})

    def both_moved(self, vm, sidecar, disks):
        moved = []  # the guest goes on a moment before it is told
        while {image["disk"] for each in moved for image in each["images"]} < disks:
            moved.append(sidecar.wait("recovered", strategy="pivot", count=len(moved) + 1))
        vm.wait_more(200, timeout=10)
        vm.order("pause")
        self.nothing_failed(sidecar)
        self.nothing_lost(vm, self.images(vm, *moved))

    def test_protected_anew_after_a_pivot_and_again_recovered(self):
        """The second disk of a guest that already lives on a promoted one."""
        with loaded(disks=2) as vm:
            first = self.protect(vm)
            vm.fail(0, "write")
            recovered = first.wait("recovered", strategy="pivot")
            vm.wait_more(100)
            self.assertEqual(first.stop(), 0)
            second = self.protect(vm, store=vm.work / "store2")
            vm.fail(1, "write")
            again = second.wait("recovered", strategy="pivot")
            vm.wait_more(100)
            vm.order("pause")
            self.assertEqual([image["disk"] for image in again["images"]], ["vdb"])
            self.nothing_lost(vm, self.images(vm, recovered, again))


if __name__ == "__main__":
    unittest.main()
