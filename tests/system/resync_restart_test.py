# SPDX-License-Identifier: Apache-2.0
"""QEMU was restarted, or lost a bitmap: the store goes on, and only what differs is stored."""

import signal
import subprocess
import time
import unittest

from harm_support import (MIB, HarmTest, Sidecar, Vm, again, end, filled_image, once_is_enough,
                          remove_bitmaps)
from lab import cache


def images(vm):
    """The guest's disks as they are: writes of a killed QEMU are in the page cache or on disk."""
    return [disk.path for disk in vm.disks]


class ResyncTest(HarmTest):
    """A guest whose QEMU can be restarted with the same disks."""

    once = True  # about the store, not about QEMU

    def fill(self, vm, *indexes):
        """Content that must not be stored again; the guest, which was paused, begins to write."""
        for index in indexes:
            filled_image(vm.disks[index].path, vm.disks[index].size, 8 * MIB)
        vm.guest["paused"] = 0
        vm.order("resume")
        vm.wait_more(20)

    def restart(self, vm, disks=None):
        """Kills QEMU and starts it again; the guest goes on from its newest record."""
        if disks:
            vm.disks = disks
            for index, disk in enumerate(disks):
                disk.guest_name = f"vd{'abcdef'[index]}"  # Linux goes by the order
        return vm.restart()

    def resynced(self, sidecar, **fields):
        """Starts the sidecar again and waits until the store was continued."""
        return again(sidecar, resumed=True, **fields)


