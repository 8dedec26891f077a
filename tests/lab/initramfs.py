# SPDX-License-Identifier: Apache-2.0
"""Builds the guest's initramfs: python3 -m lab.initramfs INIT OUTPUT [AGENT]

An archive of cpio's newc format with the init program, the driver modules of
the guest kernel and /modules, which lists what each driver needs, in order.
With AGENT, the path of qemu-ga, also that program and its libraries.
"""

import pathlib
import re
import subprocess
import sys

from . import cache

DRIVERS = ("virtio_blk", "virtio_scsi", "ata_piix", "virtio_console")
BUSES = {"virtio_blk": ["virtio_pci"], "virtio_scsi": ["virtio_pci", "sd_mod"],
         "ata_piix": ["sd_mod"], "virtio_console": ["virtio_pci"]}


def entry(name, data=b"", mode=0o100644, ino=[1]):
    """One member of the archive."""
    ino[0] += 1
    path = name.encode() + b"\0"
    fields = (ino[0], mode, 0, 0, 1, 0, len(data), 0, 0, 5 if mode & 0o020000 else 0,
              1 if mode & 0o020000 else 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def modules_of(folder):
    """Name of a module to (file, names of those it needs), as the module itself says."""
    found = {}
    for path in folder.glob("*.ko"):
        info = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        needs = info.group(1).decode().split(",") if info and info.group(1) else []
        found[path.stem.replace("-", "_")] = (path, needs)
    return found


def in_order(name, modules, done):
    """Appends to done what must be loaded before `name`, then `name`."""
    if name not in modules or name in done:
        return
    for need in modules[name][1]:
        in_order(need.replace("-", "_"), modules, done)
    done.append(name)


def program(path):
    """The members for a program of this machine: itself, its libraries, their folders."""
    listed = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    files = [path, *re.findall(r"(/\S+) \(0x", listed)]
    folders = {parent for file in files for parent in pathlib.PurePath(file).parents}
    for folder in sorted(map(str, folders)):
        if folder != "/":
            yield entry(folder[1:], mode=0o040755)
    for file in files:
        yield entry(file[1:], pathlib.Path(file).read_bytes(), 0o100755)


def build(init, output, agent=None):
    modules = modules_of(cache.guest_dir())
    lists, wanted = [], []
    for driver in DRIVERS:
        order = []
        for name in [*BUSES[driver], driver]:
            in_order(name, modules, order)
        lists.append(" ".join([driver, *(f"/{name}.ko" for name in order)]))
        wanted += [name for name in order if name not in wanted]
    with open(output, "wb") as out:
        out.write(entry("dev", mode=0o040755))
        out.write(entry("dev/console", mode=0o020600))
        out.write(entry("init", open(init, "rb").read(), 0o100755))
        out.write(entry("modules", "\n".join(lists).encode() + b"\n"))
        for name in wanted:
            out.write(entry(f"{name}.ko", modules[name][0].read_bytes()))
        for member in program(agent) if agent else ():
            out.write(member)
        out.write(entry("TRAILER!!!"))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    build(*sys.argv[1:])
