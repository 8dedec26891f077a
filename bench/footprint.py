# SPDX-License-Identifier: Apache-2.0
"""Memory and idle processor time of the sidecar beside a disk of 1 TiB."""

import os
import time

import common
from common import GIB, MIB
from lab.disk import Disk
from lab.sidecar import Sidecar
from lab.vm import Vm

SIZE = 1024 * GIB
ISLANDS = 4096  # places with data all over the disk, 64 KiB each
IDLE_S = 60
LOAD_S = 20


def scatter(path, count):
    """A disk that is not one big hole: its extents do not fit one reply."""
    with open(path, "r+b") as file:
        for index in range(count):
            file.seek(SIZE // count * index + GIB // 8)
            file.write(os.urandom(64 << 10))
        os.fsync(file.fileno())


def memory(qheal):
    """The sidecar and the guard process beside it."""
    pid = qheal.process.pid
    guards = common.children(pid)
    return {"peak_kib": common.memory_kib(pid, "VmHWM"), "now_kib": common.memory_kib(pid, "VmRSS"),
            "anonymous_kib": common.memory_kib(pid, "RssAnon"),
            "guard_kib": sum(common.memory_kib(guard, "VmRSS") for guard in guards)}


def cpu_of(qheal):
    pid = qheal.process.pid
    return common.cpu_seconds(pid) + sum(map(common.cpu_seconds, common.children(pid)))


def busy(vm, store):
    """First copy, then cycles under load."""
    with Sidecar(vm, store=store, interval=100) as qheal:
        protected = qheal.wait("protected", timeout=120)
        first = memory(qheal)
        vm.order("resume")
        time.sleep(LOAD_S)
        vm.order("pause")
        found = {"first_copy_s": protected["seconds"], "after_first_copy": first,
                 "after_load": memory(qheal), "generations": len(qheal.find("generation")),
                 "qemu_kib": common.memory_kib(vm.process.pid, "VmRSS")}
        qheal.stop()
    return found


def idle(vm, store, seconds):
    """Nothing happens: one look a second."""
    with Sidecar(vm, store=store, interval=1000) as qheal:
        qheal.wait("protected", timeout=60)
        time.sleep(3)
        cpu, begin = cpu_of(qheal), time.monotonic()
        time.sleep(seconds)
        share = (cpu_of(qheal) - cpu) / (time.monotonic() - begin)
        found = {"cpu_percent": round(100 * share, 3), "seconds": seconds, "memory": memory(qheal)}
        qheal.stop()
    return found


def measure(chosen):
    disk = Disk(size=SIZE)
    with Vm(disks=[disk], pattern="rand", region=64 * MIB, paused=1, scan=0) as vm:
        scatter(disk.path, ISLANDS)
        load = busy(vm, vm.work / "store")
        rest = idle(vm, vm.work / "store", chosen.seconds or IDLE_S)
    peak = max(load["after_load"]["peak_kib"], rest["memory"]["peak_kib"])
    return {"disk_bytes": SIZE, "islands": ISLANDS, "load": load, "idle": rest,
            "peak_kib": common.figures([peak], 0),
            "idle_cpu_percent": common.figures([rest["cpu_percent"]], 3), "wanted": {
        "memory_mib": common.verdict(peak / 1024, at_most=32),
        "idle_cpu_percent": common.verdict(rest["cpu_percent"], at_most=1)}}


if __name__ == "__main__":
    common.main("footprint", measure)