class Restart(ResyncTest):
    once = True  # about the store, not about QEMU

    def test_same_disks(self):
        with Vm(disks=2, region=4 * MIB, pattern="rand", rate=300, paused=1) as vm:
            self.fill(vm, 0, 1)
            with Sidecar(vm) as sidecar:
                sidecar.wait("protected")
                before = sidecar.wait_generations(3)["generation"]
                vm.order("burst 1")
                end(sidecar)
                vm.wait_more(50)
                self.restart(vm)
                vm.wait_more(20)
                event = self.resynced(sidecar)
                self.assertGreater(event["generation"], before)
                self.assertLess(event["different_bytes"], 12 * MIB, event)
                self.assertTrue(sidecar.find("progress", phase="resync"))
                sidecar.wait_generations(2)
                self.assert_replica(vm, sidecar)
                self.assert_nothing_left(vm)

    @once_is_enough
    def test_what_wants_the_latest_meanwhile_is_told_to_wait(self):
        with Vm(disks=1, region=4 * MIB, paused=1) as vm:
            filled_image(vm.disks[0].path, 64 * MIB, 8 * MIB)
            with Sidecar(vm) as sidecar:
                sidecar.wait("protected")
                end(sidecar)
                self.restart(vm)
                slow = vm.work / "slow.conf"
                slow.write_text("[protect]\nobjective = optimal\n[optimal]\nrate-mib-s = 1\n")
                sidecar.options["config"] = slow
                again(sidecar, "progress", phase="resync")
                done = subprocess.run([cache.built("qheal"), "restore", "--store", sidecar.store,
                                       "--output", vm.work / "out.raw"], capture_output=True,
                                      text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn("being compared", done.stderr)
                end(sidecar)

    @once_is_enough
    def test_what_the_replica_has_is_served_while_protection_cannot_begin(self):
        with Vm(disks=1, region=4 * MIB) as vm, Sidecar(vm) as sidecar:
            sidecar.wait("protected")
            self.assertEqual(sidecar.command("points", "--create", "old")[0], 0)
            end(sidecar, signal.SIGTERM)
            target = vm.work / "mirror.raw"
            filled_image(target, vm.disks[0].size, 0)
            vm.qmp("blockdev-add", driver="raw", **{"node-name": "target"},
                   file={"driver": "file", "filename": str(target)})
            vm.qmp("blockdev-mirror", {"job-id": "owner"}, device=vm.disks[0].node, target="target",
                   sync="full", speed=1)
            again(sidecar, "degraded")
            status, _, said = sidecar.command("restore", "--output", vm.work / "out.raw")
            self.assertEqual(status, 0, said)
            status, _, said = sidecar.command("points", "--create", "new")
            self.assertEqual(status, 1, said)
            self.assertIn("not protected yet", said)
            self.assertEqual(sidecar.command("points", "--delete", "old")[0], 0)
            since = len(sidecar.events)
            vm.qmp("job-cancel", id="owner")
            sidecar.wait("protected", since=since, timeout=60)
            self.assertEqual(sidecar.command("points", "--create", "new")[0], 0)

    @once_is_enough
    def test_unchanged_disk_costs_nothing(self):
        with Vm(disks=1, region=4 * MIB, paused=1) as vm:
            filled_image(vm.disks[0].path, 64 * MIB, 8 * MIB)
            with Sidecar(vm) as sidecar:
                sidecar.wait("protected")
                end(sidecar)
                self.restart(vm)
                event = self.resynced(sidecar)
                self.assertEqual(event["different_bytes"], 0)
                self.assertEqual(event["bytes"], 0)

    def test_restarted_twice_and_the_store_is_old(self):
        with Vm(disks=1, region=4 * MIB, pattern="rand", rate=300) as vm, Sidecar(vm) as sidecar:
            sidecar.wait("protected")
            end(sidecar)
            for _ in range(2):
                vm.wait_more(200)
                self.restart(vm)
            vm.wait_more(20)
            self.resynced(sidecar)
            self.assert_replica(vm, sidecar)

    @once_is_enough
    def test_disk_written_while_no_qemu_ran(self):
        with Vm(disks=1, region=4 * MIB, paused=1) as vm:
            filled_image(vm.disks[0].path, 64 * MIB, 8 * MIB)
            with Sidecar(vm) as sidecar:
                sidecar.wait("protected")
                end(sidecar)
                vm.kill()
                for what in ("write -P 7 20M 1M", "write -z -u 30M 2M", "write -P 9 40000256 512"):
                    subprocess.run(["qemu-io", "-f", "raw", "-c", what, str(vm.disks[0].path)],
                                   check=True, capture_output=True)
                self.restart(vm)
                event = self.resynced(sidecar)
                self.assertGreaterEqual(event["different_bytes"], 3 * MIB)
                self.assertLess(event["different_bytes"], 4 * MIB)
                end(sidecar, 15)
                vm.kill()
                self.assertEqual(subprocess.run(["cmp", str(vm.disks[0].path),
                                                 str(sidecar.heads()[0])], check=False).returncode, 0)

    @once_is_enough
    def test_disk_that_was_rolled_back(self):
        with Vm(disks=1, region=4 * MIB, pattern="rand", rate=300) as vm, Sidecar(vm) as sidecar:
            sidecar.wait("protected")
            vm.order("pause")
            old = vm.work / "old.raw"
            subprocess.run(["cp", "--sparse=always", str(vm.disks[0].path), str(old)], check=True)
            vm.order("resume")
            vm.wait_more(500)
            sidecar.wait_generations(1)
            end(sidecar)
            vm.kill()
            subprocess.run(["cp", "--sparse=always", str(old), str(vm.disks[0].path)], check=True)
            vm.guest["paused"] = 1
            self.restart(vm)
            self.resynced(sidecar)
            end(sidecar, 15)
            vm.kill()
            self.assertEqual(subprocess.run(["cmp", str(old), str(sidecar.heads()[0])],
                                            check=False).returncode, 0)

    def test_one_bitmap_was_removed_by_hand(self):
        with Vm(disks=2, region=4 * MIB, pattern="rand", rate=300, paused=1) as vm:
            self.fill(vm, 0)
            with Sidecar(vm) as sidecar:
                sidecar.wait("protected")
                end(sidecar, 15)
                for bitmap in vm.qmp("query-block")[1]["inserted"]["dirty-bitmaps"]:
                    vm.qmp("block-dirty-bitmap-remove", node=vm.disks[1].node, name=bitmap["name"])
                vm.wait_more(100)
                event = self.resynced(sidecar)
                total = sidecar.find("progress", phase="resync")[-1]["total"]
                self.assertEqual(total, vm.disks[1].size)
                self.assertLess(event["different_bytes"], 6 * MIB)
                sidecar.wait_generations(2)
                self.assert_replica(vm, sidecar)
                self.assert_nothing_left(vm)

    def test_bitmap_was_removed_beside_the_running_sidecar(self):
        with Vm(disks=1, region=4 * MIB, pattern="rand", rate=300) as vm, \
                Sidecar(vm, interval=1500) as sidecar:
            sidecar.wait("protected")
            since = len(sidecar.events)
            sidecar.wait("generation", since=since)  # the next is more than a second away
            time.sleep(0.3)
            remove_bitmaps(vm)
            sidecar.wait("protected", since=since, resumed=True)
            sidecar.wait_generations(1)
            self.assert_replica(vm, sidecar)


class Interrupted(ResyncTest):
    once = True  # about the store, not about QEMU

    def test_killed_in_the_middle(self):
        with Vm(disks=2, region=4 * MIB, pattern="rand", rate=300, paused=1) as vm:
            self.fill(vm, 0)
            with Sidecar(vm) as sidecar:
                sidecar.wait("protected")
                end(sidecar)
                self.restart(vm)
                for delay in (0.05, 0.1, 0.2, 0.3):
                    sidecar.start()
                    time.sleep(delay)
                    end(sidecar)
                self.resynced(sidecar)
                sidecar.wait_generations(2)
                self.assert_replica(vm, sidecar)
                self.assert_nothing_left(vm)

    def test_disk_fails_writes_after_the_restart(self):
        with Vm(disks=2, region=4 * MIB, pattern="rand", rate=300) as vm, Sidecar(vm) as sidecar:
            sidecar.wait("protected")
            end(sidecar)
            vm.wait_more(100)
            self.restart(vm)
            vm.wait_more(20)
            vm.fail(0, "write")
            recovered = again(sidecar, "recovered", strategy="pivot")
            vm.wait_more(100)
            vm.order("pause")
            checked = images(vm)
            checked[0] = recovered["image"]["path"]
            verdict = vm.check(checked, at_least=vm.acked)
            self.assertTrue(verdict["consistent"], verdict)
            self.assertEqual((verdict["lost"], vm.guest_errors), (0, []))

    def test_disk_that_cannot_be_read_is_not_recovered_to_an_old_state(self):
        with Vm(disks=1, region=4 * MIB, pattern="rand", rate=300) as vm, \
                Sidecar(vm, on_loss="rollback") as sidecar:
            sidecar.wait("protected")
            end(sidecar)
            vm.wait_more(100)
            self.restart(vm)
            vm.fail(0, "all")
            since = len(sidecar.events)
            sidecar.start().wait("degraded", since=since)
            time.sleep(2)
            self.assertEqual(sidecar.find("recovery", since), [])
            self.assertEqual(vm.status(), "io-error")
            vm.repair(0)
            vm.qmp("cont")
            sidecar.wait("protected", since=since, resumed=True)
            self.assert_replica(vm, sidecar)


if __name__ == "__main__":
    unittest.main()
