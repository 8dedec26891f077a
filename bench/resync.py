# SPDX-License-Identifier: Apache-2.0
"""A store continued by checksums after QEMU was restarted: an unchanged disk, beside fio's reading."""

import os
import statistics

import common
from common import GIB
from firstcopy import fill
from lab.disk import Disk
from lab.sidecar import Sidecar
from lab.vm import Vm

SIZE = 4 * GIB
ROUNDS = 5


def forget(path):
    """Nothing of it in the page cache: both read the disk."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fio_read(path):
    """Sequential, O_DIRECT, 1 MiB, depth 8, as the machine is described: seconds."""
    done = common.subprocess.run(
        ["fio", "--name=read", f"--filename={path}", "--readonly", "--rw=read", "--bs=1M",
         "--iodepth=8", "--ioengine=io_uring", "--direct=1", "--output-format=json"],
        capture_output=True, text=True, check=True)
    return common.json.loads(done.stdout)["jobs"][0]["read"]["runtime"] / 1000


def protect(vm, sidecar):
    """`protect --once`: (event protected, cpu seconds, peak memory in KiB)."""
    with open(vm.work / "events", "wb") as events:
        process = common.subprocess.Popen([str(word) for word in sidecar.arguments()], stdout=events,
                                          stderr=common.subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"qheal protect ended with {process.returncode}")
    with open(vm.work / "events", encoding="ascii") as events:
        return [event for event in map(common.json.loads, events)
                if event["event"] == "protected"][-1], used.ru_utime + used.ru_stime, used.ru_maxrss


def round_of(vm, sidecar):
    disk = vm.disks[0]
    vm.restart()
    forget(disk.path)
    event, cpu, peak_kib = protect(vm, sidecar)
    forget(disk.path)
    fio_s = fio_read(disk.path)
    found = {"resync_s": event["seconds"], "cpu_s": cpu, "fio_s": fio_s,
             "peak_kib": peak_kib,
             "different_bytes": event["different_bytes"]}
    common.say(f"resync: {found}")
    return found


def measure(chosen):
    disk = Disk(size=SIZE)
    with Vm(disks=[disk], paused=1, scan=0) as vm:
        fill(disk.path, SIZE)
        os.sync()
        sidecar = Sidecar(vm, once=True)
        protect(vm, sidecar)  # the first copy
        rounds = [round_of(vm, sidecar) for _ in range(chosen.rounds or ROUNDS)]
    ratios = [each["fio_s"] / each["resync_s"] for each in rounds]
    return {"bytes": SIZE, **{key: common.figures([each[key] for each in rounds], 3)
                              for key in rounds[0]},
            "gb_s": round(SIZE / 1e9 / statistics.median(each["resync_s"] for each in rounds), 3),
            "speed_against_fio": common.figures(ratios, 3), "wanted": {
                "speed_against_fio": common.verdict(statistics.median(ratios), at_least=0.9),
                "peak_kib": common.verdict(max(each["peak_kib"] for each in rounds),
                                           at_most=64 << 10),
                "different_bytes": common.verdict(max(each["different_bytes"] for each in rounds),
                                                  at_most=0)}}


if __name__ == "__main__":
    common.main("resync", measure)
