# SPDX-License-Identifier: Apache-2.0
"""Drills: a disk fails. The cause decides: try again, wait for room, or move."""

import contextlib
import os
import pathlib
import tempfile
import threading
import unittest

from fault_support import (MIB, Disk, FaultCase, burst_in_the_end, fill, loaded,
                           small_file_system)


class Transient(FaultCase):
    def once(self, objective, **config):
        """A write fails once, and would work when tried again."""
        vm = loaded(disks=[Disk(), Disk(size=1024 * MIB)])  # that is much to move
        with vm:
            sidecar = self.protect(vm, objective=objective, interval=3600000, generations=0,
                                   **config)
            vm.wait_more(100)
            vm.fail(1, "write", once=True)
            recovered = sidecar.wait("recovered")
            yield sidecar, recovered, vm

    def test_optimal_tries_again_before_it_moves(self):
        for sidecar, recovered, vm in self.once("optimal"):
            self.assertEqual((recovered["strategy"], recovered["lost_bytes"]), ("resume", 0))
            vm.wait_more(200)
            vm.order("pause")
            self.nothing_lost(vm, [disk.path for disk in vm.disks])
            self.assertEqual(sidecar.status()["state"], "protected")
            self.assertEqual(sidecar.find("recovery-failed"), [])

    def test_fast_moves_at_once(self):
        for sidecar, recovered, vm in self.once("fast"):
            self.assertEqual(recovered["strategy"], "pivot")
            self.survived(vm, sidecar, [1])

    def test_what_fails_again_is_moved(self):
        with loaded(disks=[Disk(size=1024 * MIB), Disk()]) as vm:
            sidecar = self.protect(vm, objective="optimal", interval=3600000, generations=0)
            vm.wait_more(100)
            vm.fail(0, "write")
            failed = sidecar.wait("recovery-failed")
            self.assertEqual((failed["strategy"], failed["next"]), ("resume", "pivot"))
            recovered = sidecar.wait("recovered")
            self.assertEqual((recovered["strategy"], recovered["lost_bytes"]), ("pivot", 0))
            vm.wait_more(200)
            vm.order("pause")
            self.nothing_lost(vm, self.images(vm, recovered))


class Full(FaultCase):
    def test_it_waits_for_room_where_it_may_not_leave(self):
        with contextlib.ExitStack() as stack:
            work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(
                dir=os.environ.get("QHEAL_WORK", "/var/tmp"))))
            small = stack.enter_context(small_file_system(work / "small", 40))
            image = small / "disk.raw"
            with open(image, "wb") as file:
                file.truncate(64 * MIB)
            vm = stack.enter_context(loaded([Disk(path=image, direct=False), Disk()],
                                            region=1 * MIB))
            config = vm.work / "qheal.conf"
            config.write_text("[allow]\ndisk-full = resume\n")
            sidecar = self.protect(vm, config=config)
            fill(small, 0)
            threading.Thread(target=burst_in_the_end, args=(vm,), daemon=True).start()
            sidecar.wait("fault", kind="disk-full", timeout=60)
            sidecar.wait("recovery", strategy="hold")
            os.unlink(small / "filler")
            recovered = sidecar.wait("recovered", strategy="resume")
            self.assertEqual(recovered["lost_bytes"], 0)
            vm.wait_more(200)
            vm.order("pause")
            self.nothing_lost(vm, [disk.path for disk in vm.disks])


if __name__ == "__main__":
    unittest.main()
