# SPDX-License-Identifier: Apache-2.0
"""A small synchronous QMP client for the lab; qheal has its own in C."""

import json
import select
import socket
import time


class QmpError(Exception):
    """QEMU answered with an error; .klass is its class."""

    def __init__(self, command, error):
        super().__init__(f"{command}: {error.get('desc')}")
        self.klass = error.get("class")


class Qmp:
    """One monitor.  Events queue up in .events, each with .get('seconds') of QEMU's clock."""

    def __init__(self, path, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.buffer, self.events, self.next_id = b"", [], 0
        greeting = self._receive(time.monotonic() + timeout)
        if greeting is None:
            self.socket.close()
            raise TimeoutError(f"QEMU did not greet within {timeout} s")
        self.greeting = greeting["QMP"]
        self("qmp_capabilities")

    def _receive(self, deadline):
        """The next message, or None when there is none before the deadline."""
        while b"\n" not in self.buffer:
            left = max(0, deadline - time.monotonic())
            if not select.select([self.socket], [], [], left)[0]:
                return None
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionError("QEMU closed its monitor")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def _queue(self, message):
        stamp = message["timestamp"]
        message["seconds"] = stamp["seconds"] + stamp["microseconds"] / 1e6
        self.events.append(message)

    def __call__(self, command, arguments=None, timeout=30, **more):
        """Runs a command and returns what it returns; node_name=... becomes node-name."""
        arguments = dict(arguments or {}, **{k.replace("_", "-"): v for k, v in more.items()})
        self.next_id += 1
        message = {"execute": command, "arguments": arguments, "id": self.next_id}
        self.socket.sendall(json.dumps(message).encode() + b"\n")
        deadline = time.monotonic() + timeout
        while True:
            reply = self._receive(deadline)
            if reply is None:
                raise TimeoutError(f"QEMU did not answer {command} within {timeout} s")
            if "event" in reply:
                self._queue(reply)
            elif reply.get("id") == self.next_id:
                break
        if "error" in reply:
            raise QmpError(command, reply["error"])
        return reply["return"]

    def insist(self, command, arguments=None, within=60, **more):
        """A command that is refused while a filter of qheal is above the disk: never for long.
        Returns how often it was."""
        refused, deadline = 0, time.monotonic() + within
        while True:
            try:
                self(command, arguments, **more)
                return refused
            except QmpError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"refused for {within} s: {error}") from None
            refused += 1
            time.sleep(0.005)

    def poll(self):
        """Takes in the events that arrived."""
        while (message := self._receive(0)) is not None:
            self._queue(message)
        return self.events

    def wait_event(self, name, timeout=20, **data):
        """Removes and returns the first event `name` whose data has these values."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                found = event.get("data", {})
                if event["event"] == name and all(found.get(k) == v for k, v in data.items()):
                    self.events.remove(event)
                    return event
            message = self._receive(deadline)
            if message is None:
                raise TimeoutError(f"no event {name} within {timeout} s")
            if "event" in message:
                self._queue(message)

    def hmp(self, line):
        return self("human-monitor-command", {"command-line": line})

    def close(self):
        self.socket.close()
