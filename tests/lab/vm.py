# SPDX-License-Identifier: Apache-2.0
"""One QEMU process with the test guest in it."""

import atexit
import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from . import cache
from .cache import LabError, Late
from .disk import LETTERS, MIB, Disk, options
from .guest import Acks, Console
from .qmp import Qmp

DRIVERS = {"virtio-blk": "virtio_blk", "virtio-scsi": "virtio_scsi", "ide": "ata_piix"}
# Without these the boot takes half a second more under TCG.
# Translated code of before a reset makes the next boot three times as long: every write of the
# decompressor to its pages is looked at. A small cache is emptied now and then.
CODE_MIB = 8
BOOT_S = 90  # two seconds; a busy machine takes its time
START_S = 60  # until QEMU opens its sockets
QUICK = ("quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check "
         "cryptomgr.notests lsm=lockdown audit=0")


def have_kvm():
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return bool(re.search(r"\b(vmx|svm)\b", flags)) and os.access("/dev/kvm", os.R_OK | os.W_OK)


def still_starts(vm, deadline):
    """QEMU has not ended, nor is it too late."""
    if vm.process.poll() is not None:
        raise LabError(f"QEMU did not start: {vm.log.read_text()}") from None
    if time.monotonic() > deadline:
        raise Late(f"QEMU does not start: {vm.log.read_text()}") from None


class Adopted:
    """A QEMU that somebody else started: as much of subprocess.Popen as the lab needs."""

    def __init__(self, pid):
        self.pid, self.pidfd = pid, os.pidfd_open(pid)

    def poll(self):
        return 0 if select.select([self.pidfd], [], [], 0)[0] else None

    def wait(self, timeout=30):
        if not select.select([self.pidfd], [], [], timeout)[0]:
            raise Late(f"process {self.pid} does not end")
        return 0

    def send_signal(self, sig):
        signal.pidfd_send_signal(self.pidfd, sig)


