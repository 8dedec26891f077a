# SPDX-License-Identifier: Apache-2.0
"""QEMU runs as a user who may not read the store, as libvirt has it."""

import os
import shutil
import unittest

from lab import cache

from harm_support import MIB, HarmTest, Late, Sidecar, Vm

NOBODY = 65534


class NobodysVm(Vm):
    """QEMU as nobody; its disks are its own."""

    def arguments(self):
        copies = {}
        for path in (cache.guest_dir() / "vmlinuz", cache.built("guest/initramfs.cpio")):
            copies[str(path)] = shutil.copy(path, self.work)
        os.chown(self.work, NOBODY, NOBODY)
        for disk in self.disks:
            os.chown(disk.path, NOBODY, NOBODY)
        words = [copies.get(word, word) for word in super().arguments()]
        if words[0] == cache.qemu_binary("10"):
            raise unittest.SkipTest("QEMU 10 is unpacked where nobody cannot read")
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                "--pdeathsig", "KILL", *words]


@unittest.skipUnless(os.geteuid() == 0, "needs root to be two users")
class OtherUser(HarmTest):
    def test_a_pivot_succeeds_or_leaves_the_guest_as_it_was(self):
        with NobodysVm(2, region=4 * MIB, pattern="rand") as vm, \
                Sidecar(vm, store=f"{vm.work}-store", interval=100) as sidecar:
            self.addCleanup(shutil.rmtree, sidecar.store, True)
            sidecar.wait("protected")
            sidecar.wait_generations(3)
            vm.fail(0, "write")
            sidecar.wait("recovery")
            with sidecar.changed:
                sidecar.changed.wait_for(lambda: sidecar.find("recovered") or sidecar.ended or
                                         sidecar.find("recovery-failed"), 60)
            self.assertIsNone(vm.process.poll(), "the recovery killed QEMU")
            if not (sidecar.find("recovered") or sidecar.find("recovery-failed") or sidecar.ended):
                raise Late(sidecar.report())
            if sidecar.find("recovered"):
                self.assert_goes_on(vm)
            else:
                # The owner repairs the disk, and all is as if nobody had been there.
                self.assertEqual(vm.status(), "io-error")
                vm.repair(0)
                vm.qmp("cont")
                self.assert_goes_on(vm)
                vm.order("pause")
                self.assertTrue(vm.check(at_least=vm.acked)["consistent"])
            self.assertEqual(vm.guest_errors, [])


if __name__ == "__main__":
    unittest.main()
