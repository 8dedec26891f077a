#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From QEMU's error event to the decision, while generations are being copied.

    bench/detect.py [ROUNDS]

A guest writes as fast as it can, generations follow each other without a pause, and one of its
disks fails at a random moment.  Prints the step `detect` of each recovery and of all the median,
in milliseconds, as one JSON object.  Needs `make` and what the system tests need.
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
        return {"detect_ms": steps["detect"], "downtime_ms": recovered["downtime_ms"],
                "generation_bytes": last["bytes"], "generation_ms": last["duration_ms"]}


def main():
    rounds = [one_round() for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 9)]
    print(json.dumps({"median_ms": statistics.median(each["detect_ms"] for each in rounds),
                      "rounds": rounds}, indent=1))


if __name__ == "__main__":
    main()
