# SPDX-License-Identifier: Apache-2.0
"""A second QEMU that waits for the guest of a first one, on the same disks."""

import pathlib
import subprocess

from .cache import until
from .disk import options


class Standby:
    """uri: "" for -incoming defer, else the name of a socket that it listens on."""

    def __init__(self, vm, uri):
        self.folder = pathlib.Path(vm.work) / "standby"
        self.folder.mkdir()
        self.uri = f"unix:{self.folder / uri}" if uri else ""
        self.names = ("lab.sock", "qmp.sock", "console.sock")
        self.arguments = []
        for word in vm.arguments():
            for name in self.names:
                word = word.replace(str(vm.work / name), str(self.folder / name))
            self.arguments.append(word)
        self.arguments += ["-incoming", self.uri or "defer"]
        self.log = self.folder / "qemu.log"

    def __enter__(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.arguments], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)
        last = pathlib.Path(self.uri.removeprefix("unix:") or self.folder / "qmp.sock")
        until(lambda: last.exists() or self.process.poll() is not None, f"QEMU listens at {last}")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def option(self):
        """What --standby says of it."""
        return options(qmp=self.folder / "qmp.sock", **({"uri": self.uri} if self.uri else {}))

    def take(self, vm):
        """The guest is here now: VM speaks to this QEMU."""
        vm.qmp.close()
        vm.console.close()
        vm.process = self.process
        vm.console = vm.console_socket(self.folder / "console.sock")
        vm.qmp = vm.connect(self.folder / "lab.sock")
