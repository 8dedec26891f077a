# SPDX-License-Identifier: Apache-2.0
"""A store with points, harmed while it is in use: killed at random, full at any step, slow, read only.

On ext4 the points keep old blocks, on XFS they are clones.  After each harm `qheal verify` has to
find every block of heads and points good, and every point to be one moment of the guest.
QHEAL_MOMENTS=200 for a long run.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from harm_support import (MIB, HarmTest, Sidecar, Vm, again, cache, dice, end,
                          once_is_enough, qheal, say)

MOMENTS = int(os.environ.get("QHEAL_MOMENTS", 12))


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)


class StoreDisk:
    """A file system of its own for the store: ext4 or xfs, of so many MiB."""

    def __init__(self, kind, mib=640):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="qheal-store-", dir="/var/tmp"))
        self.path, self.image = self.base / "mount", self.base / "image"
        self.kind, self.mib = kind, mib

    def __enter__(self):
        self.path.mkdir()
        try:
            with open(self.image, "wb") as file:
                file.truncate(self.mib * MIB)
            if self.kind == "xfs":
                run("mkfs.xfs", "-q", self.image)
            else:
                run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0", self.image)
            run("mount", "-o", "loop", self.image, self.path)
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__()
            raise unittest.SkipTest(f"no file system of our own: {error}") from error
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", str(self.path)], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", str(self.base)], check=False)

    def free(self):
        info = os.statvfs(self.path)
        return info.f_bavail * info.f_frsize

    def fill(self, leave=0):
        with open(self.path / "filler", "ab", buffering=0) as file:
            for step in (MIB, 65536, 4096):
                with contextlib.suppress(OSError):
                    while self.free() >= leave + step:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)

    def make_room(self):
        (self.path / "filler").unlink(missing_ok=True)


@contextlib.contextmanager
def slow(path, goes, stands):
    """Requests to this file system take long, now and then: it goes and stands, so many seconds."""
    stop = threading.Event()

    def work():
        while not stop.wait(goes()):
            run("fsfreeze", "-f", path)
            time.sleep(stands())
            run("fsfreeze", "-u", path)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@once_is_enough
@unittest.skipUnless(os.geteuid() == 0, "needs root for a file system of its own")
class StoreHarm(HarmTest):
    once = True  # about the store, not about QEMU
    options = {"interval": 50, "keep": "last=3", "point_every": 1}

    def points(self, store):
        done = qheal("points", "--store", store, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["points"]

    def assert_clean(self, store):
        done = qheal("verify", "--store", store, "--json")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def assert_points_consistent(self, vm, store, base):
        """Every point, restored: one moment of the guest over all disks."""
        for point in self.points(store):
            images = []
            for disk in vm.disks:
                image = base / f"{point['id']}-{disk.id}.raw"
                done = qheal("restore", "--store", store, "--disk", disk.id, "--point", point["id"],
                             "--output", image, "--force", timeout=180)
                self.assertEqual(done.returncode, 0, done.stderr)
                images.append(image)
            verdict = vm.check(images)
            self.assertTrue(verdict["consistent"], (point, verdict))
            for image in images:
                image.unlink()

    def order(self, random, store, number):
        """A point is being taken or deleted while the sidecar is killed."""
        points = self.points(store)
        words = ["--create", f"kill-{number}"]
        if len(points) > 5 or (len(points) > 2 and random.random() < 0.4):
            words = ["--delete", random.choice(points)["id"]]
        return subprocess.Popen([cache.built("qheal"), "points", "--store", store,
                                 *map(str, words)], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def killed(self, kind):
        random = dice(f"SIGKILL of a store with points on {kind}")
        with StoreDisk(kind) as disk, Vm(disks=2, region=4 * MIB, pattern="rand") as vm, \
                Sidecar(vm, store=disk.path / "store", **self.options) as sidecar:
            sidecar.wait("protected")
            most = 0
            for number in range(MOMENTS):
                time.sleep(random.uniform(0, 0.2))
                process = self.order(random, sidecar.store, number)
                time.sleep(random.uniform(0, 0.3))
                end(sidecar)
                if process.wait(60) and random.random() < 0.5:
                    # Without a sidecar it opens the store itself.
                    subprocess.run(process.args, capture_output=True, check=False, timeout=60)
                self.assert_goes_on(vm, 5)
                self.assert_clean(sidecar.store)
                most = max(most, len(self.points(sidecar.store)))
                again(sidecar)
            vm.order("pause")
            sidecar.wait_caught_up()
            end(sidecar, signal.SIGTERM)
            self.assert_points_consistent(vm, sidecar.store, disk.base)
            self.assertGreater(most, 1)
            say(f"{MOMENTS} times killed on {kind}, at most {most} points, every block good")

    def test_killed_with_kept_points(self):
        self.killed("ext4")

    def test_killed_with_cloned_points(self):
        self.killed("xfs")

    def full(self, kind):
        """So little room that it ends somewhere in journal, heads, sums, points or store.json."""
        random = dice(f"full store with points on {kind}")
        with StoreDisk(kind) as disk, Vm(disks=2, region=4 * MIB, pattern="rand") as vm, \
                Sidecar(vm, store=disk.path / "store", reserve=0, **self.options) as sidecar:
            sidecar.wait("protected")
            sidecar.wait_generations(5)
            for _ in range(max(3, MOMENTS // 4)):
                disk.fill(leave=random.choice([0, 4096, 65536, MIB, 8 * MIB, 24 * MIB]))
                vm.order(f"burst {random.choice([4, 32])}")
                self.assert_goes_on(vm, 50)
                self.assertIn(sidecar.status()["state"], ("protected", "degraded"))
                disk.make_room()
                since = len(sidecar.events)
                sidecar.wait("generation", since=since, timeout=60, count=3)
            vm.order("pause")
            sidecar.wait_caught_up()
            end(sidecar, signal.SIGTERM)
            self.assert_clean(sidecar.store)
            self.assert_points_consistent(vm, sidecar.store, disk.base)
            verdict = vm.check(sidecar.heads(), at_least=vm.acked)
            self.assertTrue(verdict["consistent"], verdict)
            self.assertEqual((verdict["lost"], vm.guest_errors), (0, []))

    def test_full_with_kept_points(self):
        self.full("ext4")

    def test_full_with_cloned_points(self):
        self.full("xfs")

    def test_slow_store(self):
        random = dice("slow store")
        for kind in ("ext4", "xfs"):
            with self.subTest(kind), StoreDisk(kind) as disk, \
                    Vm(disks=2, region=4 * MIB, pattern="rand") as vm, \
                    Sidecar(vm, store=disk.path / "store", **self.options) as sidecar:
                sidecar.wait("protected")
                with slow(disk.path, lambda: random.uniform(0, 0.1),
                          lambda: random.uniform(0, 0.15)):
                    for _ in range(6):
                        time.sleep(1)
                        self.assert_goes_on(vm, 50)
                    self.assertEqual(sidecar.process.poll(), None)
                self.assert_replica(vm, sidecar)
                self.assert_clean(sidecar.store)
                self.assert_points_consistent(vm, sidecar.store, disk.base)

    def test_who_asks_is_served_though_every_cycle_is_late(self):
        with StoreDisk("ext4") as disk, Vm(disks=2, region=4 * MIB, pattern="rand") as vm, \
                Sidecar(vm, store=disk.path / "store", interval=50) as sidecar:
            sidecar.wait("protected")
            with slow(disk.path, lambda: 0.02, lambda: 0.3):
                sidecar.wait_generations(5)
                skipped = sidecar.status()["skipped_cycles"]
                for name in ("one", "two", "three"):
                    since = len(sidecar.events)
                    done = sidecar.command("points", "--create", name)
                    self.assertEqual(done[0], 0, done[2])
                    self.assertLess(len(sidecar.find("generation", since)), 10)
                self.assertGreater(sidecar.status()["skipped_cycles"], skipped + 5)
            self.assert_replica(vm, sidecar)
            self.assert_clean(sidecar.store)

    def test_store_that_becomes_read_only(self):
        with StoreDisk("ext4") as disk, Vm(disks=1, region=4 * MIB) as vm, \
                Sidecar(vm, store=disk.path / "store", **self.options) as sidecar:
            sidecar.wait("protected")
            sidecar.wait_generations(3)
            end(sidecar)
            seen = disk.base / "seen"
            seen.mkdir()
            run("mount", "--bind", disk.path, seen)
            self.addCleanup(subprocess.run, ["umount", "-l", str(seen)], check=False,
                            capture_output=True)
            run("mount", "-o", "remount,bind,ro", seen)
            writable, sidecar.store = sidecar.store, seen / "store"
            # Nobody can be fooled: what needs to write says so, what only reads still does.
            process = sidecar.start().process
            self.assertEqual(process.wait(20), 1)
            self.assertRegex(sidecar.log.read_text().splitlines()[-1], "[Rr]ead-only")
            self.assertEqual(qheal("status", "--store", sidecar.store).returncode, 0)
            self.points(sidecar.store)
            self.assert_goes_on(vm)
            sidecar.store = writable
            self.assertTrue(again(sidecar)["resumed"])
            self.assert_replica(vm, sidecar)
            self.assert_clean(sidecar.store)


if __name__ == "__main__":
    unittest.main()
