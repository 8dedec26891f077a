# SPDX-License-Identifier: Apache-2.0
"""Disks that grew, were added, removed or come in another order: the store follows them."""

import json
import os
import subprocess
import unittest

from harm_support import MIB, Disk, Vm, Sidecar, again, end, once_is_enough, qheal, until
from resync_restart_test import ResyncTest


class DisksTest(ResyncTest):
    once = True  # about the store, not about QEMU

    def assert_same(self, vm, sidecar, tail=True):
        """Guest paused, sidecar ended: heads are the disks, byte for byte."""
        vm.order("pause")
        sidecar.wait_caught_up()
        self.assertEqual(end(sidecar, 15), 0)
        vm.kill()
        for disk in vm.disks:
            done = subprocess.run(["cmp", str(disk.path),
                                   str(sidecar.store / "disks" / disk.id / "head.raw")],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def resize(self, vm, index, size):
        vm.qmp.insist("block_resize", {"node-name": vm.disks[index].node, "size": size})
        vm.disks[index].size = size

    def new_disks(self, vm, disks):
        """For a restart with other disks: those that are new get their place."""
        seen = len(disks)
        for index, disk in enumerate(disks):
            if disk.path is None:
                disk.place(index, f"vd{'abcdef'[index]}", vm.work)
        self.assertEqual(len(disks), seen)
        return disks


class Growth(DisksTest):
    once = True  # about the store, not about QEMU

    def test_beside_the_sidecar(self):
        with Vm([Disk(size=64 * MIB), Disk(size=16 * MIB + 512)], region=4 * MIB, pattern="rand",
                rate=300) as vm, Sidecar(vm) as sidecar:
            sidecar.wait("protected")
            since = len(sidecar.events)
            self.resize(vm, 0, 80 * MIB)
            sidecar.wait("protected", since=since, resumed=True)
            since = len(sidecar.events)
            self.resize(vm, 1, 32 * MIB + 1024)  # its last block was a part of one
            event = sidecar.wait("protected", since=since, resumed=True)
            self.assertLess(event["different_bytes"], 8 * MIB)
            sidecar.wait_generations(2)
            self.assert_same(vm, sidecar)

    def test_before_the_sidecar_came(self):
        with Vm([Disk(size=64 * MIB + 1536)], region=4 * MIB, pattern="rand", rate=300,
                paused=1) as vm:
            self.fill(vm, 0)
            with Sidecar(vm) as sidecar:
                sidecar.wait("protected")
                end(sidecar, 15)
                self.resize(vm, 0, 100 * MIB)
                event = self.resynced(sidecar)
                self.assertLess(event["different_bytes"], 8 * MIB)
                end(sidecar, 15)  # a killed one may leave its filter, which refuses this
                self.resize(vm, 0, 120 * MIB)
                self.restart(vm)
                self.resynced(sidecar)
                self.assert_same(vm, sidecar)

    @once_is_enough
    def test_killed_in_the_middle(self):
        with Vm([Disk(size=32 * MIB + 512)], region=4 * MIB, pattern="rand", rate=300) as vm, \
                Sidecar(vm) as sidecar:
            sidecar.wait("protected")
            for step in range(1, 6):
                self.resize(vm, 0, 32 * MIB + 512 + step * 100 * 1024)
                if step % 2:
                    end(sidecar)
                    sidecar.start()
            end(sidecar)
            self.resynced(sidecar)
            self.assert_same(vm, sidecar)

    @once_is_enough
    def test_shrunk_disk_is_copied_anew(self):
        with Vm([Disk(size=64 * MIB), Disk(size=64 * MIB)], region=4 * MIB, pattern="rand",
                rate=300) as vm, Sidecar(vm) as sidecar:
            sidecar.wait("protected")
            end(sidecar, 15)
            vm.kill()
            os.truncate(vm.disks[1].path, 32 * MIB)
            vm.disks[1].size = 32 * MIB
            self.restart(vm)
            self.resynced(sidecar)
            self.assert_same(vm, sidecar)


class Others(DisksTest):
    once = True  # about the store, not about QEMU

    def test_added_removed_and_in_another_order(self):
        with Vm([Disk(size=64 * MIB), Disk(size=32 * MIB)], region=4 * MIB, pattern="rand",
                rate=300, paused=1) as vm:
            self.fill(vm, 0)
            with Sidecar(vm) as sidecar:
                sidecar.wait("protected")
                end(sidecar, 15)
                a, b = vm.disks
                c = Disk(size=48 * MIB)
                vm.guest["scan"] = 0
                self.restart(vm, self.new_disks(vm, [a, b, c]))
                event = self.resynced(sidecar)
                self.assertLess(event["bytes"], 16 * MIB)  # the filled disk was not stored again
                self.assertEqual([disk["name"] for disk in sidecar.find("attached")[-1]["disks"]],
                                 ["vda", "vdb", "vdc"])
                sidecar.wait_generations(2)
                end(sidecar)
                self.restart(vm, [c, a])
                self.resynced(sidecar)
                self.assertFalse((sidecar.store / "disks" / "vdb").exists())
                sidecar.wait_generations(2)
                self.assert_same(vm, sidecar)

    def test_one_more_disk_is_asked_for(self):
        with Vm(disks=2, region=4 * MIB, pattern="rand", rate=300, paused=1) as vm:
            self.fill(vm, 0)
            with Sidecar(vm, disk=["vda"]) as sidecar:
                sidecar.wait("protected")
                sidecar.wait_generations(1)
                end(sidecar, 15)
                del sidecar.options["disk"]
                self.resynced(sidecar)
                total = sidecar.find("progress", phase="resync")[-1]["total"]
                self.assertEqual(total, vm.disks[1].size)  # vda goes by its bitmap
                sidecar.wait_generations(1)
                end(sidecar, 15)
                sidecar.options["disk"] = ["vdb"]
                done = qheal(*sidecar.arguments()[1:])
                self.assertEqual(done.returncode, 1)
                self.assert_sentence(done.stderr, "vda", "--drop-disks")
                sidecar.options.update(drop_disks=True)
                again(sidecar, resumed=True)
                self.assertFalse((sidecar.store / "disks" / "vda").exists())
                end(sidecar, 15)
                del sidecar.options["disk"], sidecar.options["drop_disks"]
                self.resynced(sidecar)
                self.assert_replica(vm, sidecar)

    @once_is_enough
    def test_killed_while_a_disk_is_filled(self):
        with Vm(disks=2, region=4 * MIB, pattern="rand", rate=300, paused=1) as vm:
            self.fill(vm, 1)
            with Sidecar(vm, disk=["vda"]) as sidecar:
                sidecar.wait("protected")
                end(sidecar, 15)
                del sidecar.options["disk"]
                for _ in range(4):
                    since = len(sidecar.events)
                    sidecar.start()
                    until(lambda: sidecar.find("progress", since) or
                          sidecar.find("protected", since), "it fills", every=0.001)
                    end(sidecar)
                self.half_a_disk_is_not_restored(vm, sidecar)
                again(sidecar, resumed=True)
                self.assert_replica(vm, sidecar)

    def half_a_disk_is_not_restored(self, vm, sidecar):
        """The other one is."""
        code, out, err = sidecar.command("verify", "--json")
        verdict = json.loads(out)
        self.assertEqual((code, verdict["good"], verdict["incomplete"]), (0, True, ["vdb"]), err)
        code, _, err = sidecar.command("restore", "--all", "--output", vm.work / "out")
        self.assertEqual(code, 1)
        self.assert_sentence(err, "vdb", "does not hold")
        code, _, err = sidecar.command("restore", "--disk", "vda", "--output", vm.work / "a.raw")
        self.assertEqual(code, 0, err)


if __name__ == "__main__":
    unittest.main()
