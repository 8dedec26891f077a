# SPDX-License-Identifier: Apache-2.0
"""Where things are: the repository, the build folder, what scripts/deps put in the cache."""

import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


class LabError(Exception):
    """The lab itself could not do what was asked; says what to do."""


class Late(LabError):
    """What was waited for did not come in time."""


def until(condition, what, timeout=60, every=0.02):
    """Waits for what the condition returns."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Late(f"{what}: not within {timeout} s")
        time.sleep(every)
    return found


def in_time(began, limit_s, what):
    """It took no longer than that since BEGAN (time.monotonic()); seconds."""
    took = time.monotonic() - began
    if took > limit_s:
        raise Late(f"{what}: {took:.1f} s instead of {limit_s} s at most")
    return took


def build_dir():
    """The build folder: $BUILD, relative to the repository, or build/."""
    return ROOT / os.environ.get("BUILD", "build")


def cache_dir():
    default = pathlib.Path.home() / ".cache" / "qheal"
    return pathlib.Path(os.environ.get("QHEAL_CACHE") or default)


def guest_dir():
    """The unpacked guest kernel; scripts/deps --guest puts it there."""
    found = sorted(cache_dir().glob("guest-*/vmlinuz"))
    if not found or not (found[-1].parent / "virtio_console.ko").exists():
        subprocess.run([ROOT / "scripts" / "deps", "--guest"], check=True)
        found = sorted(cache_dir().glob("guest-*/vmlinuz"))
    if not found:
        raise LabError(f"no guest kernel in {cache_dir()}: run scripts/deps --guest")
    return found[-1].parent


def qemu_binary(which=None):
    """The QEMU to run: a path, '10' for the unpacked one, or $QHEAL_QEMU, or the installed one."""
    which = which or os.environ.get("QHEAL_QEMU") or "qemu-system-x86_64"
    if which != "10":
        return str(which)
    path = cache_dir() / "qemu10" / "qemu-system-x86_64"
    if not path.exists():
        raise LabError(f"{path} is not there: run scripts/deps --qemu10")
    return str(path)


def built(name):
    """A file that make builds, say guest/initramfs.cpio; made if it is not there."""
    path = build_dir() / name
    if not path.exists():
        subprocess.run(["make", "-C", ROOT, f"BUILD={build_dir()}", path], check=True,
                       stdout=subprocess.DEVNULL)
    return path


def record(name, line):
    """Keeps a line in the folder QHEAL_RECORD, for scripts/drill to read."""
    folder = os.environ.get("QHEAL_RECORD")
    if folder:
        with open(pathlib.Path(folder) / name, "a", encoding="utf-8") as file:
            file.write(line.strip() + "\n")
