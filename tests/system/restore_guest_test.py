# SPDX-License-Identifier: Apache-2.0
"""What is restored of a guest that writes at full speed is one consistent state of all its disks."""

import json
import signal
import subprocess
import unittest

from harm_support import HarmTest, Sidecar, Vm, cache


def takes_points():
    done = subprocess.run([str(cache.built("qheal")), "help"], capture_output=True, text=True,
                          check=True)
    return "\n  points " in done.stdout


class Guest(HarmTest):
    once = True  # the path of a point's data, not QEMU's

    def restore(self, vm, sidecar, name, *words):
        return subprocess.run([str(word) for word in (
            cache.built("qheal"), "restore", "--store", sidecar.store, "--all", "--json", "--output",
            vm.work / name, *words)], capture_output=True, text=True, timeout=60, check=False)

    def images(self, vm, name, suffix):
        return [vm.work / name / f"{disk.id}.{suffix}" for disk in vm.disks]

    def test_the_latest_generation_of_a_killed_sidecar(self):
        with Vm(disks=2) as vm:
            with Sidecar(vm, interval=50) as sidecar:
                sidecar.wait("protected", timeout=60)
                for number in range(4):
                    sidecar.wait_generations(5)
                    if not number:
                        acked = vm.acked
                sidecar.stop(signal.SIGKILL)
                generation = sidecar.find("generation")[-1]["generation"]
            for name, suffix, words in (("raw", "raw", []), ("qcow2", "qcow2", ["--format", "qcow2"])):
                done = self.restore(vm, sidecar, name, *words)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertGreaterEqual(json.loads(done.stdout)["generation"], generation)
                verdict = vm.check(self.images(vm, name, suffix), at_least=acked)
                self.assertTrue(verdict["consistent"], verdict)

    def test_the_latest_generation_beside_a_running_sidecar(self):
        if not takes_points():
            self.skipTest("this sidecar takes no points")
        with Vm(disks=2) as vm, Sidecar(vm, interval=50) as sidecar:
            sidecar.wait("protected", timeout=60)
            for turn in range(3):
                sidecar.wait_generations(5)
                acked = vm.acked
                sidecar.wait_generations(3)
                done = self.restore(vm, sidecar, f"turn-{turn}")
                self.assertEqual(done.returncode, 0, done.stderr)
                verdict = vm.check(self.images(vm, f"turn-{turn}", "raw"), at_least=acked)
                self.assertTrue(verdict["consistent"], verdict)
            sidecar.wait_generations(3)

    def test_points_taken_at_full_speed(self):
        if not takes_points():
            self.skipTest("this sidecar takes no points")
        with Vm(disks=2) as vm, Sidecar(vm, interval=50) as sidecar:
            sidecar.wait("protected", timeout=60)
            acked = {}
            for name in ("first", "second", "third"):
                sidecar.wait_generations(5)
                acked[name] = vm.acked
                code, _, err = sidecar.command("points", "--create", name)
                self.assertEqual(code, 0, err)
            sidecar.wait_generations(10)
            for name, at_least in acked.items():
                for suffix in ("raw", "qcow2"):
                    done = self.restore(vm, sidecar, f"{name}-{suffix}", "--point", name, "--format",
                                        suffix)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    verdict = vm.check(self.images(vm, f"{name}-{suffix}", suffix),
                                       at_least=at_least)
                    self.assertTrue(verdict["consistent"], verdict)


if __name__ == "__main__":
    unittest.main()
