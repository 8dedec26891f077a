# SPDX-License-Identifier: Apache-2.0
"""`qheal verify` and the standalone reader of a made store: good ones are good, damage is found where
it is, whatever file it is in, and no restore gives it out as good.

QHEAL_SEED repeats the random places.
"""

import json
import os
import pathlib
import random
import resource
import shutil
import sys
import unittest

from lab import cache
import restore_store_test
from restore_store_test import BLOCK, VDB, run

READER = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "store-read"
POINT_JSON = "points/00000001/point.json"


class VerifyTest(restore_store_test.RestoreTest):
    def verify(self, store):
        return run(cache.built("qheal"), "verify", "--store", store, "--json")

    def found(self, store):
        """The one bad block."""
        done = self.verify(store)
        self.assertEqual(done.returncode, 1, done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual((told["good"], told["bad_count"], len(told["bad"])), (False, 1, 1))
        return told["bad"][0]

    def reader(self, store):
        try:
            return run(READER, store)
        except OSError as error:
            self.skipTest(f"no reader: {error}")

    def reader_good(self, store):
        done = self.reader(store)
        self.assertEqual(done.stderr, "")
        return done.returncode == 0


class Verify(VerifyTest):
    def test_good_store_is_good(self):
        done = self.verify(self.store)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual((told["good"], told["generation"], told["images"], told["bad"]),
                         (True, 1, 2, []))
        self.assertTrue(self.reader_good(self.store))

    def test_bad_block_is_named_with_both_sums(self):
        store = self.own_store()
        self.flip(self.head("vda", store), 7 * BLOCK + 5)
        bad = self.found(store)
        self.assertEqual((bad["disk"], bad["point"], bad["block"], bad["offset"], bad["length"]),
                         ("vda", "latest", 7, 7 * BLOCK, BLOCK))
        self.assertEqual((len(bad["expected"]), len(bad["found"])), (16, 16))
        self.assertNotEqual(bad["expected"], bad["found"])
        self.assertFalse(self.reader_good(store))

    def test_sum_that_was_lost_does_not_pass_for_zeros(self):
        store = self.own_store()
        with open(store / "disks" / "vda" / "sums", "r+b") as file:
            file.seek(9 * 8)
            file.write(bytes(8))
        self.assertEqual(self.found(store)["block"], 9)
        self.assertFalse(self.reader_good(store))

    def test_truncated_and_missing_files_are_named_and_the_rest_is_checked(self):
        store = self.own_store()
        os.truncate(self.head("vdb", store), VDB - 512)
        self.flip(self.head("vda", store), 7 * BLOCK + 5)
        done = self.verify(store)
        self.assertEqual(done.returncode, 1, done.stderr)
        told = json.loads(done.stdout)
        self.assertIn("vdb", {bad.get("disk") for bad in told["damaged"]})
        self.assertEqual([(bad["disk"], bad["block"]) for bad in told["bad"]], [("vda", 7)])
        self.head("vdb", store).unlink()
        self.assertIn("vdb", {bad.get("disk") for bad in json.loads(self.verify(store).stdout)
                              ["damaged"]})
        self.assertFalse(self.reader_good(store))

    def test_a_point_that_is_read_through_many_others(self):
        """Three files of each, and of two disks; a lack of them is no damage."""
        store = self.own_store()
        for number in range(20):
            done = run(cache.built("qheal"), "points", "--store", store, "--create", f"p{number}")
            self.assertEqual(done.returncode, 0, done.stderr)
        few = [run(cache.built("qheal"), "verify", "--store", store, "--json",
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (80, hard)))
               for hard in (4096, 80)]
        self.assertEqual([done.returncode for done in few], [0, 1], few)
        self.assertEqual(json.loads(few[0].stdout)["points"], 20)
        self.assertEqual(few[1].stdout, "")
        self.assertIn("Too many open files", few[1].stderr)

    def test_no_store_and_no_option(self):
        self.assertEqual(self.verify(self.folder / "none").returncode, 1)
        self.assertEqual(run(cache.built("qheal"), "verify").returncode, 2)


class BitFlips(VerifyTest):
    """One bit anywhere: a restore is right or fails, and nothing crashes."""

    def test_no_flip_is_restored_silently(self):
        seed = int(os.environ.get("QHEAL_SEED", random.randrange(1 << 32)))
        print(f"QHEAL_SEED={seed}", file=sys.stderr, flush=True)
        dice = random.Random(seed)
        for name in ("store.json", "disks/vdb/head.raw", "disks/vdb/sums", "journal/a", "journal/b",
                     POINT_JSON):
            for cut in (False, False, False, True):
                with self.subTest(file=name, cut=cut):
                    self.harmed(name, cut, dice)

    def harmed(self, name, cut, dice):
        store, more = self.own_store(), ()
        if name == POINT_JSON:
            done = run(cache.built("qheal"), "points", "--store", store, "--create", "flipped")
            self.assertEqual(done.returncode, 0, done.stderr)
            more = ("--point", "1")
        path = store / name
        place = dice.randrange(path.stat().st_size)
        if cut:
            os.truncate(path, place)
        else:
            self.flip(path, place)
        verified = self.verify(store)
        self.assertIn(verified.returncode, (0, 1), (name, place, verified.stderr))
        done = self.restore(*more, disk="vdb", store=store)
        self.assertIn(done.returncode, (0, 1), (name, place, done.stderr))
        if done.returncode == 0:
            self.assert_same(self.out, "vdb")
        if verified.returncode == 0:
            self.assertEqual(done.returncode, 0, (name, place))
        self.out.unlink(missing_ok=True)
        shutil.rmtree(store)


if __name__ == "__main__":
    unittest.main()
