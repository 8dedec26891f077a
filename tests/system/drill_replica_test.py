# SPDX-License-Identifier: Apache-2.0
"""Drills: the replica's own disk fails or fills. The guest is not touched."""

import contextlib
import os
import unittest

from fault_support import FaultCase, fill, loaded, small_file_system


class Replica(FaultCase):
    once = True  # about the store, not about QEMU

    def test_a_full_store_is_told_and_protection_comes_back_with_the_room(self):
        with contextlib.ExitStack() as stack:
            vm = stack.enter_context(loaded(disks=2))
            small = stack.enter_context(small_file_system(vm.work / "small", 200))
            sidecar = self.protect(vm, store=small / "store")
            fill(small, 0)
            vm.order("burst 24")
            fault = sidecar.wait("fault", kind="replica-error", timeout=60)
            self.assertEqual((fault["resource"], fault["cause"]), ("store", "full"))
            self.assertEqual(sidecar.wait("recovery")["strategy"], "hold")
            sidecar.wait("degraded")
            vm.wait_more(100)
            self.assertEqual((vm.status(), vm.guest_errors), ("running", []))
            since = len(sidecar.events)
            os.unlink(small / "filler")
            sidecar.wait("protected", since=since, timeout=60)
            # It is told again when it comes again.
            fill(small, 0)
            vm.order("burst 24")
            sidecar.wait("fault", kind="replica-error", since=since, timeout=60)
            os.unlink(small / "filler")
            vm.order("pause")
            self.nothing_lost(vm, [disk.path for disk in vm.disks])


if __name__ == "__main__":
    unittest.main()
