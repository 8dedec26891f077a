# SPDX-License-Identifier: Apache-2.0
"""Drills: the host's memory fails. Nothing here can break it, so a proxy says what QEMU would say;
the migration to the standby is a real one."""

import signal
import unittest

from fault_support import FaultCase, loaded
from lab.cache import until
from lab.proxy import Proxy
from lab.standby import Standby


class MemoryCase(FaultCase):
    once = True  # about the policy and the migration that QEMU has had for long

    def behind(self, vm, **options):
        """A sidecar behind a proxy: (proxy, sidecar)."""
        proxy = Proxy(vm.qmp_path, vm.work / "proxy.sock")
        proxy.__enter__()
        self.addCleanup(proxy.__exit__)
        vm.qmp_path = vm.work / "proxy.sock"
        return proxy, self.protect(vm, **options)

    def warn(self, proxy):
        """An error beside the guest's own memory."""
        proxy.inject("MEMORY_FAILURE", recipient="hypervisor", action="ignore",
                     flags={"action-required": False, "recursive": False})


class Standbys(MemoryCase):
    # Under TCG a guest that QEMU 7.2 has migrated crashes now and then, on a busy machine one in
    # three: its kernel runs into its own data. Of 10.0 that was never seen.
    once, newest = False, True

    def failed_over(self, vm, standby, sidecar):
        recovery = sidecar.wait("recovery", strategy="failover")
        self.assertEqual(recovery["predicted_loss_bytes"], 0)
        recovered = sidecar.wait("recovered", strategy="failover", timeout=60)
        self.assertEqual(recovered["lost_bytes"], 0)
        vm.process.wait(30)  # never two of them
        sidecar.wait("protected", since=sidecar.events.index(recovered), resumed=True, timeout=60)
        standby.take(vm)
        vm.wait_more(50)
        sidecar.wait_generations(2)
        self.assertEqual((vm.status(), len(vm.acks.boots)), ("running", 1))
        vm.order("pause")
        self.nothing_lost(vm, None)

    def moves(self, uri):
        with loaded(2, detached=True) as vm, Standby(vm, uri) as standby:
            proxy, sidecar = self.behind(vm, standby=standby.option())
            self.warn(proxy)
            self.failed_over(vm, standby, sidecar)

    def test_a_guest_moves_before_its_memory_fails(self):
        self.moves("")

    def test_a_guest_moves_to_where_the_standby_listens(self):
        self.moves("migrate")

    def goes_on(self, vm, sidecar):
        failed = sidecar.wait("recovery-failed", strategy="failover", timeout=60)
        self.assertEqual(failed["next"], "hold")
        vm.wait_more(50)
        sidecar.wait_generations(2)
        self.assertEqual(vm.status(), "running")

    def test_a_standby_that_is_not_there(self):
        with loaded(1, detached=True) as vm:
            proxy, sidecar = self.behind(vm, standby="qmp=/no/such/socket")
            self.warn(proxy)
            self.goes_on(vm, sidecar)

    def test_a_standby_that_dies_in_the_migration(self):
        with loaded(1, detached=True) as vm, Standby(vm, "") as standby:
            proxy, sidecar = self.behind(vm, standby=standby.option())
            vm.qmp("migrate-set-parameters", {"max-bandwidth": 8 << 20})  # so that it takes a while
            self.warn(proxy)
            sidecar.wait("recovery", strategy="failover")
            until(lambda: vm.qmp("query-migrate").get("status") == "active", "it migrates")
            standby.process.send_signal(signal.SIGKILL)
            self.goes_on(vm, sidecar)

    def test_nothing_moves_after_an_error_in_the_guest_s_memory(self):
        with loaded(1, detached=True) as vm, Standby(vm, "") as standby:
            proxy, sidecar = self.behind(vm, standby=standby.option())
            proxy.inject("MEMORY_FAILURE", recipient="guest", action="inject",
                         flags={"action-required": True, "recursive": False})
            fault = sidecar.wait("fault", kind="memory-failure")
            self.assertEqual(fault["resource"], "memory")
            sidecar.wait("recovery", strategy="hold")
            vm.wait_more(50)
            sidecar.wait_generations(2)
            self.assertEqual(vm.qmp("query-migrate"), {})
            self.assertEqual(vm.status(), "running")


class Moved(MemoryCase):
    """The guest left the images that the standby was started with."""

    def test_a_standby_with_the_images_of_before_a_pivot(self):
        with loaded(1, detached=True) as vm, Standby(vm, "") as standby:
            proxy, sidecar = self.behind(vm, standby=standby.option())
            vm.fail(0, "write")
            sidecar.wait("recovered", strategy="pivot")
            since = len(sidecar.events)
            self.warn(proxy)
            failed = sidecar.wait("recovery-failed", since=since, strategy="failover")
            self.assertEqual(failed["next"], "hold")
            self.assertIn("start the standby with the images", failed["reason"])
            vm.wait_more(50)
            self.assertEqual((vm.status(), vm.qmp("query-migrate")), ("running", {}))

    def test_a_standby_with_the_images_of_before_a_move(self):
        with loaded(1, detached=True) as vm, Standby(vm, "") as standby:
            spare = vm.work / "spare"
            spare.mkdir()
            proxy, sidecar = self.behind(vm, standby=standby.option(), spare=spare)
            vm.fail(0, "write")
            moved = sidecar.wait("recovered", strategy="mirror", timeout=60)
            since = sidecar.events.index(moved)
            sidecar.wait("protected", since=since, timeout=60)
            self.warn(proxy)
            failed = sidecar.wait("recovery-failed", since=since, strategy="failover")
            self.assertEqual(failed["next"], "hold")
            for word in ("vda", str(vm.disks[0].path), moved["image"]["path"]):
                self.assertIn(word, failed["reason"])
            vm.wait_more(50)
            self.assertEqual((vm.status(), vm.qmp("query-migrate")), ("running", {}))


class Monitor(MemoryCase):
    """The monitor ends and QEMU does not: it is tried again, and nothing is killed."""

    once = True  # about the policy and the migration that QEMU has had for long

    def test_a_monitor_that_ends_is_opened_again(self):
        with loaded(1, detached=True) as vm:
            proxy, sidecar = self.behind(vm, restart="recorded")
            since = len(sidecar.events)
            proxy.cut()
            fault = sidecar.wait("fault", since=since, kind="qemu-hang")
            self.assertIn("monitor", fault["detail"])
            sidecar.wait("recovery", since=since, strategy="hold")
            sidecar.wait("protected", since=since, resumed=True)
            vm.wait_more(50)
            sidecar.wait_generations(2)
            self.assertEqual(vm.status(), "running")
            self.assertEqual(sidecar.find("recovered"), [])


if __name__ == "__main__":
    unittest.main()
