# SPDX-License-Identifier: Apache-2.0
"""The lab proves itself: without qheal, its faults must stop the guest and its checker must see."""

import time
import unittest

from lab.disk import MIB, Disk
from lab.vm import Vm


def shape(**disk):
    return Vm([Disk(**disk), Disk()], region=4 * MIB, pattern="rand", mix=10)


class Faults(unittest.TestCase):
    once = True  # about the lab, not about QEMU

    def fails_and_goes_on(self, vm):
        for kind in ("write", "read", "all"):
            vm.qmp.poll().clear()
            vm.fail(0, kind)
            error = vm.qmp.wait_event("BLOCK_IO_ERROR")["data"]
            vm.qmp.wait_event("STOP")
            self.assertEqual(error["action"], "stop")
            self.assertEqual(vm.status(), "io-error")
            vm.repair(0)
            vm.qmp("cont")
            vm.wait_more(50)
        self.judge(vm)

    def judge(self, vm):
        vm.order("pause")
        verdict = vm.check(at_least=vm.acked)
        self.assertTrue(verdict["consistent"], verdict)
        self.assertEqual((verdict["lost"], vm.guest_errors), (0, []))

    def test_virtio_blk_stops_on_errors_and_goes_on(self):
        with shape() as vm:
            self.fails_and_goes_on(vm)

    def test_qcow2_stops_on_errors_and_goes_on(self):
        with shape(format="qcow2") as vm:
            self.fails_and_goes_on(vm)

    def test_virtio_scsi_stops_on_errors_and_goes_on(self):
        with shape(device="virtio-scsi") as vm:
            self.fails_and_goes_on(vm)

    def test_ide_stops_on_errors_and_goes_on(self):
        with shape(device="ide") as vm:
            self.fails_and_goes_on(vm)

    def test_iothread_stops_on_errors_and_goes_on(self):
        with shape(iothread=True) as vm:
            self.fails_and_goes_on(vm)

    def test_error_once_passes_on_the_second_try(self):
        with shape() as vm:
            vm.fail(0, "write", once=True)
            vm.qmp.wait_event("STOP")
            vm.qmp("cont")
            vm.wait_more(50)
            self.judge(vm)

    def test_full_disk_is_told_apart(self):
        with shape() as vm:
            vm.fail(0, "write", errno=28)
            self.assertTrue(vm.qmp.wait_event("BLOCK_IO_ERROR")["data"]["nospace"])

    def test_bad_sector_fails_only_what_touches_it(self):
        with Vm(region=4 * MIB, until=200) as vm:
            vm.wait_ack(200)
            vm.fail(0, "write", sector=8 * 300)  # where record 301 goes
            vm.order("until 0")
            vm.qmp.wait_event("STOP")
            self.assertEqual(vm.acked, 300)

    def test_nbdkit_disk_hangs_fails_and_dies(self):
        with shape(nbdkit=True) as vm:
            disk = vm.disks[0]
            vm.wait_more(50)
            disk.hang()
            before = vm.acked
            time.sleep(0.6)
            # One that was on its way, and one of the other disk.
            self.assertLessEqual(vm.acked, before + 2)
            disk.hang(False)
            vm.wait_more(50)
            disk.error()
            vm.qmp.wait_event("STOP")
            disk.error(False)
            vm.qmp("cont")
            vm.wait_more(50)
            self.judge(vm)
            vm.order("resume")
            disk.kill()
            vm.qmp.wait_event("STOP")

    def test_reported_errors_reach_the_guest(self):
        with shape(werror="report", rerror="report") as vm:
            vm.wait_more(50)
            vm.fail(0, "write")
            vm.console.wait("GUEST-ERROR")
            self.assertTrue(vm.guest_errors)


class Guest(unittest.TestCase):
    once = True  # about the lab, not about QEMU

    def test_goes_on_where_it_was_after_a_reset(self):
        with Vm(disks=2, region=4 * MIB) as vm:
            vm.wait_more(300)
            since = len(vm.console.lines)
            vm.qmp("system_reset")
            vm.console.wait("READY", 90, since)
            vm.wait_more(100)
            self.assertEqual(len(vm.acks.boots), 2)
            self.assertGreaterEqual(vm.acks.boots[1], 300)
            vm.order("pause")
            self.assertTrue(vm.check(at_least=vm.acked)["consistent"])

    def test_image_of_the_past_counts_as_lost(self):
        with Vm(region=4 * MIB) as vm:
            vm.wait_more(100)
            vm.order("pause")
            past = vm.work / "past.raw"
            past.write_bytes(vm.disks[0].path.read_bytes())
            vm.order("resume")
            vm.wait_more(100)
            verdict = vm.check([past])
            self.assertTrue(verdict["consistent"])
            self.assertGreaterEqual(verdict["lost"], 100)

    def test_disks_of_different_moments_are_inconsistent(self):
        with Vm(disks=2, region=4 * MIB) as vm:
            vm.wait_more(100)
            vm.order("pause")
            past = vm.work / "past.raw"
            past.write_bytes(vm.disks[0].path.read_bytes())
            vm.order("resume")
            vm.wait_more(100)
            vm.order("pause")
            verdict = vm.check([past, vm.disks[1].path])
            self.assertFalse(verdict["consistent"], verdict)

    def test_powers_off(self):
        with Vm() as vm:
            vm.order("poweroff")
            vm.process.wait(10)


if __name__ == "__main__":
    unittest.main()
