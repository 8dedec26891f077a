# SPDX-License-Identifier: Apache-2.0
"""A QEMU that costs next to nothing: a virtio disk and no guest in it, so that dozens of them fit on
two cores.  To qheal it is a guest like any other (qemu-storage-daemon is not: `query-block` lists no
device there, and it has no processors).  What a guest would write, QEMU writes itself, through the
device's own backend, as `qemu-io` of its monitor."""

import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

import common
from common import MIB
from lab import cache
from lab.vm import Vm

RECORD = "4k"
WRITTEN_MIB = 16


class Standin:
    """What Sidecar wants of a Vm."""

    def __init__(self, name):
        self.name = name
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="qheal-", dir=common.WORK))
        self.qmp_path = self.work / "qmp.sock"
        self.written = 0

    def __enter__(self):
        image, lab = self.work / "disk0.raw", self.work / "lab.sock"
        with open(image, "wb") as file:
            file.truncate(64 * MIB)
        self.log = self.work / "qemu.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", cache.qemu_binary(), "-name", self.name,
                 "-nodefaults", "-no-user-config", "-display", "none", "-M", "microvm", "-m", "16",
                 "-accel", "tcg",
                 "-blockdev", f"driver=file,node-name=f0,filename={image},cache.direct=on",
                 "-blockdev", "driver=raw,node-name=d0,file=f0",
                 "-device", "virtio-blk-device,id=vda,drive=d0,rerror=stop,werror=stop",
                 "-chardev", f"socket,id=lab,path={lab},server=on,wait=off",
                 "-mon", "chardev=lab,mode=control",
                 "-chardev", f"socket,id=qheal,path={self.qmp_path},server=on,wait=off",
                 "-mon", "chardev=qheal,mode=control"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        self.qmp = self.connect(lab)
        return self

    connect = Vm.connect  # it wants .process and .log

    def write(self):
        """One record, at the next place."""
        at = self.written % (WRITTEN_MIB * 256)
        said = self.qmp("human-monitor-command",
                        command_line=f'qemu-io -d vda "write -P {at % 255 + 1} {at * 4}k {RECORD}"')
        if said:
            raise RuntimeError(f"{self.name}: {said}")
        self.written += 1

    def __exit__(self, *_):
        self.qmp.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.work, ignore_errors=True)


class Writer:
    """RATE records a second to each of STANDINS, each by a thread of its own: one that waits for its
    disk keeps no other from writing.  Ends with the with block."""

    def __init__(self, standins, rate):
        self.standins, self.every, self.ended, self.failed = standins, 1 / rate, False, []

    def run(self, standin, turn):
        try:
            while not self.ended:
                time.sleep(max(0, turn - time.monotonic()))
                standin.write()
                turn += self.every
        except Exception as error:  # told by the thread that waits
            self.failed.append(error)

    def __enter__(self):
        now, count = time.monotonic(), len(self.standins)
        self.threads = [threading.Thread(target=self.run, daemon=True,
                                         args=(each, now + self.every * index / count))
                        for index, each in enumerate(self.standins)]
        for each in self.threads:
            each.start()
        return self

    def __exit__(self, kind, *_):
        self.ended = True
        for each in self.threads:
            each.join()
        if self.failed and not kind:
            raise self.failed[0]
