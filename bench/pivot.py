# SPDX-License-Identifier: Apache-2.0
"""Downtime of a pivot: with next to nothing to catch up, and with much."""

import os
import shutil
import statistics
import subprocess
import time

import common
from common import MIB
from lab.disk import Disk
from lab.sidecar import Sidecar
from lab.vm import Vm

ROUNDS = 50
LARGE_MIB = (64, 256, 1024)
LARGE_PART = 4  # of the rounds
HAND_ROUNDS = 2


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


FASTEST = "fastest"
TOOLS = {
    "cp": ["cp", "--sparse=auto", "--reflink=never", "FROM", "TO"],
    "dd": ["dd", "if=FROM", "of=TO", "bs=4M", "iflag=direct", "oflag=direct", "status=none",
           "conv=sparse,fsync"],
    "nbdcopy": ["nbdcopy", "--flush", "FROM", "TO"],
    "qemu-img": ["qemu-img", "convert", "-f", "raw", "-O", "raw", "-t", "none", "-T", "none", "-W",
                 "-m", "16", "FROM", "TO"],
}


def copy_back(tool, source, target):
    """To a new file, flushed: what is left of the old one is of no use."""
    words = [word.replace("FROM", str(source)).replace("TO", str(target)) for word in TOOLS[tool]]
    target.unlink(missing_ok=True)
    subprocess.run(words, check=True)
    with open(target, "rb") as file:
        os.fsync(file.fileno())


def fastest_tool(work, head):
    """Of those that are installed: by the median of three copies of this replica each."""
    took, target = {}, work / "copy.raw"
    for tool in [tool for tool in TOOLS if shutil.which(TOOLS[tool][0])]:
        times = []
        for _ in range(3):
            begin = time.monotonic()
            copy_back(tool, head, target)
            times.append(time.monotonic() - begin)
        took[tool] = statistics.median(times)
    target.unlink()
    return min(took, key=took.get)


def operator(tool):
    """What somebody does by hand, without a second's hesitation: end QEMU, copy the replica back
    with TOOL (FASTEST: find out which) and flush, or (None) take the replica itself as the disk, then start
    QEMU again.  Milliseconds from its pause to the first record written, and those of the copy."""
    with Vm(rate=500) as vm, Sidecar(vm, interval=100) as qheal:
        qheal.wait("protected")
        qheal.wait_generations(5)
        qheal.stop()
        head = qheal.store / "disks" / "vda" / "head.raw"
        if tool == FASTEST:
            tool = fastest_tool(vm.work, head)
        vm.qmp.poll()
        vm.qmp.events.clear()
        vm.fail(0, "write")
        vm.qmp.wait_event("STOP", timeout=30)
        begin = time.monotonic()
        vm.kill()
        vm.qmp.close()
        vm.console.close()
        if tool:
            copy_back(tool, head, vm.disks[0].path)
        else:
            vm.disks[0].path = head
        copied = time.monotonic()
        vm.start()
        vm.wait_more(1)
        return 1e3 * (time.monotonic() - begin), 1e3 * (copied - begin), tool


def by_hand(rounds, copies):
    """COPIES: the disk is copied back; else QEMU starts from the replica."""
    found, tool = [], FASTEST if copies else None
    for _ in range(rounds):
        found.append(operator(tool))
        tool = found[-1][2]
        common.say(f"by hand, {tool or 'from the replica'}: {found[-1][0]:.0f} ms")
    return {"downtime_ms": common.figures([whole for whole, _, _ in found]), "tool": tool,
            "copied_ms": common.figures([copied for _, copied, _ in found])}


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
        count = common.fewer((chosen.rounds or ROUNDS) // LARGE_PART, mib)
        entry = summary(repeat(count, large, mib))
        beyond_ms = entry["downtime_ms"]["median"] - base_ms
        entry["gb_s"] = round(entry["catch_up_bytes"]["median"] / 1e6 / beyond_ms, 3)
        more.append({"mib": mib, **entry})
    hands = min(chosen.rounds or HAND_ROUNDS, HAND_ROUNDS)
    return {"small": least, "large": more, "operator": by_hand(hands, copies=True),
            "operator_restart": by_hand(hands, copies=False), "wanted": {
        "median_ms": common.verdict(base_ms, at_most=25),
        "p99_ms": common.verdict(least["downtime_ms"]["p99"], at_most=60),
        "catch_up_gb_s": common.verdict(min(entry["gb_s"] for entry in more), at_least=1)}}


if __name__ == "__main__":
    common.main("pivot", measure)
