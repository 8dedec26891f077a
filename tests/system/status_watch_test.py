# SPDX-License-Identifier: Apache-2.0
"""`qheal status --watch` on a terminal of 80 columns and 24 lines, and where there is none."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from fault_support import FaultCase, loaded
from lab import cache
from lab.cache import in_time


class Screen:
    """Understands what --watch uses: home, the two clears, the cursor's visibility."""

    def __init__(self, rows=24, columns=80):
        self.rows, self.columns, self.cells = rows, columns, [""] * rows
        self.row = self.column = self.frames = self.overflows = 0
        self.visible, self.rest = True, ""

    def feed(self, text):
        text = self.rest + text
        self.rest = ""
        at = 0
        while at < len(text):
            if text[at] == "\033":
                end = next((i for i in range(at + 2, len(text)) if text[i].isalpha()), None)
                if end is None:
                    self.rest = text[at:]
                    return
                self._escape(text[at + 2:end + 1])
                at = end + 1
                continue
            self._put(text[at])
            at += 1

    def _escape(self, code):
        if code == "H":
            self.row = self.column = 0
            self.frames += 1
        elif code == "K":
            self.cells[self.row] = self.cells[self.row][:self.column]
        elif code == "J":
            self.cells[self.row] = self.cells[self.row][:self.column]
            self.cells[self.row + 1:] = [""] * (self.rows - self.row - 1)
        elif code in ("?25l", "?25h"):
            self.visible = code == "?25h"
        else:
            raise AssertionError(f"an escape nobody expected: {code!r}")

    def _put(self, char):
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self.row += 1
            if self.row == self.rows:
                self.overflows += 1
                self.cells = self.cells[1:] + [""]
                self.row -= 1
        else:
            if self.column == self.columns:
                self.overflows += 1
            line = self.cells[self.row].ljust(self.column)
            self.cells[self.row] = line[:self.column] + char + line[self.column + 1:]
            self.column += 1


class Watch(FaultCase):
    once = True  # about a terminal, not about QEMU

    def on_terminal(self, sidecar, rows=24, columns=80):
        main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = subprocess.Popen([cache.built("qheal"), "status", "--watch", "--store",
                                    sidecar.store], stdin=other, stdout=other, stderr=other,
                                   start_new_session=True)
        self.addCleanup(process.kill)
        before = termios.tcgetattr(other)
        return process, main, other, before

    def watch(self, main, screen, done, timeout=30):
        began = time.monotonic()
        while not done():
            in_time(began, timeout, "\n".join(screen.cells))
            if select.select([main], [], [], 0.2)[0]:
                screen.feed(os.read(main, 65536).decode())

    def test_a_terminal_is_refreshed_in_place_and_left_as_it_was(self):
        with loaded(disks=3) as vm:
            sidecar = self.protect(vm)
            for ending in ("q", "SIGINT"):
                process, main, other, _ = self.on_terminal(sidecar)
                screen = Screen()
                # A cycle may pause the guest just when status looks.
                self.watch(main, screen, lambda: screen.frames >= 3 and
                           "qemu: running" in "\n".join(screen.cells))
                self.assertFalse(screen.visible)
                self.assertIn("protected", screen.cells[0])
                text = "\n".join(screen.cells)
                for word in ("disk vda", "disk vdc", "qemu: running", "cycles", "are free"):
                    self.assertIn(word, text)
                self.assertTrue(all(len(line) <= 80 for line in screen.cells))
                self.assertEqual(screen.overflows, 0)
                if ending == "q":
                    os.write(main, b"q")
                else:
                    process.send_signal(signal.SIGINT)
                self.watch(main, screen, lambda: process.poll() is not None and screen.visible)
                self.assertEqual(process.returncode, 0)
                flags = termios.tcgetattr(other)[3]
                self.assertTrue(flags & termios.ICANON and flags & termios.ECHO)
                os.close(main)
                os.close(other)

    def test_a_small_terminal_shows_what_fits(self):
        with loaded(disks=1) as vm:
            sidecar = self.protect(vm)
            process, main, _, _ = self.on_terminal(sidecar, rows=6, columns=30)
            screen = Screen(6, 30)
            self.watch(main, screen, lambda: screen.frames >= 2)
            self.assertEqual(screen.overflows, 0)
            self.assertTrue(screen.cells[0].startswith("guest: "))
            os.write(main, b"q")
            self.watch(main, screen, lambda: process.poll() is not None)

    def test_without_a_terminal_a_line_a_refresh(self):
        with loaded(disks=1) as vm:
            sidecar = self.protect(vm)
            for words, check in ((["status", "--watch"], lambda line: line.startswith("guest: ")),
                                 (["status", "--watch", "--json"],
                                  lambda line: json.loads(line)["state"])):
                process = subprocess.Popen([cache.built("qheal"), *words, "--store",
                                            sidecar.store], stdout=subprocess.PIPE, text=True)
                self.addCleanup(process.kill)
                lines = [process.stdout.readline().rstrip("\n") for _ in range(3)]
                for line in lines:
                    self.assertTrue(check(line), line)
                    self.assertNotIn("\033", line)
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(10), 0)
                process.stdout.close()


if __name__ == "__main__":
    unittest.main()
