# SPDX-License-Identifier: Apache-2.0
"""Drills: one fault after the other."""

import unittest

from fault_support import FaultCase, loaded

DISKS = 12
FLAP_LIMIT = 10  # the default: so many recoveries in ten minutes, then an operator's turn


class Sequence(FaultCase):
    once = True  # about the policy, not about QEMU
    timeout_s = 240

    def test_many_disks_in_a_row_end_in_a_named_state(self):
        """Each is recovered without loss, until the flap limit says that repairing does not
        repair. The guest is left paused then, with all its data."""
        with loaded(disks=DISKS, region=1 << 20) as vm:
            sidecar = self.protect(vm)
            for index in range(FLAP_LIMIT):
                vm.fail(index, "write")
                sidecar.wait("recovered", strategy="pivot", count=index + 1, timeout=60)
                vm.wait_more(DISKS)
            vm.fail(FLAP_LIMIT, "write")
            hold = sidecar.wait("recovery", strategy="hold", timeout=60)
            self.assertIn("flap limit", hold["why"])
            self.assertEqual(sidecar.status()["state"], "held")
            self.assertEqual(vm.status(), "io-error")
            vm.fail(FLAP_LIMIT + 1, "write")  # while it stands still: nothing happens
            self.assertEqual(len(sidecar.find("recovered", strategy="pivot")), FLAP_LIMIT)
            self.assertEqual(sum(event["lost_bytes"] for event in sidecar.find("recovered")), 0)
            self.nothing_lost(vm, self.images(vm, *sidecar.find("recovered", strategy="pivot")))


if __name__ == "__main__":
    unittest.main()
