# SPDX-License-Identifier: Apache-2.0
"""`qheal plan` before a fault and `qheal incidents` after it tell what really was done."""

import json
import unittest

from fault_support import FaultCase, loaded
from lab.cache import until


class Incidents(FaultCase):
    once = True  # about what is told, not about QEMU

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
            # The event is told first, and the file takes a flush.
            incident = until(lambda: self.told(sidecar, "incidents")["incidents"][-1:],
                             "the incident is written")[0]
            self.assertEqual(incident["outcome"]["result"], "held")

    def test_plan_and_earnest_agree(self):
        devices = ["-device", "pvpanic", "-action", "panic=pause"]
        with loaded(disks=2, extra=devices) as vm:
            # No cycles: the `cont` of one could let a guest go on that panicked just now.
            sidecar = self.protect(vm, interval=3600000, generations=0)
            plan = self.told(sidecar, "plan")
            self.assertTrue(plan["sidecar"])
            row = self.planned(sidecar, "guest-panic", "panic")
            disks, = [row for row in plan["plan"] if row["case"] == "writes fail, reads go"]
            self.assertEqual(disks["resources"], ["vda", "vdb"])
            said = len(vm.console.lines)
            vm.order("panic")
            recovery = sidecar.wait("recovery")
            self.assertEqual((recovery["strategy"], recovery["predicted_loss_bytes"]),
                             (row["strategy"], row["predicted_loss_bytes"]))
            sidecar.wait("recovered", strategy=row["strategy"])
            # In earnest it is known what has passed; the rest is what was planned.
            incident = self.told(sidecar, "incidents")["incidents"][-1]
            passed_ms = incident["decisions"][0]["facts"]["elapsed_us"] / 1e3
            detect, = [step["ms"] for step in row["steps"] if step["name"] == "detect"]
            self.assertGreater(passed_ms, 0)
            self.assertAlmostEqual(recovery["predicted_downtime_ms"] - passed_ms,
                                   row["predicted_downtime_ms"] - detect, places=3)
            sidecar.wait("well", 120, strategy=row["strategy"])
            vm.console.wait("READY", 90, said)
            # Once more, and what has been done counts.
            since = len(sidecar.events)
            vm.order("panic")
            sidecar.wait("recovered", since=since, strategy="reset")
            row = self.planned(sidecar, "guest-panic", "panic")
            self.assertNotEqual(row["strategy"], "reset")

    def test_without_a_sidecar_nothing_would_be_done(self):
        with loaded(disks=1) as vm:
            sidecar = self.protect(vm)
            sidecar.stop()
            plan = self.told(sidecar, "plan")
            self.assertFalse(plan["sidecar"])
            self.assertEqual({row["strategy"] for row in plan["plan"]}, {"hold"})


if __name__ == "__main__":
    unittest.main()
