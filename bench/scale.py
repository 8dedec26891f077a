# SPDX-License-Identifier: Apache-2.0
"""1 to 32 sidecars on one machine, each beside a QEMU of its own: memory, processor time, lag."""

import contextlib
import pathlib
import re
import time

import common
from lab.sidecar import Sidecar
from standin import Standin, Writer

COUNTS = (1, 8, 32)
RATE = 10  # records a second of a busy one: the machine is shared by all of them
SECONDS = 5
INTERVAL_MS = 500


def family(sidecar):
    """A sidecar and its guard."""
    return [sidecar.process.pid, *common.children(sidecar.process.pid)]


def proportional_kib(pid):
    """Memory with a fair share of what several processes share: libraries, mostly."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Pss:\s+(\d+)", text)[1])


def phase(sidecars, seconds):
    """All sidecars at the same time, each a value of the sample."""
    marks, families = [len(each.events) for each in sidecars], [family(each) for each in sidecars]
    used, begin = [], time.monotonic()
    before = [sum(map(common.cpu_seconds, pids)) for pids in families]
    time.sleep(seconds)
    took = time.monotonic() - begin
    for pids, cpu in zip(families, before):
        used.append((sum(map(common.cpu_seconds, pids)) - cpu) / took)
    found = [event for each, mark in zip(sidecars, marks) for event in each.find("generation", mark)]
    return {"cpu_percent": common.figures([100 * share for share in used], 3),
            "peak_kib": common.figures([common.memory_kib(pids[0], "VmHWM")
                                        for pids in families], 0),
            "proportional_kib": common.figures([sum(map(proportional_kib, pids))
                                                for pids in families], 0),
            "duration_ms": common.figures([event["duration_ms"] for event in found]),
            "lag_ms": common.figures([event["lag_ms"] for event in found])}


def skipped(sidecars):
    return sum(each.status()["skipped_cycles"] for each in sidecars)


def together(count, seconds):
    with contextlib.ExitStack() as stack:
        standins = [stack.enter_context(Standin(f"guest{index}")) for index in range(count)]
        sidecars = [stack.enter_context(Sidecar(each, interval=INTERVAL_MS)) for each in standins]
        for each in sidecars:
            each.wait("protected", timeout=60)
        time.sleep(1)
        idle = phase(sidecars, seconds)
        with Writer(standins, RATE):
            time.sleep(1)
            before, written = skipped(sidecars), sum(each.written for each in standins)
            busy = phase(sidecars, seconds)
            more = sum(each.written for each in standins) - written
            busy["written_per_s"] = common.figures([more / seconds])
            busy["skipped_cycles"] = common.figures([skipped(sidecars) - before], 0)
    common.say(f"{count} sidecars: idle {idle['cpu_percent']['median']:.3f} % of a processor each, "
               f"busy {busy['cpu_percent']['median']:.2f} %, lag p99 {busy['lag_ms']['p99']:.1f} ms, "
               f"{busy['skipped_cycles']['median']} skipped, {busy['peak_kib']['median'] / 1024:.1f} MiB")
    return {"count_of": count, "idle": idle, "busy": busy}


def measure(chosen):
    seconds = max(chosen.seconds or SECONDS, 4 * INTERVAL_MS / 1e3)  # there are generations in it
    counts = COUNTS[:1] if chosen.rounds == 1 else COUNTS
    return {"seconds": seconds, "rate_per_s": RATE, "interval_ms": INTERVAL_MS,
            "entries": [together(count, seconds) for count in counts]}


if __name__ == "__main__":
    common.main("scale", measure)
