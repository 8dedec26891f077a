# SPDX-License-Identifier: Apache-2.0
"""`qheal rollback`: the running guest goes back to a point, all disks at once, and can go forth again.

The truth is the checker's: what `qheal restore` gives of a point says which record was its last, and
with exactly that one the guest goes on after its reset.
"""

import concurrent.futures
import json
import subprocess
import time
import unittest

from fault_support import MIB, FaultCase, heads_of, loaded, seeds
from harm_support import MOMENTS, again, end, graph
from lab import cache
from lab.cache import in_time, until
from lab.proxy import Proxy
from store_harm_test import StoreDisk

BOOT_S = 90  # on a machine that does a lot else


class RollbackCase(FaultCase):
    def guest(self, disks=2, **guest):
        return loaded(disks, **{"rate": 500, "region": 2 * MIB, **guest})

    def point(self, vm, sidecar, name, more=60):
        """Takes a point in the load; the number of its last record."""
        vm.wait_more(more)
        code, _, err = sidecar.command("points", "--create", name)
        self.assertEqual(code, 0, err)
        return sidecar.last_record(name)

    def roll_back(self, vm, sidecar, name, kept):
        """To the point, whose last record is `kept`; the `recovered` object."""
        since, lines = len(sidecar.events), len(vm.console.lines)
        code, out, err = sidecar.command("rollback", "--point", name, "--json")
        self.assertEqual((code, err), (0, ""), sidecar.report())
        answer = json.loads(out)
        vm.console.wait("READY", BOOT_S, since=lines)
        self.goes_on(vm)
        self.assertEqual(vm.acks.boots[-1], kept)
        self.assertEqual((answer["strategy"], answer["point"]), ("rollback", name))
        event = sidecar.wait("recovered", since=since, strategy="rollback")
        self.assertEqual({key: event[key] for key in answer}, answer)
        announced = sidecar.wait("recovery", since=since, strategy="rollback")
        self.assertIn(answer["before"], announced["why"])
        sidecar.wait("protected", since=since)
        return answer

    def goes_on(self, vm, more=30):
        """Until it wrote so many records, in a row: a reset sets it back."""
        least, began = vm.acked, time.monotonic()
        while (now := vm.acked) < least + more:
            least = min(least, now)
            in_time(began, BOOT_S, "the guest goes on")
            time.sleep(0.01)

    def replica_right(self, vm, sidecar, images):
        """At rest: the guest's disks and the heads are alike, to the last record."""
        vm.order("pause")
        sidecar.wait_caught_up()
        for paths in (images, heads_of(sidecar.store, vm)):
            self.nothing_lost(vm, paths)
        vm.order("resume")

    def rollback_files(self, sidecar):
        return sorted(path.name for path in (sidecar.store / "promoted").glob("rollback-*.raw"))


