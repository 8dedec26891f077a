# SPDX-License-Identifier: Apache-2.0
"""The scrub finds what is silently bad on either side; --heal, and only that, heals it."""

import json
import mmap
import os
import time
import unittest

from harm_support import MIB, HarmTest, Sidecar, Vm, dice, end, filled_image, say, until

BLOCK = 65536
RATE = 1000  # MB/s: the disks of the lab are small
ROUNDS = 15


def harm(path, offset, data=None):
    """Other data at the offset, around the page cache; the data that was there."""
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    with mmap.mmap(-1, BLOCK) as page:
        os.preadv(fd, [page], offset)
        before = page[:]
        page[:] = data or os.urandom(BLOCK)
        os.pwritev(fd, [page], offset)
    os.close(fd)
    return before


def block_at(path, offset):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    with mmap.mmap(-1, BLOCK) as page:
        os.preadv(fd, [page], offset)
        os.close(fd)
        return page[:]


class ScrubTest(HarmTest):
    """A guest that writes to the first MiBs of disks that are full of data."""

    def vm(self, disks=1, region=4 * MIB, **more):
        return Vm(disks=disks, region=region, pattern="rand", rate=300, paused=1, **more)

    def fill(self, vm):
        for disk in vm.disks:
            filled_image(disk.path, disk.size, 8 * MIB)
        vm.order("resume")
        vm.wait_more(20)

    def protect(self, vm, **options):
        sidecar = Sidecar(vm, scrub_rate=RATE, **options).start()
        self.addCleanup(sidecar.__exit__, None, None, None)
        sidecar.wait("protected")
        return sidecar

    def wait_passes(self, sidecar, count=2, timeout=60):
        """Until so many passes more have ended; the status."""
        began = sidecar.status()["scrub"]["passes"]
        return until(lambda: (now := sidecar.status()["scrub"])["passes"] >= began + count and now,
                     f"{count} passes", timeout, every=0.05)


class Found(ScrubTest):
    def test_nothing_is_wrong_with_a_guest_that_writes(self):
        with self.vm(disks=2, mix=20) as vm:
            self.fill(vm)
            sidecar = self.protect(vm, heal=True)
            scrub = self.wait_passes(sidecar, 4)
            self.assertEqual((scrub["bad_replica"], scrub["bad_source"], scrub["healed"]),
                             (0, 0, 0))
            self.assertGreaterEqual(scrub["checked_bytes"], 4 * 128 * MIB)
            self.assertEqual(sidecar.find("fault"), [])
            self.assert_goes_on(vm)
            self.assert_short_pauses(vm, "scrub")
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)

    def test_without_heal_nothing_is_touched(self):
        with self.vm(disks=2) as vm:
            self.fill(vm)
            sidecar = self.protect(vm)
            head = sidecar.heads()[0]
            harm(vm.disks[1].path, 20 * MIB)
            harm(head, 30 * MIB)
            source = sidecar.wait("fault", kind="disk-corrupt", resource="vdb")
            replica = sidecar.wait("fault", kind="replica-error", resource="vda")
            self.assertEqual((source["offset"], source["length"]), (20 * MIB, BLOCK))
            self.assertEqual((replica["offset"], replica["length"]), (30 * MIB, BLOCK))
            self.assertIn("sum", source["detail"])
            bad = block_at(vm.disks[1].path, 20 * MIB), block_at(head, 30 * MIB)
            scrub = self.wait_passes(sidecar)
            self.assertEqual(scrub["healed"], 0)
            self.assertEqual((block_at(vm.disks[1].path, 20 * MIB), block_at(head, 30 * MIB)), bad)
            self.assertEqual(sidecar.find("recovery"), [])
            places = {event["offset"] for event in sidecar.find("fault")}
            self.assertEqual(places, {20 * MIB, 30 * MIB})
            self.assert_goes_on(vm)


