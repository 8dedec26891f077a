# SPDX-License-Identifier: Apache-2.0
"""A disk of the guest: its file, how QEMU is told of it, and how it is made to fail."""

import dataclasses
import os
import pathlib
import socket
import subprocess

from .cache import LabError, until

MIB = 1 << 20
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclasses.dataclass
class Disk:
    """size, how it is attached, and its error policy; the rest is filled in by Vm.

    device   virtio-blk, virtio-scsi or ide
    style    blockdev (nodes f0 and d0) or drive (node names made by QEMU)
    nbdkit   the file is served by nbdkit, so that the disk can hang and die;
             "pwrite": error() fails writes only
    """

    size: int = 64 * MIB
    device: str = "virtio-blk"
    format: str = "raw"
    style: str = "blockdev"
    direct: bool = True
    iothread: bool = False
    nbdkit: bool | str = False
    rerror: str = "stop"
    werror: str = "stop"
    mounted: bool = False  # the guest has an ext4 on it, files are written to that (no records)
    path: pathlib.Path = None  # an existing image; made if not given
    more: dict = dataclasses.field(default_factory=dict)  # further options of the device

    def place(self, index, guest_name, work):
        """Names it: device vda, nodes d0 and f0, and sets up its file."""
        self.index, self.work, self.faults, self.server = index, work, 0, None
        self.id, self.node, self.file_node = f"vd{LETTERS[index]}", f"d{index}", f"f{index}"
        self.guest_name = guest_name
        # The raw node whose child is exchanged.  Reopening a qcow2 node would flush its metadata
        # to the failing disk first, so there it is one between it and the file.
        self.switch = self.node if self.format == "raw" else f"m{index}"
        if self.path is None:
            self.path = work / f"disk{index}.{self.format}"
            subprocess.run(["qemu-img", "create", "-q", "-f", self.format, self.path,
                            str(self.size)], check=True)
            if self.format != "raw":
                # As long as it will ever be: a node that is put above the file (blkdebug, an NBD
                # server) keeps the length it saw first and reads zeros behind that.
                os.truncate(self.path, self.size + self.size // 8 + 16 * MIB)
            if self.mounted:
                subprocess.run(["mkfs.ext4", "-q", self.path], check=True)
        if self.nbdkit:
            self.serve()

    def serve(self):
        """Starts nbdkit on the file."""
        self.socket = self.work / f"disk{self.index}.nbd"
        self.control = self.work / f"disk{self.index}.pause"
        self.error_file = self.work / f"disk{self.index}.error"
        self.socket.unlink(missing_ok=True)
        what = f"error-{self.nbdkit}" if isinstance(self.nbdkit, str) else "error"
        # One thread: with more, nbdkit 1.32 may crash when QEMU is killed amid requests
        # (raw_send_socket: Assertion `sock >= 0').
        self.server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "nbdkit", "-f", "-t", "1", "-U", self.socket,
             "--filter=pause", "--filter=error", "file", self.path,
             f"pause-control={self.control}", f"{what}=EIO", f"{what}-rate=100%",
             f"{what}-file={self.error_file}"], stderr=subprocess.DEVNULL)
        wait_listening(self.socket, self.server)

    def protocol(self):
        """The node f0: the file itself."""
        if self.nbdkit:
            return {"driver": "nbd", "server.type": "unix", "server.path": str(self.socket)}
        return {"driver": "file", "filename": str(self.path),
                "cache.direct": "on" if self.direct else "off"}

    def arguments(self):
        """What QEMU's command line says of it."""
        iothread = {"iothread": f"io{self.index}"} if self.iothread else {}
        args = ["-object", f"iothread,id=io{self.index}"] if self.iothread else []
        device = {"drive": self.node, "rerror": self.rerror, "werror": self.werror}
        if self.style == "blockdev":
            args += ["-blockdev", options(node_name=self.file_node, **self.protocol()),
                     "-blockdev", options(node_name=self.switch, driver="raw", file=self.file_node)]
            if self.switch != self.node:
                args += ["-blockdev", options(node_name=self.node, driver=self.format,
                                              file=self.switch)]
        else:
            path = f"nbd:unix:{self.socket}" if self.nbdkit else self.path
            cache = "none" if self.direct else "writeback"
            args += ["-drive", f"if=none,id={self.node},file={path},format={self.format},"
                     f"cache={cache},rerror={self.rerror},werror={self.werror}"]
            device = {"drive": self.node}
        if self.device == "virtio-scsi":
            args += ["-device", options("virtio-scsi-pci", id=f"scsi{self.index}", **iothread)]
            return args + ["-device", options("scsi-hd", id=self.id, bus=f"scsi{self.index}.0",
                                              **device, **self.more)]
        if self.device == "ide":
            return args + ["-device", options("ide-hd", id=self.id, **device, **self.more)]
        return args + ["-device", options("virtio-blk-pci", id=self.id, **iothread, **device,
                                          **self.more)]

    def fail(self, qmp, kind="write", errno=5, sector=None, once=False):
        """From now on requests fail: kind is read, write, flush, discard, all or dead.

        sector (of 512 bytes), or several, limits it to requests that touch one; errno 28 is a
        full disk.
        dead is all with flush: there is no way back, because every reopen flushes first.
        """
        if self.style != "blockdev":
            raise LabError("blockdev-reopen needs style=blockdev; use nbdkit=True and kill()")
        kinds = {"all": ["read", "write", "discard", "write-zeroes"],
                 "dead": ["flush", "read", "write", "discard", "write-zeroes"]}.get(kind, [kind])
        places = ([{}] if sector is None else
                  [{"sector": each} for each in ([sector] if isinstance(sector, int) else sector)])
        rules = [{"event": "none", "iotype": each, "errno": errno, "once": once, **place}
                 for each in kinds for place in places]
        self.faults += 1
        bad = f"bad{self.index}-{self.faults}"
        qmp("blockdev-add", {"driver": "blkdebug", "node-name": bad, "image": self.file_node,
                             "inject-error": rules})
        self._reopen(qmp, bad)
        if self.faults > 1:
            self._forget(qmp, self.faults - 1)

    def repair(self, qmp):
        """The disk works again."""
        self._reopen(qmp, self.file_node)
        self._forget(qmp, self.faults)
        self.faults += 1

    def slow(self, qmp, per_second):
        """From now on no more requests end in a second."""
        qmp("object-add", {"qom-type": "throttle-group", "id": f"slow{self.index}",
                           "x-iops-total": per_second})
        qmp("blockdev-add", {"driver": "throttle", "node-name": f"throttle{self.index}",
                             "throttle-group": f"slow{self.index}", "file": self.file_node})
        self._reopen(qmp, f"throttle{self.index}")

    def _reopen(self, qmp, child):
        qmp("blockdev-reopen", {"options": [{"driver": "raw", "node-name": self.switch,
                                             "file": child}]})

    def _forget(self, qmp, number):
        name = f"bad{self.index}-{number}"
        if any(node["node-name"] == name for node in qmp("query-named-block-nodes", flat=True)):
            qmp("blockdev-del", node_name=name)

    def hang(self, on=True):
        """nbdkit only: requests do not come back until hang(False)."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.control))
            control.sendall(b"p" if on else b"r")
            control.recv(1)

    def error(self, on=True):
        """nbdkit only: every request (of the kind that nbdkit= names) fails with EIO."""
        if on:
            self.error_file.touch()
        else:
            self.error_file.unlink(missing_ok=True)

    def kill(self):
        """nbdkit only: the server dies; QEMU sees EIO at once."""
        self.server.kill()
        self.server.wait()


def wait_listening(path, server):
    """Until the server takes connections: its socket is there a moment before."""
    def listens():
        if server.poll() is not None:
            raise LabError(f"no server at {path}: it ended with {server.returncode}")
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(path)) == 0

    until(listens, f"a server at {path}", every=0.005)


def options(*words, **pairs):
    """QEMU's option syntax: virtio-blk-pci,id=vda; node_name becomes node-name."""
    text = [f"{key.replace('_', '-')}={str(value).replace(',', ',,')}"
            for key, value in pairs.items()]
    return ",".join([*words, *text])