class There(RollbackCase):
    once = True  # a pivot of all disks and a reset, which other tests try on both
    timeout_s = 600

    def test_back_to_points_and_forth_again(self):
        """And what an earlier roll back used goes away."""
        with self.guest() as vm:
            sidecar = self.protect(vm)
            self.there_and_back(vm, sidecar)

    def there_and_back(self, vm, sidecar):
        kept = [self.point(vm, sidecar, name) for name in ("one", "two", "three")]
        self.assertEqual(kept, sorted(set(kept)))
        vm.wait_more(50)
        left = vm.acked
        answer = self.roll_back(vm, sidecar, "two", kept[1])
        self.replica_right(vm, sidecar, self.images(vm, answer))
        newest = sidecar.last_record(answer["before"])
        self.assertGreaterEqual(newest, left)
        self.assertEqual(sidecar.last_record("three"), kept[2])
        forth = self.roll_back(vm, sidecar, answer["before"], newest)
        self.replica_right(vm, sidecar, self.images(vm, forth))
        # Twice to the same point; only the images in use are left.
        twice = self.roll_back(vm, sidecar, "two", kept[1])
        self.replica_right(vm, sidecar, self.images(vm, twice))
        names = sorted(image["path"].rsplit("/", 1)[1] for image in twice["images"])
        self.assertEqual(self.rollback_files(sidecar), names)
        nodes = [name for name in graph(vm)[0] if name.startswith("qheal-r")]
        self.assertEqual(len(nodes), len(vm.disks), nodes)

    def test_on_a_file_system_that_shares_blocks(self):
        with StoreDisk("xfs") as disk, self.guest() as vm:
            sidecar = self.protect(vm, store=disk.path / "store")
            self.there_and_back(vm, sidecar)
            self.assertEqual(sidecar.stop(), 0)

    def test_sidecar_started_again_goes_on(self):
        """The guest lives on rollback images: a disk as any other."""
        with self.guest() as vm:
            sidecar = self.protect(vm)
            kept = self.point(vm, sidecar, "one")
            answer = self.roll_back(vm, sidecar, "one", kept)
            end(sidecar)
            vm.wait_more(50)
            again(sidecar, resumed=True)
            sidecar.wait_generations(1)
            self.replica_right(vm, sidecar, self.images(vm, answer))
            self.assertEqual(len(self.rollback_files(sidecar)), 2)

    def test_qemu_that_is_started_on_its_old_disks_leaves_the_images(self):
        """Both ended before the end of the roll back was noted; the guest had run on them."""
        with self.guest() as vm:
            sidecar = self.protect(vm)
            kept = self.point(vm, sidecar, "one")
            self.roll_back(vm, sidecar, "one", kept)
            vm.wait_more(50)
            end(sidecar)
            path = sidecar.store / "promoted" / "rollback.json"
            record = json.loads(path.read_text())
            self.assertEqual((record["done"], record["exchanged"]), (True, True))
            path.write_text(json.dumps({**record, "done": False}))
            images = self.rollback_files(sidecar)
            vm.restart()
            again(sidecar, resumed=True)
            self.assertEqual((self.rollback_files(sidecar), len(images)), (images, 2))
            self.assertIn("lived in", sidecar.log.read_text())
            self.assertTrue(json.loads(path.read_text())["done"])

    def test_exports_that_others_take_in_the_pause_end_it(self):
        """The guest goes on as it was, and whoever asked for it is told."""
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, interval=1000)
            self.point(vm, sidecar, "one")
            vm.disks[0].slow(vm.qmp, 30)  # the last writes take a while to be read
            since = len(sidecar.events)
            asked = concurrent.futures.ThreadPoolExecutor(1).submit(
                sidecar.command, "rollback", "--point", "one")
            while not asked.done() and not (vm.qmp("query-status")["status"] == "paused" and
                                            vm.qmp("query-block-exports")):
                time.sleep(0.002)
            if asked.done():
                raise cache.Late(f"no export was seen in the pause: {asked.result()}")
            vm.qmp("nbd-server-stop")
            code, _, err = asked.result(60)
            self.assertEqual(code, 1, err)
            self.assertEqual(vm.status(), "running")
            vm.wait_more(20)
            sidecar.wait("generation", since=since, count=2, timeout=60)
            self.assertEqual(sidecar.find("recovered", since, strategy="rollback"), [])

    def root_of(self, vm, disk):
        """Its node; None in a cycle."""
        node = next(entry["inserted"]["node-name"] for entry in vm.qmp("query-block")
                    if disk in entry["qdev"])
        return None if node.startswith("qheal-cbw") else node

    def test_disk_that_fails_after_a_roll_back(self):
        with self.guest() as vm:
            sidecar = self.protect(vm)
            kept = self.point(vm, sidecar, "one")
            answer = self.roll_back(vm, sidecar, "one", kept)
            sidecar.wait_generations(2)
            node = until(lambda: self.root_of(vm, "vda"), "no filter of a cycle is above the disk")
            vm.qmp("blockdev-add", driver="file", node_name="below",
                   filename=answer["images"][0]["path"], locking="off")
            vm.qmp("blockdev-add", driver="blkdebug", node_name="bad", image="below",
                   **{"inject-error": [{"event": "none", "iotype": "write", "errno": 5}]})
            vm.qmp("blockdev-reopen", options=[{
                "driver": "raw", "node-name": node, "file": "bad", "discard": "unmap",
                "cache": {"direct": True, "no-flush": False}}])
            recovered = sidecar.wait("recovered", strategy="pivot")
            vm.wait_more(100)
            vm.order("pause")
            self.nothing_lost(vm, self.images(vm, answer, recovered))


