# SPDX-License-Identifier: Apache-2.0
"""QEMU hangs for longer than a command may take, and goes on: what it did not answer it does then."""

import signal
import time
import unittest

from harm_support import MIB, HarmTest, Sidecar, Vm, dice, hang_in_cycle


class Hang(HarmTest):
    timeout_s = 400  # that long it takes to hang

    def hang(self, moment, seconds):
        with Vm(2, region=4 * MIB, pattern="rand") as vm, Sidecar(vm, interval=50) as sidecar:
            sidecar.wait("protected")
            sidecar.wait_generations(2)
            since = len(sidecar.events)
            moment(vm, sidecar)
            time.sleep(seconds)
            vm.process.send_signal(signal.SIGCONT)
            vm.wait_more(20)
            sidecar.wait_generations(3, timeout=90)
            self.assertEqual((vm.status(), vm.guest_errors), ("running", []))
            self.assertEqual(sidecar.status()["state"], "protected")
            self.assertEqual(sidecar.find("recovered", since), [])
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)

    def test_in_mid_cycle(self):
        self.hang(hang_in_cycle, dice("hang in mid-cycle").choice([40, 70]))

    def test_at_any_moment(self):
        random = dice("hang")

        def moment(vm, _):
            time.sleep(random.uniform(0, 0.2))
            vm.process.send_signal(signal.SIGSTOP)
        self.hang(moment, random.choice([70, 100]))


if __name__ == "__main__":
    unittest.main()
