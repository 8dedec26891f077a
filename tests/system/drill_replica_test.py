# SPDX-License-Identifier: Apache-2.0
"""Drills: the replica's own disk fails or fills. The guest is not touched."""

import contextlib
import json
import os
import pathlib
import signal
import time
import unittest

from drill_spare_test import Spare
from fault_support import MIB, Disk, FaultCase, fill, loaded, seeds, small_file_system
from small_disk import SmallDisk


class Replica(FaultCase):
    once = True  # about the store, not about QEMU

    def test_a_full_store_is_told_and_protection_comes_back_with_the_room(self):
        with contextlib.ExitStack() as stack:
            vm = stack.enter_context(loaded(disks=2))
            small = stack.enter_context(small_file_system(vm.work / "small", 200))
            sidecar = self.protect(vm, store=small / "store")
            fill(small, 0)
            vm.order("burst 24")
            fault = sidecar.wait("fault", kind="replica-error", timeout=60)
            self.assertEqual((fault["resource"], fault["cause"]), ("store", "full"))
            self.assertEqual(sidecar.wait("recovery")["strategy"], "hold")
            sidecar.wait("degraded")
            vm.wait_more(100)
            self.assertEqual((vm.status(), vm.guest_errors), ("running", []))
            since = len(sidecar.events)
            os.unlink(small / "filler")
            sidecar.wait("protected", since=since, timeout=60)
            # It is told again when it comes again.
            fill(small, 0)
            vm.order("burst 24")
            sidecar.wait("fault", kind="replica-error", since=since, timeout=60)
            os.unlink(small / "filler")
            vm.order("pause")
            self.nothing_lost(vm, [disk.path for disk in vm.disks])


