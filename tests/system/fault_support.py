# SPDX-License-Identifier: Apache-2.0
"""What the tests of faults share: a guest under load beside a sidecar, and the whole verdict.

QHEAL_SEED repeats a run's random moments, QHEAL_SEEDS says how many to try (default 2).
"""

import contextlib
import json
import os
import pathlib
import random
import subprocess
import sys
import time
import unittest

from lab import cache
from lab.disk import MIB, Disk
from lab.sidecar import Sidecar
from lab.vm import Vm

SEEDS = int(os.environ.get("QHEAL_SEEDS", 2))
BLOCK_BYTES = 64 << 10


def loaded(disks=3, **guest):
    """A guest that writes as fast as it can."""
    return Vm(disks, **{"region": 4 * MIB, "pattern": "rand", **guest})


def seeds(count=SEEDS):
    """Seeds of random moments; each is printed, so that it can be repeated."""
    chosen = os.environ.get("QHEAL_SEED")
    for seed in [int(chosen)] if chosen else [random.randrange(1 << 32) for _ in range(count)]:
        print(f"QHEAL_SEED={seed}", file=sys.stderr, flush=True)
        yield random.Random(seed)


def image_info(path):
    """qemu-img's view of an image that may be in use."""
    done = subprocess.run(["qemu-img", "info", "-U", "--output=json", path], check=True,
                          stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def filled_image(path, size, begin, pages=64):
    """A raw image with incompressible data from `begin` on, no two neighbours alike."""
    some = [os.urandom(MIB) for _ in range(pages)]
    with open(path, "wb") as file:
        file.truncate(size)
        file.seek(begin)
        for i in range(size // MIB - begin // MIB):
            file.write(some[i * 7 % pages])
    return path


def same_from(first, second, begin):
    """Whether two raw images are alike from `begin` on."""
    with open(first, "rb") as one, open(second, "rb") as other:
        one.seek(begin)
        other.seek(begin)
        while chunk := one.read(4 * MIB):
            if chunk != other.read(4 * MIB):
                return False
        return not other.read(1)


@contextlib.contextmanager
def small_file_system(path, mib):
    """A tmpfs of so many MiB, and a file in it that fills it but for what the test wants."""
    path.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", path],
                          capture_output=True, check=False)
    if done.returncode:
        raise unittest.SkipTest("no file system of our own")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False)


def fill(path, leave_mib):
    """The rest of the file system, but for LEAVE_MIB."""
    with open(path / "filler", "wb", buffering=0) as file:
        while (room := os.statvfs(path)).f_bavail * room.f_frsize > leave_mib * MIB:
            try:
                file.write(bytes(min(MIB, room.f_bavail * room.f_frsize - leave_mib * MIB)))
            except OSError:
                return


def burst_in_the_end(vm):
    """For a thread: more writes than fit, whose end comes when the guest goes on."""
    with contextlib.suppress(cache.LabError, OSError, ValueError):  # the test may be over
        vm.order("burst 8", timeout=90)


def raw_copy(image, path):
    subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", image, path], check=True)
    return path


