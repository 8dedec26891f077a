# SPDX-License-Identifier: Apache-2.0
"""Drills: the host is gone, and a standby boots the guest from the replica. Here the host is a
sidecar and its QEMU, killed together; the standby finds the store on the same file system."""

import json
import signal
import socket
import threading
import time

from drill_restart_test import UP, RestartCase
from fault_support import seeds
from lab.cache import until
from lab.disk import Disk
from lab.sidecar import Sidecar

LEASE_S = 2


class Standby(Sidecar):
    verb = "standby"
    environment = {"QHEAL_NODE": "node2"}


class Renewer:
    """Another host that renews the lease of a store."""

    def __init__(self, store):
        self.path, self.count, self.over = store / "lease", 0, threading.Event()

    def write(self):
        self.count += 1
        text = json.dumps({"format": 1, "host": "elsewhere", "machine": "other", "boot": "another", "vm": "guest",
                           "seconds": LEASE_S, "count": self.count, "dirty_bytes": 0,
                           "released": False})
        self.path.write_text(text.ljust(2047) + "\n")

    def run(self):
        while not self.over.wait(0.2):
            self.write()

    def __enter__(self):
        self.write()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class HostCase(RestartCase):
    once = True  # QEMU has no part in it but its start

    def fence(self, vm, text):
        path = vm.work / "fence"
        path.write_text(f'#!/bin/sh\necho "$QHEAL_VM $QHEAL_FAULT $QHEAL_HOST" >> {vm.work}/fenced\n'
                        + text + "\n")
        path.chmod(0o700)
        return path

    def fenced(self, vm):
        path = vm.work / "fenced"
        return path.read_text().splitlines() if path.exists() else []

    def standby(self, vm, fence="exit 0", kind=Standby, **options):
        standby = kind(vm, interval=100, fence=self.fence(vm, fence), **options)
        standby.log = vm.work / "standby.log"
        standby.start()
        self.addCleanup(standby.__exit__, None, None, None)
        until(lambda: "its lease is watched" in standby.log.read_text(), "it watches the lease")
        return standby

    def host_dies(self, vm, sidecar):
        """All at once; what the guest had acknowledged then."""
        sidecar.process.kill()
        vm.kill()
        vm.process.wait(30)
        sidecar.process.wait(30)
        return vm.acks.read()

    def booted(self, vm, standby, lost=True):
        """The guest runs here, on one point in time of all its disks, and is looked after."""
        recovered = standby.wait("recovered", strategy="failover", timeout=60)
        self.assertEqual(recovered["lost_bytes"] > 0, lost)
        vm.adopt()
        vm.console.wait(UP, 90)
        found, before = vm.acks.boots[-1], vm.acks.before_boot
        self.assertLessEqual(found, before + len(vm.disks) * 64)  # what was under way may be there
        if not lost:
            self.assertGreaterEqual(found, before)
        vm.wait_more(50)
        standby.wait("well", strategy="failover", timeout=60)
        until(lambda: standby.status()["state"] == "recovered", "the state is recovered")
        vm.order("pause")
        verdict = vm.check(self.images_of(vm), acked=vm.acked)
        self.assertTrue(verdict["consistent"], verdict)
        self.assertEqual((verdict["lost"], vm.guest_errors), (0, []))
        self.assertEqual(len(vm.processes()), 1)
        return recovered

    def left_alone(self, vm, standby, seconds=2.5 * LEASE_S):
        time.sleep(seconds)
        self.assertEqual(standby.find("fault"), [])
        self.assertEqual(self.fenced(vm), [])
        self.assertIsNone(standby.process.poll())


