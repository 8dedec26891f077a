# SPDX-License-Identifier: Apache-2.0
"""Drills: QEMU itself ends. Killed, crashed, hung; started again as it was, or by a hook."""

import os
import pathlib
import select
import signal
import threading
import time
import unittest

from fault_support import Disk, FaultCase, loaded, seeds
from harm_support import hang_in_cycle
from lab.cache import until
from lab.lock import Lock
from lab.proxy import Proxy


# What it said before somebody came to the console of the new QEMU is lost.
UP = ("READY", "RATE ")


class RestartCase(FaultCase):
    timeout_s = 300  # several boots, on a busy machine

    def guest(self, disks=2, **guest):
        return loaded(disks, detached=True, **guest)

    def images_of(self, vm):
        """As this QEMU has them; of one behind a server, what that serves."""
        files = {disk["qdev"].split("/")[3]: disk["inserted"]["file"]
                 for disk in vm.qmp("query-block") if disk.get("inserted")}
        return [str(disk.path) if files[disk.id].startswith("nbd") else files[disk.id]
                for disk in vm.disks]

    def goes_on(self, vm, sidecar, since):
        """A new QEMU is there; its guest found all it was told, writes, and has a replica."""
        vm.adopt()
        vm.console.wait(UP, 90)
        self.assertGreaterEqual(vm.acks.boots[-1], vm.acks.before_boot)
        vm.wait_more(50)
        images = self.images_of(vm)
        if not any(image.endswith(".qcow2") for image in images):
            sidecar.wait("protected", since=since, resumed=True)
            sidecar.wait_generations(2)
        vm.order("pause")
        verdict = vm.check(images, at_least=vm.acked)
        self.assertTrue(verdict["consistent"], verdict)
        self.assertEqual((verdict["lost"], vm.guest_errors), (0, []))
        vm.order("resume")

    def struck(self, vm, sidecar, kind="qemu-exit", end=None):
        """QEMU ends: everything that has to follow."""
        since = len(sidecar.events)
        if end:
            end()
        else:
            vm.kill()
        vm.process.wait(150)  # a hang in mid-cycle is met when its commands had their time
        fault = sidecar.wait("fault", since=since, kind=kind, timeout=60)
        self.assertEqual(fault["resource"], "qemu")
        recovery = sidecar.wait("recovery", since=since, strategy="restart")
        recovered = sidecar.wait("recovered", since=since, strategy="restart", timeout=60)
        self.assertEqual((recovery["predicted_loss_bytes"], recovered["lost_bytes"]), (0, 0))
        self.goes_on(vm, sidecar, since)
        return recovered