class Vm:
    """Use it in a with statement.  Words that are not named here go to the guest: rate=500,
    pattern="rand", size=8192, region=..., mode="direct", mix=20, until=1000, paused=1 (README.md).
    """

    def __init__(self, disks=1, qemu=None, memory=256, name="guest", work=None, extra=(),
                 detached=False, **guest):
        self.binary, self.memory, self.name = cache.qemu_binary(qemu), memory, name
        self.disks = [Disk() for _ in range(disks)] if isinstance(disks, int) else list(disks)
        self.extra = extra  # further words of QEMU's command line
        self.detached = detached  # its console is a socket: QEMU can be started again by others
        self.own_work = work is None
        self.work = pathlib.Path(work or tempfile.mkdtemp(
            prefix="qheal-", dir=os.environ.get("QHEAL_WORK", "/var/tmp")))
        self.guest = {"run": 0x51ED0000 + os.getpid(), "region": 16 * MIB, "size": 4096,
                      "base": 0, "pattern": "seq", **guest}
        self.qmp_path = self.work / "qmp.sock"  # for qheal
        self.agent_path = self.work / "agent.sock"  # of qemu-ga, when a disk is mounted
        self.process = self.qmp = self.console = None
        self.acks = Acks(self.work / "acks")
        seen = {"vd": 0, "sd": 0}
        for index, disk in enumerate(self.disks):
            bus = "vd" if disk.device == "virtio-blk" else "sd"
            disk.place(index, bus + LETTERS[seen[bus]], self.work)
            seen[bus] += 1
        atexit.register(self.close)

    # --- life ---

    def arguments(self):
        """QEMU's command line."""
        mounted = [disk.guest_name for disk in self.disks if disk.mounted]
        drivers = {DRIVERS[disk.device] for disk in self.disks}
        kernel = {"disks": ",".join(disk.guest_name for disk in self.disks if not disk.mounted),
                  **self.guest}
        initramfs = "guest/initramfs.cpio"
        if mounted:
            kernel["mount"], initramfs = mounted[0], "guest/initramfs-agent.cpio"
            drivers.add("virtio_console")
        kernel["drivers"] = ",".join(sorted(drivers))
        args = [self.binary, "-name", self.name, "-nodefaults", "-no-user-config",
                "-display", "none", "-m", str(self.memory), "-M", "pc",
                *(["-accel", "kvm", "-cpu", "host"] if have_kvm() else
                  ["-accel", f"tcg,tb-size={CODE_MIB}", "-cpu", "qemu64"]),
                "-kernel", cache.guest_dir() / "vmlinuz",
                "-initrd", cache.built(initramfs),
                "-append", " ".join(["console=ttyS0", QUICK,
                                     *(f"qh.{key}={value}" for key, value in kernel.items())]),
                "-chardev", (options("socket", id="console", path=self.work / "console.sock",
                                     server="on", wait="off") if self.detached else
                             "stdio,id=console,signal=off"),
                "-serial", "chardev:console",
                "-chardev", options("file", id="acks", path=self.acks.path, append="on"),
                "-device", "isa-debugcon,iobase=0xe9,chardev=acks"]
        for role, path in (("lab", self.work / "lab.sock"), ("qheal", self.qmp_path)):
            args += ["-chardev", options("socket", id=role, path=path, server="on", wait="off"),
                     "-mon", f"chardev={role},mode=control"]
        if mounted:
            args += ["-device", "virtio-serial-pci", "-chardev",
                     options("socket", id="agent", path=self.agent_path, server="on", wait="off"),
                     "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
        for disk in self.disks:
            args += disk.arguments()
        args += self.extra
        return [str(arg) for arg in args]

    def start(self, ready=True):
        """Starts QEMU; returns when the guest is about to write its first record."""
        self.log = self.work / "qemu.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.arguments()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        if self.detached:
            self.console = self.console_socket()
        else:
            self.console = Console(self.process.stdout, self.process.stdin)
        self.qmp = self.connect(self.work / "lab.sock")
        if ready:
            self.console.wait("READY", BOOT_S)
        return self

    def restart(self):
        """Kills QEMU and starts it again, as `arguments()` has it now."""
        self.kill()
        self.qmp.close()
        self.console.close()
        for path in (self.work / "lab.sock", self.qmp_path):
            path.unlink(missing_ok=True)
        return self.start()

    def console_socket(self, path=None):
        deadline = time.monotonic() + START_S
        while True:
            stream = socket.socket(socket.AF_UNIX)
            try:
                stream.connect(str(path or self.work / "console.sock"))
                return Console(stream.makefile("rb"), stream.makefile("wb"))
            except (FileNotFoundError, ConnectionRefusedError):
                stream.close()
                still_starts(self, deadline)
                time.sleep(0.005)

    def adopt(self, timeout=30):
        """Behind the end of our QEMU: takes over the one that somebody started instead."""
        self.qmp.close()
        self.console.close()
        deadline = time.monotonic() + timeout
        while not (found := self.processes()):
            if time.monotonic() > deadline:
                raise Late("nobody started QEMU again")
            time.sleep(0.002)
        self.process = Adopted(found[0])
        self.console = self.console_socket()
        self.qmp = self.connect(self.work / "lab.sock")

    def processes(self, program=b"qemu-system"):
        """QEMU processes on our work folder, or those of another program."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                ended = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            except (OSError, ValueError):
                continue
            if (program in words[0] and not ended and
                    any(bytes(self.qmp_path) in word for word in words)):
                found.append(int(entry.name))
        return found

    def connect(self, path):
        """A QMP connection; waits for QEMU to open the socket."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                return Qmp(path)
            except (FileNotFoundError, ConnectionRefusedError):
                still_starts(self, deadline)
                time.sleep(0.005)

    def kill(self, sig=signal.SIGKILL):
        """Ends QEMU at once."""
        if self.process:
            self.process.send_signal(sig)
            self.process.wait()

    def close(self):
        """Ends everything and removes the work folder."""
        if self.detached:  # a sidecar that lives would start another QEMU
            for pid in self.processes(b"qheal") + self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.process and self.process.poll() is None:
            self.kill()
        if self.qmp:
            self.qmp.close()
        if self.console:
            self.console.close()
        for disk in self.disks:
            if disk.server:
                disk.kill()
        if self.own_work and "QHEAL_KEEP" not in os.environ:
            shutil.rmtree(self.work, ignore_errors=True)
        atexit.unregister(self.close)

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, kind, *_):
        if kind and self.process:
            print(self.report(), file=sys.stderr)
        self.close()

    # --- the guest ---

    @property
    def acked(self):
        return self.acks.read()

    def wait_ack(self, number, timeout=30):
        return self.acks.wait(number, timeout)

    def wait_more(self, count, timeout=30):
        """Until `count` further records are acknowledged."""
        return self.acks.wait(self.acked + count, timeout)

    def order(self, line, timeout=30):
        """Tells the guest something and waits for its OK (see writer.c)."""
        since = len(self.console.lines)
        self.console.send(line)
        if line.split()[0] not in ("reboot", "poweroff", "panic", "watchdog", "crash"):
            self.console.wait("OK " + line.split()[0], timeout, since)

    @property
    def guest_errors(self):
        """What the guest saw go wrong."""
        return [text for _, text in self.console.lines
                if text.startswith(("GUEST-ERROR", "GUEST-CORRUPT", "Buffer I/O error"))
                or "I/O error, dev" in text]

    def rates(self, since=0):
        """(records a second, slowest request in µs) of each second."""
        found = (re.match(r"RATE (\d+) LAT (\d+)", text) for _, text in self.console.lines[since:])
        return [(int(match[1]), int(match[2])) for match in found if match]

    def latency(self):
        """Of the guest's requests since the last call, in µs: count, p50, p99, p999, max."""
        since = len(self.console.lines)
        self.order("latency")
        text = next(text for _, text in self.console.lines[since:] if text.startswith("LATENCY "))
        words = text.split()
        return {"count": int(words[1]), **{words[at]: int(words[at + 1]) for at in (2, 4, 6, 8)}}

    # --- QEMU ---

    def status(self, pause_s=10):
        """Its run state; a sidecar's pause of a moment is none, nor is one that a busy machine made
        long.  What has to be paused has to be so for PAUSE_S."""
        for _ in range(int(pause_s * 100)):
            state = self.qmp("query-status")["status"]
            if state != "paused":
                break
            time.sleep(0.01)
        return state

    def stop(self, tries=5):
        """Pauses the guest as its owner does.  QEMU gives no sign of a `stop` between a sidecar's
        own stop and cont, which undoes it: then once more."""
        for _ in range(tries):
            self.qmp("stop")
            since = len(self.qmp.events)  # what comes behind the answer
            time.sleep(1)
            if not any(event["event"] == "RESUME" for event in self.qmp.poll()[since:]):
                return
        raise AssertionError(f"{tries} times the sidecar undid the owner's stop")

    def pauses(self):
        """(began, seconds) of each STOP that was followed by RESUME."""
        found, began = [], None
        for event in self.qmp.poll():
            if event["event"] == "STOP":
                began = event["seconds"]
            elif event["event"] == "RESUME" and began is not None:
                found.append((began, event["seconds"] - began))
                began = None
        return found

    def memory_bytes(self):
        """Resident memory of QEMU."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) << 10

    def fail(self, disk=0, kind="write", **how):
        """See Disk.fail."""
        self.disks[disk].fail(self.qmp, kind, **how)

    def repair(self, disk=0):
        self.disks[disk].repair(self.qmp)

    # --- the verdict ---

    def check(self, images=None, acked=None, **more):
        """What qcheck says of these images, one per disk (the guest's own if not given).

        Nobody may be writing them.  images: paths of raw or qcow2 files.
        """
        images = images or [disk.path for disk in self.disks]
        return qcheck(images, self.guest, self.acks.read() if acked is None else acked, self.work,
                      **more)

    def report(self):
        """The last that was heard, for a failed test."""
        lines = [f"guest {self.name}, acknowledged {self.acked}, work folder {self.work}"]
        lines += [text for _, text in self.console.lines[-8:]] if self.console else []
        lines += [f"the server of {disk.id} ended with {disk.server.returncode}"
                  for disk in self.disks if disk.server and disk.server.poll() is not None]
        return "\n".join(lines + [self.log.read_text()[-2000:]])


def raw_image(path, work):
    """The image itself when it is raw, else a raw copy: (path, whether to remove it)."""
    with open(path, "rb") as file:
        if file.read(4) != b"QFI\xfb":
            return path, False
    copy = pathlib.Path(work) / f"check-{os.getpid()}-{pathlib.Path(path).name}.raw"
    subprocess.run(["qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", path, copy], check=True)
    return copy, True


def qcheck(images, guest, acked, work, **more):
    """Runs the checker; its answer as a dict."""
    raws = [raw_image(path, work) for path in images]
    command = [cache.built("tests/qcheck"), "--acked", acked]
    for key in ("run", "size", "region", "base", "pattern"):
        command += [f"--{key}", guest[key]]
    for key, value in more.items():
        command += [f"--{key.replace('_', '-')}", value]
    done = subprocess.run([str(word) for word in command + [path for path, _ in raws]],
                          stdout=subprocess.PIPE, check=False)
    for path, made in raws:
        if made:
            path.unlink()
    if done.returncode not in (0, 1):
        raise LabError("qcheck refused the geometry")
    cache.record("checker.verdict", done.stdout.decode())
    return json.loads(done.stdout)
