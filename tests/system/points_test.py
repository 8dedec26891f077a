# SPDX-License-Identifier: Apache-2.0
"""`qheal points` beside a running sidecar and without one, and the points a sidecar takes itself."""

import json
import unittest

from lab.cache import until
from lab.sidecar import Sidecar
from lab.vm import Vm

MIB = 1 << 20


class Points(unittest.TestCase):
    once = True  # the path of a point's data, not QEMU's

    def listed(self, sidecar):
        code, out, err = sidecar.command("points", "--json")
        self.assertEqual(code, 0, err)
        return json.loads(out)["points"]

    def restored(self, vm, sidecar, point):
        """The checker's verdict on the images of a point."""
        images = []
        for disk in vm.disks:
            images.append(vm.work / f"{point}-{disk.id}.raw")
            code, _, err = sidecar.command("restore", "--disk", disk.id, "--point", point,
                                           "--output", images[-1])
            self.assertEqual(code, 0, err)
        return vm.check(images, acked=0)

    def test_points_by_hand(self):
        """Taken now: all that was acknowledged before is in it; whether a sidecar runs or not."""
        with Vm(2, region=2 * MIB, pattern="rand", rate=500) as vm, Sidecar(vm) as sidecar:
            sidecar.wait("protected")
            vm.wait_ack(100)
            acked = vm.acked
            code, out, err = sidecar.command("points", "--create", "first", "--json")
            self.assertEqual((code, err), (0, ""))
            self.assertEqual(json.loads(out)["name"], "first")
            self.assertEqual(sidecar.wait("point", id=json.loads(out)["id"])["automatic"], False)
            code, out, err = sidecar.command("points", "--create", "first")
            self.assertEqual((code, out), (1, ""))
            self.assertIn("first", err)
            for name in ("latest", "17", "a/b", ".x", "x" * 64):
                code, _, err = sidecar.command("points", "--create", name)
                self.assertEqual((code, "name" in err), (1, True), err)
            self.assertEqual(sidecar.command("points", "--create")[0], 0)
            sidecar.wait_generations(3)
            self.assertEqual(sidecar.stop(), 0)
            self.assertEqual(sidecar.command("points", "--create", "alone")[0], 0)
            names = [point["name"] for point in self.listed(sidecar)]
            self.assertEqual((len(names), names[0], names[2]), (3, "first", "alone"))
            verdicts = [self.restored(vm, sidecar, name) for name in ("first", "alone")]
            self.assertTrue(all(each["consistent"] for each in verdicts), verdicts)
            self.assertGreaterEqual(verdicts[0]["n"], acked)
            self.assertGreater(verdicts[1]["n"], verdicts[0]["n"])
            self.assertEqual(sidecar.command("points", "--delete", names[1])[0], 0)
            code, _, err = sidecar.command("points", "--delete", names[1])
            self.assertEqual((code, "no point" in err), (1, True), err)
            self.assertEqual([point["name"] for point in self.listed(sidecar)], ["first", "alone"])
            self.assertEqual(vm.guest_errors, [])

    def test_retention_keeps_the_last_and_those_by_hand(self):
        with Vm(1, region=2 * MIB, rate=500) as vm, \
                Sidecar(vm, keep="last=2", point_every=1) as sidecar:
            sidecar.wait("protected")
            self.assertEqual(sidecar.command("points", "--create", "mine")[0], 0)
            sidecar.wait("point-deleted", count=2, why="retention")
            self.assertIn("mine", [point["name"] for point in self.listed(sidecar)])
            until(lambda: sum(point["automatic"] for point in self.listed(sidecar)) <= 3,
                  "only the last are kept")
            self.assertEqual(sidecar.command("points", "--delete", "mine")[0], 0)
            self.assertEqual(sidecar.wait("point-deleted", why="asked")["name"], "mine")
            space = sidecar.status()["space"]
            self.assertGreater(space["heads"], 0)
            self.assertGreater(space["fs_free"], 0)
            self.assertGreaterEqual(space["points_count"], 2)

    def test_below_the_reserve_automatic_points_go(self):
        """A reserve of 90 % is more than any disk in use has: what is automatic goes, no more."""
        with Vm(1, region=2 * MIB, rate=500) as vm, \
                Sidecar(vm, keep="last=50", point_every=1) as sidecar:
            sidecar.wait("point", automatic=True, count=3)
            self.assertEqual(sidecar.command("points", "--create", "mine")[0], 0)
            sidecar.stop()
            sidecar.options["reserve"] = 90
            space = sidecar.status()["space"]
            if space["fs_free"] >= space["fs_size"] * 0.89:
                self.skipTest("the disk is nearly empty")
            since = len(sidecar.events)
            sidecar.start()
            sidecar.wait("point-deleted", since=since, count=3, why="space")
            self.assertIn("mine", [point["name"] for point in self.listed(sidecar)])


if __name__ == "__main__":
    unittest.main()