class Restart(RestartCase):
    def test_a_killed_qemu_is_started_again(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, restart="recorded")
            mode = os.stat(sidecar.store / "definition.json").st_mode & 0o777
            self.assertEqual(mode, 0o600)
            recovered = self.struck(vm, sidecar)
            names = [step["name"] for step in recovered["steps"]]
            self.assertEqual(names, ["detect", "prepare", "start", "resume"])
            # And once more: the new one was recorded, too.
            self.struck(vm, sidecar)
            self.assertEqual(len(vm.processes()), 1)

    def test_a_guest_that_was_shut_down_and_begins_anew_is_watched_again(self):
        with self.guest(disks=1, extra=["-no-shutdown"]) as vm:
            sidecar = self.protect(vm, restart="recorded")
            vm.order("poweroff")
            until(lambda: vm.status() == "shutdown", "it is off", every=0.05)
            since = len(vm.console.lines)
            vm.qmp("system_reset")
            vm.qmp("cont")
            vm.console.wait("READY", 90, since=since)
            vm.wait_more(50)
            sidecar.wait_generations(2)
            self.struck(vm, sidecar)

    def test_it_is_never_unless_asked_for(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm)
            vm.kill()
            sidecar.wait("fault", kind="qemu-exit")
            recovery = sidecar.wait("recovery", strategy="hold")
            self.assertIn("--restart", recovery["why"])
            self.assertEqual(sidecar.process.wait(30), 1)
            self.assertEqual(vm.processes(), [])
            self.assertFalse((sidecar.store / "definition.json").exists())

    def test_it_starts_on_the_disk_that_the_guest_was_moved_to(self):
        for style in ("blockdev", "drive"):
            with self.subTest(style), self.guest(disks=[Disk(style=style, nbdkit="pwrite"),
                                                        Disk()]) as vm:
                sidecar = self.protect(vm, restart="recorded")
                vm.disks[0].error()
                pivoted = sidecar.wait("recovered", strategy="pivot", timeout=60)
                vm.wait_more(50)
                vm.disks[0].kill()  # what the guest has left is not there any more
                images = self.images(vm, pivoted)
                self.struck(vm, sidecar)
                until(lambda: sidecar.status()["state"] == "recovered", "the state is recovered")
                self.assertEqual(self.images_of(vm)[0], str(pathlib.Path(images[0]).resolve()))

    def test_it_starts_on_the_spare_that_one_disk_has_reached(self):
        """Its overlay is as old as the move, and the other disk is on its own yet."""
        with self.guest(disks=[Disk(nbdkit="pwrite"), Disk(nbdkit="pwrite")], rate=300) as vm:
            spare = vm.work / "spare"
            spare.mkdir()
            config = vm.work / "qheal.conf"
            config.write_text("[optimal]\nrate-mib-s = 1\n")
            sidecar = self.protect(vm, restart="recorded", objective="optimal", spare=spare,
                                   config=config)
            for disk in vm.disks:
                disk.error()
            moved = sidecar.wait("recovered", strategy="mirror", timeout=120)
            self.assertEqual(len(sidecar.find("recovered", strategy="mirror")), 1)
            vm.wait_more(50)  # only the spare has them
            since = len(sidecar.events)
            vm.kill()
            vm.process.wait(30)
            sidecar.wait("recovered", since=since, strategy="restart", timeout=60)
            vm.adopt()
            vm.console.wait(UP, 90)
            self.assertGreaterEqual(vm.acks.boots[-1], vm.acks.before_boot)
            self.assertIn(moved["image"]["path"], self.images_of(vm))
            # The other follows, and then all are protected, also by the next start.
            moved = sidecar.wait("recovered", since=since, strategy="mirror", timeout=120)
            since = sidecar.events.index(moved)
            sidecar.wait("protected", since=since, timeout=90)
            since = len(sidecar.events)
            sidecar.stop()
            sidecar.start()
            sidecar.wait("protected", since=since, timeout=60, resumed=True)
            sidecar.wait_generations(2)
            vm.order("pause")
            sidecar.wait_caught_up()
            for images in (self.images_of(vm), sidecar.heads()):
                self.nothing_lost(vm, images)

    def snapshot(self, vm):
        """Its owner's, of the first disk."""
        image = vm.work / "snap.img"
        disk = vm.disks[0]
        vm.qmp("blockdev-snapshot-sync", {
            "snapshot-file": str(image), "format": "qcow2",
            **({"device": disk.node} if disk.style == "drive" else
               {"node-name": disk.node, "snapshot-node-name": "snap"})})
        return str(image)

    def test_it_is_not_started_below_a_snapshot_of_its_owner(self):
        for style in ("blockdev", "drive"):
            with self.subTest(style), self.guest(disks=[Disk(style=style), Disk()]) as vm:
                sidecar = self.protect(vm, restart="recorded")
                self.snapshot(vm)
                until(lambda: any("on top of" in event["reason"]
                                  for event in sidecar.find("degraded")), "it is noticed")
                vm.wait_more(50)
                vm.kill()
                recovery = sidecar.wait("recovery", strategy="hold")
                self.assertIn("another image", recovery["why"])
                self.assertEqual(sidecar.process.wait(30), 1)
                self.assertEqual(vm.processes(), [])

    def test_it_starts_on_a_snapshot_that_was_there_before(self):
        for style in ("blockdev", "drive"):
            with self.subTest(style), self.guest(disks=[Disk(style=style), Disk()]) as vm:
                image = self.snapshot(vm)
                sidecar = self.protect(vm, restart="recorded")
                self.struck(vm, sidecar)
                self.assertEqual(self.images_of(vm)[0], image)

    def test_it_starts_on_what_the_guest_was_rolled_back_to(self):
        with self.guest(rate=500) as vm:
            sidecar = self.protect(vm, restart="recorded")
            vm.wait_more(60)
            self.assertEqual(sidecar.command("points", "--create", "good")[0], 0)
            vm.wait_more(60)
            boots, since = len(vm.acks.boots), len(sidecar.events)
            self.assertEqual(sidecar.command("rollback", "--point", "good")[0], 0)
            back = sidecar.wait("recovered", strategy="rollback")
            sidecar.wait("protected", since=since, timeout=60)
            vm.acks.wait_boots(boots)
            vm.wait_more(20)
            since = len(sidecar.events)
            vm.kill()
            sidecar.wait("recovered", since=since, strategy="restart", timeout=60)
            self.goes_on(vm, sidecar, since)
            self.assertEqual(self.images_of(vm), [str(pathlib.Path(image).resolve())
                                                  for image in self.images(vm, back)])

    def test_it_ends_what_died_in_the_middle_of_a_pivot(self):
        for random in seeds():
            with self.guest(disks=[Disk(nbdkit="pwrite"), Disk()]) as vm:
                sidecar = self.protect(vm, restart="recorded")
                vm.order("burst 20")
                since = len(sidecar.events)
                vm.disks[0].error()
                sidecar.wait("recovery", strategy="pivot")
                time.sleep(random.random() * 0.08)
                vm.kill()
                vm.disks[0].error(False)
                vm.process.wait(30)
                sidecar.wait("recovered", since=since, strategy="restart", timeout=60)
                self.goes_on(vm, sidecar, since)

    def test_a_disk_that_is_in_use_is_told_and_held(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, restart="recorded")
            with Lock(vm.disks[0].path):
                vm.kill()
                failed = sidecar.wait("recovery-failed", strategy="restart", timeout=60)
            self.assertIn("lock", failed["reason"])
            self.assertEqual(failed["next"], "hold")
            self.assertEqual(sidecar.process.wait(30), 1)
            self.assertEqual(vm.processes(), [])


