# SPDX-License-Identifier: Apache-2.0
"""Smoke test of the lab: boots one guest and prints its acknowledgements for three seconds.

	PYTHONPATH=tests python3 -m lab.try [SECONDS]
"""

import sys
import time

from .vm import Vm


def main():
    began = time.monotonic()
    with Vm(disks=2) as vm:
        print(f"{vm.qmp.greeting['version']['qemu']} booted in {time.monotonic() - began:.2f} s, "
              f"monitor {vm.qmp_path}")
        for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
            time.sleep(1)
            print(f"acknowledged {vm.acked}")
        vm.order("pause")
        print(vm.rates(), vm.guest_errors, vm.check())


if __name__ == "__main__":
    main()
