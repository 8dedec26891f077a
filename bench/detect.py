#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From QEMU's error event to the decision, while generations are being copied.

    bench/detect.py [ROUNDS]

A guest writes as fast as it can, generations follow each other without a pause, and one of its
disks fails at a random moment.  Prints of each recovery, and as the median of all, from QEMU's own
stamp of its error to the event `decision`, and how long the generation under way was waited for
then (step `wait`), in milliseconds, as one JSON object.  Needs `make` and what the system tests need.
"""

import json
import pathlib
import random
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from lab.disk import MIB
from lab.sidecar import Sidecar
from lab.vm import Vm


def one_round():
    with Vm(disks=2, region=32 * MIB, pattern="rand") as vm, Sidecar(vm, interval=50) as sidecar:
        sidecar.wait("protected")
        sidecar.wait_generations(5)
        time.sleep(random.random() * 0.3)
        vm.fail(0, "write")
        recovered = sidecar.wait("recovered")
        steps = {step["name"]: step["ms"] for step in recovered["steps"]}
        last = sidecar.find("generation")[-1]
        decision, = sidecar.find("decision")
        return {"decision_ms": decision["after_ms"], "wait_ms": steps["wait"],
                "same": decision["strategy"] == recovered["strategy"],
                "downtime_ms": recovered["downtime_ms"],
                "generation_bytes": last["bytes"], "generation_ms": last["duration_ms"]}


def main():
    rounds = [one_round() for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 9)]
    medians = {name: statistics.median(each[name] for each in rounds)
               for name in ("decision_ms", "wait_ms", "downtime_ms")}
    print(json.dumps({"median": medians, "worst_decision_ms":
                      max(each["decision_ms"] for each in rounds), "rounds": rounds}, indent=1))


if __name__ == "__main__":
    main()
