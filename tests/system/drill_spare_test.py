# SPDX-License-Identifier: Apache-2.0
"""Drills: after a pivot the guest moves on to a spare, and is protected again."""

import os
import pathlib
import subprocess
import time
import unittest

from fault_support import MIB, Disk, FaultCase, loaded


class Spare(FaultCase):
    """Every test: no pause of the guest but that of the pivot, no error in it, nothing lost."""

    def spare_of(self, vm):
        spare = vm.work / "spare"
        spare.mkdir(exist_ok=True)
        return spare

    def moved(self, vm, sidecar, since, disk="vda"):
        """It lives on the spare and is protected anew; the image."""
        recovered = sidecar.wait("recovered", strategy="mirror", since=since, timeout=60)
        self.assertEqual((recovered["image"]["disk"], recovered["image"]["format"],
                          recovered["lost_bytes"]), (disk, "raw", 0))
        again = sidecar.wait("protected", since=sidecar.events.index(recovered), timeout=60)
        self.assertTrue(again["resumed"])
        return pathlib.Path(recovered["image"]["path"])

    def right(self, vm, sidecar, images, more=100):
        """The guest's disks, and then the replica, have everything."""
        vm.wait_more(more)
        self.assertEqual(vm.status(), "running")
        vm.order("pause")
        self.nothing_lost(vm, images)
        sidecar.stop()
        verdict = vm.check(sidecar.heads(), at_least=1)
        self.assertTrue(verdict["consistent"], verdict)
        code, out, _ = sidecar.command("verify", "--json")
        self.assertEqual(code, 0, out)
        names = [node["node-name"] for node in vm.qmp("query-named-block-nodes", flat=True)]
        self.assertFalse([name for name in names if name.startswith("qheal-p")])
        self.assertEqual(vm.qmp("query-jobs"), [])


class Reprotect(Spare):
    def test_the_guest_moves_to_the_spare_and_is_protected_again(self):
        for objective in ("fast", "optimal"):
            with self.subTest(objective), loaded(disks=2) as vm:
                spare = self.spare_of(vm)
                sidecar = self.protect(vm, spare=spare, objective=objective)
                vm.fail(0, "write")
                pivot = sidecar.wait("recovered", strategy="pivot")
                image = self.moved(vm, sidecar, sidecar.events.index(pivot))
                self.assertEqual(sidecar.find("recovery", strategy="mirror")[0]["objective"],
                                 objective)
                self.assertTrue(sidecar.find("progress", phase="mirror"))
                sidecar.wait_generations(3)
                self.assertEqual(sidecar.status()["state"], "protected")
                self.assertFalse(pathlib.Path(pivot["image"]["path"]).exists())
                # And the next fault is answered like the first.
                since = len(sidecar.events)
                vm.fail(1, "write")
                sidecar.wait("recovered", strategy="pivot", since=since)
                second = self.moved(vm, sidecar, since, "vdb")
                self.assertEqual(sorted(spare.iterdir()), sorted([image, second]))
                self.right(vm, sidecar, [image, second])


if __name__ == "__main__":
    unittest.main()