class Hang(RestartCase):
    def hangs(self, vm, sidecar):
        since = len(sidecar.events)
        vm.process.send_signal(signal.SIGSTOP)
        fault = sidecar.wait("fault", since=since, kind="qemu-hang", timeout=40)
        self.assertEqual((fault["resource"], fault["cause"]), ("qemu", "hung"))
        return since

    def test_a_hung_qemu_is_killed_and_started_again(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, restart="recorded")
            recovered = self.struck(vm, sidecar, kind="qemu-hang",
                                    end=lambda: vm.process.send_signal(signal.SIGSTOP))
            self.assertIn("kill", [step["name"] for step in recovered["steps"]])

    def test_one_that_hangs_in_mid_cycle(self):
        with self.guest() as vm:
            sidecar = self.protect(vm, restart="recorded")
            self.struck(vm, sidecar, kind="qemu-hang", end=lambda: hang_in_cycle(vm, sidecar))

    def test_a_disk_that_hangs_is_left_with_its_qemu(self):
        """QEMU waits for it in a cycle. All disks go back to the last generation."""
        with self.guest(disks=[Disk(), Disk(nbdkit=True)]) as vm:
            config = vm.work / "qheal.conf"
            config.write_text("[allow]\ndisk-hang = restart\n")
            sidecar = self.protect(vm, restart="recorded", on_loss="rollback", interval=1000,
                                   config=config)
            vm.wait_more(20)
            vm.disks[1].hang()
            sidecar.wait("fault", kind="disk-hang", resource="vdb", timeout=60)
            said = sidecar.wait("recovery", strategy="restart", timeout=60)
            self.assertGreater(said["predicted_loss_bytes"], 0)
            recovered = sidecar.wait("recovered", strategy="restart", timeout=90)
            names = [step["name"] for step in recovered["steps"]]
            self.assertLess(names.index("flush"), names.index("kill"))
            self.assertGreater(recovered["lost_bytes"], 0)
            vm.process.wait(30)
            vm.adopt()
            vm.console.wait(UP, 90)
            vm.wait_more(50)
            images = self.images_of(vm)
            self.assertTrue(all("/promoted/" in image for image in images), images)
            vm.order("pause")
            verdict = vm.check(images, at_least=1)
            self.assertTrue(verdict["consistent"], verdict)

    def test_it_is_not_killed_for_what_cannot_be_started_again(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, restart="recorded")
            (sidecar.store / "definition.json").write_text("{}")
            self.hangs(vm, sidecar)
            failed = sidecar.wait("recovery-failed", strategy="restart", timeout=60)
            self.assertIn("definition.json", failed["reason"])
            self.assertIsNone(vm.process.poll())
            vm.process.send_signal(signal.SIGCONT)
            vm.wait_more(50)
            self.assertEqual(vm.status(), "running")

    def dump_of(self, vm):
        """A dump of its owner's, not begun, and the slow reader's end of where it goes."""
        os.mkfifo(vm.work / "dump")
        return (threading.Thread(target=vm.qmp, args=("dump-guest-memory",),
                                 kwargs={"paging": False, "protocol": f"file:{vm.work}/dump",
                                         "timeout": 120}),
                os.open(vm.work / "dump", os.O_RDONLY | os.O_NONBLOCK))

    def dump_ends(self, vm, sidecar, dump, slow):
        """It is read to its end; then all is as if nothing had been."""
        os.set_blocking(slow, True)
        while os.read(slow, 1 << 20):
            pass
        os.close(slow)
        dump.join()
        vm.wait_more(50)
        sidecar.wait_generations(2, timeout=60)
        self.assertEqual((vm.status(), sidecar.find("recovered")), ("running", []))

    def test_an_owner_whose_dump_takes_its_time(self):
        """QEMU stops the guest and answers nothing until all of it is written."""
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm, restart="recorded")
            dump, slow = self.dump_of(vm)
            dump.start()
            fault = sidecar.wait("fault", kind="qemu-hang", timeout=40)
            self.assertEqual((fault["cause"], fault["warning"]), ("unknown", True))
            time.sleep(36)  # what QEMU does not answer within 30 s is given up
            self.assertIsNone(vm.process.poll())
            self.dump_ends(vm, sidecar, dump, slow)
            self.struck(vm, sidecar)

    def test_an_owner_whose_dump_begins_in_a_pause_of_ours(self):
        """QEMU has nothing to stop then, and tells nothing. What the sidecar takes for QEMU's process is
        the one that listens, this one: it writes on what QEMU writes."""
        with self.guest(disks=2) as vm, Proxy(vm.qmp_path, vm.work / "proxy.sock") as proxy, \
                open(os.devnull, "wb", 0) as null:
            dump, slow = self.dump_of(vm)
            direct, vm.qmp_path = vm.qmp_path, vm.work / "proxy.sock"
            sidecar = self.protect(vm, restart="recorded")
            vm.qmp_path = direct

            def begin():
                until(lambda: vm.status(0.01) == "paused", "the sidecar's pause")
                dump.start()
                select.select([slow], [], [])

            proxy.behind('"stop"', begin)
            while not sidecar.find("fault"):  # 3 MiB/s or so
                select.select([slow], [], [], 1)
                if dump.is_alive():
                    null.write(os.read(slow, 1 << 16))
                time.sleep(0.02)
            fault = sidecar.find("fault")[0]
            self.assertEqual((fault["kind"], fault["cause"], fault["warning"]),
                             ("qemu-hang", "unknown", True))
            self.assertTrue(dump.is_alive())
            self.dump_ends(vm, sidecar, dump, slow)

    def test_a_hung_qemu_is_let_alone_unless_asked_for(self):
        with self.guest(disks=1) as vm:
            sidecar = self.protect(vm)
            since = self.hangs(vm, sidecar)
            sidecar.wait("recovery", since=since, strategy="hold", timeout=60)
            self.assertIsNone(vm.process.poll())
            vm.process.send_signal(signal.SIGCONT)
            vm.wait_more(50)
            sidecar.wait_generations(2, timeout=60)
            self.assertEqual(vm.status(), "running")
            self.assertEqual(sidecar.find("recovered"), [])


