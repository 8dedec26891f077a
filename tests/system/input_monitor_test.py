# SPDX-License-Identifier: Apache-2.0
"""Peers that are no QEMU, or a strange one: status 1, a sentence, bounded memory, no store."""

import json
import os
import pathlib
import random
import resource
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from harm_support import MIB, MOMENTS, Late, cache, dice, once_is_enough

TIMEOUT_S = 20  # the greeting's 5 s and a command's, with room for a busy machine


def greeting(major=10, minor=0):
    return {"QMP": {"version": {"qemu": {"major": major, "minor": minor, "micro": 0},
                                "package": ""}, "capabilities": ["oob"]}}


class Peer:
    """Listens on a unix socket and plays `script(connection)` to everybody."""

    def __init__(self, script):
        self.script, self.work = script, tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.work.name) / "qmp.sock"
        self.store = pathlib.Path(self.work.name) / "store"

    def __enter__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        self.socket.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                try:
                    self.script(connection)
                except OSError:
                    pass

    def __exit__(self, *_):
        self.socket.close()
        self.work.cleanup()


def send(connection, *messages):
    for message in messages:
        connection.sendall(json.dumps(message).encode() + b"\r\n")


def commands(connection):
    """What qheal asks, one dict after the other."""
    for line in connection.makefile("rb"):
        yield json.loads(line)


def answering(answers, hello=None):
    """Answers by name; what is not named gets CommandNotFound."""
    def script(connection):
        send(connection, hello or greeting())
        for command in commands(connection):
            name, number = command.get("execute", command.get("exec-oob")), command["id"]
            if name == "qmp_capabilities":
                send(connection, {"return": {}, "id": number})
            elif name in answers:
                send(connection, {"return": answers[name], "id": number})
            else:
                send(connection, {"error": {"class": "CommandNotFound", "desc": "no " + name},
                                  "id": number})
    return script


def stay(connection):
    """Until the other end hangs up."""
    connection.settimeout(60)
    while connection.recv(4096):
        pass


def saying(data, close=False):
    def script(connection):
        connection.sendall(data)
        if not close:
            stay(connection)
    return script


def endless(begin, more):
    def script(connection):
        connection.sendall(begin)
        while True:
            connection.sendall(more)
    return script


def after_handshake(data):
    """A good beginning, then this for an answer."""
    def script(connection):
        send(connection, greeting())
        for command in commands(connection):
            if command["execute"] == "qmp_capabilities":
                send(connection, {"return": {}, "id": command["id"]})
            else:
                connection.sendall(data)
    return script


HELLO = json.dumps(greeting()).encode() + b"\n"
PEERS = {  # name: (script, words of the sentence)
    "an ssh server": (saying(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), ["QMP"]),
    "a silent one": (saying(b""), ["no greeting", "5000 ms"]),
    "one that hangs up": (saying(b"", close=True), []),
    "one that hangs up in the greeting": (saying(b'{"QMP": {"ver', close=True), []),
    "an old QEMU": (answering({}, greeting(6, 2)), ["6.2", "7.2"]),
    "another JSON service": (saying(b'{"jsonrpc": "2.0"}\n'), ["QMP"]),
    "a greeting without version": (saying(b'{"QMP": {}}\n'), ["QMP"]),
    "a greeting of the wrong types":
        (saying(b'{"QMP": {"version": {"qemu": {"major": "9", "minor": [], "micro": null}}}}\n'),
         ["QMP"]),
    "a list": (saying(b"[1, 2, 3]\n"), ["QMP"]),
    "random bytes": (saying(random.Random(1).randbytes(4096)), []),
    "zeros": (endless(b"", bytes(65536)), []),
    "endless text": (endless(b'{"QMP": "', b"x" * 65536), []),
    "endless events before the greeting":
        (endless(b"", b'{"event": "X", "timestamp": {"seconds": 1, "microseconds": 1}}\n' * 99),
         []),
    "deeply nested": (saying(b"[" * 1000000), []),
    "deeply nested objects": (endless(b"", b'{"a":' * 1000), []),
    "no capabilities": (saying(HELLO), ["qmp_capabilities"]),
    "garbage after the handshake": (after_handshake(b"*** stack smashing detected ***\n"), []),
    "nesting after the handshake": (after_handshake(b"[" * 5000), []),
    "an endless answer": (after_handshake(b'{"return": "' + b"x" * (9 << 20)), []),
    "no commands at all": (answering({}), []),
}


