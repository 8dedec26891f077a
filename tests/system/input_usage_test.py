# SPDX-License-Identifier: Apache-2.0
"""Wrong usage: status 2, one sentence that names the object and its limits, nothing done."""

import pathlib
import tempfile
import unittest

from harm_support import once_is_enough, qheal

BOTH = ("--qmp", "/nowhere/qmp.sock", "--store", "/nowhere/store")
WRONG = [  # arguments, what the sentence has to name
    (["frob"], ["frob"]),
    (["protect"], ["--qmp SOCKET"]),
    (["protect", "--qmp", "x"], ["--store DIR"]),
    (["check"], ["--qmp SOCKET"]),
    (["status"], ["--store DIR"]),
    (["protect", "--qmp"], ["--qmp", "argument"]),
    (["protect", *BOTH, "--frob"], ["--frob"]),
    (["protect", *BOTH, "extra"], ["extra"]),
    (["status", "--store", "x", "--interval", "100"], ["--interval"]),
    (["check", *BOTH], ["--store"]),
    (["protect", *BOTH, "--interval", "10"], ["--interval", "50", "3600000", "10"]),
    (["protect", *BOTH, "--interval", "abc"], ["--interval", "50", "3600000", "abc"]),
    (["protect", *BOTH, "--interval", ""], ["--interval"]),
    (["protect", *BOTH, "--interval", "100ms"], ["--interval", "100ms"]),
    (["protect", *BOTH, "--interval", "-100"], ["--interval", "-100"]),
    (["protect", *BOTH, "--interval", "99999999999999999999"], ["--interval", "3600000"]),
    (["protect", *BOTH, "--disk", "vda", "--disk", "vda"], ["--disk vda", "twice"]),
    (["protect", *BOTH, *[w for i in range(33) for w in ("--disk", f"d{i}")]], ["32"]),
    (["protect", *BOTH, "--interval", " 100"], ["--interval", " 100"]),
    (["protect", *BOTH, "--interval", "+100"], ["--interval", "+100"]),
    (["protect", "--qmp", "", "--store", "/nowhere/store"], ["--qmp"]),
    (["check", "--qmp", ""], ["--qmp"]),
    (["protect", *BOTH, "--agent", ""], ["--agent"]),
    (["protect", *BOTH, "--restart", "hook:/nowhere/boot web1"], ["/nowhere/boot", "cannot be run"]),
    (["protect", *BOTH, "--point-every", "5"], ["--point-every", "--keep"]),
    (["protect", *BOTH, "--scratch", "1"], ["--scratch", "16", "65536"]),
    (["protect", *BOTH, "--block-size", "5"], ["--block-size", "power of two"]),
    (["protect", *BOTH, "--block-size", "2048"], ["--block-size", "1024"]),
    (["protect", *BOTH, "--on-loss", "panic"], ["--on-loss", "hold", "rollback", "panic"]),
    (["protect", *BOTH, "--objective", "cheap"], ["--objective", "cheap"]),
    (["protect", *BOTH, "--config", "/nowhere/x.conf"], ["/nowhere/x.conf"]),
]


@once_is_enough
class Usage(unittest.TestCase):
    def test_wrong_usage_is_status_2_and_a_sentence(self):
        for words, named in WRONG:
            with self.subTest(" ".join(words)[:80]):
                done = qheal(*words, timeout=10)
                first = done.stderr.splitlines()[0]
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertRegex(first, r"^qheal( \w+)?: ")
                for word in named:
                    self.assertIn(word, first)

    def test_no_command_shows_the_usage(self):
        done = qheal()
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("protect", done.stderr)

    def test_help_and_version_are_on_stdout(self):
        for words in (["--help"], ["version"], ["--version"], ["protect", "--help"],
                      ["check", "--help"], ["status", "--help"]):
            with self.subTest(" ".join(words)):
                done = qheal(*words)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertNotEqual(done.stdout, "")

    def test_no_such_monitor_leaves_no_store_behind(self):
        with tempfile.TemporaryDirectory() as work:
            work = pathlib.Path(work)
            for words in (["protect", "--store", work / "store"], ["check"]):
                for monitor in (work / "none", work, "tcp:127.0.0.1:1", "tcp:nowhere.invalid:9",
                                "x" * 200):
                    with self.subTest(f"{words[0]} {str(monitor)[:60]}"):
                        done = qheal(*words, "--qmp", monitor, timeout=30)
                        self.assertEqual((done.returncode, done.stdout), (1, ""))
                        self.assertRegex(done.stderr, r"^qheal: error: .*\n$")
                        self.assertIn(str(monitor)[:60], done.stderr)
            self.assertEqual(list(work.iterdir()), [])

    def test_events_that_cannot_be_written(self):
        with tempfile.TemporaryDirectory() as work:
            done = qheal("protect", "--qmp", work + "/none", "--store", work + "/store",
                         "--events", work + "/no/such/file")
            self.assertEqual(done.returncode, 1)
            self.assertIn(work + "/no/such/file", done.stderr)


if __name__ == "__main__":
    unittest.main()
