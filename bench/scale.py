# SPDX-License-Identifier: Apache-2.0
"""Several sidecars on one machine, each beside a guest of its own: memory, processor time, lag."""

import contextlib
import time

import common
from lab.sidecar import Sidecar
from lab.vm import Vm

COUNTS = (1, 4, 8)
RATE = 50  # records a second of a busy guest: the machine is shared by all of them
SECONDS = 5
INTERVAL_MS = 500


def phase(vms, sidecars, seconds):
    """All sidecars at the same time, each a value of the sample."""
    marks = [len(each.events) for each in sidecars]
    cpus, begin = [common.cpu_seconds(each.process.pid) for each in sidecars], time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begin
    used = [(common.cpu_seconds(each.process.pid) - cpu) / took
            for each, cpu in zip(sidecars, cpus)]
    lags = [event["lag_ms"] for each, mark in zip(sidecars, marks)
            for event in each.find("generation", mark)]
    return {"cpu_percent": common.figures([100 * share for share in used], 3),
            "memory_kib": common.figures([common.memory_kib(each.process.pid, "VmHWM")
                                          for each in sidecars], 0),
            "lag_ms": common.figures(lags)}


def together(count, seconds):
    with contextlib.ExitStack() as stack:
        vms = [stack.enter_context(Vm(rate=RATE, paused=1, memory=128, name=f"guest{index}"))
               for index in range(count)]
        sidecars = [stack.enter_context(Sidecar(vm, interval=INTERVAL_MS)) for vm in vms]
        for each in sidecars:
            each.wait("protected", timeout=60)
        time.sleep(1)
        idle = phase(vms, sidecars, seconds)
        for vm in vms:
            vm.order("resume")
        time.sleep(1)
        busy = phase(vms, sidecars, seconds)
    common.say(f"{count} sidecars: idle {idle['cpu_percent']['median']:.2f} % of a processor each, "
               f"busy {busy['cpu_percent']['median']:.2f} %")
    return {"count_of": count, "idle": idle, "busy": busy}


def measure(chosen):
    return {"seconds": chosen.seconds or SECONDS,
            "entries": [together(count, chosen.seconds or SECONDS) for count in (COUNTS[:1] if chosen.rounds == 1 else COUNTS)]}


if __name__ == "__main__":
    common.main("scale", measure)