class Refused(RollbackCase):
    def refused(self, sidecar, point, *words):
        code, out, err = sidecar.command("rollback", "--point", point)
        self.assertEqual((code, out), (1, ""))
        for word in words:
            self.assertIn(word, err)

    def test_what_cannot_be_done_is_said_and_changes_nothing(self):
        with self.guest() as vm:
            sidecar = self.protect(vm)
            self.refused(sidecar, "none", "no point", "none")
            self.point(vm, sidecar, "one")
            vm.qmp.insist("block_resize", node_name="d1", size=80 * MIB)
            sidecar.wait("protected", count=2)
            self.refused(sidecar, "one", "vdb", str(80 * MIB))
            self.assertEqual(self.rollback_files(sidecar), [])
            self.assertEqual(sidecar.find("recovery"), [])
            end(sidecar, 15)
            self.refused(sidecar, "one", "no sidecar", "qheal restore")
            self.assertEqual(len(vm.acks.boots), 1)
            code, _, _ = sidecar.command("rollback")
            self.assertEqual(code, 2)

    def test_somebody_lets_it_go_on_just_before_the_exchange(self):
        """What it writes then is in no point: it stays where it is."""
        with self.guest() as vm, Proxy(vm.qmp_path, vm.work / "proxy.sock") as proxy:
            own, vm.qmp_path = vm.qmp_path, vm.work / "proxy.sock"
            sidecar = self.protect(vm)
            vm.qmp_path = own
            self.point(vm, sidecar, "a")
            proxy.before(["qom-set", "qheal-r"], lambda: vm.qmp("cont"))
            code, _, err = sidecar.command("rollback", "--point", "a")
            self.assertEqual(code, 1)
            self.assertIn("let the guest go on", err)
            vm.wait_more(100)
            self.assertEqual(len(vm.acks.boots), 1)
            vm.order("pause")
            self.nothing_lost(vm, [disk.path for disk in vm.disks])

    def test_damaged_point_is_found_before_the_guest_is_touched(self):
        with self.guest() as vm:
            sidecar = self.protect(vm)
            self.point(vm, sidecar, "one")
            vm.order("pause")
            end(sidecar, 15)
            for name in ("kept.raw", "head.raw"):
                for path in sidecar.store.glob(f"points/*/vdb/{name}"):
                    self.spoil(path)
            for path in sidecar.store.glob("disks/vdb/head.raw"):
                self.spoil(path)
            again(sidecar)
            self.refused(sidecar, "one", "checksum")
            self.assertEqual(self.rollback_files(sidecar), [])
            self.assertEqual((vm.status(), sidecar.find("recovery")), ("running", []))

    def spoil(self, path):
        with open(path, "r+b") as file:
            data = file.read(4 * MIB)
            at = next(i for i in range(0, len(data), 4096) if data[i:i + 4096].strip(b"\0"))
            file.seek(at)
            file.write(bytes([data[at] ^ 1]))


class Killed(RollbackCase):
    once = True  # a pivot of all disks and a reset, which other tests try on both
    timeout_s = 600

    def test_killed_at_random_moments(self):
        """Never half: the next start finishes it or leaves it."""
        for dice in seeds(1):
            with self.guest() as vm:
                sidecar = self.protect(vm)
                kept = self.point(vm, sidecar, "one")
                outcomes = [self.killed(vm, sidecar, dice, kept)
                            for _ in range(max(4, MOMENTS // 4))]
                print(f"rolled back {sum(outcomes)} of {len(outcomes)} times")

    def killed(self, vm, sidecar, dice, kept):
        """One roll back, killed; whether it was done."""
        since, boots = len(sidecar.events), len(vm.acks.boots)
        vm.wait_more(40)
        before = vm.acked
        command = self.begin(sidecar)
        if dice.random() < 0.5:  # in the switch itself, some 50 ms
            sidecar.wait("recovery", since=since)
            time.sleep(dice.random() * 0.06)
        else:
            time.sleep(dice.random() * 0.3)
        end(sidecar)
        command.wait(30)
        again(sidecar, resumed=True)
        self.goes_on(vm)
        sidecar.wait_generations(1)
        done = len(vm.acks.boots) > boots
        if done:
            self.assertEqual(set(vm.acks.boots[boots:]) - {kept}, set())
        else:
            self.assertGreaterEqual(vm.acked, before)
        images = self.now(vm)
        self.replica_right(vm, sidecar, images)
        self.assertEqual(any("rollback-" in image for image in images),
                         all("rollback-" in image for image in images))
        return done

    def begin(self, sidecar):
        return subprocess.Popen([cache.built("qheal"), "rollback", "--point", "one", "--store",
                                 sidecar.store], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def now(self, vm):
        """Where QEMU says that the disks live."""
        found = {disk["qdev"].split("/")[3]: disk["inserted"]["file"]
                 for disk in vm.qmp("query-block") if disk.get("inserted")}
        return [found[disk.id] for disk in vm.disks]


if __name__ == "__main__":
    unittest.main()
