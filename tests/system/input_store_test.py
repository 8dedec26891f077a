# SPDX-License-Identifier: Apache-2.0
"""Stores that are not ours to use: one sentence, status 1, and the store stays as it was."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import unittest

from harm_store_test import SmallDisk
from harm_support import MIB, Disk, HarmTest, Sidecar, Vm, cache, end, filled_image, once_is_enough, qheal
from input_guest_test import paused_vm


def contents(folder):
    """What is in a folder: names, sizes and times."""
    return sorted((str(path), path.lstat().st_size, path.lstat().st_mtime_ns)
                  for path in pathlib.Path(folder).rglob("*") if path.name != "lock")


@once_is_enough
class Store(HarmTest):
    @classmethod
    def setUpClass(cls):
        cls.vm = paused_vm(1, name="mine")
        cls.addClassCleanup(cls.vm.close)

    def setUp(self):
        self.folder = self.vm.work / self._testMethodName
        self.folder.mkdir()
        self.store = self.folder / "store"

    def protect(self, *words, vm=None, store=None):
        return qheal("protect", "--qmp", (vm or self.vm).qmp_path, "--store", store or self.store,
                     "--once", *words)

    def refused(self, *named, store=None, vm=None):
        """Nothing changed in the folder around it, and nothing in QEMU."""
        before = contents(self.folder), (vm or self.vm).qmp("query-block")
        done = self.protect(store=store, vm=vm)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assert_sentence(done.stderr, *named)
        self.assertEqual((contents(self.folder), (vm or self.vm).qmp("query-block")), before)

    def good_store(self):
        done = self.protect()
        self.assertEqual(done.returncode, 0, done.stderr)

    def edit(self, **changes):
        path = self.store / "store.json"
        told = json.loads(path.read_text())
        del told["sum"]
        path.write_text(json.dumps({**told, **changes}))

    def test_of_another_guest(self):
        self.good_store()
        with paused_vm(1, name="other") as other:
            self.refused(self.store, "another guest", "mine", "other", vm=other)

    def test_of_the_same_guest_with_a_disk_that_was_not_asked_for(self):
        with paused_vm(2, name="mine") as other:
            self.assertEqual(self.protect(vm=other).returncode, 0)
            before = contents(self.folder)
            done = self.protect("--disk", "vda", vm=other)
            self.assertEqual(done.returncode, 1)
            self.assert_sentence(done.stderr, "vdb", "--drop-disks", self.store)
            self.assertEqual(contents(self.folder), before)

    def test_of_the_same_guest_with_none_of_the_disks(self):
        self.good_store()
        with Vm([Disk(device="virtio-scsi")], region=4 * MIB, name="mine", paused=1) as other:
            self.edit(disks=[{"name": "nvme0", "size": 64 * MIB}])
            self.refused(self.store, "nvme0", "--drop-disks", vm=other)

    def test_in_use(self):
        self.good_store()
        with Vm(1, region=4 * MIB, name="mine", work=self.folder) as vm, \
                Sidecar(vm, store=self.folder / "second") as sidecar:
            sidecar.wait("protected")
            done = self.protect(store=sidecar.store)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assert_sentence(done.stderr, sidecar.store, "in use")
            self.assert_nothing_left(self.vm)
            sidecar.wait_generations(2)

    def test_of_a_newer_format(self):
        self.good_store()
        self.edit(format=99)
        self.refused(self.store, "99", "format")
        done = qheal("status", "--store", self.store)
        self.assertEqual(done.returncode, 1)
        self.assert_sentence(done.stderr, self.store, "99")

    def test_with_a_store_json_that_is_none(self):
        self.good_store()
        for text in ("", "{", "[]", "{}", "\0" * 4096, "null", "[" * 100000, "x" * (1 << 20)):
            with self.subTest(text[:20]):
                (self.store / "store.json").write_text(text)
                self.refused("store.json")
                self.assertEqual(qheal("status", "--store", self.store).returncode, 1)

    def test_with_parts_missing(self):
        self.good_store()
        (self.store / "disks" / "vda" / "head.raw").rename(self.folder / "away")
        self.refused("vda", "head.raw")

    def test_with_a_journal_that_is_damaged(self):
        self.good_store()
        for path in (self.store / "journal").iterdir():
            with open(path, "r+b") as file:
                file.write(os.urandom(1 << 16))
        self.refused("journal", "damaged", "new store")

    def test_path_that_is_a_file(self):
        self.store.write_text("my notes")
        self.refused(self.store)

    def test_path_without_parent(self):
        self.refused(self.folder / "no", store=self.folder / "no" / "store")

    def test_path_that_holds_other_things(self):
        self.store.mkdir()
        (self.store / "thesis.tex").write_text("chapter 1")
        done = self.protect()
        self.assertEqual((self.store / "thesis.tex").read_text(), "chapter 1")
        self.assertIn(done.returncode, (0, 1), done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
    def test_path_that_cannot_be_written(self):
        """As another user, for whom the monitor can be reached and the folder not be written."""
        self.folder.chmod(0o755)
        os.chmod(self.vm.work, 0o755)
        os.chmod(self.vm.qmp_path, 0o666)
        before = contents(self.folder)
        program = self.folder / "qheal"
        shutil.copy(cache.built("qheal"), program)
        done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", program, "protect",
                               "--qmp", self.vm.qmp_path, "--store", self.store],
                              capture_output=True, text=True, check=False, timeout=60)
        program.unlink()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assert_sentence(done.stderr, self.store, "ermission denied")
        self.assertEqual(contents(self.folder), before)

    @unittest.skipUnless(os.geteuid() == 0, "needs root for a file system of its own")
    def test_file_system_without_room_for_the_first_copy(self):
        with SmallDisk(64) as disk, Vm(1, region=4 * MIB, paused=1) as vm:
            filled_image(vm.disks[0].path, 64 * MIB, 4 * MIB)
            os.sync()
            done = self.protect(vm=vm, store=disk.path / "store")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assert_sentence(done.stderr, disk.path, "missing")
            need = 60 * MIB + 32 * MIB
            room, needed, missing = [
                int(number) for number in re.findall(r"\b(\d{5,})\b", done.stderr)][-3:]
            self.assertAlmostEqual(needed, need, delta=MIB)
            self.assertEqual(missing, needed - room)
            self.assertEqual([path.name for path in disk.path.rglob("*") if path.is_file()],
                             ["lock"])
            self.assert_nothing_left(vm, bitmaps=0)

    def test_another_store_after_the_sidecar_was_killed(self):
        """The dead sidecar's NBD server and bitmaps are in QEMU, its store is out of reach."""
        with Vm(1, region=4 * MIB) as vm:
            with Sidecar(vm, interval=50) as first:
                first.wait("protected")
                first.wait_generations(2)
                end(first)
            subprocess.run(["rm", "-rf", first.store], check=True)
            with Sidecar(vm, store=vm.work / "another", interval=50) as second:
                self.assertFalse(second.wait("protected")["resumed"])
                self.assert_replica(vm, second)
                self.assert_nothing_left(vm)

    def test_store_made_anew_under_the_same_name_after_sigterm(self):
        with Vm(1, region=4 * MIB) as vm, Sidecar(vm, interval=50) as sidecar:
            sidecar.wait("protected")
            end(sidecar, signal.SIGTERM)
            subprocess.run(["rm", "-rf", sidecar.store], check=True)
            since = len(sidecar.events)
            self.assertFalse(sidecar.start().wait("protected", since=since)["resumed"])
            self.assert_replica(vm, sidecar)
            self.assert_nothing_left(vm)


if __name__ == "__main__":
    unittest.main()
