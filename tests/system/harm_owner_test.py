# SPDX-License-Identifier: Apache-2.0
"""The guest's owner and his tools do what they please while qheal protects: they come first."""

import contextlib
import os
import signal
import threading
import time
import unittest

from lab.qmp import QmpError

from fault_support import store_copy
from harm_support import (MIB, MOMENTS, HarmTest, Late, Sidecar, Vm, dice, graph,
                          remove_bitmaps, say, stop_in_cycle, until)

REGION = 4 * MIB


def guest(disks=1, **more):
    return Vm(disks, **{"region": REGION, "pattern": "rand", **more})


class Owner(HarmTest):
    def protect(self, vm, interval=50, **options):
        sidecar = Sidecar(vm, interval=interval, **options).start()
        self.addCleanup(sidecar.__exit__, None)
        sidecar.wait("protected")
        sidecar.wait_generations(2)
        return sidecar

    def assert_disks(self, vm, images=None):
        """What the guest wrote is on its own disks, to the last record."""
        vm.order("pause")
        verdict = vm.check(images, at_least=vm.acked)
        self.assertTrue(verdict["consistent"], verdict)
        self.assertEqual((verdict["lost"], vm.guest_errors), (0, []))

    # --- pausing ---

    def test_guest_paused_by_its_owner_stays_paused(self):
        with guest(2) as vm:
            sidecar = self.protect(vm)
            vm.stop()
            vm.qmp.poll().clear()
            time.sleep(1)
            self.assertEqual(vm.status(1), "paused")
            self.assertEqual([event for event in vm.qmp.poll()
                              if event["event"] in ("STOP", "RESUME")], [])
            self.assertEqual(sidecar.process.poll(), None)
            self.assertIn(sidecar.status()["state"], ("protected", "degraded"))
            vm.qmp("cont")
            sidecar.wait_generations(2)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)

    def test_stop_and_cont_at_random_moments(self):
        """QEMU gives no sign of a `stop` that it executes between our stop and cont, so a few are
        undone: as many as the share of the pauses in the interval. Never worse than that."""
        random = dice("owner's stop")
        resumed = 0
        with guest() as vm:
            sidecar = self.protect(vm)
            for _ in range(MOMENTS):
                time.sleep(random.uniform(0, 0.06))
                vm.qmp("stop")
                time.sleep(random.uniform(0.1, 0.15))
                resumed += vm.status(0.3) != "paused"
                vm.qmp("cont")
                self.assert_goes_on(vm, 3)
            say(f"owner's stop: undone {resumed} of {MOMENTS} times")
            self.assertLess(resumed, MOMENTS / 2)
            sidecar.wait_generations(2)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)

    def between_cycles(self, vm):
        """And it stays so: QEMU may still be at what the sidecar sent before it was stopped."""
        for _ in range(5):
            nodes, exports, jobs, bitmaps = graph(vm)
            if nodes or exports or jobs or len(bitmaps[0]) != 1 or vm.status(0.1) != "running":
                return False
            time.sleep(0.1)
        return True

    def stop_between_cycles(self, vm, sidecar):
        def stopped():
            sidecar.wait_generations(1)
            time.sleep(0.05)
            sidecar.halt()
            if self.between_cycles(vm):
                return True
            sidecar.process.send_signal(signal.SIGCONT)
            return False

        until(stopped, "the sidecar stands still between two cycles")

    def test_stop_while_the_sidecar_is_held_up_is_respected(self):
        """Its last news is a running guest; what it missed comes before what it does."""
        with guest() as vm:
            sidecar = self.protect(vm, interval=300)
            for _ in range(5):
                self.stop_between_cycles(vm, sidecar)
                vm.qmp("stop")
                time.sleep(0.5)
                sidecar.process.send_signal(signal.SIGCONT)
                time.sleep(0.5)
                self.assertEqual(vm.status(1), "paused")
                vm.qmp("cont")
                self.assert_goes_on(vm)
            self.assert_replica(vm, sidecar)

    # --- the end of the guest ---

    def test_qemu_killed_at_random(self):
        random = dice("QEMU killed")
        for _ in range(3):
            with self.subTest(), guest(2) as vm:
                sidecar = self.protect(vm)
                time.sleep(random.uniform(0, 0.2))
                acked = vm.acked
                vm.kill()
                self.assertEqual(sidecar.process.wait(10), 1)
                sidecar.wait("fault", kind="qemu-exit")
                told = sidecar.find("generation")[-1]["generation"]
                self.assert_sentence(sidecar.log.read_text().splitlines()[-1], "QEMU of guest")
                copy, generation = store_copy(sidecar.store, vm.work / "copy")
                self.assertGreaterEqual(generation, told)
                heads = [copy / "disks" / disk.id / "head.raw" for disk in vm.disks]
                verdict = vm.check(heads)
                self.assertTrue(verdict["consistent"], verdict)
                say(f"QEMU killed: {acked - verdict['n']} records since the last generation")
                status = sidecar.status()
                self.assertEqual((status["sidecar"], status["generation"]), (False, generation))

    def test_guest_powers_off(self):
        with guest() as vm:
            sidecar = self.protect(vm)
            vm.order("poweroff")
            self.assertEqual(sidecar.process.wait(20), 0, sidecar.log.read_text())
            self.assertIn("shut down", sidecar.log.read_text().splitlines()[-1])

    def test_owner_quits_qemu(self):
        with guest() as vm:
            sidecar = self.protect(vm)
            vm.qmp("quit")
            self.assertEqual(sidecar.process.wait(20), 0, sidecar.log.read_text())

    def test_guest_reboots_and_panics_in_cycles(self):
        with guest(2) as vm:
            sidecar = self.protect(vm)
            for order in ("reboot", "panic", "reboot"):
                boots = len(vm.acks.boots)
                vm.order(order)
                vm.acks.wait_boots(boots)
                self.assert_goes_on(vm, 50, within=60)
                sidecar.wait_generations(2)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)

    # --- the block graph ---

    def add_file(self, vm, path, size=0):
        """An empty file as node f."""
        with open(path, "wb") as file:
            file.truncate(size)
        vm.qmp("blockdev-add", {"driver": "file", "node-name": "f", "filename": str(path)})

    def snapshot(self, vm):
        """An external snapshot of the first disk; its path."""
        overlay = vm.work / "overlay.qcow2"
        self.add_file(vm, overlay)
        vm.qmp("blockdev-create", {"job-id": "make", "options": {
            "driver": "qcow2", "size": vm.disks[0].size, "file": "f", "backing-fmt": "raw",
            "backing-file": str(vm.disks[0].path)}})
        vm.qmp.wait_event("JOB_STATUS_CHANGE", id="make", status="concluded")
        vm.qmp("job-dismiss", id="make")
        vm.qmp("blockdev-add", {"driver": "qcow2", "node-name": "ov", "file": "f",
                                "backing": None})
        self.insist(vm, "blockdev-snapshot", node="d0", overlay="ov")
        return overlay

    def mirror(self, vm):
        """A storage migration of the first disk; the path it has then."""
        target = vm.work / "target.raw"
        self.add_file(vm, target, vm.disks[0].size)
        vm.qmp("blockdev-add", {"driver": "raw", "node-name": "target", "file": "f"})
        self.insist(vm, "blockdev-mirror", {"job-id": "job"}, device="d0", sync="full",
                    target="target")
        vm.qmp.wait_event("BLOCK_JOB_READY", device="job", timeout=30)
        return target

    def complete(self, vm):
        """The job's end: the disk's node is another from now on."""
        self.assert_goes_on(vm)
        vm.qmp("job-complete", id="job")
        done = vm.qmp.wait_event("BLOCK_JOB_COMPLETED", device="job", timeout=30)
        self.assertNotIn("error", done["data"])

    def insist(self, vm, command, arguments=None, **more):
        """A command that may be refused while our filter is above the disk, not for long."""
        refused = vm.qmp.insist(command, arguments, **more)
        if refused:
            say(f"{command}: refused {refused} times")

    @contextlib.contextmanager
    def goes_on_later(self, sidecar):
        """QEMU drains for a snapshot or the end of a job, and that waits for NBD replies nobody
        reads: a sidecar that hangs holds up such commands until it goes on or is killed."""
        going_on = threading.Timer(3, sidecar.process.send_signal, [signal.SIGCONT])
        going_on.start()
        yield
        going_on.join()

    def moved_away(self, vm, sidecar, node, images):
        """The guest's disk is another node now: it stays there, with all that was written."""
        self.assert_goes_on(vm, 100)
        sidecar.wait("degraded")
        reason = until(lambda: next((event["reason"] for event in sidecar.find("degraded")[-1:]
                                     if "vda" in event["reason"]), None), "vda is named")
        say(f"{self._testMethodName}: {reason}")
        self.assertNotIn("qheal-", reason)
        self.assert_goes_on(vm, 100)
        time.sleep(1.2)  # and one more attempt of the sidecar
        self.assertEqual(vm.qmp("query-block")[0]["inserted"]["node-name"], node)
        self.assertEqual(graph(vm)[:3], ([], [], []))
        self.assertEqual(sidecar.process.poll(), None)
        self.assert_disks(vm, images)

    def test_snapshot_by_somebody_else(self):
        with guest() as vm:
            sidecar = self.protect(vm, interval=1000)
            self.moved_away(vm, sidecar, "ov", [self.snapshot(vm)])

    def test_snapshot_by_somebody_else_in_mid_cycle(self):
        with guest() as vm:
            sidecar = self.protect(vm)
            if not stop_in_cycle(vm, sidecar):
                raise Late("no cycle")
            with self.goes_on_later(sidecar):
                overlay = self.snapshot(vm)
            self.moved_away(vm, sidecar, "ov", [overlay])

    def commit(self, vm):
        """The guest's snapshot goes back into its disk."""
        self.insist(vm, "block-commit", {"job-id": "job"}, device="ov")
        vm.qmp.wait_event("BLOCK_JOB_READY", device="job", timeout=30)

    def complete_in_mid_cycle(self, vm, sidecar):
        """Best is that there are no cycles at all while a job works on the disk."""
        if not stop_in_cycle(vm, sidecar, seconds=5):
            say(f"{self._testMethodName}: no cycle while the job runs")
        with self.goes_on_later(sidecar):
            self.complete(vm)
            self.assert_goes_on(vm)

    def test_commit_by_somebody_else(self):
        with guest() as vm:
            self.snapshot(vm)
            sidecar = self.protect(vm, interval=1000)
            self.commit(vm)
            self.complete(vm)
            self.moved_away(vm, sidecar, "d0", None)

    def test_commit_by_somebody_else_in_mid_cycle(self):
        with guest() as vm:
            self.snapshot(vm)
            sidecar = self.protect(vm)
            self.commit(vm)
            self.complete_in_mid_cycle(vm, sidecar)
            self.moved_away(vm, sidecar, "d0", None)

    def test_mirror_by_somebody_else(self):
        with guest() as vm:
            sidecar = self.protect(vm, interval=1000)
            target = self.mirror(vm)
            self.complete(vm)
            self.moved_away(vm, sidecar, "target", [target])

    def test_mirror_by_somebody_else_in_mid_cycle(self):
        with guest() as vm:
            sidecar = self.protect(vm)
            target = self.mirror(vm)
            self.complete_in_mid_cycle(vm, sidecar)
            self.moved_away(vm, sidecar, "target", [target])

    def test_backup_by_somebody_else_in_mid_cycle(self):
        """QEMU begins one below our filter, too: its own filter is not taken out with ours."""
        with guest() as vm:
            sidecar = self.protect(vm)
            target = vm.work / "backup.raw"
            self.add_file(vm, target, vm.disks[0].size)
            vm.qmp("blockdev-add", {"driver": "raw", "node-name": "target", "file": "f"})
            if not stop_in_cycle(vm, sidecar):
                raise Late("no cycle")
            acked = vm.acked
            with self.goes_on_later(sidecar):
                vm.qmp("blockdev-backup", {"job-id": "job"}, device="d0", sync="full",
                       target="target", speed=16 * MIB)
                self.assert_goes_on(vm)
            done = vm.qmp.wait_event("BLOCK_JOB_COMPLETED", device="job", timeout=60)
            self.assertNotIn("error", done["data"])
            vm.qmp("blockdev-del", {"node-name": "target"})
            vm.qmp("blockdev-del", {"node-name": "f"})
            verdict = vm.check([target], acked=0, at_least=acked)
            self.assertTrue(verdict["consistent"], verdict)
            since = len(sidecar.events)
            sidecar.wait("generation", since=since, count=2, timeout=60)
            self.assertEqual(vm.qmp("query-block")[0]["inserted"]["node-name"], "d0")
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)

    def test_resize_while_protected(self):
        with guest() as vm:
            sidecar = self.protect(vm)
            since = len(sidecar.events)
            self.insist(vm, "block_resize", {"node-name": "d0", "size": 80 * MIB})
            sidecar.wait("protected", since=since, resumed=True)
            self.assert_goes_on(vm, 100)
            since = len(sidecar.events)
            self.insist(vm, "block_resize", {"node-name": "d0", "size": 72 * MIB})
            degraded = sidecar.wait("degraded", since=since)
            for word in ("vda", "resized", str(80 * MIB), str(72 * MIB)):
                self.assertIn(word, degraded["reason"])
            self.assert_goes_on(vm, 100)
            nodes, exports, jobs, _ = graph(vm)
            self.assertEqual((nodes, exports, jobs), ([], [], []))

    def test_hot_unplug_of_a_disk(self):
        with guest(2) as vm:
            sidecar = self.protect(vm)
            vm.order("pause")
            vm.qmp("device_del", id="vdb")
            vm.qmp.wait_event("DEVICE_DELETED", device="vdb")
            degraded = sidecar.wait("degraded")
            self.assertIn("vdb", degraded["reason"])
            time.sleep(0.5)
            self.assertEqual((vm.status(), sidecar.process.poll()), ("running", None))
            self.assertEqual(graph(vm)[0], [])

    def test_nbd_server_stopped_by_somebody_else(self):
        random = dice("nbd-server-stop")
        with guest() as vm:
            sidecar = self.protect(vm)
            for _ in range(5):
                time.sleep(random.uniform(0, 0.1))
                since = len(sidecar.events)
                try:
                    vm.qmp("nbd-server-stop")
                except QmpError:
                    pass
                self.assert_goes_on(vm)
                sidecar.wait("generation", since=since + 2, timeout=20)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)

    def test_nbd_server_stopped_in_the_first_copy(self):
        with guest() as vm:
            with open(vm.disks[0].path, "r+b") as file:
                file.seek(32 * MIB)
                file.write(os.urandom(16 * MIB))
            config = vm.work / "qheal.conf"
            config.write_text("[optimal]\nrate-mib-s = 4\n")
            sidecar = Sidecar(vm, interval=50, objective="optimal", config=config).start()
            self.addCleanup(sidecar.__exit__, None)
            sidecar.wait("progress", phase="first-copy")
            vm.qmp("nbd-server-stop")
            sidecar.wait("degraded")
            sidecar.wait("protected", timeout=90)
            self.assert_goes_on(vm)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)

    def test_bitmap_removed_by_somebody_else(self):
        with guest() as vm:
            sidecar = self.protect(vm)
            remove_bitmaps(vm)
            sidecar.wait("protected", resumed=True)  # by the checksums
            self.assert_goes_on(vm, 100)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)

    def test_a_filter_that_cannot_be_added_is_not_taken_out(self):
        """QEMU aborts when a device is given the node it has: the scratch node is taken away from
        the filter here, as want of memory would."""
        with guest(2) as vm:
            sidecar = self.protect(vm)
            taken, deadline = 0, time.monotonic() + 20
            while taken < 3 and time.monotonic() < deadline:
                try:
                    vm.qmp("blockdev-del", node_name="qheal-tmp1")
                    taken += 1
                except QmpError:
                    pass
            if not taken:
                raise Late("never quick enough to take it away")
            self.assert_goes_on(vm, 50)
            say(f"scratch taken away {taken} times: "
                f"{set(event['reason'] for event in sidecar.find('degraded'))}")
            sidecar.wait("generation", since=len(sidecar.events), timeout=40)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)


if __name__ == "__main__":
    unittest.main()