class Replica(ScrubTest):
    def test_changed_block_is_fetched_from_the_disk(self):
        with self.vm(disks=2) as vm:
            self.fill(vm)
            sidecar = self.protect(vm, heal=True)
            head = sidecar.heads()[1]
            good = [harm(head, offset) for offset in (20 * MIB, 40 * MIB + BLOCK)]
            zeros = harm(head, 7 * MIB + 3 * BLOCK)  # where the disk is a hole
            sidecar.wait("recovered", strategy="heal", resource="vdb", side="replica", count=3)
            scrub = self.wait_passes(sidecar)
            self.assertEqual((scrub["bad_replica"], scrub["healed"], scrub["bad_source"]), (3, 3, 0))
            self.assertEqual([block_at(head, 20 * MIB), block_at(head, 40 * MIB + BLOCK)], good)
            self.assertEqual(block_at(head, 7 * MIB + 3 * BLOCK), zeros)
            self.assert_replica(vm, sidecar)
            self.assertEqual(sidecar.command("verify")[0], 0)

    def test_changed_sum_is_written_anew(self):
        with self.vm() as vm:
            self.fill(vm)
            sidecar = self.protect(vm, heal=True)
            block = 20 * MIB // BLOCK
            with open(sidecar.store / "disks/vda/sums", "r+b", buffering=0) as sums:
                before = os.pread(sums.fileno(), 8, 8 * block)
                os.pwrite(sums.fileno(), os.urandom(8), 8 * block)
                sidecar.wait("recovered", strategy="heal", side="replica", offset=20 * MIB)
                self.assertEqual(os.pread(sums.fileno(), 8, 8 * block), before)
            self.assert_replica(vm, sidecar)
            self.assertEqual(sidecar.command("verify")[0], 0)

    def test_both_sides_of_one_block_are_left_alone(self):
        with self.vm() as vm:
            self.fill(vm)
            sidecar = self.protect(vm, heal=True)
            head = sidecar.heads()[0]
            end(sidecar, 15)
            harm(head, 20 * MIB)
            harm(vm.disks[0].path, 20 * MIB)
            bad = block_at(head, 20 * MIB), block_at(vm.disks[0].path, 20 * MIB)
            sidecar.start()
            fault = sidecar.wait("fault", kind="replica-error", offset=20 * MIB)
            self.assertIn("no side", fault["detail"])
            scrub = self.wait_passes(sidecar)
            self.assertEqual(scrub["healed"], 0)
            self.assertEqual((block_at(head, 20 * MIB), block_at(vm.disks[0].path, 20 * MIB)), bad)
            self.assert_goes_on(vm)


