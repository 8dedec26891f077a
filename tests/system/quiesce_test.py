# SPDX-License-Identifier: Apache-2.0
"""`qheal points --create --quiesce`: Debian's own guest agent freezes an ext4 around the capture."""

import json
import signal
import socket
import subprocess
import threading
import time
import unittest

from lab.cache import Late, in_time
from lab.disk import Disk
from lab.sidecar import Sidecar
from lab.vm import Vm

MIB = 1 << 20
LIMIT_S = 9.5  # then a freeze is over, or nearly so: BOUND_QUIESCE_MS


class HoldingProxy:
    """Between the sidecar and the agent: from the freeze on, what the agent answers is held back, so
    that the file systems stay frozen for as long as the test looks."""

    def __init__(self, vm):
        self.path, self.agent_path = vm.work / "proxy.sock", vm.agent_path
        self.frozen, self.released = threading.Event(), threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client = self.listener.accept()[0]
            agent = socket.socket(socket.AF_UNIX)
            agent.connect(str(self.agent_path))
            back = threading.Thread(target=self._answers, args=(agent, client), daemon=True)
            back.start()
            self._orders(client, agent)
            self.released.wait()
            back.join()

    def _orders(self, client, agent):
        while data := client.recv(4096):
            agent.sendall(data)
        agent.shutdown(socket.SHUT_WR)

    def _answers(self, agent, client):
        while data := agent.recv(4096):
            if data.startswith(b'{"return": 1'):  # one file system
                self.frozen.set()
                self.released.wait()
            try:
                client.sendall(data)
            except OSError:
                return


def guest(**more):
    vm = Vm([Disk(), Disk(mounted=True)], region=2 * MIB, rate=200, **more).start(ready=False)
    vm.console.wait("READY", 90)  # more to load than the others
    with socket.socket(socket.AF_UNIX) as agent:  # which comes up beside the writer
        agent.settimeout(90)
        agent.connect(str(vm.agent_path))
        agent.sendall(b'{"execute": "guest-ping"}\n')
        agent.recv(4096)
    return vm


