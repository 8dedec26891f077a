# SPDX-License-Identifier: Apache-2.0
"""Drills: after a pivot the guest moves on to a spare, and is protected again."""

import contextlib
import os
import pathlib
import signal
import threading
import time
import unittest

from fault_support import (MIB, Disk, FaultCase, burst_in_the_end, fill, loaded, seeds,
                           small_file_system)
from lab.cache import until


class Spare(FaultCase):
    """Every test: no pause of the guest but that of the pivot, no error in it, nothing lost."""

    def spare_of(self, vm):
        spare = vm.work / "spare"
        spare.mkdir(exist_ok=True)
        return spare

    def something_to_copy(self, vm, mib):
        """Behind what the guest writes."""
        with open(vm.disks[0].path, "r+b") as file:
            file.seek(32 * MIB)
            file.write(os.urandom(mib * MIB))

    def moved(self, vm, sidecar, since, disk="vda"):
        """It lives on the spare and is protected anew; the image."""
        recovered = sidecar.wait("recovered", strategy="mirror", since=since, timeout=60)
        self.assertEqual((recovered["image"]["disk"], recovered["image"]["format"],
                          recovered["lost_bytes"]), (disk, "raw", 0))
        again = sidecar.wait("protected", since=sidecar.events.index(recovered), timeout=60)
        self.assertTrue(again["resumed"])
        return pathlib.Path(recovered["image"]["path"])

    def right(self, vm, sidecar, images, more=100):
        """The guest's disks, and then the replica, have everything."""
        vm.wait_more(more)
        self.assertEqual(vm.status(), "running")
        vm.order("pause")
        self.nothing_lost(vm, images)
        sidecar.stop()
        verdict = vm.check(sidecar.heads(), acked=0, at_least=1)
        self.assertTrue(verdict["consistent"], verdict)
        code, out, _ = sidecar.command("verify", "--json")
        self.assertEqual(code, 0, out)
        names = [node["node-name"] for node in vm.qmp("query-named-block-nodes", flat=True)]
        self.assertFalse([name for name in names if name.startswith("qheal-p")])
        self.assertEqual(vm.qmp("query-jobs"), [])