class Source(ScrubTest):
    def test_changed_block_is_written_from_the_replica(self):
        with self.vm(disks=2) as vm:
            self.fill(vm)
            sidecar = self.protect(vm, heal=True)
            path = vm.disks[1].path
            good = harm(path, 20 * MIB)
            event = sidecar.wait("recovered", strategy="heal", resource="vdb", side="disk",
                                 offset=20 * MIB)
            self.assertNotEqual(event["sum_before"], event["sum_after"])
            self.assertEqual(block_at(path, 20 * MIB), good)
            say(f"healed in a pause of {event['downtime_ms']:.1f} ms")
            zeros = harm(path, 7 * MIB)  # a hole; the guest writes below
            sidecar.wait("recovered", strategy="heal", offset=7 * MIB)
            self.assertEqual(block_at(path, 7 * MIB), zeros)
            scrub = self.wait_passes(sidecar)
            self.assertEqual((scrub["bad_replica"], scrub["bad_source"], scrub["healed"]), (0, 2, 2))
            self.assertFalse((sidecar.store / "promoted/heal.raw").exists())
            self.assertEqual([step["name"] for step in event["steps"]],
                             ["stop", "freeze", "look", "write", "verify", "resume"])
            self.assertAlmostEqual(sum(step["ms"] for step in event["steps"]),
                                   event["downtime_ms"], places=3)
            incidents = json.loads(sidecar.command("incidents", "--json")[1])["incidents"]
            self.assertEqual([(each["fault"]["kind"], each["outcome"]["result"],
                               each["outcome"]["strategy"]) for each in incidents],
                             [("disk-corrupt", "recovered", "heal")] * len(incidents))
            self.assertIn(len(incidents), (1, 2))  # one a pass at most
            self.assertGreater(incidents[0]["outcome"]["downtime_ms"], 0)
            self.assert_goes_on(vm)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)

    def test_latent_bad_sector(self):
        """The lab's bad sector stays bad: written, not believed, and told of."""
        with self.vm() as vm:
            self.fill(vm)
            sidecar = self.protect(vm, heal=True)
            vm.fail(0, "read", sector=20 * MIB // 512 + 5)
            fault = sidecar.wait("fault", kind="disk-corrupt", offset=20 * MIB)
            self.assertIn("Input/output error", fault["detail"])
            failed = sidecar.wait("recovery-failed", strategy="heal")
            self.assertIn("does not read back", failed["reason"])
            self.assert_goes_on(vm)
            vm.repair(0)
            self.wait_passes(sidecar)
            self.assert_replica(vm, sidecar)

    def test_bad_sector_that_goes_with_the_next_read(self):
        """A read error that is gone when the block is looked at again is nobody's to heal."""
        with self.vm() as vm:
            self.fill(vm)
            sidecar = self.protect(vm, heal=True)
            vm.fail(0, "read", sector=20 * MIB // 512 + 5, once=True)
            self.wait_passes(sidecar)
            self.assert_goes_on(vm)
            self.assert_replica(vm, sidecar)

    def test_many_heals_beside_a_guest_that_writes(self):
        with self.vm(disks=2, region=2 * MIB) as vm:
            self.fill(vm)
            sidecar = self.protect(vm, heal=True)
            random = dice("harm beside a guest that writes")
            for _ in range(25):
                harm(vm.disks[random.randrange(2)].path,
                     8 * MIB + BLOCK * random.randrange(56 * MIB // BLOCK))
                time.sleep(random.random() * 0.2)
            scrub = self.wait_passes(sidecar, 3)
            self.assertEqual(scrub["bad_replica"], 0)
            self.assertGreater(scrub["healed"], 10, scrub)
            self.assert_goes_on(vm)
            self.assert_short_pauses(vm, "heals")
            self.assert_replica(vm, sidecar)

    def test_block_that_the_guest_overwrites_is_never_healed_with_old_data(self):
        """Its records are whole blocks: each bad one is healed or overwritten, whoever is first."""
        with self.vm(region=2 * MIB, size=BLOCK) as vm:
            self.fill(vm)
            sidecar = self.protect(vm, heal=True, interval=200)
            random = dice("harm where the guest writes")
            vm.wait_more(200)
            for _ in range(ROUNDS):
                vm.order("pause")
                sidecar.wait_caught_up()
                for block in random.sample(range(2 * MIB // BLOCK), 12):
                    harm(vm.disks[0].path, block * BLOCK)
                time.sleep(random.random() * 0.03)
                vm.order("resume")
                vm.wait_more(40)
            scrub = self.wait_passes(sidecar)
            say(f"{scrub['bad_source']} bad blocks seen, {scrub['healed']} healed, "
                f"{12 * ROUNDS} harmed")
            self.assertEqual(scrub["bad_replica"], 0)
            self.assert_replica(vm, sidecar)
            self.assertTrue(vm.check()["consistent"])

    def test_sidecar_killed_while_it_heals(self):
        with self.vm(disks=2) as vm:
            self.fill(vm)
            sidecar = self.protect(vm, heal=True)
            random = dice("kill -9 in heals")
            good = {}
            for _ in range(12):
                since = len(sidecar.events)  # it may heal the first before the last is harmed
                for _ in range(8):
                    offset = 8 * MIB + BLOCK * random.randrange(56 * MIB // BLOCK)
                    before = harm(vm.disks[1].path, offset)
                    good.setdefault(offset, before)
                sidecar.wait("recovery", since=since, strategy="heal")
                time.sleep(random.random() * 0.03)
                end(sidecar)
                self.assert_goes_on(vm, records=5)
                sidecar.start().wait("protected", since=since)
            scrub = self.wait_passes(sidecar, 2)
            self.assertEqual(scrub["bad_replica"], 0)
            for offset, data in good.items():
                self.assertEqual(block_at(vm.disks[1].path, offset), data, offset)
            self.assert_goes_on(vm)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)


if __name__ == "__main__":
    unittest.main()