@unittest.skipUnless(os.geteuid() == 0, "needs root for a file system of its own")
class Successor(Spare):
    """With --spare the guest is protected anew there, by itself, and does not notice."""

    once = True
    timeout_s = 300

    def protect_on(self, disk, vm, **options):
        return self.protect(vm, store=disk.path / "store", spare=self.spare_of(vm), **options)

    def succeeded(self, vm, sidecar, since=0):
        """Protected in SPARE/replica, which `sidecar` then is on; the event `relocated`."""
        told = sidecar.wait("relocated", since=since, timeout=90)
        at = sidecar.events.index(told)
        store, successor = str(sidecar.store), str(vm.work / "spare" / "replica")
        self.assertEqual((told["from"], told["to"]), (store, successor))
        self.assertIn(told["reason"], [event["reason"] for event in sidecar.find("degraded")])
        self.assertEqual(sidecar.wait("attached", since=at)["store"], successor)
        self.assertFalse(sidecar.wait("protected", since=at, timeout=60)["resumed"])
        self.assertEqual(os.stat(successor).st_mode & 0o777, 0o700)
        sidecar.store = pathlib.Path(successor)
        status = sidecar.status()
        self.assertEqual((status["state"], status["origin"]), ("protected", store))
        return told

    def unharmed(self, vm, sidecar):
        """The guest saw none of it."""
        self.assertEqual((vm.status(), vm.guest_errors), ("running", []))
        self.assertLess(max((seconds for _, seconds in vm.pauses()), default=0), 1)
        self.assertEqual(sidecar.find("recovered"), [])
        bitmaps = [bitmap["name"] for node in vm.qmp("query-named-block-nodes", flat=True)
                   for bitmap in node.get("dirty-bitmaps", [])
                   if bitmap.get("name", "").startswith("qheal")]
        uuid = sidecar.status()["store"][:8]  # nothing of the store that was left
        self.assertTrue(bitmaps and all(uuid in name for name in bitmaps), bitmaps)

    def pivots(self, vm, sidecar):
        """A disk fails: nothing is lost, and it goes on to the spare as ever."""
        since = len(sidecar.events)
        vm.fail(0, "write")
        pivot = sidecar.wait("recovered", strategy="pivot", since=since)
        self.assertEqual(pivot["lost_bytes"], 0)
        self.assertTrue(pivot["image"]["path"].startswith(str(sidecar.store)), pivot)
        image = self.moved(vm, sidecar, since)
        self.right(vm, sidecar, [image, *(disk.path for disk in vm.disks[1:])])

    def test_a_store_whose_disk_dies_is_left_and_the_next_fault_is_survived(self):
        with SmallDisk(256) as disk, loaded(disks=2) as vm:
            sidecar = self.protect_on(disk, vm)
            code, out, _ = sidecar.command("plan", "--json")
            self.assertEqual(code, 0)
            row = next(row for row in json.loads(out)["plan"] if row["fault"] == "replica-error")
            self.assertEqual(row["strategy"], "hold")
            self.assertIn("protected anew in the spare", row["why"])
            disk.die()
            sidecar.wait("fault", kind="replica-error")
            self.assertIn("anew in the spare", sidecar.wait("recovery")["why"])
            self.succeeded(vm, sidecar)
            self.unharmed(vm, sidecar)
            self.assertTrue((sidecar.store / "incidents").is_dir() or
                            (sidecar.store / "models.json").exists())
            self.pivots(vm, sidecar)

    def test_a_store_that_turned_read_only_is_left_also_by_the_next_start(self):
        with SmallDisk(256) as disk, loaded(disks=2) as vm:
            sidecar = self.protect_on(disk, vm)
            disk.turn_read_only()
            self.succeeded(vm, sidecar)
            self.unharmed(vm, sidecar)
            self.assertFalse((disk.path / "store" / "left").exists())
            self.continues(vm, sidecar, disk.path / "store")
            self.pivots(vm, sidecar)

    def continues(self, vm, sidecar, asked, sig=signal.SIGTERM, **protected):
        """Started again with the same command line, it goes on where it was."""
        successor, sidecar.store = sidecar.store, asked
        sidecar.stop(sig)
        since = len(sidecar.events)
        sidecar.start()
        self.assertEqual(sidecar.wait("attached", since=since)["store"], str(successor))
        again = sidecar.wait("protected", since=since, timeout=60)
        self.assertEqual({**again, "resumed": True, **protected}, again)
        self.assertEqual(sidecar.find("relocated", since), [])
        sidecar.store = successor
        sidecar.wait_generations(2)

    def test_a_store_that_stays_full_is_left_and_says_so(self):
        with SmallDisk(256) as disk, loaded(disks=2) as vm:
            sidecar = self.protect_on(disk, vm)
            disk.fill()
            vm.order("burst 32")
            degraded = sidecar.wait("degraded", timeout=40)
            told = self.succeeded(vm, sidecar)
            self.assertGreater(told["at"] - degraded["at"], 20)  # somebody might have made room
            self.unharmed(vm, sidecar)
            asked = disk.path / "store"
            self.assertEqual(os.readlink(asked / "left"), str(sidecar.store))
            disk.make_room()  # it would work again
            self.continues(vm, sidecar, asked, sig=signal.SIGKILL)
            successor, sidecar.store = sidecar.store, asked
            self.assertIn(f"left for {successor}", sidecar.command("status")[1])
            sidecar.store = successor
            self.pivots(vm, sidecar)

    def test_a_full_store_that_gets_room_is_kept(self):
        with SmallDisk(256) as disk, loaded(disks=2) as vm:
            sidecar = self.protect_on(disk, vm)
            disk.fill()
            vm.order("burst 32")
            since = sidecar.events.index(sidecar.wait("degraded", timeout=40))
            time.sleep(8)
            disk.make_room()
            sidecar.wait("protected", since=since, timeout=60)
            sidecar.wait_generations(3)
            self.assertEqual(sidecar.find("relocated"), [])
            self.assertEqual(list((vm.work / "spare").iterdir()), [])

    def stays(self, vm, sidecar, disk, words):
        """As without --spare: degraded, tried again, and the guest runs."""
        disk.die()
        sidecar.wait("degraded")
        time.sleep(12)
        self.assertEqual(sidecar.find("relocated"), [])
        self.assertEqual(sidecar.find("attached")[1:], [])
        self.assertIsNone(sidecar.process.poll())
        self.assertIn(words, sidecar.find("recovery", strategy="hold")[-1]["why"])
        vm.wait_more(100)
        self.assertEqual((vm.status(), vm.guest_errors), ("running", []))
        self.assertEqual(sidecar.stop(timeout=10), 0)

    def test_without_a_spare_the_store_is_tried_again(self):
        with SmallDisk(128) as disk, loaded(disks=1) as vm:
            self.stays(vm, self.protect(vm, store=disk.path / "store"), disk, "no spare")

    def test_a_spare_on_the_disk_of_the_store_is_none(self):
        with SmallDisk(128) as disk, loaded(disks=1) as vm:
            (disk.path / "spare").mkdir()
            sidecar = self.protect(vm, store=disk.path / "store", spare=disk.path / "spare")
            self.stays(vm, sidecar, disk, "file system")

    def test_a_spare_with_the_replica_of_another_guest_is_not_touched(self):
        with SmallDisk(128) as disk, loaded(disks=1) as vm:
            other = self.spare_of(vm) / "replica"
            other.mkdir()
            (other / "theirs").write_text("data")
            sidecar = self.protect_on(disk, vm)
            self.stays(vm, sidecar, disk, "another store")
            self.assertEqual([path.name for path in other.iterdir()], ["theirs"])
            self.assertEqual([path.name for path in (vm.work / "spare").iterdir()], ["replica"])

    def test_a_sidecar_killed_while_the_successor_is_made_goes_on_with_a_store_that_works(self):
        for rng in seeds(1):
            with SmallDisk(256) as disk, loaded(disks=2) as vm:
                sidecar = self.protect_on(disk, vm)
                disk.fill()
                vm.order("burst 32")
                step = rng.choice(["replica*", "replica/*", "replica/store.json"])
                self.wait_for(vm.work / "spare", step)
                sidecar.stop(signal.SIGKILL)
                self.assertEqual(sidecar.find("protected")[1:], [])  # nor in the successor
                disk.make_room()
                since = len(sidecar.events)
                sidecar.start()
                store = sidecar.wait("attached", since=since)["store"]
                self.assertEqual(store, str(sidecar.store))
                self.assertTrue(sidecar.wait("protected", since=since, timeout=60)["resumed"])
                # What was begun there is in nobody's way.
                disk.die()
                since = len(sidecar.events)
                self.succeeded(vm, sidecar, since)
                self.unharmed(vm, sidecar)
                self.pivots(vm, sidecar)

    def wait_for(self, folder, pattern, timeout=90):
        deadline = time.monotonic() + timeout
        while not any(folder.glob(pattern)):
            self.assertLess(time.monotonic(), deadline, pattern)

    def test_a_sidecar_killed_at_any_moment_of_the_move_harms_nothing(self):
        for rng in seeds(2):
            with SmallDisk(256) as disk, loaded(disks=[Disk(size=160 * MIB), Disk()]) as vm:
                self.something_to_copy(vm, 96)
                sidecar = self.protect_on(disk, vm)
                asked, successor = sidecar.store, vm.work / "spare" / "replica"
                disk.die()
                sidecar.wait("relocated", timeout=60)
                for _ in range(4):
                    time.sleep(rng.random() * 0.4)
                    sidecar.stop(signal.SIGKILL)
                    since = len(sidecar.events)
                    sidecar.start()
                    told = sidecar.wait("attached", since=since)
                    self.assertEqual(told["store"], str(successor))
                sidecar.wait("protected", since=since, timeout=60)
                sidecar.store = successor
                self.assertEqual(sidecar.status()["origin"], str(asked))
                self.unharmed(vm, sidecar)
                self.pivots(vm, sidecar)


if __name__ == "__main__":
    unittest.main()
