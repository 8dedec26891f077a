# SPDX-License-Identifier: Apache-2.0
"""What comes after a recovery, or after one that failed."""

import json
import subprocess
import unittest

from fault_support import MIB, FaultCase, loaded


class Recovered(FaultCase):
    def test_it_ends_when_qemu_is_killed(self):
        with loaded(disks=2) as vm:
            sidecar = self.protect(vm)
            vm.fail(0, "write")
            sidecar.wait("recovered", strategy="pivot")
            vm.process.kill()
            self.assertEqual(sidecar.process.wait(5), 1)
            sidecar.wait("fault", kind="qemu-exit")

    def test_the_other_disk_fails_after_a_restart_of_the_sidecar(self):
        with loaded(disks=2) as vm:
            first = self.protect(vm)
            vm.fail(0, "write")
            moved = first.wait("recovered", strategy="pivot")
            vm.wait_more(100)
            first.stop(9)
            since = len(first.events)
            second = first.start()
            second.wait("degraded", since=since)
            vm.fail(1, "write")
            again = second.wait("recovered", strategy="pivot", since=since)
            vm.wait_more(100)
            vm.order("pause")
            self.assertEqual([image["disk"] for image in again["images"]], ["vdb"])
            self.nothing_lost(vm, self.images(vm, moved, again))

    def test_an_overlay_that_a_killed_sidecar_left_is_closed(self):
        """It died between opening it and the swap: the next pivot has the same name for it."""
        with loaded(disks=2) as vm:
            sidecar = self.protect(vm, interval=3600000, generations=0)
            generation = sidecar.status()["generation"]
            uuid = json.loads((sidecar.store / "store.json").read_text())["uuid"]
            sidecar.stop(9)
            left = vm.work / "left.qcow2"
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", left, str(64 * MIB)],
                           check=True)
            for number in range(generation, generation + 2):
                vm.qmp("blockdev-add", driver="qcow2", node_name=f"qheal-p0-{uuid[:4]}-{number}",
                       read_only=True, file={"driver": "file", "filename": str(left)})
            since = len(sidecar.events)
            sidecar.start()
            sidecar.wait("attached", since=since)
            vm.fail(0, "write")
            moved = sidecar.wait("recovered", since=since, strategy="pivot")
            vm.wait_more(50)
            vm.order("pause")
            self.nothing_lost(vm, self.images(vm, moved))


class Held(FaultCase):
    def held(self, vm):
        """The newest writes cannot be read, and --on-loss is hold."""
        sidecar = self.protect(vm, interval=3600000, generations=0)
        vm.wait_more(50)
        vm.fail(0, "all")
        sidecar.wait("recovery-failed", next="hold")
        return sidecar

    def test_every_cont_is_a_new_attempt(self):
        """It reads again, still fails writes: the guest stops at once, and is recovered."""
        with loaded(disks=2) as vm:
            sidecar = self.held(vm)
            vm.qmp("cont")
            sidecar.wait("recovery-failed", next="hold", count=2)
            self.assertEqual(sidecar.status()["state"], "held")
            vm.repair(0)
            vm.fail(0, "write")
            vm.qmp("cont")
            moved = sidecar.wait("recovered", strategy="pivot")
            vm.wait_more(100)
            vm.order("pause")
            self.nothing_lost(vm, self.images(vm, moved))

    def test_it_ends_when_qemu_is_killed(self):
        with loaded(disks=2) as vm:
            sidecar = self.held(vm)
            vm.process.kill()
            self.assertEqual(sidecar.process.wait(5), 1)


if __name__ == "__main__":
    unittest.main()
