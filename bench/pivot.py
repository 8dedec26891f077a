# SPDX-License-Identifier: Apache-2.0
"""Downtime of a pivot: with next to nothing to catch up, and with much."""

import os
import subprocess
import time

import common
from common import MIB
from lab.disk import Disk
from lab.sidecar import Sidecar
from lab.vm import Vm

ROUNDS = 50
LARGE_MIB = (64, 256, 1024)
LARGE_ROUNDS = 3
HAND_ROUNDS = 5


def recovery(vm, qheal):
    """Fails the disk's writes: (event `recovered`, milliseconds from STOP to RESUME)."""
    vm.qmp.poll()
    vm.qmp.events.clear()
    vm.fail(0, "write")
    event = qheal.wait("recovered", timeout=120, strategy="pivot")
    vm.wait_more(50)
    if vm.guest_errors:
        raise RuntimeError(f"the guest saw errors: {vm.guest_errors}")
    return event, 1e3 * vm.pauses()[-1][1]


def small():
    """A pivot of a guest that writes 500 records a second at an interval of 100 ms."""
    with Vm(rate=500) as vm, Sidecar(vm, interval=100) as qheal:
        qheal.wait("protected")
        qheal.wait_generations(5)
        return recovery(vm, qheal)


def large(mib):
    """A pivot with MIB of new data since the last generation."""
    with Vm(disks=[Disk(size=(mib + 64) * MIB)], rate=200) as vm, \
            Sidecar(vm, interval=600000, scratch=2048) as qheal:
        qheal.wait("protected")
        vm.order(f"burst {mib}", timeout=180)
        return recovery(vm, qheal)


def operator():
    """What somebody does by hand, without a second's hesitation: end QEMU, copy the replica back
    with cp, flush, start QEMU again.  Milliseconds from its pause to the first record written."""
    with Vm(rate=500) as vm, Sidecar(vm, interval=100) as qheal:
        qheal.wait("protected")
        qheal.wait_generations(5)
        qheal.stop()
        vm.qmp.poll()
        vm.qmp.events.clear()
        vm.fail(0, "write")
        vm.qmp.wait_event("STOP", timeout=30)
        begin = time.monotonic()
        vm.kill()
        vm.qmp.close()
        vm.console.close()
        head = qheal.store / "disks" / "vda" / "head.raw"
        subprocess.run(["cp", "--sparse=auto", "--reflink=never", head, vm.disks[0].path],
                       check=True)
        with open(vm.disks[0].path, "rb") as file:
            os.fsync(file.fileno())
        copied = time.monotonic()
        vm.start()
        vm.wait_more(1)
        return 1e3 * (time.monotonic() - begin), 1e3 * (copied - begin)


def by_hand(rounds):
    found = []
    for _ in range(rounds):
        found.append(operator())
        common.say(f"by hand: {found[-1][0]:.0f} ms")
    return {"downtime_ms": common.figures([whole for whole, _ in found]),
            "copied_ms": common.figures([copied for _, copied in found])}


def steps(events):
    """Median milliseconds of each step."""
    names = [step["name"] for step in events[0]["steps"]]
    return {name: common.figures([step["ms"] for event in events for step in event["steps"]
                                  if step["name"] == name])["median"] for name in names}


def summary(found):
    events = [event for event, _ in found]
    return {"downtime_ms": common.figures([event["downtime_ms"] for event in events]),
            "stop_to_resume_ms": common.figures([pause for _, pause in found]),
            "swap_ms": common.figures([event["swap_ms"] for event in events]),
            "catch_up_bytes": common.figures([event["catch_up_bytes"] for event in events], 0),
            "lost_bytes": max(event["lost_bytes"] for event in events),
            "steps_ms": steps(events)}


def repeat(count, run, *args):
    found = []
    for _ in range(count):
        found.append(run(*args))
        common.say(f"{run.__name__} {args}: {found[-1][0]['downtime_ms']:.1f} ms, "
                   f"{found[-1][0]['catch_up_bytes'] / MIB:.1f} MiB")
    return found


def measure(chosen):
    least = summary(repeat(chosen.rounds or ROUNDS, small))
    base_ms, more = least["downtime_ms"]["median"], []
    for mib in LARGE_MIB[:1] if chosen.rounds == 1 else LARGE_MIB:  # 1: only whether it runs
        entry = summary(repeat(min(chosen.rounds or LARGE_ROUNDS, LARGE_ROUNDS), large, mib))
        beyond_ms = entry["downtime_ms"]["median"] - base_ms
        entry["gb_s"] = round(entry["catch_up_bytes"]["median"] / 1e6 / beyond_ms, 3)
        more.append({"mib": mib, **entry})
    hand = by_hand(min(chosen.rounds or HAND_ROUNDS, HAND_ROUNDS))
    return {"small": least, "large": more, "operator": hand, "wanted": {
        "median_ms": common.verdict(base_ms, at_most=25),
        "p99_ms": common.verdict(least["downtime_ms"]["p99"], at_most=60),
        "catch_up_gb_s": common.verdict(min(entry["gb_s"] for entry in more), at_least=1)}}


if __name__ == "__main__":
    common.main("pivot", measure)
