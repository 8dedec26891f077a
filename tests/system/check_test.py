# SPDX-License-Identifier: Apache-2.0
"""`qheal check` as a doctor: of one guest, and of all that are in a process namespace of their own."""

import json
import os
import subprocess
import tempfile
import unittest

from lab import cache
from lab.disk import Disk
from lab.vm import Vm

# Three QEMUs that only stand there: one free, one whose monitor is taken, one without.
ALL = """
set -eu
cd "$1"
run() { "$QEMU" -nodefaults -no-user-config -display none -S -machine none "$@" & }
run -name free -qmp unix:free.sock,server=on,wait=off
run -name taken -qmp "unix:$1/taken.sock,server=on,wait=off"
run -name mute -pidfile mute.pid
for socket in free taken; do
        until [ -S $socket.sock ]; do sleep 0.02; done
done
until [ -s mute.pid ]; do sleep 0.02; done
python3 -c 'import socket, time
s = socket.socket(socket.AF_UNIX)
s.connect("taken.sock")
s.recv(100)
print("taken", flush=True)
time.sleep(600)' > taken &
until [ -s taken ]; do sleep 0.02; done
"$QHEAL" check --all --json > all.json || true
"$QHEAL" check --all > all.txt || true
"""


class Check(unittest.TestCase):
    once = True  # about what is told, not about QEMU

    def check(self, vm):
        done = subprocess.run([cache.built("qheal"), "check", "--json", "--qmp", vm.qmp_path],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.stderr, "")
        return {(line["resource"], line["fault"]): line
                for line in json.loads(done.stdout)["advice"]}

    def test_what_is_missing_is_named_and_what_is_there_is_not(self):
        disks = [Disk(), Disk(werror="report"), Disk(device="virtio-scsi")]
        with Vm(disks, rate=10) as vm:
            bare = self.check(vm)
        with Vm([Disk(), Disk(mounted=True)], rate=10, region=2 << 20,
                extra=["-device", "pvpanic", "-device", "i6300esb", "-action",
                       "panic=pause,watchdog=pause"]) as vm:
            full = self.check(vm)
        errors = "read and write errors, full"
        self.assertEqual(bare["vda", errors]["state"], "protected")
        self.assertEqual(bare["vdb", errors]["state"], "unprotected")
        self.assertIn("werror=stop", bare["vdb", errors]["says"])
        self.assertEqual(bare["vdc", "requests that hang"]["state"], "unprotected")
        for fault, word in (("panic", "-device pvpanic"), ("a hung kernel", "-device i6300esb"),
                            ("a silent agent", "org.qemu.guest_agent.0")):
            self.assertEqual(bare["guest", fault]["state"], "unprotected")
            self.assertIn(word, bare["guest", fault]["says"])
            self.assertNotEqual(full["guest", fault]["state"], "unprotected", full)
        self.assertEqual(bare["qemu", "killed, crashed, hung"]["state"], "option")

    def test_all_of_them(self):
        with tempfile.TemporaryDirectory(dir=os.environ.get("QHEAL_WORK", "/var/tmp")) as work:
            alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
            if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
                self.skipTest("no process namespace of one's own here")
            subprocess.run([*alone, "bash", "-c", ALL, "all", work], check=True, timeout=120,
                           env={**os.environ, "QEMU": cache.qemu_binary(None),
                                "QHEAL": str(cache.built("qheal"))}, stderr=subprocess.DEVNULL)
            with open(f"{work}/all.json") as file:
                guests = {guest["vm"]: guest for guest in json.load(file)["guests"]}
            with open(f"{work}/all.txt") as file:
                text = file.read()
        self.assertEqual(set(guests), {"free", "taken", "mute"})
        self.assertTrue(guests["free"]["qmp"].endswith("/free.sock"))
        self.assertIn("advice", guests["free"])
        self.assertIn("none of its 1 monitors is free", guests["taken"]["refusal"])
        self.assertIn("-qmp unix:", guests["mute"]["refusal"])
        for name in guests:
            self.assertIn(name, text)


if __name__ == "__main__":
    unittest.main()