class Reprotect(Spare):
    timeout_s = 240

    def test_the_guest_moves_to_the_spare_and_is_protected_again(self):
        for objective in ("fast", "optimal"):
            with self.subTest(objective), loaded(disks=2) as vm:
                spare = self.spare_of(vm)
                sidecar = self.protect(vm, spare=spare, objective=objective)
                vm.fail(0, "write")
                pivot = sidecar.wait("recovered", strategy="pivot")
                image = self.moved(vm, sidecar, sidecar.events.index(pivot))
                self.assertEqual(sidecar.find("recovery", strategy="mirror")[0]["objective"],
                                 objective)
                self.assertTrue(sidecar.find("progress", phase="mirror"))
                sidecar.wait_generations(3)
                self.assertEqual(sidecar.status()["state"], "protected")
                self.assertFalse(pathlib.Path(pivot["image"]["path"]).exists())
                # And the next fault is answered like the first.
                since = len(sidecar.events)
                vm.fail(1, "write")
                sidecar.wait("recovered", strategy="pivot", since=since)
                second = self.moved(vm, sidecar, since, "vdb")
                self.assertEqual(sorted(spare.iterdir()), sorted([image, second]))
                self.right(vm, sidecar, [image, second])

    def test_a_sidecar_killed_at_any_moment_of_the_move_harms_nothing(self):
        """Killed while QEMU copies, and at random near the end of it; the next one ends the move."""
        for rng in seeds(1):
            with loaded(disks=[Disk(size=192 * MIB), Disk()]) as vm:
                spare = self.spare_of(vm)
                self.something_to_copy(vm, 96)
                sidecar = self.protect(vm, spare=spare)
                vm.fail(0, "write")
                sidecar.wait("recovery", strategy="mirror")
                for _ in range(4):
                    time.sleep(rng.random() * 0.3)
                    sidecar.stop(9)
                    since = len(sidecar.events)
                    sidecar.start()
                    sidecar.wait("attached", since=since)
                sidecar.wait("protected", since=since, timeout=60)
                image = self.root_of(vm, "vda")
                self.assertEqual(list(spare.iterdir()), [image])
                self.assertEqual(sidecar.find("fault", kind="disk-hang"), [])
                self.right(vm, sidecar, [image, vm.disks[1].path])

    def root_of(self, vm, disk):
        return next(pathlib.Path(entry["inserted"]["file"]) for entry in vm.qmp("query-block")
                    if disk in entry["qdev"])

    def test_a_full_spare_never_stops_the_guest_and_is_tried_again(self):
        with contextlib.ExitStack() as stack:
            vm = stack.enter_context(loaded(disks=2))
            small = stack.enter_context(small_file_system(vm.work / "small", 80))
            fill(small, 22)
            self.something_to_copy(vm, 14)  # the move takes longer than the burst
            sidecar = self.protect(vm, spare=small, objective="optimal", config=self.slow(vm, 4))
            vm.fail(0, "write")
            sidecar.wait("recovery", strategy="mirror")
            # What is there fits; what the guest writes behind it does not.
            vm.order("burst 24")
            failed = sidecar.wait("recovery-failed", strategy="mirror", timeout=60)
            self.assertRegex(failed["reason"], "No space|MiB free")
            vm.wait_more(100)
            self.assertEqual((vm.status(), vm.guest_errors), ("running", []))
            os.unlink(small / "filler")
            image = self.moved(vm, sidecar, sidecar.events.index(failed))
            self.assertEqual(list(small.iterdir()), [image])
            self.right(vm, sidecar, [image, vm.disks[1].path])

    def test_the_other_disk_fails_while_the_first_moves(self):
        with loaded(disks=2) as vm:
            sidecar = self.protect(vm, spare=self.spare_of(vm), objective="optimal",
                                   config=self.slow(vm, 2))
            vm.order("burst 12")
            vm.fail(0, "write")
            sidecar.wait("recovery", strategy="mirror")
            vm.fail(1, "write")
            second = sidecar.wait("recovered", strategy="pivot", count=2)
            self.assertEqual(second["lost_bytes"], 0)
            images = [sidecar.wait("recovered", strategy="mirror", count=n, timeout=60)["image"]
                      for n in (1, 2)]
            sidecar.wait("protected", since=sidecar.events.index(
                sidecar.find("recovered", strategy="mirror")[1]), timeout=60)
            paths = {image["disk"]: image["path"] for image in images}
            self.right(vm, sidecar, [pathlib.Path(paths["vda"]), pathlib.Path(paths["vdb"])])

    def test_a_guest_held_by_its_overlay_goes_on_from_the_spare(self):
        """The replica's disk is full for the guest, and can be read: what the mirror does."""
        with contextlib.ExitStack() as stack:
            vm = stack.enter_context(loaded(disks=2, region=1 * MIB))
            small = stack.enter_context(small_file_system(vm.work / "small", 96))
            self.something_to_copy(vm, 10)  # the move ends after the guest's room, not before
            sidecar = self.protect(vm, store=small / "store", spare=self.spare_of(vm),
                                   objective="optimal", config=self.slow(vm))
            vm.fail(0, "write")
            sidecar.wait("recovery", strategy="mirror")
            fill(small, 0)
            threading.Thread(target=burst_in_the_end, args=(vm,), daemon=True).start()
            sidecar.wait("fault", kind="disk-full")
            moved = sidecar.wait("recovered", strategy="mirror", timeout=60)
            image = pathlib.Path(moved["image"]["path"])
            os.unlink(small / "filler")
            sidecar.wait("protected", since=sidecar.events.index(moved), timeout=60)
            self.right(vm, sidecar, [image, vm.disks[1].path])

    def slow(self, vm, mib_s=1):
        config = vm.work / "qheal.conf"
        config.write_text(f"[optimal]\nrate-mib-s = {mib_s}\n")
        return config

    def moves(self, vm):
        """The first disk's move to the spare has begun, and takes its time: (spare, sidecar)."""
        spare = self.spare_of(vm)
        sidecar = self.protect(vm, spare=spare, objective="optimal", config=self.slow(vm))
        vm.order("burst 12")
        vm.fail(0, "write")
        sidecar.wait("recovery", strategy="mirror")
        return spare, sidecar

    def test_a_move_that_the_owner_completes_himself(self):
        """All that is known of it then is that the job has ended: its image is the guest's disk."""
        def job(status):
            return next((job["id"] for job in vm.qmp("query-jobs") if job["status"] == status), None)

        with loaded(disks=2) as vm:
            spare, sidecar = self.moves(vm)
            until(lambda: job("running"), "the job is there")
            sidecar.halt()
            since = len(sidecar.events)
            vm.qmp("block-job-set-speed", device=job("running"), speed=0)
            until(lambda: job("ready"), "the job is ready")
            vm.qmp("job-complete", id=job("ready"))
            until(lambda: job("concluded"), "the job has ended")
            vm.wait_more(20)  # only the image has them
            sidecar.process.send_signal(signal.SIGCONT)
            sidecar.wait("protected", since=since, timeout=60)
            images = list(spare.iterdir())
            self.assertEqual([image.suffix for image in images], [".raw"])
            self.right(vm, sidecar, [images[0], vm.disks[1].path])

    def test_qemu_killed_in_the_move_leaves_no_half_image(self):
        with loaded(disks=2) as vm:
            spare, sidecar = self.moves(vm)
            vm.process.kill()
            sidecar.process.wait(10)
            self.assertEqual(list(spare.iterdir()), [])

    def test_a_sidecar_that_is_ended_in_the_move_takes_it_back(self):
        with loaded(disks=2) as vm:
            spare, sidecar = self.moves(vm)
            self.assertEqual(sidecar.stop(), 0)
            self.assertEqual((list(spare.iterdir()), vm.qmp("query-jobs")), ([], []))
            vm.wait_more(50)


if __name__ == "__main__":
    unittest.main()
