# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: options, figures of a sample, processes, the machine, the report."""

import argparse
import json
import math
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from lab import cache, vm as lab_vm  # noqa: E402

MIB = 1 << 20
GIB = 1 << 30
SAMPLES = "--samples" in sys.argv  # figures() keeps every value
WORK = os.environ.get("QHEAL_WORK", "/var/tmp")  # no tmpfs: its flushes cost nothing


def say(text):
    """Progress, for the person who waits; the report alone goes to stdout."""
    print(text, file=sys.stderr, flush=True)


# --- a sample ---

def percentile(values, percent):
    """The smallest value that at least this share of the sample does not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def figures(values, digits=2):
    """Count, median and spread of a sample; None when it is empty."""
    if not values:
        return None
    if SAMPLES:
        return {"samples": [round(value, 6) for value in values], "count": len(values),
                "median": statistics.median(values), "min": min(values),
                "p90": percentile(values, 90), "p99": percentile(values, 99), "max": max(values)}
    found = {"count": len(values), "median": statistics.median(values), "min": min(values),
             "p90": percentile(values, 90), "p99": percentile(values, 99), "max": max(values)}
    return {key: round(value, digits) for key, value in found.items()}


def verdict(value, at_least=None, at_most=None):
    """A figure beside the bound it was asked to keep."""
    bound = {"at_least": at_least} if at_least is not None else {"at_most": at_most}
    kept = value is not None and (value >= at_least if at_least is not None else value <= at_most)
    return {"measured": None if value is None else round(value, 3), **bound, "reached": kept}


def fewer(rounds, mib):
    """How often a sample with so much data is taken: what takes long varies less."""
    return max(1, min(rounds, rounds * 64 // max(mib, 1)))


# --- processes ---

def cpu_seconds(pid):
    """User and system time of a process, its ended threads included, to the nanosecond.

    /proc/PID/stat counts ticks of 10 ms, which an idle sidecar never gets to see.
    """
    return time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(3) gives


def run_timed(command, **how):
    """Runs it to its end: (wall seconds, CPU seconds of it and its children)."""
    before, begin = os.times(), time.monotonic()
    subprocess.run([str(word) for word in command], check=True, **how)
    wall, after = time.monotonic() - begin, os.times()
    return wall, (after.children_user + after.children_system -
                  before.children_user - before.children_system)


class Neighbours:
    """How much of the processors others took between start and share().

    Ours is what this process and those it has waited for used; kernel threads count as others.
    """

    def __init__(self):
        self.busy, self.ours, self.began = *self.used(), time.monotonic()

    @staticmethod
    def used():
        words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        ticks = [int(word) for word in words]  # user nice system idle iowait irq softirq steal
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])

    def share(self):
        busy, ours = self.used()
        spent = (busy - self.busy) - (ours - self.ours)
        return round(max(0, spent) / (time.monotonic() - self.began) / os.cpu_count(), 3)


def memory_kib(pid, field):
    """VmHWM or VmRSS of a process."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", text)[1])


def children(pid):
    return [int(word) for word in
            pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# --- the machine ---

def fio(path, *words):
    """One fio job in a file of its own; its JSON."""
    command = ["fio", "--name=limit", f"--filename={path}", "--direct=1", "--ioengine=io_uring",
               "--output-format=json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]


def disk_limits():
    """What the file system of the work folders gives without anybody in between."""
    with tempfile.TemporaryDirectory(prefix="qheal-", dir=WORK) as folder:
        path = pathlib.Path(folder) / "fio"
        size, big = "--size=1g", ("--bs=1m", "--iodepth=8")
        write = fio(path, "--rw=write", size, *big, "--end_fsync=1")
        read = fio(path, "--rw=read", size, *big)
        sync = fio(path, "--rw=randwrite", size, "--bs=4k", "--fdatasync=1", "--runtime=2",
                   "--time_based")
    return {"write_mb_s": round(write["write"]["bw_bytes"] / 1e6),
            "read_mb_s": round(read["read"]["bw_bytes"] / 1e6),
            "write_4k_fdatasync_per_s": round(sync["write"]["iops"]),
            "fdatasync_ms": round(sync["sync"]["lat_ns"]["mean"] / 1e6, 3)}


def file_system():
    return subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", WORK], capture_output=True,
                          text=True, check=True).stdout.strip()


def machine():
    """Enough to compare two reports; nothing that names a host or a folder."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    qemu = subprocess.run([cache.qemu_binary(), "--version"], capture_output=True, text=True,
                          check=True).stdout
    return {"cpu": model[1] if model else platform.machine(), "cores": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB),
            "kernel": platform.release(), "qemu": re.search(r"version ([\d.]+)", qemu)[1],
            "guest": "kvm" if lab_vm.have_kvm() else "tcg", "file_system": file_system(),
            "disk": disk_limits()}


# --- the report ---

def commit():
    """What was measured; None outside of a clone, "+" with changes that are in no commit."""
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--exclude=*", "--dirty=+"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def options(argv=None):
    parser = argparse.ArgumentParser(description="see bench/README.md")
    parser.add_argument("names", nargs="*", help="benchmarks to run; all when none is given")
    parser.add_argument("--rounds", type=int, help="how often; each has a default of its own")
    parser.add_argument("--seconds", type=float, help="how long one sample of a rate takes")
    parser.add_argument("--samples", action="store_true",
                        help="keep every value, do not look at the machine: for qheal-bench")
    parser.add_argument("--output", help="write the report there as well")
    return parser.parse_args(argv)


def report(results, path=None):
    text = json.dumps({"date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": commit(),
                       "machine": results.pop("machine", None), **results}, indent=1)
    print(text)
    if path:
        pathlib.Path(path).write_text(text + "\n")


def run(name, measure, chosen):
    """One benchmark, with how long it took and who else was at work."""
    say(f"== {name}")
    begin, neighbours = time.monotonic(), Neighbours()
    found = measure(chosen)
    return {**found, "took_s": round(time.monotonic() - begin),
            "processors_taken_by_others": neighbours.share()}


def main(name, measure):
    """A benchmark run by itself."""
    chosen = options()
    report({"machine": machine(), name: run(name, measure, chosen)}, chosen.output)
