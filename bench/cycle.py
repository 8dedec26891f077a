# SPDX-License-Identifier: Apache-2.0
"""What one cycle costs: with one dirty block, and the look that finds nothing to do."""

import time

import common
from lab.sidecar import Sidecar
from lab.vm import Vm

CYCLES = 200
INTERVAL_MS = 100
LOOKS = 200


def one_block(disks, cycles):
    """Cycles with one record since the cycle before: the guest writes one an interval."""
    with Vm(disks=disks, rate=1000 // INTERVAL_MS) as vm, \
            Sidecar(vm, interval=INTERVAL_MS) as qheal:
        qheal.wait("protected")
        qheal.wait_generations(5)
        vm.qmp.poll()
        vm.qmp.events.clear()
        since = len(qheal.events)
        for _ in range(cycles):
            qheal.wait_generations(1)
            vm.qmp.poll()  # or QEMU's queue of events grows beyond what one look takes
        found = qheal.find("generation", since)
        pauses = [1e3 * seconds for _, seconds in vm.pauses()]
    return {"disks": disks,
            "duration_ms": common.figures([event["duration_ms"] for event in found]),
            "lag_ms": common.figures([event["lag_ms"] for event in found]),
            "bytes": common.figures([event["bytes"] for event in found], 0),
            "pauses": len(pauses), "pause_ms": common.figures(pauses)}


def nothing(looks):
    """A cycle that finds no dirty bit is one query-block: its round trip, and what it costs."""
    with Vm() as vm, Sidecar(vm, interval=50) as qheal:
        vm.order("pause")
        qheal.wait("protected")
        time.sleep(1)
        pid, before = qheal.process.pid, qheal.status()
        cpu, begin = common.cpu_seconds(pid), time.monotonic()
        time.sleep(looks * 0.05)
        while (after := qheal.status())["empty_cycles"] == before["empty_cycles"]:
            time.sleep(0.05)  # a busy machine: there is nothing to divide by yet
        cpu = common.cpu_seconds(pid) - cpu
        trips = []
        for _ in range(looks):
            start = time.monotonic()
            vm.qmp("query-block")
            trips.append(1e3 * (time.monotonic() - start))
        return {"seconds": round(time.monotonic() - begin, 1),
                "empty_cycles": after["empty_cycles"] - before["empty_cycles"],
                "generations": after["generation"] - before["generation"],
                "query_block_ms": common.figures(trips),
                "sidecar_cpu_ms_per_look":
                    round(1e3 * cpu / (after["empty_cycles"] - before["empty_cycles"]), 3)}


def measure(chosen):
    cycles = chosen.rounds or CYCLES
    found = [one_block(disks, cycles) for disks in (1, 2, 4)]
    looks = nothing(min(cycles, LOOKS))
    return {"one_block": found, "nothing": looks, "wanted": {
        "one_block_median_ms": common.verdict(found[0]["duration_ms"]["median"], at_most=20),
        "nothing_median_ms": common.verdict(looks["query_block_ms"]["median"], at_most=20)}}


if __name__ == "__main__":
    common.main("cycle", measure)
