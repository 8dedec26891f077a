# SPDX-License-Identifier: Apache-2.0
"""Drills: a disk dies, and the replica's head of a disk is damaged: neither pivot nor rollback to it.

The damaged block is one that was overwritten after the point: the head has it bad, the point has what
it was. The load stands still between the damage and the fault, else the next generation mends the head.
So would the journal, which a sidecar that starts applies once more: the block is in none of its two
generations.
"""

import json
import pathlib
import signal
import time
import unittest

from fault_support import BLOCK_BYTES, MIB, FaultCase, heads_of, loaded
from lab.sidecar import Sidecar
from scrub_test import harm
from store_harm_test import StoreDisk

BOOT_S = 90  # on a machine that does a lot else


class Damaged(FaultCase):
    once = True  # about the store and the policy; the swap is that of a roll back

    def guest(self):
        return loaded(disks=2, pattern="seq", rate=500, region=1 * MIB)

    def protect(self, vm, **options):
        """With points P1 and P2, and everything overwritten after each of them."""
        self.spare = vm.work / "spare"
        self.spare.mkdir(exist_ok=True)
        sidecar = super().protect(vm, interval=500, generations=1, scrub_rate=200,
                                  spare=self.spare, **options)
        self.kept = {}
        for name in ("P1", "P2"):
            code, _, err = sidecar.command("points", "--create", name)
            self.assertEqual(code, 0, err)
            self.kept[name] = sidecar.last_record(name)
            vm.wait_more(2 * vm.guest["region"] // vm.guest["size"] + 100)
        return sidecar

    def damage(self, vm, sidecar, disk, also=None):
        """A block of the head of the disk, where the guest writes, and it was found."""
        vm.order("pause")
        for _ in range(2):
            sidecar.wait_caught_up()
            vm.order("resume")
            vm.wait_more(1)
            vm.order("pause")
        sidecar.wait_caught_up()
        since = len(sidecar.events)
        offset = self.block_far_ahead(vm)
        harm(heads_of(sidecar.store, vm)[disk], offset)
        if also:
            harm(also, offset)
        found = sidecar.wait("fault", since=since, kind="replica-error",
                             resource=vm.disks[disk].id, offset=offset)
        self.assertIn("replica's is bad", found["detail"])
        return offset

    def block_far_ahead(self, vm):
        """Of the records' place: what is written now lies before it, half a round away."""
        written = vm.acked // len(vm.disks) * vm.guest["size"]
        return (written + vm.guest["region"] // 2) % vm.guest["region"] // BLOCK_BYTES * BLOCK_BYTES

    def die(self, vm, sidecar):
        vm.fail(0, "dead")
        vm.order("resume")
        sidecar.wait("fault", kind="disk-write-error")

    def restored(self, vm, sidecar, name, lines):
        """The guest boots on the point, with nothing before or after it, and is protected."""
        recovered = sidecar.wait("recovered", strategy="restore", timeout=60)
        vm.console.wait("READY", BOOT_S, since=lines)
        vm.wait_more(50)
        self.assertEqual(vm.acks.boots[-1], self.kept[name])
        self.assertEqual(recovered["point"], name)
        self.assertGreater(recovered["lost_bytes"], 0)
        self.assertEqual({image["disk"] for image in recovered["images"]}, {"vda", "vdb"})
        for image in recovered["images"]:
            self.assertEqual(pathlib.Path(image["path"]).parent.resolve(), self.spare.resolve())
        announced = sidecar.find("recovery", strategy="restore")[-1]
        self.assertEqual(announced["predicted_loss_bytes"], recovered["lost_bytes"])
        since = len(sidecar.events)
        if sidecar.status()["state"] != "protected":
            sidecar.wait("protected", since=sidecar.events.index(recovered))
        sidecar.wait_generations(1)
        vm.order("pause")
        self.nothing_lost(vm, self.images(vm, recovered))
        self.assertEqual(sidecar.find("recovery", since=since), [])
        return recovered

    def verifies(self, vm, sidecar, before):
        """All but what was kept of the damaged head; that is a point of its own."""
        self.assertEqual(sidecar.command("points", "--delete", before)[0], 0)
        self.assertEqual(sidecar.stop(), 0)
        code, out, err = sidecar.command("verify", "--json")
        verdict = json.loads(out)
        self.assertEqual((code, verdict["bad"], verdict["damaged"]), (0, [], []), err)
        self.assertTrue(vm.check(heads_of(sidecar.store, vm), acked=0)["consistent"])

    def plan_of(self, sidecar):
        code, out, err = sidecar.command("plan", "--json")
        self.assertEqual(code, 0, err)
        return {row["case"]: row for row in json.loads(out)["plan"] if "vda" in row.get("resources", [])}

    def test_the_guest_boots_on_the_newest_point(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, on_loss="rollback")
            self.damage(vm, sidecar, 1)
            plan = self.plan_of(sidecar)
            self.assertEqual(plan["the disk is dead"]["strategy"], "restore")
            self.assertEqual(plan["writes fail, reads go"]["strategy"], "pivot")
            lines = len(vm.console.lines)
            self.die(vm, sidecar)
            recovered = self.restored(vm, sidecar, "P2", lines)
            failed, = sidecar.find("recovery-failed", strategy="pivot")
            self.assertEqual(failed["next"], "restore")
            self.verifies(vm, sidecar, recovered["before"])

    def test_on_a_file_system_that_shares_blocks(self):
        """The point is a clone, and the spare another file system."""
        with StoreDisk("xfs") as disk, self.guest() as vm:
            sidecar = self.protect(vm, store=disk.path / "store", on_loss="rollback")
            self.damage(vm, sidecar, 0)
            lines = len(vm.console.lines)
            self.die(vm, sidecar)
            recovered = self.restored(vm, sidecar, "P2", lines)
            self.verifies(vm, sidecar, recovered["before"])

    def test_a_bad_point_is_left_for_an_older_one(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, on_loss="rollback")
            points = json.loads(sidecar.command("points", "--json")[1])["points"]
            newest = next(point for point in points if point["name"] == "P2")
            kept = sidecar.store / "points" / f"{newest['id']:08}" / "vda" / "kept.raw"
            if not kept.exists():
                kept = kept.with_name("head.raw")
            self.damage(vm, sidecar, 0, also=kept)
            lines = len(vm.console.lines)
            self.die(vm, sidecar)
            self.restored(vm, sidecar, "P1", lines)
            failed = [event for event in sidecar.find("recovery-failed")
                      if event["strategy"] != "resume"]  # which `optimal` tries first
            self.assertEqual([(each["strategy"], each["next"]) for each in failed],
                             [("pivot", "restore"), ("restore", "restore")])
            losses = [event["predicted_loss_bytes"]
                      for event in sidecar.find("recovery", strategy="restore")]
            self.assertLessEqual(losses[0], losses[1])

    def again(self, vm, sidecar):
        """Another sidecar on the store, without a scrub."""
        other = Sidecar(vm, interval=500, spare=self.spare, on_loss="rollback")
        other.start()
        self.addCleanup(other.__exit__, None, None, None)
        sidecar.__exit__(None, None, None)
        return other

    def test_the_next_sidecar_knows_what_the_scrub_found(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, on_loss="rollback")
            self.damage(vm, sidecar, 0)
            self.assertTrue((sidecar.store / "damage.json").exists())
            sidecar.stop(signal.SIGKILL)
            sidecar = self.again(vm, sidecar)
            sidecar.wait("protected")
            self.die(vm, sidecar)
            sidecar.wait("recovered", strategy="restore", timeout=60)
            vm.wait_more(50, BOOT_S)
            self.assertEqual(vm.acks.boots[-1], self.kept["P2"])

    def test_killed_before_or_behind_the_swap(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, on_loss="rollback")
            self.damage(vm, sidecar, 1)
            since = len(sidecar.events)
            self.die(vm, sidecar)
            sidecar.wait("point", since=since)
            sidecar.stop(signal.SIGKILL)
            sidecar = self.again(vm, sidecar)
            recovered = sidecar.wait("recovered", strategy="restore", timeout=60)
            self.assertGreater(recovered["lost_bytes"], 0)
            vm.wait_more(50, BOOT_S)
            self.assertEqual(vm.acks.boots[-1], self.kept["P2"])
            vm.order("pause")
            self.nothing_lost(vm, self.images(vm, recovered))

    def test_hold_says_how_a_point_is_had(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, on_loss="hold")
            self.damage(vm, sidecar, 0)
            self.die(vm, sidecar)
            failed = sidecar.wait("recovery-failed", strategy="pivot")
            self.assertEqual(failed["next"], "hold")
            self.assertIn("qheal restore", failed["reason"])
            self.assertIn("--point P2", failed["reason"])
            time.sleep(0.5)
            self.assertEqual(vm.status(), "io-error")
            self.assertEqual((sidecar.find("recovered"), list(self.spare.iterdir())), ([], []))

    def test_no_good_point_leaves_the_guest_paused(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, on_loss="rollback")
            offset = self.damage(vm, sidecar, 0)
            for kept in (sidecar.store / "points").glob("*/vda/*.raw"):
                harm(kept, offset)
            self.die(vm, sidecar)
            failed = sidecar.wait("recovery-failed", next="hold")
            self.assertEqual(failed["strategy"], "restore")
            time.sleep(0.5)
            self.assertEqual((vm.status(), sidecar.status()["state"]), ("io-error", "held"))
            self.assertEqual((sidecar.find("recovered"), list(self.spare.iterdir())), ([], []))

    def test_a_disk_that_can_be_read_gives_the_bad_block(self):
        """Only its writes fail: nothing has to be lost."""
        with self.guest() as vm:
            sidecar = self.protect(vm, on_loss="rollback")
            self.damage(vm, sidecar, 0)
            vm.fail(0, "write")
            vm.order("resume")
            recovered = sidecar.wait("recovered", strategy="pivot")
            vm.order("pause")
            self.assertEqual(recovered["lost_bytes"], 0)
            # To the spare: the overlay is gone then.
            moved = sidecar.wait("recovered", strategy="mirror", timeout=60)
            self.nothing_lost(vm, self.images(vm, moved))


if __name__ == "__main__":
    unittest.main()
