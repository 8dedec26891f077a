# SPDX-License-Identifier: Apache-2.0
"""What moving on to a spare costs the guest: its own synchronous writes while QEMU copies the disk
that a pivot left it, of those before the disk failed and of those on the spare."""

import common
import impact
from common import MIB
from firstcopy import fill
from lab.disk import Disk
from lab.sidecar import Sidecar
from lab.vm import Vm

ROUNDS = 3
SECONDS = 3
SIZE = 128 * MIB
WANTED = 0.90  # of the undisturbed rate, by the objective `optimal`


def one(objective, seconds, size):
    """A guest's disk fails once; the rates before, while it moves, and after."""
    vm = Vm(disks=[Disk(size=size)], pattern="seq", region=16 * MIB)
    fill(vm.disks[0].path, size)
    spare = vm.work / "spare"
    spare.mkdir()
    with vm, Sidecar(vm, interval=1000, spare=spare, objective=objective) as qheal:
        qheal.wait("protected", timeout=180)
        before = impact.settled(vm, seconds)
        vm.fail(0, "write")
        qheal.wait("recovery", strategy="mirror", timeout=30)
        moving = impact.watched(vm, lambda: qheal.wait("recovered", strategy="mirror",
                                                       timeout=300))
        moved = qheal.find("recovered", strategy="mirror")[-1]
        qheal.wait("protected", since=qheal.events.index(moved), timeout=180)
        after = impact.settled(vm, seconds)
        errors = len(vm.guest_errors)
    copy_ms = next(step["ms"] for step in moved["steps"] if step["name"] == "copy")
    return {"before": before, "moving": moving, "after": after, "errors": errors,
            "copy_s": copy_ms / 1e3, "rate_mb_s": moved["copied_bytes"] / copy_ms / 1e3}


def entry(objective, rounds):
    ratios = [each["moving"]["per_s"] / ((each["before"]["per_s"] + each["after"]["per_s"]) / 2)
              for each in rounds]
    found = {"with": objective, "ratio": common.figures(ratios, 3),
             "copy_s": common.figures([each["copy_s"] for each in rounds], 3),
             "rate_mb_s": common.figures([each["rate_mb_s"] for each in rounds], 1),
             "bare": impact.latencies([each["before"] for each in rounds]),
             **impact.latencies([each["moving"] for each in rounds]),
             "guest_errors": sum(each["errors"] for each in rounds)}
    common.say(f"reprotect {objective}: {found['ratio']['median']:.3f} of its rate, "
               f"copied in {found['copy_s']['median']:.1f} s")
    return found


def measure(chosen):
    seconds, found = chosen.seconds or SECONDS, {"optimal": [], "fast": []}
    size = 64 * MIB if chosen.rounds == 1 else SIZE  # only whether it runs
    for _ in range(chosen.rounds or ROUNDS):
        for objective, rounds in found.items():
            rounds.append(one(objective, seconds, size))
    entries = [entry(objective, rounds) for objective, rounds in found.items()]
    return {"record_bytes": 4096, "seconds_each": seconds, "entries": entries,
            "wanted": {"optimal": common.verdict(entries[0]["ratio"]["median"], at_least=WANTED)}}


if __name__ == "__main__":
    common.main("reprotect", measure)
