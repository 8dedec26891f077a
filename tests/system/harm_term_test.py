# SPDX-License-Identifier: Apache-2.0
"""SIGTERM (or SIGINT, or the end of the terminal) in every phase: status 0 at once, QEMU keeps the bitmaps and nothing else of qheal."""

import signal
import time
import unittest

from harm_kill_test import REGION, loaded_guest
from harm_support import (MIB, MOMENTS, Disk, HarmTest, Sidecar, Vm, again, dice, end, filled_image,
                          graph, in_time, say, spread, until)

TERM_MAX_S = 5  # a commit is flushed, exports end; a disk that others use too takes its time


class Terminated(HarmTest):
    def setUp(self):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may be under nohup

    def terminate(self, sidecar, sig=signal.SIGTERM):
        """Ends it politely; how long that took."""
        began = time.monotonic()
        self.assertEqual(end(sidecar, sig), 0, sidecar.log.read_text()[-2000:])
        return in_time(began, TERM_MAX_S, "the end")

    def test_at_random_moments_of_cycles(self):
        random = dice("SIGTERM in cycles")
        times = []
        with loaded_guest() as vm, Sidecar(vm, interval=50) as sidecar:
            first = sidecar.wait("protected")["bytes"]
            for moment in range(max(4, MOMENTS // 3)):
                time.sleep(random.uniform(0, 0.12))
                times.append(self.terminate(sidecar, (signal.SIGTERM, signal.SIGINT,
                                                      signal.SIGHUP)[moment % 3]))
                self.assert_nothing_left(vm)
                self.assert_goes_on(vm, 5)
                protected = again(sidecar)
                self.assertTrue(protected["resumed"])
                self.assertLess(protected["bytes"], first / 4)
            self.assert_replica(vm, sidecar)
            self.assert_short_pauses(vm, "SIGTERM in cycles")
            say(f"SIGTERM in cycles: ended after median {spread(times)[1] * 1e3:.0f} ms, at most "
                f"{max(times) * 1e3:.0f} ms")

    def test_at_random_moments_of_the_first_copy(self):
        random = dice("SIGTERM in the first copy")
        with loaded_guest(disks=1, size=256 * MIB) as vm:
            sidecar = Sidecar(vm, interval=50)
            with sidecar.start():
                since = 0
                for _ in range(max(4, MOMENTS // 5)):
                    sidecar.wait("attached", since=since)
                    time.sleep(random.uniform(0, 0.25))
                    self.terminate(sidecar)
                    since = len(sidecar.events)
                    nodes, exports, jobs, _ = graph(vm)
                    self.assertEqual((nodes, exports, jobs), ([], [], []))
                    self.assert_goes_on(vm, 5)
                    sidecar.start()
                sidecar.wait("generation", since=max(0, len(sidecar.events) - 2))
                self.assert_replica(vm, sidecar)
                self.assert_nothing_left(vm)

    def test_in_a_first_copy_of_a_disk_that_hangs(self):
        """QEMU's main loop is not made to wait for the disk, and the next start finds the server."""
        vm = Vm([Disk(nbdkit=True)], paused=1, region=REGION)
        filled_image(vm.disks[0].path, vm.disks[0].size, REGION)
        with vm:
            config = vm.work / "qheal.conf"
            config.write_text("[optimal]\nrate-mib-s = 4\n")
            sidecar = Sidecar(vm, interval=50, objective="optimal", config=config)
            with sidecar.start():
                sidecar.wait("progress", phase="first-copy")
                vm.disks[0].hang()
                self.assertEqual(sidecar.stop(timeout=150), 0, sidecar.report())
                self.assertEqual(vm.status(), "running")
                vm.disks[0].hang(False)
                until(lambda: not graph(vm)[1], "the export is gone")
                vm.order("resume")
                again(sidecar)
                self.assert_goes_on(vm)
                self.assert_replica(vm, sidecar)
                self.assert_nothing_left(vm)

    def test_in_a_recovery(self):
        random = dice("SIGTERM in a recovery")
        finished = []
        for _ in range(max(2, MOMENTS // 12)):
            delay = random.uniform(0, 0.03)
            with self.subTest(delay_ms=round(delay * 1e3, 1)), \
                    Vm(disks=1, region=REGION, pattern="rand") as vm, \
                    Sidecar(vm, interval=50) as sidecar:
                sidecar.wait("protected")
                sidecar.wait_generations(2)
                vm.fail(0, "write")
                sidecar.wait("fault")
                time.sleep(delay)
                self.terminate(sidecar)
                finished.append(bool(sidecar.find("recovered")))
                self.assertEqual(graph(vm)[1:3], ([], []))
                since = len(sidecar.events)
                sidecar.start().wait("attached", since=since)
                self.assert_goes_on(vm)
                self.assertEqual(vm.guest_errors, [])
                self.terminate(sidecar)
        say(f"SIGTERM in a recovery: {len(finished)} times, {sum(finished)} finished it first")

    def test_when_recovered(self):
        with Vm(disks=1, region=REGION) as vm, Sidecar(vm, interval=50) as sidecar:
            sidecar.wait("protected")
            vm.fail(0, "write")
            sidecar.wait("recovered", strategy="pivot")
            self.assert_goes_on(vm)
            self.terminate(sidecar)
            self.assert_goes_on(vm)
            again(sidecar, "degraded")
            self.assertEqual(sidecar.status()["state"], "recovered")
            self.terminate(sidecar)
            self.assert_goes_on(vm)

    def test_when_held(self):
        """A guest that waits for a decision still waits for it afterwards."""
        with Vm([Disk(nbdkit=True)], region=REGION) as vm, \
                Sidecar(vm, interval=200) as sidecar:
            sidecar.wait("protected")
            vm.disks[0].kill()
            sidecar.wait("recovery-failed", next="hold")
            self.terminate(sidecar)
            self.assertEqual(vm.status(), "io-error")

    def test_while_the_guest_is_paused_by_its_owner(self):
        with Vm(disks=1, region=REGION) as vm, Sidecar(vm, interval=50) as sidecar:
            sidecar.wait("protected")
            vm.stop()
            self.terminate(sidecar)
            self.assertEqual(vm.status(1), "paused")
            self.assert_nothing_left(vm)
            again(sidecar)
            self.assertEqual(vm.status(1), "paused")
            vm.qmp("cont")
            self.assert_goes_on(vm)
            self.terminate(sidecar)


if __name__ == "__main__":
    unittest.main()