class Host(HostCase):
    def test_a_guest_boots_where_the_standby_is(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            self.assertEqual((sidecar.store / "lease").stat().st_mode & 0o777, 0o600)
            standby = self.standby(vm, on_loss="rollback")
            self.left_alone(vm, standby)
            self.assertEqual(sidecar.status()["lease"],
                             {"host": socket.gethostname(), "seconds": LEASE_S,
                              "released": False, "standby": True})
            plan = json.loads(sidecar.command("plan", "--json")[1])
            gone = next(row for row in plan["plan"] if row["fault"] == "host-down")
            self.assertNotEqual(gone["why"], "host-down (unknown): there is no standby")
            generation = sidecar.wait_generations(2)["generation"]
            acked = self.host_dies(vm, sidecar)
            fault = standby.wait("fault", kind="host-down", timeout=30)
            self.assertEqual((fault["resource"], fault["host"]), ("host", socket.gethostname()))
            recovery = standby.wait("recovery", strategy="failover")
            self.assertGreater(recovery["predicted_loss_bytes"], 0)
            recovered = self.booted(vm, standby)
            self.assertGreaterEqual(recovered["generation"], generation)
            self.assertGreaterEqual(vm.acks.before_boot, acked)
            self.assertEqual(recovered["lost_bytes"], recovery["predicted_loss_bytes"])
            self.assertEqual([step["name"] for step in recovered["steps"]],
                             ["detect", "fence", "open", "overlay", "flush", "promote", "prepare",
                              "start", "resume"])
            self.assertEqual(self.fenced(vm), [f"guest host-down {socket.gethostname()}"])
            incidents = json.loads(standby.command("incidents", "--json")[1])["incidents"]
            self.assertEqual(incidents[-1]["outcome"]["result"], "recovered")
            # It is the next standby's host now.
            lease = json.loads((sidecar.store / "lease").read_text())
            self.assertEqual((lease["host"], lease["seconds"], lease["released"]),
                             ("node2", LEASE_S, False))

    def test_a_guest_on_an_image_of_the_store_loses_nothing(self):
        with self.guest(disks=[Disk(nbdkit="pwrite")]) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            vm.disks[0].error()
            sidecar.wait("recovered", strategy="pivot", timeout=60)
            vm.wait_more(50)
            standby = self.standby(vm)
            self.host_dies(vm, sidecar)
            vm.disks[0].kill()
            self.booted(vm, standby, lost=False)

    def test_a_disk_that_is_on_the_other_host_is_not_left_behind(self):
        with self.guest(disks=[Disk(nbdkit="pwrite"), Disk()]) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            vm.disks[0].error()
            sidecar.wait("recovered", strategy="pivot", timeout=60)
            standby = self.standby(vm, on_loss="rollback")
            self.host_dies(vm, sidecar)
            recovery = standby.wait("recovery", strategy="hold", timeout=30)
            self.assertIn("the others are on that host", recovery["why"])
            self.assertEqual((self.fenced(vm), vm.processes()), ([], []))

    def test_a_host_that_comes_back_is_refused(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            sidecar.stop()
            with Renewer(sidecar.store):
                sidecar.start()
                self.assertEqual(sidecar.process.wait(30), 1)
                self.assertIn("host elsewhere renews its lease", sidecar.log.read_text())
            sidecar.start()  # nobody renews it any more
            sidecar.wait("protected", count=2)

    def test_a_standby_that_is_killed_is_followed_by_another(self):
        for random in seeds():
            with self.guest() as vm:
                sidecar = self.protect(vm, lease=LEASE_S)
                first = self.standby(vm, on_loss="rollback")
                self.host_dies(vm, sidecar)
                first.wait("recovery", strategy="failover", timeout=30)
                time.sleep(random.random() * 0.5)
                first.process.kill()
                first.process.wait(30)
                second = self.standby(vm, on_loss="rollback")
                # It boots the guest, or only looks after one that runs already.
                second.wait("attached", timeout=60)
                vm.adopt()
                vm.console.wait(UP, 90)
                vm.wait_more(50)
                until(lambda s=second: s.status()["state"] == "recovered", "it is looked after")
                vm.order("pause")
                self.assertTrue(vm.check(self.images_of(vm), acked=vm.acked)["consistent"])
                self.assertEqual(len(vm.processes()), 1)


class SameHost(HostCase):
    """A standby beside the guest: nobody is ever fenced."""

    class Beside(Standby):
        environment = {}

    def test_it_is_the_sidecar_of_a_guest_that_has_none(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            standby = self.standby(vm, kind=self.Beside, on_loss="rollback")
            self.left_alone(vm, standby)
            sidecar.process.kill()
            standby.wait("protected", resumed=True)
            self.assertEqual((self.fenced(vm), vm.status()), ([], "running"))
            self.assertEqual(standby.find("fault"), [])

    def test_it_boots_a_guest_that_is_gone(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            standby = self.standby(vm, kind=self.Beside, fence="exit 1", on_loss="rollback")
            self.host_dies(vm, sidecar)
            self.booted(vm, standby)
            self.assertEqual(self.fenced(vm), [])


class NotGone(HostCase):
    """Nothing is done, or nothing more than is safe."""

    def test_hold_is_told_and_kept(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            standby = self.standby(vm)
            self.host_dies(vm, sidecar)
            recovery = standby.wait("recovery", strategy="hold", timeout=30)
            self.assertIn("on-loss is hold", recovery["why"])
            time.sleep(2 * LEASE_S)
            self.assertEqual(len(standby.find("fault")), 1)
            self.assertEqual((self.fenced(vm), vm.processes()), ([], []))

    def test_a_fence_that_fails(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            standby = self.standby(vm, fence="echo no answer; exit 4", on_loss="rollback")
            self.host_dies(vm, sidecar)
            failed = standby.wait("recovery-failed", strategy="failover", timeout=30)
            self.assertIn("status 4", failed["reason"])
            self.assertIn("no answer", standby.log.read_text())
            standby.wait("recovery", strategy="hold")
            self.assertEqual(vm.processes(), [])

    def test_a_sidecar_that_still_has_the_store(self):
        """A fence that says that it did and did not; then one that does."""
        for kills in (False, True):
            with self.subTest(kills=kills), self.guest(disks=1) as vm:
                sidecar = self.protect(vm, lease=LEASE_S)
                end = f"kill -9 {sidecar.process.pid}" if kills else "exit 0"
                standby = self.standby(vm, fence=end, on_loss="rollback")
                sidecar.halt()
                vm.kill()
                vm.process.wait(30)
                if kills:
                    self.booted(vm, standby)
                    continue
                failed = standby.wait("recovery-failed", strategy="failover", timeout=30)
                self.assertIn("in use", failed["reason"])
                self.assertEqual(vm.processes(), [])
                sidecar.process.send_signal(signal.SIGKILL)

    def test_a_sidecar_that_left(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            standby = self.standby(vm, on_loss="rollback")
            sidecar.stop()
            vm.kill()
            self.left_alone(vm, standby)

    def test_a_guest_that_was_shut_down(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            standby = self.standby(vm, on_loss="rollback")
            vm.qmp("quit")
            self.assertEqual(sidecar.process.wait(30), 0)
            self.left_alone(vm, standby)

    def test_a_guest_whose_sidecar_was_killed(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            standby = self.standby(vm, on_loss="rollback")
            sidecar.process.kill()
            sidecar.process.wait(30)
            sidecar.start()  # goes on at once, and so does the lease
            sidecar.wait("protected", count=2)
            self.left_alone(vm, standby)
            sidecar.process.kill()
            self.left_alone(vm, standby)
            self.assertIn("it is left alone", standby.log.read_text())
            self.assertEqual(vm.status(), "running")

    def test_a_qemu_that_nobody_starts_again(self):
        """Its sidecar leaves with it, and does not release the lease."""
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            standby = self.standby(vm, on_loss="rollback")
            vm.kill()
            self.assertEqual(sidecar.process.wait(30), 1)
            self.booted(vm, standby)

    def test_a_host_that_renews_behind_a_fence_that_lied(self):
        """It is never written to by both."""
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            with Renewer(sidecar.store):
                self.assertEqual(sidecar.process.wait(30), -signal.SIGKILL)
            self.assertIn("host elsewhere has taken the lease", sidecar.log.read_text())
            vm.wait_more(50)  # its guest goes on

    def test_one_standby_a_store(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, lease=LEASE_S)
            self.standby(vm)
            code, _, err = sidecar.command("standby", "--qmp", vm.qmp_path, "--fence", "/bin/true")
            self.assertEqual(code, 1)
            self.assertIn("has a standby already", err)
            for words, says in (((), "--fence"), (("--fence", "true"), "absolute path"),
                                (("--fence", "/nowhere node1"), "No such file"),
                                (("--fence", "/bin/true", "--once"), "--once"),
                                (("--fence", "/bin/true", "--qmp", "tcp:node1:4444"), "tcp:")):
                code, _, err = sidecar.command("standby", "--qmp", vm.qmp_path, *words)
                self.assertEqual(code, 2, words)
                self.assertIn(says, err)
            code, _, err = sidecar.command("protect", "--qmp", vm.qmp_path, "--lease", "1")
            self.assertEqual((code, "2 to 3600" in err), (2, True))
