# SPDX-License-Identifier: Apache-2.0
"""Incremental backup by pulling, as tools on top of QEMU do it today: the point is frozen by a
`blockdev-backup sync=none` into a scratch file, exported with the bitmap of what was written before,
and a client copies the dirty extents into the backup's image."""

import json
import os
import subprocess
import time

import common

TOOLS = ("qemu-img", "nbdcopy")


def nbd_source(socket, extent):
    """QEMU's words for this part of the export."""
    return (f"driver=raw,offset={extent[0]},size={extent[1]},file.driver=nbd,file.export=point,"
            f"file.server.type=unix,file.server.path={socket}")


def with_qemu_img(socket, target, extent):
    return ["qemu-img", "convert", "-n", "-W", "-m", "16", "--image-opts",
            "--target-image-opts", "-T", "none", "-t", "none", nbd_source(socket, extent),
            f"driver=raw,offset={extent[0]},size={extent[1]},file.driver=file,"
            f"file.filename={target}"]


def with_nbdcopy(socket, target, extent):
    """It copies whole devices: nbdkit makes one of a part."""
    part = ["nbdkit", "--exit-with-parent", "--filter=offset"]
    where = [f"offset={extent[0]}", f"range={extent[1]}"]
    return ["nbdcopy", "--flush", "--", "[", *part, "nbd", f"socket={socket}", "export=point", *where, "]",
            "[", *part, "file", str(target), *where, "]"]


COMMANDS = {"qemu-img": with_qemu_img, "nbdcopy": with_nbdcopy}


class Puller:
    """Bitmaps of a disk in turn, and the backup's image."""

    def __init__(self, vm, tool):
        self.vm, self.tool, self.number = vm, tool, 0
        self.socket, self.target = vm.work / "pull.sock", vm.work / "pull.raw"
        self.scratch = vm.work / "scratch.qcow2"
        with open(self.target, "wb") as file:
            file.truncate(vm.disks[0].size)
        vm.qmp("block-dirty-bitmap-add", node="d0", name="pull0", granularity=65536)

    def extents(self, bitmap):
        done = subprocess.run(["nbdinfo", f"--map=qemu:dirty-bitmap:{bitmap}", "--json",
                               f"nbd+unix:///point?socket={self.socket}"],
                              capture_output=True, check=True)
        return [(each["offset"], each["length"]) for each in json.loads(done.stdout)
                if each["type"] & 1]

    def freeze(self, old, new):
        """The point in time; the file of the scratch was made before the clock ran."""
        qmp = self.vm.qmp
        qmp("blockdev-add", node_name="scratch", driver="qcow2", backing="d0",
            file={"driver": "file", "filename": str(self.scratch)})
        qmp("transaction", actions=[
            {"type": "block-dirty-bitmap-disable", "data": {"node": "d0", "name": old}},
            {"type": "block-dirty-bitmap-add",
             "data": {"node": "d0", "name": new, "granularity": 65536}},
            {"type": "blockdev-backup", "data": {"job-id": "pull", "device": "d0",
                                                 "target": "scratch", "sync": "none"}}])
        qmp("nbd-server-start", addr={"type": "unix", "data": {"path": str(self.socket)}})
        qmp("block-export-add", type="nbd", id="point", node_name="scratch", name="point",
            bitmaps=[{"node": "d0", "name": old}])

    def thaw(self, old):
        qmp = self.vm.qmp
        qmp("nbd-server-stop")
        qmp("block-job-cancel", device="pull")
        qmp.wait_event("BLOCK_JOB_CANCELLED", timeout=30)
        qmp("blockdev-del", node_name="scratch")
        qmp("block-dirty-bitmap-remove", node="d0", name=old)

    def backup(self):
        """One of what was written since the last: (milliseconds, bytes)."""
        old, new = f"pull{self.number}", f"pull{self.number + 1}"
        self.number += 1
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.scratch,
                        str(self.vm.disks[0].size)], check=True)
        self.vm.qmp.poll()
        self.vm.qmp.events.clear()
        begin = time.monotonic()
        self.freeze(old, new)
        found = self.extents(old)
        for each in found:
            subprocess.run(COMMANDS[self.tool](self.socket, self.target, each), check=True)
        with open(self.target, "rb") as file:
            os.fsync(file.fileno())
        took = 1e3 * (time.monotonic() - begin)
        self.thaw(old)
        return took, sum(length for _, length in found)

    def check(self):
        """The backup is what the disk is: the guest writes nothing meanwhile."""
        subprocess.run(["cmp", self.vm.disks[0].path, self.target], check=True)