def store_copy(store, to):
    """A copy of a store as a crash would have left it, opened: (folder, generation)."""
    subprocess.run(["cp", "-r", "--sparse=always", "--reflink=auto", store, to], check=True)
    (to / "control.sock").unlink(missing_ok=True)
    done = subprocess.run([cache.built("tests/store_open"), to], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise AssertionError(f"the copied store does not open: {done.stderr}")
    return to, int(done.stdout)


def heads_of(store, vm):
    return [pathlib.Path(store) / "disks" / disk.id / "head.raw" for disk in vm.disks]


class FaultCase(unittest.TestCase):
    """Begin with protect(), do harm, end with survived()."""

    # Only the order of magnitude: the machine may be busy. bench/ measures it.
    downtime_max_ms = 5000

    def protect(self, vm, generations=3, **options):
        """A sidecar that is in full swing."""
        sidecar = Sidecar(vm, **{"interval": 100, **options})
        sidecar.start()
        self.addCleanup(sidecar.__exit__, None, None, None)
        sidecar.wait("protected")
        if generations:
            sidecar.wait_generations(generations)
        return sidecar

    def nothing_failed(self, sidecar):
        """The `cont` of a pause of ours may look like a recovery by `resume`, for a moment."""
        failed = [event for event in sidecar.find("recovery-failed")
                  if event["strategy"] != "resume"]
        self.assertEqual(failed, [])

    def survived(self, vm, sidecar, failed, kind="disk-write-error", more=200):
        """All of it: the guest goes on, saw nothing, lost nothing, and the sidecar says so."""
        recovered = sidecar.wait("recovered", strategy="pivot")
        vm.wait_more(more)
        sidecar.wait("well", strategy="pivot", evidence="writes")
        self.assertEqual(vm.status(), "running")
        vm.order("pause")
        self.event_right(vm, sidecar, recovered, failed)
        if kind:
            self.assertEqual(sidecar.find("fault")[0]["kind"], kind)
        self.nothing_lost(vm, self.images(vm, recovered))
        self.sidecar_right(sidecar, recovered)
        return recovered

    def images(self, vm, *recovered):
        """Where each disk of the guest lives now."""
        moved = {image["disk"]: image["path"] for each in recovered for image in each["images"]}
        return [moved.get(disk.id, disk.path) for disk in vm.disks]

    def nothing_lost(self, vm, images):
        verdict = vm.check(images, at_least=vm.acked)
        self.assertTrue(verdict["consistent"], verdict)
        self.assertEqual((verdict["lost"], vm.guest_errors), (0, []))

    def event_right(self, vm, sidecar, recovered, failed):
        """Every field of `recovered`, and that other programs can open the image."""
        disks = [vm.disks[index] for index in failed]
        self.assertEqual({image["disk"] for image in recovered["images"]},
                         {disk.id for disk in disks})
        self.assertIn(recovered["image"]["path"],
                      [image["path"] for image in recovered["images"]])
        self.assertEqual(recovered["lost_bytes"], 0)
        last = sidecar.find("generation")[-1]["generation"]
        self.assertEqual(recovered["generation"], last)
        self.assertGreater(recovered["downtime_ms"], 0, recovered)
        if recovered["downtime_ms"] >= self.downtime_max_ms:
            raise cache.Late(f"a recovery took its time: {recovered}")
        self.assertTrue(recovered["steps"])
        for step in recovered["steps"]:
            self.assertTrue(step["name"] and step["ms"] >= 0, step)
        for image in recovered["images"]:
            disk = next(disk for disk in disks if disk.id == image["disk"])
            self.image_right(sidecar, image, disk)
        # More than one when the disk failed while a cycle let the guest go on.
        for fault in sidecar.find("fault"):
            self.assertIn(fault["resource"], [disk.id for disk in disks])
        recovery = sidecar.find("recovery")[-1]
        self.assertEqual((recovery["strategy"], recovery["predicted_loss_bytes"]), ("pivot", 0))

    def image_right(self, sidecar, image, disk):
        path = pathlib.Path(image["path"])
        self.assertTrue(path.is_absolute() or not sidecar.store.is_absolute(), path)
        self.assertEqual(path.resolve().parent, (sidecar.store / "promoted").resolve())
        info = image_info(path)
        self.assertEqual(info["format"], image["format"])
        self.assertEqual(info["virtual-size"], disk.size)
        head = sidecar.store / "disks" / disk.id / "head.raw"
        self.assertEqual(pathlib.Path(info["full-backing-filename"]).resolve(), head.resolve())

    def sidecar_right(self, sidecar, recovered):
        """It runs, and `status` tells the same story."""
        status = sidecar.status()
        self.assertIsNone(sidecar.process.poll())
        self.assertEqual(status["state"], "recovered")
        self.assertEqual(status["last_recovery"]["generation"], recovered["generation"])
        self.nothing_failed(sidecar)
