# SPDX-License-Identifier: Apache-2.0
"""The heads are one moment of all disks, whenever somebody looks at them."""

import os
import signal
import shutil
import time
import unittest

from fault_support import MIB, FaultCase, Sidecar, heads_of, loaded, seeds, store_copy

from lab.cache import Late

ROUNDS = int(os.environ.get("QHEAL_ROUNDS", 4))


class Heads(FaultCase):
    def sidecar(self, vm, **options):
        sidecar = Sidecar(vm, **options)
        self.addCleanup(sidecar.__exit__, None, None, None)
        return sidecar

    def before(self, vm, sidecar):
        """A record that the generation after this one must hold: one whose cycle began since."""
        acked = vm.acked
        sidecar.wait_generations(2)
        return acked

    def consistent(self, vm, heads, at_least):
        verdict = vm.check(heads, at_least=at_least)
        self.assertTrue(verdict["consistent"], verdict)
        self.assertGreaterEqual(verdict["n"], at_least, verdict)
        return verdict

    def copied_heads(self, vm, sidecar, at_least):
        copy, generation = store_copy(sidecar.store, vm.work / "copy")
        self.assertGreaterEqual(generation, sidecar.find("generation")[-1]["generation"])
        verdict = self.consistent(vm, heads_of(copy, vm), at_least)
        shutil.rmtree(copy)
        return verdict, generation

    def test_killed_at_random_moments(self):
        """And started again on the same store, where it must go on with a delta."""
        for dice in seeds(1):
            with loaded(disks=3, mix=10) as vm:
                sidecar = self.sidecar(vm, interval=50).start()
                sidecar.wait("protected", resumed=False)
                for _ in range(ROUNDS):
                    sidecar.wait_generations(3)
                    at_least = self.before(vm, sidecar)
                    time.sleep(dice.random() * 0.1)
                    sidecar.stop(signal.SIGKILL)
                    self.copied_heads(vm, sidecar, at_least)
                    since = len(sidecar.events)
                    sidecar.process.stdout.close()
                    sidecar.start()
                    sidecar.wait("protected", since=since, resumed=True)
                self.assertEqual(vm.guest_errors, [])

    def test_stopped_at_random_moments(self):
        """The same while it runs on: SIGSTOP, a copy of the store, SIGCONT."""
        for dice in seeds(1):
            with loaded(disks=3) as vm:
                sidecar = self.sidecar(vm, interval=50).start()
                sidecar.wait("protected")
                for _ in range(ROUNDS):
                    at_least = self.before(vm, sidecar)
                    time.sleep(dice.random() * 0.1)
                    sidecar.halt()
                    time.sleep(0.05)  # what the kernel was given already
                    self.copied_heads(vm, sidecar, at_least)
                    sidecar.process.send_signal(signal.SIGCONT)
                sidecar.wait_generations(2)
                self.assertEqual(vm.guest_errors, [])

    def filtered(self, vm):
        root = vm.qmp("query-block")[0]["inserted"]["node-name"]
        return root.startswith("qheal-cbw")

    def frozen(self, vm, sidecar):
        """Stops the sidecar between freezing a point and reading it; what was acknowledged then."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            since = len(sidecar.events)
            if not self.filtered(vm):
                continue
            acked = vm.acked
            sidecar.halt()
            time.sleep(0.05)  # what it said is here
            if self.filtered(vm) and not sidecar.find("generation", since):
                return acked
            # It was about to take the filters out, or this is the next cycle already.
            sidecar.process.send_signal(signal.SIGCONT)
        raise Late("no cycle in 60 s")

    def test_writes_after_the_point_are_not_in_it(self):
        self.overwritten_before_it_is_read(2)

    def test_writes_after_the_point_of_a_single_disk_are_not_in_it(self):
        """Its filter goes in without a pause."""
        self.overwritten_before_it_is_read(1)

    def overwritten_before_it_is_read(self, disks):
        """The guest overwrites what a slow sidecar has still to read."""
        with loaded(disks=disks, region=2 * MIB) as vm:
            sidecar = self.sidecar(vm, interval=400).start()
            sidecar.wait("protected")
            deadline, judged = time.monotonic() + 120, 0
            while judged < ROUNDS:
                if time.monotonic() > deadline:
                    raise Late(f"{judged} of {ROUNDS} rounds")
                judged += self.round(vm, sidecar)

    def round(self, vm, sidecar):
        """Whether it could be judged: the heads are those of the cycle that was stopped."""
        sidecar.wait_generations(1)
        at_most = self.frozen(vm, sidecar)
        stopped = time.monotonic()
        vm.wait_more(60)
        since = len(sidecar.events)
        stopped_ms = (time.monotonic() - stopped) * 1000
        sidecar.process.send_signal(signal.SIGCONT)
        told = sidecar.wait("generation", since=since)
        sidecar.halt()
        time.sleep(0.05)
        verdict, generation = self.copied_heads(vm, sidecar, 1)
        sidecar.process.send_signal(signal.SIGCONT)
        # The next cycle was quicker than we, or the one that was stopped was given up.
        if generation != told["generation"] or told["duration_ms"] < stopped_ms:
            return False
        self.assertLessEqual(verdict["n"], at_most + 1, verdict)
        return True

    def test_heads_need_no_recovery_after_sigterm(self):
        with loaded(disks=3) as vm:
            sidecar = self.sidecar(vm, interval=100).start()
            sidecar.wait("protected")
            at_least = self.before(vm, sidecar)
            self.assertEqual(sidecar.stop(), 0)
            vm.wait_more(100)
            self.consistent(vm, heads_of(sidecar.store, vm), at_least)
            status = sidecar.status()
            self.assertEqual(status["generation"], sidecar.find("generation")[-1]["generation"])

    def test_once_leaves_consistent_heads(self):
        with loaded(disks=3) as vm:
            vm.wait_more(100)
            acked = vm.acked
            sidecar = self.sidecar(vm, once=True).start()
            self.assertEqual(sidecar.process.wait(30), 0)
            self.consistent(vm, heads_of(sidecar.store, vm), acked)


if __name__ == "__main__":
    unittest.main()
