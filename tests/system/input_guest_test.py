# SPDX-License-Identifier: Apache-2.0
"""What cannot be protected is refused in one sentence, and nothing is changed in QEMU."""

import json
import os
import unittest

from harm_support import MIB, QEMU_10, Disk, HarmTest, Sidecar, Vm, qheal


def paused_vm(disks, more=(), **guest):
    """A QEMU with these disks whose guest never runs: enough for what is refused."""
    class Paused(Vm):
        def arguments(self):
            return [*super().arguments(), "-S", *more]
    return Paused(disks, **guest).start(ready=False)


class Refused(HarmTest):
    def protect(self, vm, *words, store=None):
        return qheal("protect", "--qmp", vm.qmp_path, "--store", store or vm.work / "store", *words)

    def refused(self, vm, named, *words, store=None):
        before = [vm.qmp(query) for query in ("query-block", "query-named-block-nodes",
                                              "query-block-exports", "query-fdsets")]
        done = self.protect(vm, *words, store=store)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assert_sentence(done.stderr, *named)
        after = [vm.qmp(query) for query in ("query-block", "query-named-block-nodes",
                                             "query-block-exports", "query-fdsets")]
        self.assertEqual(before, after)
        return done.stderr

    def test_an_unknown_disk(self):
        with paused_vm(2) as vm:
            self.refused(vm, ["vdz", "vda", "vdb"], "--disk", "vdz")
            self.refused(vm, ["/dev/vda"], "--disk", "/dev/vda", "--disk", "vda")
            self.assertFalse((vm.work / "store").exists())

    def test_a_disk_by_its_node_name_twice(self):
        with paused_vm(2) as vm:
            done = self.protect(vm, "--disk", "vda", "--disk", "d0", "--once")
            # One disk, named twice: either is fine, two copies of it are not.
            if done.returncode == 0:
                self.assertEqual(os.listdir(vm.work / "store" / "disks"), ["vda"])

    def test_two_disks_of_one_name(self):
        """A device without id is called by its -drive, and that may be another device's id."""
        extra = ["-drive", "if=none,id=vda,driver=null-co,size=64M",
                 "-device", "virtio-blk-pci,drive=vda"]
        with paused_vm(1, extra) as vm:
            self.refused(vm, ["vda"])
            self.assertFalse((vm.work / "store").exists())

    def test_no_disk_at_all(self):
        class Diskless(Vm):
            def arguments(self):
                words = super().arguments()
                return words[:words.index("-blockdev")] + ["-S"]
        with Diskless(1).start(ready=False) as vm:
            self.refused(vm, ["no writable disk"])

    def test_an_iothread(self):
        """QEMU 7.2 would crash, 10.0 loses a request of such a disk after some tens of cycles."""
        with paused_vm([Disk(), Disk(iothread=True)]) as vm:
            self.refused(vm, ["vdb", "iothread", "10.0" if QEMU_10 else "7.2"])
            # The other disk can be protected.
            self.assertEqual(self.protect(vm, "--disk", "vda", "--once").returncode, 0)
            self.assert_nothing_left(vm, disks=1)

    def test_werror_that_does_not_stop_is_protected_with_a_warning(self):
        with paused_vm([Disk(), Disk(werror="report", rerror="report")]) as vm:
            done = self.protect(vm, "--once")
            self.assertEqual(done.returncode, 0, done.stderr)
            warning = [line for line in done.stderr.splitlines() if "warning:" in line]
            self.assertEqual(len(warning), 1)
            for word in ("vdb", "werror=report", "rerror=stop,werror=stop", "-device"):
                self.assertIn(word, warning[0])
            self.assert_nothing_left(vm)

    def test_a_second_sidecar_through_another_monitor(self):
        with Vm(1, region=4 * MIB) as vm, Sidecar(vm, interval=100) as sidecar:
            sidecar.wait("protected")
            vm.qmp.close()
            for store in (sidecar.store, vm.work / "other"):
                done = qheal("protect", "--qmp", vm.work / "lab.sock", "--store", store)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assert_sentence(done.stderr, "sidecar", vm.process.pid)
            self.assertFalse((vm.work / "other").exists())
            vm.qmp = vm.connect(vm.work / "lab.sock")
            sidecar.wait_generations(3)
            self.assert_replica(vm, sidecar)

    def test_a_second_sidecar_through_the_same_monitor(self):
        with Vm(1, region=4 * MIB) as vm, Sidecar(vm, interval=100) as sidecar:
            sidecar.wait("protected")
            done = qheal("protect", "--qmp", vm.qmp_path, "--store", vm.work / "other")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assert_sentence(done.stderr, vm.qmp_path, "one client at a time")
            done = qheal("check", "--qmp", vm.qmp_path)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            sidecar.wait_generations(3)
            self.assert_replica(vm, sidecar)

    def test_the_nbd_server_taken_by_somebody_else(self):
        with Vm(1, region=4 * MIB) as vm:
            vm.order("pause")
            server = {"addr": {"type": "unix", "data": {"path": str(vm.work / "backup.sock")}}}
            vm.qmp("nbd-server-start", server)
            self.refused(vm, ["NBD server"])
            vm.qmp("block-export-add", {"type": "nbd", "id": "backup", "node-name": "d0"})
            self.refused(vm, ["NBD server"])
            self.assertEqual([e["id"] for e in vm.qmp("query-block-exports")], ["backup"])
            self.assert_nothing_left(vm, bitmaps=0)
            vm.qmp("nbd-server-stop")
            self.assertEqual(self.protect(vm, "--once").returncode, 0)
            vm.order("resume")
            self.assert_goes_on(vm)

    # --- check ---

    def check(self, vm, *words):
        before = vm.qmp("query-block")
        done = qheal("check", "--qmp", vm.qmp_path, *words)
        self.assertEqual(before, vm.qmp("query-block"))
        return done

    def test_check_of_a_good_guest(self):
        with paused_vm(2, name="good") as vm:
            done = self.check(vm)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for word in ("good", "vda", "vdb", "64.0 MiB", "d0"):
                self.assertIn(word, done.stdout)
            done = self.check(vm, "--json")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(len(done.stdout.splitlines()), 1)
            told = json.loads(done.stdout)
            self.assertTrue(told["protectable"])
            self.assertEqual([(disk["name"], disk["size"], disk["errors_hidden"])
                              for disk in told["disks"]],
                             [("vda", 64 * MIB, True), ("vdb", 64 * MIB, True)])

    def test_check_of_a_guest_that_would_see_errors(self):
        with paused_vm([Disk(werror="enospc")]) as vm:
            done = self.check(vm)
            self.assertEqual(done.returncode, 1)
            self.assertIn("rerror=stop,werror=stop", done.stdout)
            done = self.check(vm, "--json")
            told = json.loads(done.stdout)
            self.assertEqual((done.returncode, told["protectable"]), (1, True))
            self.assertIn("werror=enospc", told["disks"][0]["advice"])

    @unittest.skipIf(QEMU_10, "QEMU 10 can")
    def test_check_of_a_guest_that_cannot_be_protected(self):
        with paused_vm([Disk(iothread=True)]) as vm:
            done = self.check(vm)
            self.assertEqual(done.returncode, 1)
            self.assertIn("iothread", done.stdout)
            told = json.loads(self.check(vm, "--json").stdout)
            self.assertFalse(told["protectable"])
            self.assertIn("iothread", told["refusal"])


if __name__ == "__main__":
    unittest.main()
