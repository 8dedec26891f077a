# SPDX-License-Identifier: Apache-2.0
"""A disk is dead whole: the newest writes cannot be read, and --on-loss decides, aloud."""

import time
import unittest

from fault_support import BLOCK_BYTES, Disk, FaultCase, heads_of, loaded, store_copy

DISKS = 2
BOOT_S = 90  # on a machine that does a lot else


class Dead(FaultCase):
    def guest(self):
        return loaded(disks=DISKS, pattern="seq", rate=1000)

    def lost_bytes(self, vm, kept, failed):
        """The blocks that the records after `kept` dirtied, counted as the bitmap does.

        The newest of all, which was never acknowledged, may be among them or not.
        """
        slots = vm.guest["region"] // vm.guest["size"]
        sums = []
        for last in (failed, failed + 1):
            blocks = {((n - 1) % DISKS, (n - 1) // DISKS % slots * vm.guest["size"] // BLOCK_BYTES)
                      for n in range(kept + 1, last + 1)}
            sums.append(len(blocks) * BLOCK_BYTES)
        return sums

    def die(self, vm, sidecar):
        """A moment after a generation, so that there is something to lose."""
        sidecar.wait_generations(1)
        time.sleep(0.15)
        vm.fail(0, "dead")
        sidecar.wait("fault")
        vm.qmp.wait_event("STOP")

    def test_hold_leaves_everything_as_it_is(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, interval=500, generations=1, on_loss="hold")
            self.die(vm, sidecar)
            failed = sidecar.wait("recovery-failed", strategy="pivot")  # `optimal` resumes first
            acked = vm.acked
            self.assertEqual(failed["next"], "hold")
            self.assertIn("vda", failed["reason"])
            self.assertEqual(sidecar.find("recovery")[-1]["strategy"], "hold")
            time.sleep(0.5)
            self.assertEqual(vm.status(), "io-error")
            self.assertEqual((vm.acked, vm.guest_errors), (acked, []))
            self.assertEqual(sidecar.find("recovered"), [])
            self.assertEqual(sidecar.status()["state"], "held")
            self.assertIsNone(sidecar.process.poll())
            roots = [disk["inserted"]["node-name"] for disk in vm.qmp("query-block")]
            self.assertEqual(roots, ["d0", "d1"])
            # The own images have all, the replica its last generation.
            self.nothing_lost(vm, [disk.path for disk in vm.disks])
            generation = sidecar.status()["generation"]
            copy, opened = store_copy(sidecar.store, vm.work / "copy")
            self.assertEqual(opened, generation)
            self.assertTrue(vm.check(heads_of(copy, vm), acked=0)["consistent"])
            self.assertEqual(sidecar.stop(), 0)
            self.assertEqual(vm.status(), "io-error")

    def test_rollback_resets_the_guest_to_the_last_generation(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, interval=500, generations=1, on_loss="rollback")
            since = len(vm.console.lines)
            self.die(vm, sidecar)
            recovered = sidecar.wait("recovered")
            self.assertEqual(recovered["strategy"], "rollback")
            failed, = sidecar.find("recovery-failed", strategy="pivot")
            self.assertEqual(failed["next"], "rollback")
            vm.qmp.wait_event("RESET")
            vm.console.wait("READY", BOOT_S, since)
            vm.wait_more(50)
            self.goes_on_from_the_generation(vm, sidecar, recovered)

    def goes_on_from_the_generation(self, vm, sidecar, recovered):
        acked, kept = vm.acks.before_boot, vm.acks.boots[-1]
        self.assertEqual(len(vm.acks.boots), 2)
        self.assertLess(kept, acked, "nothing was lost: the test proves nothing")
        # Blocks, and a few that changed while the point was frozen count twice: a bound.
        expected = self.lost_bytes(vm, kept, acked)
        self.assertGreaterEqual(recovered["lost_bytes"], min(expected))
        self.assertLessEqual(recovered["lost_bytes"], max(expected) + 8 * BLOCK_BYTES)
        announced = sidecar.find("recovery", strategy="rollback")[-1]
        self.assertEqual(announced["predicted_loss_bytes"], recovered["lost_bytes"])
        self.assertEqual({image["disk"] for image in recovered["images"]}, {"vda", "vdb"})
        self.assertEqual(recovered["generation"], sidecar.find("generation")[-1]["generation"])
        vm.order("pause")
        # The heads are what it was rolled back to, the images what it made of them since.
        verdict = vm.check(heads_of(sidecar.store, vm), acked=acked)
        self.assertTrue(verdict["consistent"], verdict)
        self.assertEqual((verdict["n"], verdict["lost"]), (kept, acked - kept))
        self.nothing_lost(vm, self.images(vm, recovered))
        self.assertEqual(sidecar.status()["state"], "recovered")

    def test_dead_disk_with_nothing_to_lose_costs_nothing(self):
        with loaded(disks=2, until=300, mix=50) as vm:
            sidecar = self.protect(vm, generations=0)
            vm.wait_ack(300)
            sidecar.wait_caught_up()
            vm.fail(0, "dead")
            sidecar.wait("recovered", strategy="pivot")
            vm.order("until 0")
            self.survived(vm, sidecar, [0], kind=None)

    def test_server_behind_the_disk_is_killed(self):
        """A disk given by -drive, on a server that dies: reads and writes fail at once."""
        with loaded([Disk(nbdkit=True, style="drive"), Disk()], rate=1000) as vm:
            sidecar = self.protect(vm, interval=500, generations=1, on_loss="rollback")
            since = len(vm.console.lines)
            sidecar.wait_generations(1)
            time.sleep(0.1)
            vm.disks[0].kill()
            recovered = sidecar.wait("recovered", strategy="rollback")
            vm.console.wait("READY", BOOT_S, since)
            vm.wait_more(50)
            vm.order("pause")
            self.assertGreater(recovered["lost_bytes"], 0)
            self.nothing_lost(vm, self.images(vm, recovered))


if __name__ == "__main__":
    unittest.main()