class Refused(unittest.TestCase):
    once = True  # about the agent, not about QEMU
    timeout_s = 300

    def no_point(self, sidecar, words):
        code, out, err = sidecar.command("points", "--create", "still", "--quiesce")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("no point was taken", err)
        self.assertIn(words, err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertEqual(sidecar.command("points")[1], "no points yet\n")

    def test_without_an_agent_no_point_is_taken(self):
        """One that is not quiesced is no substitute: whoever asked would rely on it."""
        with Vm(1, region=2 * MIB, rate=200) as vm, Sidecar(vm) as sidecar:
            sidecar.wait("protected")
            self.no_point(sidecar, "--agent")
            self.assertEqual(sidecar.stop(), 0)
            self.no_point(sidecar, "--quiesce needs the sidecar")
            sidecar.options["agent"] = vm.work / "nobody.sock"
            since = len(sidecar.events)
            sidecar.start()
            sidecar.wait("protected", since=since)
            self.no_point(sidecar, "nobody.sock")
            sidecar.wait_generations(2)

    def test_an_agent_that_may_not_freeze_is_quoted(self):
        with guest(agent_block="guest-fsfreeze-freeze") as vm, \
                Sidecar(vm, agent=vm.agent_path) as sidecar:
            sidecar.wait("protected")
            self.no_point(sidecar, "has been disabled")
            vm.wait_more(100)
            self.assertEqual(vm.guest_errors, [])


class Frozen(unittest.TestCase):
    once = True  # about the agent, not about QEMU
    timeout_s = 300

    def files(self, vm):
        """How many files the guest has written to its file system."""
        return int(vm.console.find("FS ")[-1].split()[1])

    def goes_on(self, vm):
        """The guest writes to its file system again."""
        since = len(vm.console.lines)
        vm.console.wait("FS ", 60, since)
        vm.console.wait(f"FS {self.files(vm) + 5}", 60, since)
        self.assertEqual(vm.guest_errors, [])

    def stands_still(self, vm):
        """While the guest goes on otherwise, by as much as it takes to write several files."""
        vm.wait_more(10)  # the last one may still be on its way to the console
        vm.order("ping")
        before = self.files(vm)
        vm.wait_more(60)
        vm.order("ping")
        now = self.files(vm)
        in_time(self.asked_at, LIMIT_S, "a look at the frozen guest")
        self.assertEqual(now, before)

    def hold(self, vm, sidecar, proxy):
        """A point is asked for, the guest's file system is frozen, and so it stays for now."""
        self.asked_at = time.monotonic()
        asked = subprocess.Popen([sidecar.arguments()[0], "points", "--store", sidecar.store,
                                  "--create", "held", "--quiesce"], stderr=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL, text=True)
        self.addCleanup(asked.wait)
        if not proxy.frozen.wait(60):
            raise Late("it is not frozen")
        return asked

    def refused(self, sidecar, asked):
        err = asked.communicate(timeout=60)[1]
        self.assertEqual(asked.returncode, 1, err)
        self.assertEqual(sidecar.command("points")[1], "no points yet\n")
        return err

    def recovery(self, vm, sidecar, point):
        """Does the ext4 of this point need its journal replayed?  It is sound without, if not."""
        image = vm.work / f"{point}.raw"
        code, _, err = sidecar.command("restore", "--disk", "vdb", "--point", point, "--output",
                                       image)
        self.assertEqual(code, 0, err)
        told = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True, check=True)
        needed = "needs_recovery" in told.stdout
        check = subprocess.run(["e2fsck", "-f", "-n", image], capture_output=True, text=True,
                               check=False)
        if not needed:
            self.assertEqual(check.returncode, 0, check.stdout + check.stderr)
        return needed

    def test_a_quiesced_point_has_a_clean_file_system(self):
        with guest() as vm, Sidecar(vm, agent=vm.agent_path) as sidecar:
            sidecar.wait("protected")
            vm.console.wait("FS 20")
            self.assertEqual(sidecar.command("points", "--create", "plain")[0], 0)
            for name in ("one", "two"):
                code, out, err = sidecar.command("points", "--create", name, "--quiesce", "--json")
                self.assertEqual((code, err), (0, ""))
                self.assertTrue(json.loads(out)["quiesced"])
                self.goes_on(vm)
            listed = json.loads(sidecar.command("points", "--json")[1])["points"]
            self.assertEqual([(point["name"], point["quiesced"]) for point in listed],
                             [("plain", False), ("one", True), ("two", True)])
            self.assertEqual([self.recovery(vm, sidecar, name) for name in ("plain", "one", "two")],
                             [True, False, False])
            self.assertEqual(sidecar.find("degraded"), [])

    def test_writes_wait_and_a_killed_sidecar_is_thawed_by_its_guard(self):
        with guest() as vm:
            proxy = HoldingProxy(vm)
            with Sidecar(vm, agent=proxy.path) as sidecar:
                sidecar.wait("protected")
                asked = self.hold(vm, sidecar, proxy)
                self.stands_still(vm)
                sidecar.process.kill()
                self.goes_on(vm)
                proxy.released.set()
                self.refused(sidecar, asked)

    def test_a_sidecar_that_is_ended_thaws(self):
        with guest() as vm:
            proxy = HoldingProxy(vm)
            with Sidecar(vm, agent=proxy.path) as sidecar:
                sidecar.wait("protected")
                asked = self.hold(vm, sidecar, proxy)
                self.stands_still(vm)
                self.assertEqual(sidecar.stop(), 0)
                self.goes_on(vm)
                proxy.released.set()
                self.refused(sidecar, asked)

    def test_an_answer_that_does_not_come_is_thawed_and_refused(self):
        """By then the generations go on, and so does the guest."""
        with guest() as vm:
            proxy = HoldingProxy(vm)
            with Sidecar(vm, agent=proxy.path) as sidecar:
                sidecar.wait("protected")
                asked = self.hold(vm, sidecar, proxy)
                self.stands_still(vm)
                self.goes_on(vm)
                proxy.released.set()
                self.assertIn("guest-fsfreeze-freeze", self.refused(sidecar, asked))
                sidecar.wait_generations(3)

    def test_a_sidecar_that_stands_still_is_thawed_by_its_guard(self):
        with guest() as vm:
            proxy = HoldingProxy(vm)
            with Sidecar(vm, agent=proxy.path) as sidecar:
                sidecar.wait("protected")
                asked = self.hold(vm, sidecar, proxy)
                sidecar.process.send_signal(signal.SIGSTOP)
                self.stands_still(vm)
                self.goes_on(vm)
                proxy.released.set()
                sidecar.process.send_signal(signal.SIGCONT)
                self.refused(sidecar, asked)
                sidecar.wait_generations(3)

    def test_a_disk_that_fails_meanwhile_is_recovered(self):
        """The guest stands still, so its agent is silent: nobody waits for it."""
        with guest() as vm:
            proxy = HoldingProxy(vm)
            with Sidecar(vm, agent=proxy.path) as sidecar:
                sidecar.wait("protected")
                asked = self.hold(vm, sidecar, proxy)
                vm.fail(0, "write")
                sidecar.wait("recovered")
                self.refused(sidecar, asked)
                proxy.released.set()
                self.goes_on(vm)
                vm.wait_more(100)


if __name__ == "__main__":
    unittest.main()
