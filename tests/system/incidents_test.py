# SPDX-License-Identifier: Apache-2.0
"""`qheal plan` before a fault and `qheal incidents` after it tell what really was done."""

import json
import unittest

from fault_support import FaultCase, loaded


class Incidents(FaultCase):
    def told(self, sidecar, command):
        code, out, err = sidecar.command(command, "--json")
        self.assertEqual((code, err), (0, ""))
        code, text, err = sidecar.command(command)
        self.assertEqual((code, err), (0, ""))
        self.assertTrue(text.strip())
        return json.loads(out)

    def planned(self, sidecar, fault, cause):
        row, = [row for row in self.told(sidecar, "plan")["plan"]
                if (row["fault"], row["cause"]) == (fault, cause)]
        self.assertTrue(all(other["why_not"] for other in row["others"]), row)
        return row

    def test_a_pivot_is_planned_done_and_reported(self):
        with loaded(disks=2) as vm:
            sidecar = self.protect(vm)
            plan = self.planned(sidecar, "disk-write-error", "no-writes")
            self.assertEqual((plan["strategy"], plan["predicted_loss_bytes"]), ("pivot", 0))
            self.assertEqual(self.told(sidecar, "incidents")["incidents"], [])
            vm.fail(1, "write")
            recovered = self.survived(vm, sidecar, [1])
            incident = self.told(sidecar, "incidents")["incidents"][-1]
            self.assertEqual(incident["fault"]["resource"], "vdb")
            self.assertEqual(incident["decisions"][-1]["strategy"], "pivot")
            outcome = incident["outcome"]
            self.assertEqual((outcome["result"], outcome["strategy"], outcome["lost_bytes"]),
                             ("recovered", "pivot", 0))
            self.assertAlmostEqual(outcome["downtime_ms"], recovered["downtime_ms"], places=1)
            self.assertGreater(incident["decisions"][-1]["predicted_downtime_ms"], 0)

    def test_a_dead_disk_is_held_and_reported(self):
        with loaded(disks=1) as vm:
            sidecar = self.protect(vm, interval=3600000, generations=0, on_loss="hold")
            self.assertEqual(self.planned(sidecar, "disk-write-error", "dead")["strategy"], "hold")
            vm.wait_more(50)
            vm.fail(0, "dead")
            sidecar.wait("recovery-failed", next="hold")
            incident = self.told(sidecar, "incidents")["incidents"][-1]
            self.assertEqual(incident["outcome"]["result"], "held")


if __name__ == "__main__":
    unittest.main()
