# SPDX-License-Identifier: Apache-2.0
"""The guest as the host sees it: its console, and the acknowledgements on the debug port."""

import threading
import time

from .cache import Late, until


class Console:
    """The serial console: .lines holds (seconds, text); orders go the other way."""

    def __init__(self, output, orders):
        self.output, self.orders = output, orders
        self.lines, self.changed = [], threading.Condition()
        self.closed = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for raw in self.output:
            with self.changed:
                self.lines.append((time.monotonic(), raw.decode(errors="replace").strip()))
                self.changed.notify_all()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def find(self, prefix, since=0):
        return [text for _, text in self.lines[since:] if text.startswith(prefix)]

    def wait(self, prefix, timeout=30, since=0):
        """The first line from `since` on that begins so."""
        with self.changed:
            self.changed.wait_for(lambda: self.find(prefix, since) or self.closed, timeout)
        found = self.find(prefix, since)
        if not found:
            last = "\n".join(text for _, text in self.lines[-5:])
            raise Late(f"the guest did not say {prefix!r} within {timeout} s; last:\n{last}")
        return found[0]

    def close(self):
        """After the end of QEMU."""
        self.reader.join(5)
        self.output.close()
        try:
            self.orders.close()
        except (BrokenPipeError, ConnectionResetError):
            pass

    def send(self, line):
        self.orders.write(line.encode() + b"\n")
        self.orders.flush()


class Acks:
    """Counts the acknowledged records from the file behind the debug port."""

    def __init__(self, path):
        self.path, self.offset, self.pending = path, 0, b""
        self.now = 0  # since the last boot: what the guest believes
        self.highest = 0  # ever
        self.begun = []  # (the count before it, the count that it began with) of each boot

    @property
    def boots(self):
        """The count that each boot began with."""
        self.read()
        return [begin for _, begin in self.begun]

    @property
    def before_boot(self):
        """What was acknowledged before the newest boot."""
        self.read()
        return self.begun[-1][0]

    def wait_boots(self, more_than, timeout=120):
        """Until there were more boots than that."""
        until(lambda: len(self.boots) > more_than, "it does not boot again", timeout)

    def read(self):
        """How many records are acknowledged."""
        if not self.path.exists():
            return 0
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            data = file.read()
        self.offset += len(data)
        data = self.pending + data
        self.pending = b""
        while (mark := data.find(b"N")) >= 0:
            self._count(mark)
            if len(data) < mark + 17:
                self.pending = data[mark:]
                return self.now
            number = int(data[mark + 1:mark + 17], 16)
            self.begun.append((self.now, number))
            self.now = number
            data = data[mark + 17:]
        self._count(len(data))
        return self.now

    def _count(self, dots):
        self.now += dots
        self.highest = max(self.highest, self.now)

    def wait(self, number, timeout=30):
        """Returns as soon as record `number` is acknowledged."""
        deadline = time.monotonic() + timeout
        while self.read() < number:
            if time.monotonic() > deadline:
                raise Late(f"record {number} not acknowledged within {timeout} s: "
                           f"the guest is at {self.now}")
            time.sleep(0.002)
        return self.now
