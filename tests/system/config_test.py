# SPDX-License-Identifier: Apache-2.0
"""The configuration file: all that is wrong at once and nothing started; the guest's own file; what
[optimal] bounds."""

import os
import pathlib
import subprocess
import tempfile
import time
import unittest
from unittest import mock

from fault_support import MIB, FaultCase, filled_image, loaded
from lab import cache
from lab.disk import Disk

WRONG = """[protect]
interval = soon
colour = blue
[limits]
backoff-s = 50
backoff-max-s = 20
[somewhere]
x = 1
"""


class Config(FaultCase):
    once = True  # about a file, not about QEMU

    def file(self, vm, text, name="guest.conf"):
        path = vm.work / name
        path.write_text(text)
        return path

    def refused(self, vm, *words, **environment):
        done = subprocess.run([cache.built("qheal"), "protect", "--qmp", vm.qmp_path, "--store",
                               vm.work / "store", *words], capture_output=True, text=True,
                              timeout=60, check=False, env={**os.environ, **environment})
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, "")
        for place, what in (("guest.conf:2:", "interval"), ("guest.conf:3:", "colour"),
                            ("guest.conf:6:", "backoff-s (50) is more than backoff-max-s (20)"),
                            ("guest.conf:8:", "somewhere")):
            self.assertTrue(any(place in line and what in line
                                for line in done.stderr.splitlines()), done.stderr)
        self.assertFalse((vm.work / "store").exists())
        self.assertEqual([node["node-name"] for node in vm.qmp("query-named-block-nodes", flat=True)
                          if node["node-name"].startswith("qheal")], [])

    def test_everything_wrong_is_told_at_once_and_nothing_is_started(self):
        with loaded(disks=1) as vm:
            path = self.file(vm, WRONG)
            self.refused(vm, "--config", path)
            self.refused(vm, QHEAL_CONFIG_DIR=str(vm.work))  # the guest's name is "guest"

    def test_the_guests_own_file_is_read_and_the_command_line_goes_before_it(self):
        with loaded(disks=2) as vm:
            self.file(vm, "[protect]\ninterval = 700\nobjective = optimal\ndisk = vdb\n")
            with mock.patch.dict(os.environ, {"QHEAL_CONFIG_DIR": str(vm.work)}):
                sidecar = self.protect(vm, interval=150)
                status = sidecar.status()
                self.assertEqual((status["interval_ms"], status["objective"]), (150, "optimal"))
                self.assertEqual([disk["name"] for disk in status["disks"]], ["vdb"])

    def test_a_first_copy_under_optimal_takes_its_time(self):
        with tempfile.TemporaryDirectory(dir=os.environ.get("QHEAL_WORK", "/var/tmp")) as work:
            image = filled_image(pathlib.Path(work) / "full.raw", 24 * MIB, 8 * MIB)
            with loaded([Disk(size=24 * MIB, path=image)], rate=10) as vm:
                path = self.file(vm, "[protect]\nobjective = optimal\n[optimal]\nrate-mib-s = 4\n",
                                 "slow.conf")
                start = time.monotonic()
                sidecar = self.protect(vm, generations=0, config=path)
                protected = sidecar.find("protected")[0]
                self.assertGreaterEqual(protected["bytes"], 16 * MIB)
                self.assertGreaterEqual(time.monotonic() - start,
                                        0.9 * protected["bytes"] / (4 * MIB))


if __name__ == "__main__":
    unittest.main()
