# SPDX-License-Identifier: Apache-2.0
"""The sidecar is killed or stopped at random moments; the guest must not be worse off."""

import signal
import time
import unittest

from harm_support import (MIB, MOMENTS, Disk, HarmTest, Late, Sidecar, Vm, again,
                          anonymous_bytes, descriptors, dice, end, filled_image, graph,
                          memfd_bytes, say, spread, stop_in_cycle)

REGION = 8 * MIB


def loaded_guest(disks=2, size=64 * MIB, **guest):
    """A guest that writes over the first 8 MiB of disks that are full of other data."""
    vm = Vm([Disk(size=size) for _ in range(disks)],
            **{"region": REGION, "pattern": "rand", **guest})
    for disk in vm.disks:
        filled_image(disk.path, size, REGION)
    return vm


class Killed(HarmTest):
    def restart(self, sidecar, first):
        """Protected again by a delta; (bytes, seconds) of it."""
        began = time.monotonic()
        protected = again(sidecar)
        self.assertTrue(protected["resumed"])
        self.assertLess(protected["bytes"], first / 4)
        return protected["bytes"], time.monotonic() - began

    def looks(self, process, count=30):
        """How many descriptors there are, at several moments."""
        for _ in range(count):
            yield descriptors(process)
            time.sleep(0.02)

    def test_guest_survives_sigkill_at_random_moments(self):
        random = dice("SIGKILL")
        restarts, in_cycle = [], 0
        with loaded_guest() as vm, Sidecar(vm, interval=50, scratch=32) as sidecar:
            first = sidecar.wait("protected")["bytes"]
            self.assertGreater(first, 100 * MIB)
            fds, memory = descriptors(vm.process), anonymous_bytes(vm.process)
            for moment in range(MOMENTS):
                time.sleep(random.uniform(0, 0.12))
                end(sidecar)
                in_cycle += bool(graph(vm)[0])
                self.assert_goes_on(vm, 5)
                restarts.append(self.restart(sidecar, first))
                if moment % 10 == 9:
                    self.assert_replica(vm, sidecar)
                    self.assert_nothing_left(vm)
                    vm.order("resume")
                    again(sidecar)
            self.assert_goes_on(vm)
            self.assertLess(memfd_bytes(vm.process), 33 * MIB)
            # A cycle needs some for a moment; those of the killed would stay.
            self.assertLess(min(self.looks(vm.process)), fds + 4)
            self.assertLess(anonymous_bytes(vm.process), memory + 64 * MIB)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)
            self.assert_short_pauses(vm, "SIGKILL")
            sizes, seconds = zip(*restarts)
            say(f"SIGKILL: {in_cycle} of {MOMENTS} in mid-cycle; delta median "
                f"{spread(sizes)[1] >> 10} KiB of {first >> 10}; protected again after median "
                f"{spread(seconds)[1] * 1e3:.0f} ms, at most {max(seconds) * 1e3:.0f} ms")

    def test_first_copy_killed_again_and_again_ends_well(self):
        random = dice("SIGKILL in the first copy")
        with loaded_guest(disks=1, size=256 * MIB) as vm, Sidecar(vm, interval=50) as sidecar:
            sidecar.wait("attached")
            for _ in range(8):
                time.sleep(random.uniform(0, 0.2))
                end(sidecar)
                self.assert_goes_on(vm, 5)
                since = len(sidecar.events)
                again(sidecar, "attached")
            sidecar.wait("protected", since=since)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)
            self.assert_short_pauses(vm, "SIGKILL in the first copy")

    def recover_twice(self, delay, vm):
        """Kills the sidecar that long after the fault; the next one finishes the job."""
        with Sidecar(vm, interval=50) as sidecar:
            sidecar.wait("protected")
            sidecar.wait_generations(3)
            vm.fail(0, "write")
            sidecar.wait("fault")
            time.sleep(delay)
            end(sidecar)
            done = bool(sidecar.find("recovered"))
            again(sidecar, "attached")
            self.assert_goes_on(vm)
            vm.order("pause")
            image = vm.qmp("query-block")[0]["inserted"]["file"]
            self.assertIn("/promoted/", image)
            images = [image] + [disk.path for disk in vm.disks[1:]]
            verdict = vm.check(images, at_least=vm.acked)
            self.assertTrue(verdict["consistent"], verdict)
            self.assertEqual((verdict["lost"], vm.guest_errors), (0, []))
            return done

    def test_killed_in_a_recovery_the_next_start_finishes_it(self):
        random = dice("SIGKILL in a recovery")
        done = []
        for _ in range(max(2, MOMENTS // 8)):
            delay = random.uniform(0, 0.04)
            with self.subTest(delay_ms=round(delay * 1e3, 1)):
                with Vm(disks=2, region=REGION, pattern="rand") as vm:
                    done.append(self.recover_twice(delay, vm))
        say(f"SIGKILL in a recovery: {len(done)} times, {sum(done)} of them after its end")


class Stopped(HarmTest):
    def test_guest_goes_on_while_the_sidecar_is_stopped(self):
        random = dice("SIGSTOP")
        in_cycle = 0
        with loaded_guest() as vm, Sidecar(vm, interval=50) as sidecar:
            sidecar.wait("protected")
            for _ in range(MOMENTS):
                time.sleep(random.uniform(0, 0.08))
                sidecar.process.send_signal(signal.SIGSTOP)
                in_cycle += bool(graph(vm)[0])
                self.assert_goes_on(vm, 5)
                time.sleep(random.uniform(0, 0.05))
                sidecar.process.send_signal(signal.SIGCONT)
                sidecar.wait_generations(1)
            # A stop that breaks the point in time costs one cycle at most, for longer than a
            # second not even the protection.
            self.assertEqual(sidecar.process.poll(), None)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)
            self.assert_short_pauses(vm, "SIGSTOP")
            say(f"SIGSTOP: {in_cycle} of {MOMENTS} in mid-cycle")

    def test_memory_stays_in_its_bound_when_stopped_in_mid_cycle(self):
        with Vm(disks=1, region=4 * MIB, rate=50) as vm, \
                Sidecar(vm, interval=1000, scratch=32) as sidecar:
            sidecar.wait("protected")
            vm.order("burst 48")
            if not stop_in_cycle(vm, sidecar):
                raise Late("no cycle")
            before = anonymous_bytes(vm.process)
            for _ in range(3):
                vm.order("burst 48")
                self.assert_goes_on(vm)
            top = memfd_bytes(vm.process)
            say(f"stopped in mid-cycle: {top / MIB:.1f} MiB of 32 in memfds, QEMU's own memory "
                f"grew by {(anonymous_bytes(vm.process) - before) / MIB:.1f} MiB")
            self.assertLessEqual(top, 32 * MIB)
            self.assertLess(anonymous_bytes(vm.process), before + 32 * MIB)
            since = len(sidecar.events)
            sidecar.process.send_signal(signal.SIGCONT)
            sidecar.wait("generation", since=since, timeout=60)
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)


if __name__ == "__main__":
    unittest.main()
