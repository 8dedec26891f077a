# SPDX-License-Identifier: Apache-2.0
"""`qheal verify` and the standalone reader agree on stores that a sidecar made of a writing guest:
killed with a journal that is not applied, with kept points, with clones."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from lab import cache
from lab.cache import until
from lab.sidecar import Sidecar
from lab.vm import Vm

MIB = 1 << 20
BLOCK = 65536
READER = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "store-read"


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          timeout=120, check=False)


class VerifyGuest(unittest.TestCase):
    once = True  # the path of a point's data, not QEMU's

    def verify(self, store, status=0):
        done = run(cache.built("qheal"), "verify", "--store", store, "--json")
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def reader(self, store, status=0):
        done = run(READER, store)
        self.assertEqual((done.returncode, done.stderr), (status, ""), done.stdout[-2000:])
        return done.stdout

    def point(self, sidecar, name):
        code, out, err = sidecar.command("points", "--create", name, "--json")
        self.assertEqual(code, 0, err)
        return json.loads(out)["id"]

    def flip(self, path, at):
        """One bit of the byte AT; what that is now."""
        with open(path, "r+b", buffering=0) as file:
            byte = os.pread(file.fileno(), 1, at)[0] ^ 1
            os.pwrite(file.fileno(), bytes([byte]), at)
        return byte

    def damage(self, store, path):
        """One bit of the first data of the file that stays damaged; where.  The newest generation
        is replayed on every opening: a block that is in it is good whatever the head has."""
        at = 0
        while True:
            with open(path, "rb") as file:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA) + 1000  # ENXIO: no such data
            byte = self.flip(path, at)
            self.assertEqual(run(cache.built("tests/store_open"), store).returncode, 0)
            with open(path, "rb") as file:
                if os.pread(file.fileno(), 1, at)[0] == byte:
                    return at
            at = (at // BLOCK + 1) * BLOCK

    def protected(self, store=None):
        """A guest under load, verified beside its sidecar; then that is killed."""
        with Vm(2, region=2 * MIB, pattern="rand", rate=500) as vm:
            with Sidecar(vm, store=store, interval=50) as sidecar:
                sidecar.wait("protected", timeout=60)
                sidecar.wait_generations(3)
                ids = [self.point(sidecar, "first")]
                sidecar.wait_generations(4)
                ids.append(self.point(sidecar, "second"))
                sidecar.wait_generations(4)
                told = self.verify(sidecar.store)
                self.assertEqual((told["good"], told["points"], told["images"]), (True, 2, 6))
                self.gone(sidecar)
                sidecar.wait_generations(3)
                sidecar.stop(signal.SIGKILL)
            yield sidecar.store, ids, vm.disks

    def gone(self, sidecar):
        """The temporary point, whose blocks may have to move to an older one first."""
        def left():
            _, out, _ = sidecar.command("points", "--json")
            return [point for point in json.loads(out)["points"] if point.get("temporary")]

        until(lambda: not left(), "the temporary point goes", every=0.1)

    def judge(self, store, damaged):
        """Good; and with each of these files damaged neither the one nor the other says so."""
        self.assertIn("\ngood", self.reader(store))  # the journal is not applied yet
        told = self.verify(store)
        self.assertEqual((told["good"], told["images"]), (True, 6))
        self.assertIn("\ngood", self.reader(store))
        for path in damaged:
            with self.subTest(file=path.relative_to(store)):
                at = self.damage(store, path)
                block = at // (BLOCK if path.suffix == ".raw" else 8)
                bad = self.verify(store, 1)["bad"]
                self.assertIn(block, [each["block"] for each in bad])
                self.assertIn(f"block {block}\n", self.reader(store, 1))
                self.flip(path, at)
        self.verify(store)
        return told

    def test_kept_points(self):
        for store, ids, disks in self.protected():
            name = disks[0].id
            kept = store / "points" / f"{ids[1]:08}" / name
            self.judge(store, [store / "disks" / name / "head.raw", store / "disks" / name / "sums",
                               kept / "kept.raw", kept / "kept"])

    def test_protect_on_a_flipped_store(self):
        """One bit in any file: refused, or the replica is the guest again, or verify names it."""
        seed = int(os.environ.get("QHEAL_SEED", random.randrange(1 << 32)))
        print(f"QHEAL_SEED={seed}", file=sys.stderr, flush=True)
        dice = random.Random(seed)
        with Vm(2, region=2 * MIB, pattern="rand", rate=500) as vm:
            with Sidecar(vm, interval=50) as sidecar:
                sidecar.wait("protected", timeout=60)
                sidecar.wait_generations(3)
                self.point(sidecar, "first")
                sidecar.wait_generations(4)
                sidecar.stop(signal.SIGKILL)
            vm.order("pause")
            files = sorted(path.relative_to(sidecar.store) for path in sidecar.store.rglob("*")
                           if path.is_file() and path.stat().st_size)
            for name in files:
                with self.subTest(file=str(name)):
                    self.flipped(vm, sidecar.store, name, dice)

    def flipped(self, vm, whole, name, dice):
        store = vm.work / "flipped"
        subprocess.run(["cp", "-r", "--sparse=always", whole, store], check=True)
        path = store / name
        at = self.place(path, dice)
        with open(path, "r+b") as file:
            byte = os.pread(file.fileno(), 1, at)[0]
            os.pwrite(file.fileno(), bytes([byte ^ 1 << dice.randrange(8)]), at)
        done = run(cache.built("qheal"), "protect", "--qmp", vm.qmp_path, "--store", store, "--once")
        self.assertIn(done.returncode, (0, 1), (at, done.stderr))
        # Bitmaps that go back to a generation of this copy say nothing of the next one's.
        for device in vm.qmp("query-block"):
            for bitmap in device.get("inserted", {}).get("dirty-bitmaps", []):
                vm.qmp("block-dirty-bitmap-remove", node=device["inserted"]["node-name"],
                       name=bitmap["name"])
        verified = run(cache.built("qheal"), "verify", "--store", store, "--json")
        self.assertIn(verified.returncode, (0, 1), (at, verified.stderr))
        if done.returncode == 0 and verified.returncode == 0:
            verdict = vm.check([store / "disks" / disk.id / "head.raw" for disk in vm.disks])
            self.assertEqual((verdict["consistent"], verdict["lost"]), (True, 0), (at, verdict))
        shutil.rmtree(store)

    @staticmethod
    def place(path, dice):
        """Somewhere in its data: what is a hole is mostly not looked at."""
        with open(path, "rb") as file:
            size = path.stat().st_size
            at = dice.randrange(size)
            try:
                return min(size - 1, os.lseek(file.fileno(), at, os.SEEK_DATA))
            except OSError:
                return at

    def test_clones_are_read_once(self):
        with tempfile.TemporaryDirectory(prefix="qheal-xfs-", dir="/var/tmp") as name:
            image, mount = pathlib.Path(name) / "xfs", pathlib.Path(name) / "mnt"
            mount.mkdir()
            with open(image, "wb") as file:
                file.truncate(512 * MIB)
            if (run("mkfs.xfs", "-q", image).returncode or
                    run("mount", "-o", "loop", image, mount).returncode):
                self.skipTest("no XFS can be mounted here")
            try:
                for store, ids, disks in self.protected(mount / "store"):
                    clone = store / "points" / f"{ids[0]:08}" / disks[0].id / "head.raw"
                    self.assertTrue(clone.exists())
                    told = self.judge(store, [clone, clone.parent / "sums"])
                    self.assertGreater(told["shared_blocks"], 0)
            finally:
                run("umount", "-l", mount)  # busy a moment after the last program's end


if __name__ == "__main__":
    unittest.main()
