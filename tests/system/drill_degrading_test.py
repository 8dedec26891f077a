# SPDX-License-Identifier: Apache-2.0
"""Drill: a disk gets slower and slower, and is told of before it fails. Two minutes, most of them to
learn what is usual."""

import unittest

from fault_support import FaultCase, loaded
from lab.cache import until


class Degrading(FaultCase):
    once = True  # about what is measured, not about QEMU
    alone = True  # what is usual is measured
    timeout_s = 420

    def health(self, sidecar, index=0):
        return sidecar.status()["health"]["disks"][index]

    def wait_usual(self, sidecar, timeout=300):
        """Until the sidecar knows what the disk usually takes."""
        until(lambda: "usual_ms" in self.health(sidecar), "something is usual", timeout, every=1)
        return self.health(sidecar)

    def test_a_disk_that_gets_slower_is_told_of_before_it_fails(self):
        with loaded(disks=2, rate=100) as vm:
            sidecar = self.protect(vm, interval=1000)
            usual_ms = self.wait_usual(sidecar)["usual_ms"]
            self.assertEqual(sidecar.find("fault"), [])
            # 50 ms for what took one or so; more where the host's disk is slow itself.
            vm.disks[0].slow(vm.qmp, max(1, min(20, int(1000 / (6 * usual_ms)))))
            fault = sidecar.wait("fault", timeout=240, kind="disk-degrading")
            self.assertEqual((fault["resource"], fault["cause"], fault["warning"]),
                             ("vda", "slower", True))
            now = self.health(sidecar)
            self.assertTrue(now["slower"])
            self.assertGreater(now["ratio"], 2)
            # There is no spare: nothing is done but to tell, and the guest goes on.
            self.assertEqual(sidecar.wait("recovery")["strategy"], "hold")
            self.assertEqual(sidecar.find("recovered"), [])
            vm.wait_more(20)
            # Then it fails, and is recovered from as any other; the new disk begins anew.
            since = len(sidecar.events)
            vm.fail(0, "write")
            sidecar.wait("recovered", since=since, strategy="pivot")
            vm.wait_more(50)
            until(lambda: not self.health(sidecar)["slower"], "it is not slower", every=0.2)
            self.assertNotIn("usual_ms", self.health(sidecar))
            self.assertEqual(vm.guest_errors, [])


if __name__ == "__main__":
    unittest.main()
