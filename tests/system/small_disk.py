# SPDX-License-Identifier: Apache-2.0
"""A file system of a test's own, that can be filled, and whose disk can fail, in several ways.

Needs root and loop devices; skipped where they are not to be had.
"""

import contextlib
import fcntl
import os
import pathlib
import subprocess
import tempfile
import unittest

from lab.disk import MIB

GOING_DOWN = 0x8004587d  # ioctl of XFS that ext4 shares: the file system is dead from now on
GOING_DOWN_NOLOGFLUSH = 2


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)


class SmallDisk:
    """An ext4 of its own for the store.  backing_mib: less than its size, so that it will fail."""

    def __init__(self, mib, backing_mib=None):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="qheal-store-", dir="/var/tmp"))
        self.below, self.path = self.base / "below", self.base / "mount"
        self.mib, self.backing_mib, self.mounted = mib, backing_mib, []

    def mount(self, *words):
        run("mount", *words)
        self.mounted.insert(0, words[-1])

    def __enter__(self):
        self.below.mkdir()
        self.path.mkdir()
        try:
            if self.backing_mib:
                self.mount("-t", "tmpfs", "-o", f"size={self.backing_mib}m", "tmpfs", self.below)
            image = self.below / "image"
            with open(image, "wb") as file:
                file.truncate(self.mib * MIB)
            # No journal of its own: what fails is forgotten as soon as the disk works again.
            run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E",
                "lazy_itable_init=0,nodiscard", image)
            self.mount("-o", "loop,errors=continue", image, self.path)
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__()
            raise unittest.SkipTest(f"no file system of our own: {error}") from error
        return self

    def __exit__(self, *_):
        for path in self.mounted:
            subprocess.run(["umount", "-l", str(path)], check=False)
        self.mounted = []
        subprocess.run(["rm", "-rf", str(self.base)], check=False)

    def free(self):
        info = os.statvfs(self.path)
        return info.f_bavail * info.f_frsize

    def fill(self, leave=0):
        """Takes what is free but `leave` bytes."""
        with open(self.path / "filler", "wb", buffering=0) as file:
            for step in (MIB, 4096):
                with contextlib.suppress(OSError):
                    while self.free() >= leave + step:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)

    def make_room(self):
        (self.path / "filler").unlink()

    def let_backing_be(self, mib):
        run("mount", "-o", f"remount,size={mib}m", self.below)

    def die(self):
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, GOING_DOWN, GOING_DOWN_NOLOGFLUSH.to_bytes(4, "little"))
        finally:
            os.close(fd)

    def turn_read_only(self):
        """As ext4 does when it finds itself damaged, and until somebody repairs it."""
        run("mount", "-o", "remount,errors=remount-ro", self.path)
        device = run("findmnt", "-no", "SOURCE", self.path).stdout.strip()
        trigger = pathlib.Path("/sys/fs/ext4") / pathlib.Path(device).name / "trigger_fs_error"
        try:
            trigger.write_text("1")
        except OSError as error:
            raise unittest.SkipTest(f"no file system that turns read-only: {error}") from error
