# SPDX-License-Identifier: Apache-2.0
"""Ways to freeze a point in time, compared under a writing guest.

backup   a transaction of blockdev-backup (sync=none) and bitmap actions; no pause of the processors
filter   copy-before-write nodes with the bitmap, made, inserted and taken out in a pause each
swap     copy-before-write nodes without it, made before; a pause only around the insertion, and only
         with several disks: what qheal does (engine/checkpoint_cbw.c)

All are told to QEMU from here, the commands of a step in one write to the monitor; `drain` reads
what is dirty and flushes it to a file, as the sidecar would.
"""

import array
import json
import os
import socket
import subprocess
import time

import common
from common import MIB
from lab import cache
from lab.disk import Disk
from lab.vm import Vm

ROUNDS = 20
SECONDS = 1
# (disks, order of the slots, interval in ms)
GUESTS = ((1, "seq", 100), (1, "seq", 1000), (1, "rand", 100), (1, "rand", 1000), (2, "seq", 100))
SCRATCH_BYTES = 1 << 30


class Pipe:
    """A monitor that takes several commands in one write."""

    def __init__(self, path):
        self.socket, self.buffer, self.id = socket.socket(socket.AF_UNIX), b"", 0
        self.socket.connect(str(path))
        self.events, self.replies = [], {}
        self.receive()
        self.run([("qmp_capabilities", {})])

    def receive(self):
        while b"\n" not in self.buffer:
            data = self.socket.recv(1 << 20)
            if not data:
                raise ConnectionError("QEMU closed its monitor")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        message = json.loads(line)
        if "event" in message:
            self.events.append(message)
        else:
            self.replies[message.get("id")] = {**message, "arrived": time.monotonic()}

    def run(self, commands, fd=None):
        """All in one write; raises at the first that failed, when all have answered.

        Returns when each answer came.
        """
        first, text = self.id + 1, b""
        for command, arguments in commands:
            self.id += 1
            text += json.dumps({"execute": command, "arguments": arguments, "id": self.id}
                               ).encode() + b"\n"
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd else []
        self.socket.sendmsg([text], rights)
        while any(number not in self.replies for number in range(first, self.id + 1)):
            self.receive()
        arrived = []
        for number, (command, _) in enumerate(commands, first):
            reply = self.replies.pop(number)
            if "error" in reply:
                raise RuntimeError(f"{command}: {reply['error']['desc']}")
            arrived.append(reply["arrived"])
        return arrived

    def wait(self, name, **data):
        """The first such event, its time in ms; events before it are forgotten."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if event["event"] == name and \
                        all(event["data"].get(key) == value for key, value in data.items()):
                    stamp = event["timestamp"]
                    return stamp["seconds"] * 1e3 + stamp["microseconds"] / 1e3
            self.receive()


def action(kind, **data):
    return {"type": kind, "data": {key.replace("_", "-"): value for key, value in data.items()}}


def each(count, make):
    return [command for index in range(count) for command in make(index)]


class Cycler:
    """Cycles of one way on one VM; the figures of each in .found."""

    def __init__(self, vm, pipe, drain, memory):
        self.vm, self.pipe, self.drain, self.memory = vm, pipe, drain, memory
        self.count, self.number = len(vm.disks), 0
        self.name, self.nbd = type(self).__name__.lower(), vm.work / "freeze.sock"
        path = vm.work / "empty.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, str(vm.disks[0].size)],
                       check=True)
        self.empty = path.read_bytes()
        self.bitmaps("add", 0)
        self.found = []

    def bitmaps(self, what, number):
        self.pipe.run([("transaction", {"actions": [
            action(f"block-dirty-bitmap-{what}", node=f"d{index}", name=f"{self.name}{number}")
            for index in range(self.count)]})])

    def rotation(self):
        last, self.number = self.number, self.number + 1
        disks = range(self.count)
        return ([action("block-dirty-bitmap-add", node=f"d{i}", name=f"{self.name}{self.number}")
                 for i in disks] +
                [action("block-dirty-bitmap-disable", node=f"d{i}", name=f"{self.name}{last}")
                 for i in disks])

    def file(self, index):
        return {"driver": "file", "filename": f"/dev/fdset/{index + 1}", "locking": "off",
                "cache": {"no-flush": True}}

    def offer(self):
        last = f"{self.name}{self.number - 1}"
        self.pipe.run(each(self.count, lambda i: [
            ("blockdev-add", {"driver": "snapshot-access", "node-name": f"snap{i}",
                              "file": f"cbw{i}"}),
            ("block-export-add", {"type": "nbd", "id": f"e{i}", "node-name": f"snap{i}",
                                  "name": f"e{i}", "bitmaps": [{"node": f"d{i}", "name": last}]})]))

    def read(self):
        total = 0
        for index in range(self.count):
            self.drain.stdin.write(f"{self.nbd} e{index} {self.name}{self.number - 1}\n")
            self.drain.stdin.flush()
            total += int(self.drain.stdout.readline())
        return total

    def withdraw(self):
        self.pipe.run(each(self.count, lambda i: [
            ("block-export-del", {"id": f"e{i}", "mode": "hard"})]))
        for index in range(self.count):
            self.pipe.wait("BLOCK_EXPORT_DELETED", id=f"e{index}")

    def cycle(self):
        begin = time.monotonic()
        self.prepare()
        self.pipe.events.clear()
        frozen_ms = self.freeze()
        self.offer()
        read = time.monotonic()
        size = self.read()
        read = time.monotonic() - read
        self.withdraw()
        self.pipe.events.clear()
        thaw_ms = self.thaw()
        self.bitmaps("remove", self.number - 1)
        total_ms = 1e3 * (time.monotonic() - begin)
        self.found.append({"freeze_ms": frozen_ms, "thaw_ms": thaw_ms, "read_ms": 1e3 * read,
                           "control_ms": total_ms - 1e3 * read, "bytes": size})


class Filter(Cycler):
    """Way (b): explicit filters, inserted while stopped."""

    def prepare(self):
        for fd in self.memory:
            os.ftruncate(fd, 0)
            os.ftruncate(fd, SCRATCH_BYTES)
            os.pwrite(fd, self.empty, 0)
        self.pipe.run(each(self.count, lambda i: [
            ("blockdev-add", {"driver": "qcow2", "node-name": f"tmp{i}", "file": {
                "driver": "raw", "size": SCRATCH_BYTES, "file": self.file(i)}})]))

    def swap(self, kind):
        return each(self.count, lambda i: [
            ("qom-set", {"path": f"/machine/peripheral/{self.vm.disks[i].id}/virtio-backend",
                         "property": "drive", "value": f"{kind}{i}"})])

    def pause(self, commands, after=(), before=()):
        self.pipe.run([*before, ("stop", {}), *commands, ("cont", {}), *after])
        stopped = self.pipe.wait("STOP")
        return self.pipe.wait("RESUME") - stopped

    def freeze(self):
        last = f"{self.name}{self.number}"  # before rotation() counts on
        return self.pause(
            [("transaction", {"actions": self.rotation()})] + each(self.count, lambda i: [
                ("blockdev-add", {"driver": "copy-before-write", "node-name": f"cbw{i}",
                                  "file": f"d{i}", "target": f"tmp{i}",
                                  "bitmap": {"node": f"d{i}", "name": last},
                                  "on-cbw-error": "break-snapshot", "cbw-timeout": 1})]) +
            self.swap("cbw"))

    def thaw(self):
        self.pipe.run(each(self.count, lambda i: [("blockdev-del", {"node-name": f"snap{i}"})]))
        return self.pause(self.swap("d"), each(self.count, lambda i: [
            ("blockdev-del", {"node-name": f"cbw{i}"}),
            ("blockdev-del", {"node-name": f"tmp{i}"})]))


class Swap(Filter):
    """Way (b) as qheal has it: both bitmaps record during the swap, nothing else is in the pause."""

    def freeze(self):
        rotation = self.rotation()
        before = [("transaction", {"actions": rotation[:self.count]})] + each(
            self.count, lambda i: [
                ("blockdev-add", {"driver": "copy-before-write", "node-name": f"cbw{i}",
                                  "file": f"d{i}", "target": f"tmp{i}",
                                  "on-cbw-error": "break-snapshot", "cbw-timeout": 1})])
        after = [("transaction", {"actions": rotation[self.count:]})]
        if self.count > 1:
            return self.pause(self.swap("cbw"), after, before)
        arrived = self.pipe.run(before + self.swap("cbw") + after)
        return 1e3 * (arrived[len(before)] - arrived[len(before) - 1])

    def thaw(self):
        arrived = self.pipe.run(
            [("blockdev-del", {"node-name": f"snap{i}"}) for i in range(self.count)] +
            self.swap("d") + each(self.count, lambda i: [
                ("blockdev-del", {"node-name": f"cbw{i}"}),
                ("blockdev-del", {"node-name": f"tmp{i}"})]))
        return 1e3 * (arrived[2 * self.count - 1] - arrived[self.count - 1])


class Backup(Cycler):
    """Way (a): the backup job's own filter, in a transaction."""

    def prepare(self):
        for fd, disk in zip(self.memory, self.vm.disks):
            os.ftruncate(fd, 0)
            os.ftruncate(fd, disk.size)
        self.pipe.run(each(self.count, lambda i: [
            ("blockdev-add", {"driver": "raw", "node-name": f"tmp{i}", "file": self.file(i)})]))

    def freeze(self):
        jobs = [action("blockdev-backup", job_id=f"j{i}", device=f"d{i}", target=f"tmp{i}",
                       sync="none", filter_node_name=f"cbw{i}", auto_dismiss=False)
                for i in range(self.count)]
        begin = time.monotonic()
        self.pipe.run([("transaction", {"actions": jobs + self.rotation()})])
        return 1e3 * (time.monotonic() - begin)

    def thaw(self):
        begin = time.monotonic()
        self.pipe.run(each(self.count, lambda i: [("blockdev-del", {"node-name": f"snap{i}"})]) +
                      each(self.count, lambda i: [
                          ("block-job-cancel", {"device": f"j{i}", "force": True})]))
        waiting = {f"j{i}" for i in range(self.count)}
        while waiting:
            event = next((one for one in self.pipe.events
                          if one["event"] == "JOB_STATUS_CHANGE" and
                          one["data"]["status"] == "concluded" and
                          one["data"]["id"] in waiting), None)
            if event:
                self.pipe.events.remove(event)
                waiting.discard(event["data"]["id"])
            else:
                self.pipe.receive()
        self.pipe.run(each(self.count, lambda i: [
            ("job-dismiss", {"id": f"j{i}"}), ("blockdev-del", {"node-name": f"tmp{i}"})]))
        return 1e3 * (time.monotonic() - begin)


