# SPDX-License-Identifier: Apache-2.0
"""Records the block statistics of a healthy guest, for the tests of engine/drift.c.

	PYTHONPATH=tests python3 -m lab.record_stats SECONDS RATE OUTPUT [MIX]

RATE: records a second, 0 as many as go.  One line a sample of 250 ms: operations of the first
disk since the line before, and the microseconds that they took together; flushes left out.
"""

import sys
import time

from .vm import Vm

SAMPLE_S = 0.25


def totals(vm):
    stats = vm.qmp("query-blockstats")[0]["stats"]
    return (stats["rd_operations"] + stats["wr_operations"],
            stats["rd_total_time_ns"] + stats["wr_total_time_ns"])


def main():
    seconds, rate, path = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    mix = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    with Vm(disks=1, rate=rate, mix=mix, pattern="rand") as vm, open(path, "w") as output:
        vm.wait_ack(50)
        version = vm.qmp.greeting["version"]["qemu"]
        print(f"# QEMU {version['major']}.{version['minor']}, rate {rate}, mix {mix}, "
              f"{SAMPLE_S * 1000:.0f} ms a sample: ops us", file=output)
        before, due = totals(vm), time.monotonic()
        for _ in range(int(seconds / SAMPLE_S)):
            due += SAMPLE_S
            time.sleep(max(0, due - time.monotonic()))
            now = totals(vm)
            print(now[0] - before[0], (now[1] - before[1]) // 1000, file=output)
            before = now


if __name__ == "__main__":
    main()
