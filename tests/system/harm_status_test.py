# SPDX-License-Identifier: Apache-2.0
"""What the sidecar shows of itself: status, control socket, service manager, modes, --once."""

import json
import os
import select
import signal
import socket
import stat
import time
import unittest
from unittest import mock

from harm_support import (MIB, HarmTest, Sidecar, Vm, again, end, in_time, once_is_enough, qheal,
                          until)


@once_is_enough
class Status(HarmTest):
    @classmethod
    def setUpClass(cls):
        cls.vm = Vm(2, region=4 * MIB, rate=200)
        cls.addClassCleanup(cls.vm.close)
        cls.vm.start()

    def setUp(self):
        self.sidecar = Sidecar(self.vm, store=self.vm.work / self._testMethodName, interval=100)
        self.addCleanup(self.leave)

    def leave(self):
        if self.sidecar.process:
            if self.sidecar.process.poll() is None:
                end(self.sidecar, signal.SIGTERM)
            self.sidecar.__exit__(None)

    def begin(self):
        self.sidecar.start().wait("protected")
        return self.sidecar

    def seen_running(self):
        """A cycle may pause the guest for a moment, and status says so."""
        began = time.monotonic()
        while (status := self.sidecar.status())["guest"] != "running":
            self.assertEqual(status["guest"], "paused")
            in_time(began, 60, "the guest runs")
        return status

    def test_status_while_it_runs_and_afterwards(self):
        sidecar = self.begin()
        sidecar.wait_generations(2)
        status = self.seen_running()
        for key, value in {"vm": "guest", "state": "protected", "sidecar": True, "guest": "running",
                           "pid": sidecar.process.pid, "interval_ms": 100,
                           "replica": "complete", "promoted": False}.items():
            self.assertEqual(status[key], value, key)
        self.assertGreater(status["generation"], 2)
        self.assertEqual([disk["name"] for disk in status["disks"]], ["vda", "vdb"])
        code, text, errors = sidecar.command("status")
        self.assertEqual((code, errors), (0, ""))
        for word in ("guest: protected", "vda", "64.0 MiB", "lag"):
            self.assertIn(word, text)
        end(sidecar, signal.SIGTERM)
        status = sidecar.status()
        self.assertEqual((status["sidecar"], status["state"]), (False, "unattended"))
        self.assertGreaterEqual(status["generation"],
                                sidecar.find("generation")[-1]["generation"])
        self.assertIn("no sidecar is running", sidecar.command("status")[1])

    def test_json_is_one_object_and_nothing_else(self):
        sidecar = self.begin()
        for _ in range(20):
            code, out, err = sidecar.command("status", "--json")
            self.assertEqual((code, err, len(out.splitlines())), (0, "", 1))
            self.assertIsInstance(json.loads(out), dict)
        self.assertEqual(sidecar.garbage, [])

    def test_status_while_the_sidecar_is_stopped(self):
        """Late but not never, and not with the figures of a store in motion."""
        sidecar = self.begin()
        sidecar.halt()
        try:
            began = time.monotonic()
            code, out, err = sidecar.command("status", "--json")
            in_time(began, 15, "status")
            self.assertEqual((code, out), (1, ""))
            self.assert_sentence(err, sidecar.store, "does not answer")
        finally:
            sidecar.process.send_signal(signal.SIGCONT)
        sidecar.wait_generations(2)

    def test_modes_of_what_it_makes(self):
        old = os.umask(0)
        try:
            sidecar = self.begin()
        finally:
            os.umask(old)
        sidecar.wait_generations(2)
        self.assertEqual(stat.S_IMODE(sidecar.store.stat().st_mode), 0o700)
        self.addCleanup(sidecar.process.send_signal, signal.SIGCONT)
        sidecar.halt()  # it makes files and renames them
        found = list(sidecar.store.rglob("*"))
        self.assertIn("control.sock", [path.name for path in found])
        for path in found:
            with self.subTest(path.relative_to(sidecar.store)):
                self.assertEqual(stat.S_IMODE(path.stat().st_mode),
                                 0o700 if path.is_dir() else 0o600)

    # --- the control socket ---

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(20)
        at = os.open(self.sidecar.store, os.O_RDONLY)
        client.connect(f"/proc/self/fd/{at}/control.sock")
        os.close(at)
        self.addCleanup(client.close)
        return client

    def answer(self, text):
        """What is said to this; None: we took more than the second that a client has."""
        began = time.monotonic()
        with self.connect() as client:
            try:
                client.sendall(text)
                answer = client.makefile().read()
            except (BrokenPipeError, ConnectionResetError):
                answer = ""
        return answer or (None if time.monotonic() - began > 0.9 else "nothing")

    def test_garbage_in_the_control_socket(self):
        sidecar = self.begin()
        for text in (b"\n", b"{}\n", b"[" * 4000 + b"\n", b"status\n",
                     b'{"command": 5}\n', b'{"command": "stop"}\n', b"\xff\xfe\n", b"null\n"):
            with self.subTest(text[:20]):
                self.assertIn("error", json.loads(until(lambda: self.answer(text), "an answer")))
        with self.subTest("zeros"), self.connect() as client:
            client.sendall(b"\0" * 100 + b"\n")
            client.makefile().read()  # an answer or just the end
        with self.subTest("endless"), self.connect() as client:
            try:
                for _ in range(100):
                    client.sendall(b"x" * 4096)
                self.fail("it took 400 KiB for a command")
            except (BrokenPipeError, ConnectionResetError):
                pass
        self.assertEqual(sidecar.status()["state"], "protected")
        sidecar.wait_generations(2)

    def test_clients_that_never_send_or_read(self):
        sidecar = self.begin()
        silent = [self.connect() for _ in range(3)]
        began = time.monotonic()
        self.assertEqual(sidecar.status()["state"], "protected")
        in_time(began, 6, "status")
        with self.connect() as client:
            client.sendall(b'{"command":"status"}\n')  # and never reads
            sidecar.wait_generations(3)
        del silent

    def test_a_thousand_clients(self):
        sidecar = self.begin()
        before = len(os.listdir(f"/proc/{sidecar.process.pid}/fd"))
        for _ in range(1000):
            try:
                with self.connect() as client:
                    client.send(b'{"command":"sta')
            except BlockingIOError:  # its queue is full: a client has to wait
                time.sleep(0.01)
            except (BrokenPipeError, ConnectionResetError):  # we took a second: hung up on
                pass
        sidecar.wait_generations(3)
        until(lambda: len(os.listdir(f"/proc/{sidecar.process.pid}/fd")) <= before + 1,
              "the descriptors go")
        self.assertEqual(sidecar.status()["state"], "protected")

    # --- the service manager ---

    def test_it_tells_the_service_manager(self):
        for path in (str(self.vm.work / "notify"), "@qheal-test-%d" % os.getpid()):
            with self.subTest(path), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(path.replace("@", "\0"))
                with mock.patch.dict(os.environ, NOTIFY_SOCKET=path):
                    since = len(self.sidecar.events)
                    self.sidecar.start().wait("protected", since=since)
                told = []  # it is told after the event
                until(lambda: told.extend(self.heard(manager)) or
                      {"READY=1", "STATUS=protected"} <= set(told), "it is told")
                end(self.sidecar, signal.SIGTERM)
                self.assertIn("STOPPING=1", self.heard(manager))

    def heard(self, manager):
        lines = []
        while select.select([manager], [], [], 1)[0]:
            lines += manager.recv(4096).decode().splitlines()
        return lines

    def test_it_is_not_ready_before_it_protects(self):
        path = self.vm.work / "not-ready"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(path))
            with mock.patch.dict(os.environ, NOTIFY_SOCKET=str(path)):
                done = qheal("protect", "--qmp", self.vm.work / "none", "--store",
                             self.sidecar.store)
            self.assertEqual(done.returncode, 1)
            self.assertNotIn("READY=1", self.heard(manager))

    # --- once ---

    def test_once_makes_a_generation_and_leaves(self):
        for expected in (False, True):
            self.sidecar.options["once"] = True
            since = len(self.sidecar.events)
            self.assertEqual(self.sidecar.start().process.wait(30), 0)
            self.sidecar.reader.join()
            protected = self.sidecar.find("protected", since)[-1]
            self.assertEqual(protected["resumed"], expected)
            self.assert_nothing_left(self.vm)
            self.assert_goes_on(self.vm, 5)
        verdict = self.vm.check(self.sidecar.heads())
        self.assertTrue(verdict["consistent"], verdict)
        del self.sidecar.options["once"]

    def test_events_into_a_file(self):
        path = self.vm.work / "events"
        done = qheal("protect", "--qmp", self.vm.qmp_path, "--store", self.sidecar.store,
                     "--events", path, "--once")
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        names = [json.loads(line)["event"] for line in path.read_text().splitlines()]
        self.assertEqual((names[0], names[-1]), ("attached", "protected"))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_a_reader_of_events_that_goes_away(self):
        """Protection goes on without its listener."""
        sidecar = self.begin()
        os.close(os.dup(sidecar.process.stdout.fileno()))
        generation = sidecar.status()["generation"]
        end_of_pipe = sidecar.process.stdout
        os.dup2(os.open("/dev/null", os.O_RDONLY), end_of_pipe.fileno())  # its end is closed
        time.sleep(1)
        until(lambda: sidecar.status()["generation"] > generation, "there are generations")
        self.assertIsNone(sidecar.process.poll())


@once_is_enough
class Two(HarmTest):
    def test_two_guests_with_a_sidecar_each(self):
        with Vm(1, name="one", region=4 * MIB) as one, Vm(1, name="two", region=4 * MIB) as two, \
                Sidecar(one, interval=50) as first, Sidecar(two, interval=50) as second:
            for sidecar in (first, second):
                sidecar.wait("protected")
            end(first)
            self.assert_goes_on(one)
            second.wait_generations(3)
            self.assertTrue(again(first)["resumed"])
            one.fail(0, "write")
            self.assertEqual(first.wait("recovered", strategy="pivot")["vm"], "one")
            self.assert_goes_on(one)
            second.wait_generations(3)
            self.assert_replica(two, second)
            self.assertEqual(one.guest_errors, [])


if __name__ == "__main__":
    unittest.main()