def bare(vm, seconds):
    first, begin = vm.acked, time.monotonic()
    time.sleep(seconds)
    return (vm.acked - first) / (time.monotonic() - begin)


def cycling(vm, cycler, interval_s, seconds):
    """Cycles on a fixed beat; the guest's records a second meanwhile."""
    cycler.cycle()
    cycler.found.pop()  # what piled up before is not a cycle of this interval
    first, begin = vm.acked, time.monotonic()
    due = begin
    while time.monotonic() < begin + seconds:
        cycler.cycle()
        due = max(due + interval_s, time.monotonic())
        time.sleep(max(0, due - time.monotonic()))
    return (vm.acked - first) / (time.monotonic() - begin)


def alternate(vm, cyclers, interval_s, rounds, seconds):
    """Each way in turn with nothing at all: the ratios of each."""
    ratios, before = [[] for _ in cyclers], bare(vm, seconds)
    for _ in range(rounds):
        for cycler, found in zip(cyclers, ratios):
            under = cycling(vm, cycler, interval_s, seconds)
            after = bare(vm, seconds)
            found.append(under / ((before + after) / 2))
            before = after
    return ratios


def set_up(vm, drain):
    """All ways on one guest, with one NBD server and the same memory for what is preserved."""
    pipe, memory = Pipe(vm.qmp_path), [os.memfd_create("freeze") for _ in vm.disks]
    pipe.run([("nbd-server-start", {"addr": {
        "type": "unix", "data": {"path": str(vm.work / "freeze.sock")}}})])
    for index, fd in enumerate(memory):
        pipe.run([("add-fd", {"fdset-id": index + 1})], fd)
    return [kind(vm, pipe, drain, memory) for kind in (Backup, Filter, Swap)]


