# SPDX-License-Identifier: Apache-2.0
"""Drills: a disk warns before it fails, and is left while the guest runs."""

import pathlib
import time
import unittest

from drill_spare_test import Spare
from fault_support import MIB, Disk, loaded
from lab.cache import until


class Move(Spare):
    def warn(self, vm, sidecar):
        """Three errors, each got over by trying again."""
        for i in range(3):
            since = len(sidecar.events)
            vm.fail(1, "write", once=True)
            sidecar.wait("recovered", strategy="resume", since=since)
            vm.wait_more(20)
            if i < 2:
                time.sleep(2.5)  # else it would count as the same error

    def test_errors_that_become_frequent_move_the_guest_without_a_pause(self):
        with loaded(disks=[Disk(), Disk(size=1024 * MIB)]) as vm:  # much to move by a pivot
            sidecar = self.protect(vm, spare=self.spare_of(vm), objective="optimal")
            self.warn(vm, sidecar)
            fault = sidecar.wait("fault", kind="disk-degrading")
            self.assertEqual((fault["resource"], fault["warning"]), ("vdb", True))
            recovered = sidecar.wait("recovered", strategy="mirror")
            self.assertEqual((recovered["downtime_ms"], recovered["lost_bytes"]), (0, 0))
            self.assertEqual(recovered["image"]["disk"], "vdb")
            sidecar.wait("protected", since=sidecar.events.index(recovered))
            self.right(vm, sidecar, [vm.disks[0].path,
                                     pathlib.Path(recovered["image"]["path"])])

    def test_a_disk_that_fails_in_the_move_is_pivoted(self):
        with loaded(disks=2) as vm:
            config = vm.work / "qheal.conf"  # a pivot's copy costs much: errors are tried again
            config.write_text("[optimal]\nrate-mib-s = 1\n[weights]\nmoved-gib = 100\n")
            sidecar = self.protect(vm, spare=self.spare_of(vm), objective="optimal",
                                   config=config)
            vm.wait_more(200)
            self.warn(vm, sidecar)
            sidecar.wait("recovery", strategy="mirror")
            vm.fail(1, "write")
            pivot = sidecar.wait("recovered", strategy="pivot")
            self.assertEqual(pivot["lost_bytes"], 0)
            moved = sidecar.wait("recovered", strategy="mirror", timeout=90)
            sidecar.wait("protected", since=sidecar.events.index(moved), timeout=60)
            self.right(vm, sidecar, [vm.disks[0].path, pathlib.Path(moved["image"]["path"])])

    def test_a_guest_that_panics_in_the_move_is_not_kept_waiting(self):
        with loaded(disks=2, extra=["-device", "pvpanic", "-action", "panic=pause"]) as vm:
            config = vm.work / "qheal.conf"
            config.write_text("[optimal]\nrate-mib-s = 1\n[weights]\nmoved-gib = 100\n")
            sidecar = self.protect(vm, spare=self.spare_of(vm), objective="optimal",
                                   config=config)
            vm.wait_more(200)
            self.warn(vm, sidecar)
            until(lambda: any("being moved" in event["reason"]
                              for event in sidecar.find("degraded")), "the move has begun")
            said = len(vm.console.lines)
            vm.order("panic")
            failed = sidecar.wait("recovery-failed", strategy="mirror")
            self.assertIn("something worse", failed["reason"])
            sidecar.wait("recovered", strategy="reset")
            vm.console.wait("READY", 90, said)


if __name__ == "__main__":
    unittest.main()