class Hook(FaultCase):
    """A hook that starts QEMU, and those that do not."""

    once = True  # about a program of somebody's, not about QEMU

    def hook(self, vm, text):
        path = vm.work / "hook"
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o700)
        return f"hook:{path}"

    def test_a_hook_starts_it(self):
        with loaded(2, detached=True) as vm:
            command = " ".join(f"'{word}'" for word in vm.arguments())
            hook = self.hook(vm, 'test "$QHEAL_FAULT $QHEAL_VM" = "qemu-exit guest" || exit 7\n'
                             'test -S "$QHEAL_QMP" && test -d "$QHEAL_STORE" || exit 8\n'
                             f"setsid {command} < /dev/null > /dev/null 2>&1 &\n")
            sidecar = self.protect(vm, restart=hook)
            since = len(sidecar.events)
            vm.kill()
            recovered = sidecar.wait("recovered", strategy="restart", timeout=60)
            self.assertIn("hook", [step["name"] for step in recovered["steps"]])
            vm.adopt()
            vm.console.wait(UP, 90)
            self.assertGreaterEqual(vm.acks.boots[-1], vm.acks.before_boot)
            sidecar.wait("protected", since=since, timeout=60)

    def fails(self, text, says):
        with loaded(1, detached=True) as vm:
            sidecar = self.protect(vm, restart=self.hook(vm, text))
            vm.kill()
            failed = sidecar.wait("recovery-failed", strategy="restart", timeout=90)
            self.assertIn(says, failed["reason"])
            self.assertEqual(failed["next"], "hold")
            self.assertEqual(sidecar.process.wait(30), 1)
            return sidecar.log.read_text()

    def test_a_hook_that_fails(self):
        self.assertIn("no such guest", self.fails("echo no such guest; exit 3", "status 3"))

    def test_a_hook_that_hangs(self):
        self.fails("sleep 1000", "60 s and was killed")

    def test_a_hook_that_floods(self):
        log = self.fails("yes flood | head -c 30000000; exit 4", "status 4")
        self.assertIn("flood", log)
        self.assertLess(len(log), 200_000)


if __name__ == "__main__":
    unittest.main()