def compare(disks, pattern, interval_ms, rounds, seconds):
    with Vm(disks=[Disk(size=64 * MIB) for _ in range(disks)], pattern=pattern) as vm:
        with subprocess.Popen([cache.built("bench/drain"), vm.work / "drained"], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as drain:
            vm.wait_more(100)
            cyclers = set_up(vm, drain)
            ratios = alternate(vm, cyclers, interval_ms / 1e3, rounds, seconds)
            drain.stdin.close()
        if vm.guest_errors:
            raise RuntimeError(f"the guest saw errors: {vm.guest_errors}")
    entries = [{"way": cycler.name, "ratio": common.figures(found, 3),
                **{key: common.figures([one[key] for one in cycler.found])
                   for key in cycler.found[0]}} for cycler, found in zip(cyclers, ratios)]
    for entry in entries:
        common.say(f"{entry['way']} {disks} disks {pattern} {interval_ms} ms: "
                   f"{entry['ratio']['median']}, freeze {entry['freeze_ms']['median']} ms")
    return {"disks": disks, "pattern": pattern, "interval_ms": interval_ms, "ways": entries}


def measure(chosen):
    rounds, seconds = chosen.rounds or ROUNDS, chosen.seconds or SECONDS
    return {"seconds_each": seconds,
            "guests": [compare(*each, rounds, seconds) for each in GUESTS]}


if __name__ == "__main__":
    common.main("freeze", measure)
