# SPDX-License-Identifier: Apache-2.0
"""`qheal points --create --quiesce`: the guest's file systems are frozen around the capture."""

import unittest

from lab.sidecar import Sidecar
from lab.vm import Vm

MIB = 1 << 20


class Refused(unittest.TestCase):
    def test_without_an_agent_no_point_is_taken(self):
        """One that is not quiesced is no substitute: whoever asked would rely on it."""
        with Vm(1, region=2 * MIB, rate=200) as vm, Sidecar(vm) as sidecar:
            sidecar.wait("protected")
            code, out, err = sidecar.command("points", "--create", "still", "--quiesce")
            self.assertEqual((code, out), (1, ""))
            self.assertIn("--agent", err)
            self.assertEqual(sidecar.command("points")[1], "no points yet\n")
            self.assertEqual(sidecar.stop(), 0)
            code, out, err = sidecar.command("points", "--create", "still", "--quiesce")
            self.assertEqual((code, out), (1, ""))
            self.assertIn("--quiesce needs the sidecar", err)
            self.assertEqual(sidecar.command("points")[1], "no points yet\n")


if __name__ == "__main__":
    unittest.main()
