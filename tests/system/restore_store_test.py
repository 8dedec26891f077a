# SPDX-License-Identifier: Apache-2.0
"""`qheal restore` of a made store: every target, what is refused, interrupted, damaged."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from lab import cache
from lab.disk import wait_listening

MIB = 1 << 20
BLOCK = 65536
VDA = 48 * MIB
VDB = 20 * MIB + 1536  # an odd size: O_DIRECT cannot write its end
DISKS = {"vda": (VDA, 100), "vdb": (VDB, 30)}


def run(*words, **how):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120,
                          **how)


class RestoreTest(unittest.TestCase):
    once = True  # no QEMU is in it

    @classmethod
    def setUpClass(cls):
        base = tempfile.TemporaryDirectory(prefix="qheal-restore-", dir="/var/tmp")
        cls.addClassCleanup(base.cleanup)
        cls.base = pathlib.Path(base.name)
        done = run(cache.built("tests/store_make"), cls.base / "store", 64,
                   *(f"{name}:{size}:{percent}" for name, (size, percent) in DISKS.items()))
        assert done.returncode == 0, done.stderr

    def setUp(self):
        self.folder = self.base / self._testMethodName
        self.folder.mkdir()
        self.store = self.base / "store"
        self.out = self.folder / "out.raw"

    def restore(self, *words, disk="vda", output=None, store=None):
        which = ["--disk", disk] if disk else []
        return run(cache.built("qheal"), "restore", "--store", store or self.store, *which,
                   "--output", output or self.out, *words)

    def done(self, *words, status=0, **how):
        """A restore that works; what --json tells."""
        ended = self.restore(*words, "--json", **how)
        self.assertEqual(ended.returncode, status, ended.stderr)
        return json.loads(ended.stdout)

    def refused(self, *named, words=(), status=1, **how):
        ended = self.restore(*words, **how)
        self.assertEqual((ended.returncode, ended.stdout), (status, ""), ended.stderr)
        if status == 1:
            self.assertEqual(ended.stderr.count("\n"), 1, ended.stderr)
        for name in named:
            self.assertIn(str(name), ended.stderr)

    def head(self, disk="vda", store=None):
        return (store or self.store) / "disks" / disk / "head.raw"

    def assert_same(self, path, disk="vda", file_format="raw"):
        done = run("qemu-img", "compare", "-f", file_format, "-F", "raw", path, self.head(disk))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def own_store(self):
        copy = self.folder / "store"
        subprocess.run(["cp", "-r", "--sparse=always", self.store, copy], check=True)
        return copy

    def flip(self, path, offset):
        with open(path, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 4]))


class Targets(RestoreTest):
    def test_raw_file_is_the_head_with_its_holes(self):
        told = self.done(disk="vdb")
        self.assertEqual(self.out.read_bytes(), self.head("vdb").read_bytes())
        self.assertLessEqual(self.out.stat().st_blocks, self.head("vdb").stat().st_blocks + 16)
        self.assertEqual(self.out.stat().st_mode & 0o777, 0o600)
        self.assertEqual((told["bytes"], told["generation"], told["bad_count"]), (VDB, 1, 0))
        self.assertEqual(told["written_bytes"], told["data_bytes"])
        self.assertEqual(os.listdir(self.folder), ["out.raw"])

    def test_qcow2_file_is_whole_and_small(self):
        self.done("--format", "qcow2", disk="vdb")
        done = run("qemu-img", "check", self.out)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assert_same(self.out, "vdb", "qcow2")
        self.assertLess(self.out.stat().st_size, VDB / 2)

    def test_all_disks_at_once_into_a_directory(self):
        told = self.done("--all", disk=None, output=self.folder / "all")
        self.assertEqual([disk["disk"] for disk in told["disks"]], list(DISKS))
        for name in DISKS:
            self.assert_same(self.folder / "all" / f"{name}.raw", name)

    def test_nbd_server(self):
        path = self.folder / "nbd"
        server = subprocess.Popen(["nbdkit", "-f", "-U", path, "memory", str(VDB + 3 * MIB)])
        try:
            wait_listening(path, server)
            uri = f"nbd+unix:///?socket={path}"
            self.done(disk="vdb", output=uri)
            subprocess.run(["nbdcopy", uri, self.out], check=True)
            self.assertEqual(self.out.read_bytes()[:VDB], self.head("vdb").read_bytes())
            told = self.done("--in-place", disk="vdb", output=uri)
            self.assertEqual((told["written_bytes"], told["compared_bytes"]), (0, VDB))
            self.refused("too few", disk="vda", output=uri)
        finally:
            server.kill()
            server.wait()

    def test_a_server_without_zero_command_gets_zeros(self):
        path = self.folder / "nbd"
        image = self.folder / "full"
        image.write_bytes(b"x" * VDB)
        server = subprocess.Popen(["nbdkit", "-f", "-U", path, "--filter=nozero", "file",
                                   str(image)])
        try:
            wait_listening(path, server)
            self.done(disk="vdb", output=f"nbd+unix:///?socket={path}")
            self.assertEqual(image.read_bytes(), self.head("vdb").read_bytes())
        finally:
            server.kill()
            server.wait()

    @unittest.skipUnless(os.geteuid() == 0, "a loop device needs root")
    def test_block_device(self):
        image = self.folder / "device"
        image.write_bytes(b"\xff" * (21 * MIB))
        device = run("losetup", "--find", "--show", image).stdout.strip()
        if not device:
            self.skipTest("no loop device")
        try:
            self.refused("--force", disk="vdb", output=device)
            self.done("--force", disk="vdb", output=device)
            self.assertEqual(pathlib.Path(device).read_bytes()[:VDB], self.head("vdb").read_bytes())
            self.assertEqual(self.done("--in-place", disk="vdb", output=device)["written_bytes"], 0)
            self.refused("too few", words=["--force"], disk="vda", output=device)
        finally:
            run("losetup", "--detach", device)

    def test_memory_stays_within_its_bound(self):
        watched = run("/usr/bin/env", "python3", "-c", (
            "import resource, subprocess, sys\n"
            "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"),
            cache.built("qheal"), "restore", "--store", self.store, "--all", "--output",
            self.folder / "all")
        self.assertLessEqual(int(watched.stdout), 64 << 10, watched.stderr)


class InPlace(RestoreTest):
    def test_only_what_differs_is_written(self):
        self.done()
        self.flip(self.out, 5 * BLOCK + 17)
        self.flip(self.out, VDA - 1)
        told = self.done("--in-place")
        self.assertEqual((told["written_bytes"], told["compared_bytes"]), (2 * BLOCK, VDA))
        self.assert_same(self.out)

    def test_what_should_be_zeros_becomes_a_hole(self):
        self.out.write_bytes(b"\xee" * VDB)
        self.done("--in-place", disk="vdb")
        self.assertEqual(self.out.read_bytes(), self.head("vdb").read_bytes())
        self.assertLess(self.out.stat().st_blocks * 512, VDB / 2)

    def test_a_file_of_another_size_is_refused(self):
        self.out.write_bytes(b"x" * MIB)
        self.refused("has 1048576 bytes", words=["--in-place"])
        self.assertEqual(self.out.stat().st_size, MIB)


class Continue(RestoreTest):
    """Killed at any moment; the same command goes on with what is there."""

    def begin_and_kill(self, sig, *words):
        """Ends the restore when it has written something, but not all."""
        for _ in range(20):
            process = subprocess.Popen(
                [cache.built("qheal"), "restore", "--store", self.store, "--disk", "vda", "--output",
                 self.out, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            mark = pathlib.Path(f"{self.out}.qheal-restore")
            while process.poll() is None and not (
                    mark.exists() and self.out.exists() and self.out.stat().st_blocks > 2048):
                pass
            process.send_signal(sig)
            said = process.communicate()[1]
            if mark.exists():
                return said
            for path in (self.out, mark):
                path.unlink(missing_ok=True)
        self.skipTest("it was always quicker than its end")
        return None

    def goes_on(self, sig, *words, file_format="raw"):
        self.begin_and_kill(sig, *words)
        told = self.done(*words)
        self.assertLess(told["written_bytes"], VDA)
        self.assert_same(self.out, file_format=file_format)
        self.assertEqual(os.listdir(self.folder), ["out.raw"])

    def test_after_sigkill(self):
        self.goes_on(signal.SIGKILL)

    def test_after_sigkill_of_a_qcow2(self):
        self.goes_on(signal.SIGKILL, "--format", "qcow2", file_format="qcow2")

    def test_after_sigterm_which_says_so(self):
        said = self.begin_and_kill(signal.SIGTERM)
        self.assertIn("the same command continues", said)
        self.done()
        self.assert_same(self.out)

    def test_what_somebody_changed_in_between_is_put_right(self):
        self.begin_and_kill(signal.SIGKILL)
        with open(self.out, "r+b") as file:
            file.write(b"changed")
        self.done()
        self.assert_same(self.out)

    def test_another_file_of_that_name_is_not_taken_for_ours(self):
        self.begin_and_kill(signal.SIGKILL)
        self.out.rename(self.folder / "away")
        self.out.write_bytes(b"precious" * 1000)
        self.refused("exists already")
        self.assertEqual(self.out.read_bytes(), b"precious" * 1000)

    def test_a_restore_of_another_disk_is_not_continued(self):
        self.begin_and_kill(signal.SIGKILL)
        self.refused("unfinished restore of something else", disk="vdb")


class Damage(RestoreTest):
    def setUp(self):
        super().setUp()
        self.damaged = self.own_store()
        self.flip(self.head(store=self.damaged), 7 * BLOCK + 4000)
        self.flip(self.head(store=self.damaged), 300 * BLOCK)

    def test_a_bad_block_stops_it_with_its_address(self):
        self.refused("disk vda", "block 7 ", "458752", "checksum", store=self.damaged)

    def test_salvage_lists_it_and_leaves_it_out(self):
        told = self.done("--salvage", status=1, store=self.damaged)
        bad = told["disks"][0]["bad_blocks"]
        self.assertEqual(sorted((each["block"], each["offset"], each["bytes"]) for each in bad),
                         [(7, 7 * BLOCK, BLOCK), (300, 300 * BLOCK, BLOCK)])
        good = bytearray(self.head().read_bytes())
        for block in (7, 300):
            good[block * BLOCK:(block + 1) * BLOCK] = bytes(BLOCK)
        self.assertEqual(self.out.read_bytes(), good)

    def test_salvage_in_place_does_not_keep_old_content(self):
        self.out.write_bytes(b"old" * (VDA // 3))
        os.truncate(self.out, VDA)
        self.done("--in-place", "--salvage", status=1, store=self.damaged)
        self.assertEqual(self.out.read_bytes()[7 * BLOCK:8 * BLOCK], bytes(BLOCK))

    def test_salvage_to_qcow2(self):
        self.done("--salvage", "--format", "qcow2", status=1, store=self.damaged)
        self.assertEqual(run("qemu-img", "check", self.out).returncode, 0)

    def test_a_cut_head_is_refused(self):
        os.truncate(self.head(store=self.damaged), VDA - BLOCK)
        self.refused("bytes instead of", store=self.damaged)
        self.assertFalse(self.out.exists())


class Refused(RestoreTest):
    def test_unknown_point(self):
        self.refused("no point nightly", "latest", words=["--point", "nightly"])

    def test_unknown_disk(self):
        self.refused("no disk sda", "vda, vdb", disk="sda")

    def test_no_disk_named(self):
        self.refused("several disks", "--all", disk=None)

    def test_no_store(self):
        self.refused(self.folder, store=self.folder)

    def test_output_exists(self):
        self.out.write_bytes(b"mine")
        self.refused("exists already", "--force", "--in-place")
        self.assertEqual(self.out.read_bytes(), b"mine")
        self.done("--force")
        self.assert_same(self.out)

    def test_output_is_a_directory(self):
        self.refused("is a directory", output=self.folder)

    def test_output_has_no_directory(self):
        self.refused("No such file", output=self.folder / "no" / "out.raw")

    def test_directory_is_a_file(self):
        self.out.write_bytes(b"")
        self.refused("not a directory", words=["--all"], disk=None)

    def test_output_in_the_store(self):
        for path in ("out.raw", "disks/vda/head.raw", "promoted/x"):
            self.refused("inside the store", words=["--force"], output=self.store / path)
        link = self.folder / "link"
        link.symlink_to(self.head())
        self.refused("inside the store", words=["--force"], output=link)

    def test_output_is_the_head_by_another_name(self):
        link = self.folder / "hard"
        os.link(self.head(), link)
        self.addCleanup(link.unlink)
        self.refused("head of disk vda", words=["--in-place"], output=link)

    def test_output_used_by_qemu(self):
        run("qemu-img", "create", "-f", "raw", self.out, str(VDA))
        process = subprocess.Popen(["qemu-io", "-f", "raw", self.out], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        try:
            process.stdin.write("length\n")
            process.stdin.flush()
            process.stdout.readline()
            for word in ("--force", "--in-place"):
                self.refused("in use", words=[word])
        finally:
            process.communicate("quit\n")

    def test_no_room(self):
        small = self.folder / "small"
        small.mkdir()
        if run("mount", "-t", "tmpfs", "-o", "size=8m", "none", small).returncode:
            self.skipTest("cannot mount a tmpfs")
        try:
            self.refused("too few", output=small / "out.raw")
            self.assertEqual(os.listdir(small), [])
        finally:
            run("umount", "-l", small)  # busy a moment after the last program's end

    def test_wrong_usage(self):
        for words in (["--format", "vmdk"], ["--in-place", "--format", "qcow2"], ["--all"],
                      ["--in-place", "--force"], ["--disk", "vda"], ["more"]):
            self.refused(words=words, status=2)
        self.refused(words=["--format", "qcow2"], output="nbd://localhost", status=2)

    def test_a_server_that_is_not_there(self):
        self.refused("cannot use nbd+unix", output=f"nbd+unix:///?socket={self.folder}/none")

    def test_a_server_that_says_nothing_is_not_waited_for(self):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(self.folder / "nbd"))
            silent.listen()
            process = self.begun(f"nbd+unix:///?socket={self.folder}/nbd")
            silent.accept()
            process.terminate()
            self.assertNotEqual(process.wait(20), 0)

    def test_a_server_that_stops_answering_is_not_waited_for(self):
        server = subprocess.Popen(["nbdkit", "-f", "-U", self.folder / "nbd", "--filter=delay",
                                   "memory", str(VDB), "delay-write=60", "delay-zero=60"])
        try:
            wait_listening(self.folder / "nbd", server)
            process = self.begun(f"nbd+unix:///?socket={self.folder}/nbd", stderr=subprocess.PIPE)
            time.sleep(1)  # it is amid its writes
            process.terminate()
            self.assertIn("does not answer", process.communicate(timeout=30)[1])
            self.assertEqual(process.returncode, 1)
        finally:
            server.kill()
            server.wait()

    def begun(self, output, **how):
        return subprocess.Popen([cache.built("qheal"), "restore", "--store", self.store, "--disk",
                                 "vdb", "--output", output], text=True, **how)

    def test_a_signal_before_it_begins_leaves_the_output_as_it_is(self):
        def interrupted():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            os.kill(os.getpid(), signal.SIGINT)

        self.out.write_bytes(b"precious")
        done = run(cache.built("qheal"), "restore", "--store", self.store, "--disk", "vda",
                   "--force", "--output", self.out, preexec_fn=interrupted)
        self.assertEqual((done.returncode, self.out.read_bytes()), (1, b"precious"), done.stderr)
        self.assertIn("nothing was written", done.stderr)
        self.assertEqual(os.listdir(self.folder), ["out.raw"])


if __name__ == "__main__":
    unittest.main()