def run(peer, command="protect"):
    """(status, stderr, highest resident memory in bytes, seconds)"""
    words = [str(cache.built("qheal")), command, "--qmp", str(peer.path)]
    words += ["--store", str(peer.store)] if command == "protect" else ["--json"]
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(words, stdout=output, stderr=errors)
        timer = threading.Timer(TIMEOUT_S + 60, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        output.seek(0)
        return (process.returncode, errors.read(), output.read(), usage.ru_maxrss << 10,
                time.monotonic() - began)


def qemu_schema():
    """What a real QEMU answers to query-qmp-schema."""
    asked = '{"execute":"qmp_capabilities"}{"execute":"query-qmp-schema"}{"execute":"quit"}'
    done = subprocess.run([cache.qemu_binary(), "-M", "none", "-display", "none", "-nodefaults",
                           "-qmp", "stdio"], input=asked, capture_output=True, text=True,
                          check=True)
    return next(answer for line in done.stdout.splitlines()
                if isinstance(answer := json.loads(line).get("return"), list))


@once_is_enough
class Monitor(unittest.TestCase):
    def refused(self, script, words=(), command="protect", seconds=TIMEOUT_S):
        with Peer(script) as peer:
            status, text, output, memory, took = run(peer, command)
            self.assertEqual(status, 1, text)
            self.assertRegex(text, r"\Aqheal: error: [^\n]*\n\Z")
            self.assertTrue(text.isprintable() or text[:-1].isprintable(), repr(text))
            self.assertEqual(output, "")
            for word in words:
                self.assertIn(word, text)
            self.assertLess(memory, self.memory_limit())
            if took > seconds:
                raise Late(f"{took:.1f} s: {text}")
            self.assertFalse(peer.store.exists(), "a store was made")
            return text

    def memory_limit(self):
        """A child's highest memory is at least what its parent has at the fork."""
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return max(64 * MIB, own + MIB)

    def test_strange_peers(self):
        for name, (script, words) in PEERS.items():
            with self.subTest(name):
                self.refused(script, words)

    def test_strange_peers_of_check(self):
        for name in ("an ssh server", "deeply nested", "garbage after the handshake"):
            with self.subTest(name):
                self.refused(*PEERS[name], command="check")

    def test_one_that_never_answers(self):
        """The 30 s of a command: QEMU's main loop can stand still on a slow disk."""
        self.refused(after_handshake(b'{"id": "never asked", "return": 1}\n'), ["30"], seconds=60)

    def test_a_second_client_of_the_same_monitor_is_told_why(self):
        """QEMU accepts one client of a monitor; the others wait for their greeting."""
        text = self.refused(saying(b""))
        self.assertIn("one client at a time", text)

    def test_answers_of_random_types(self):
        """Any JSON where a certain one is expected: refused, never a crash."""
        random_of = dice("random answers")
        values = [None, True, 0, -1, 1 << 70, 1.5, "", "x" * 5000, [], {}, [[]], [{}], [None],
                  {"return": {}}, {"status": 5}, {"UUID": 7}, {"name": []},
                  [{"inserted": {}, "qdev": "x"}], [{"inserted": {"node-name": 5}, "qdev": 3}],
                  [{"qdev": "/machine/peripheral/" + "v" * 300, "device": "", "inserted": {
                      "node-name": "n" * 300, "image": {"virtual-size": 1 << 62}}}],
                  [{"qdev": "vda", "device": "", "inserted": {
                      "node-name": "d0", "image": {"virtual-size": -4096}}}],
                  [{"qdev": "vda", "device": "", "inserted": {
                      "node-name": "d0", "image": {"virtual-size": 1 << 20},
                      "dirty-bitmaps": [5, {"name": 7}, {"name": "qheal-" * 50}] * 200}}] * 40]
        names = ["query-qmp-schema", "query-uuid", "query-name", "query-status", "query-block",
                 "query-named-block-nodes", "query-block-exports", "qom-get", "query-jobs",
                 "x-debug-query-block-graph", "query-block-jobs", "query-fdsets"]
        schema = qemu_schema()
        for _ in range(MOMENTS):
            answers = {"query-qmp-schema": schema, "query-uuid": {"UUID": ""},
                       "query-name": {"name": "guest"}, "query-status": {"status": "running"},
                       "query-block": [], "query-block-exports": [],
                       "query-named-block-nodes": [], "qom-get": "stop"}
            for name in random_of.sample(names, 2):
                answers[name] = random_of.choice(values)
            with self.subTest(json.dumps(answers)[-300:]):
                with Peer(answering(answers)) as peer:
                    status, text, _, memory, took = run(peer)
                    self.assertEqual(status, 1, text)
                    self.assertRegex(text, r"\A(qheal: warning: [^\n]*\n)*qheal: error: .*\n\Z")
                    self.assertLess(memory, self.memory_limit())


if __name__ == "__main__":
    unittest.main()
