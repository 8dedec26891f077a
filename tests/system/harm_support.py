# SPDX-License-Identifier: Apache-2.0
"""What the tests of "do no harm" and of bad input share.

QHEAL_SEED repeats the random moments of a run, QHEAL_MOMENTS changes their number (default 50, on
QEMU 10 10).
"""

import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
import unittest

# Disk, Sidecar and Vm are for the test files, which import all from here.
from lab import cache
from lab.cache import Late, in_time, until
from lab.disk import MIB, Disk
from lab.qmp import QmpError
from lab.sidecar import Sidecar
from lab.vm import Vm

QEMU_10 = os.environ.get("QHEAL_QEMU") == "10"
# QEMU 10 gets a short version: what differs between the two is the block layer.
MOMENTS = int(os.environ.get("QHEAL_MOMENTS", 10 if QEMU_10 else 50))
# The bound is 100 ms; a machine that runs other things too gets this much before it is too late.
PAUSE_MAX_S = 1.0


def once_is_enough(test):
    """Of a test or a class: it does not depend on the version of QEMU."""
    test.once = True
    return test


def say(text):
    print(text, file=sys.stderr, flush=True)


def dice(what):
    """Random numbers that a failed run can be repeated with."""
    seed = int(os.environ.get("QHEAL_SEED") or random.SystemRandom().randrange(1 << 32))
    say(f"{what}: QHEAL_SEED={seed}")
    return random.Random(seed)


def spread(values):
    """count, median, 99th percentile and largest."""
    ordered = sorted(values) or [0]
    return (len(values), ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], ordered[-1])


def filled_image(path, size, begin):
    """A raw image with incompressible data from `begin` on: a delta must leave it alone."""
    with open(path, "wb") as file:
        file.truncate(size)
        file.seek(begin)
        for _ in range(begin, size, MIB):
            file.write(os.urandom(MIB))
    return path


def graph(vm):
    """What of qheal is in this QEMU: (nodes, exports, jobs, [bitmaps of each disk])."""
    nodes = [node["node-name"] for node in vm.qmp("query-named-block-nodes", flat=True)]
    exports = [export["id"] for export in vm.qmp("query-block-exports")]
    jobs = [job["id"] for job in vm.qmp("query-jobs")]
    disks = [disk["inserted"] for disk in vm.qmp("query-block") if disk.get("inserted")]
    return ([name for name in nodes if name.startswith("qheal")],
            [name for name in exports if name.startswith("qheal")],
            [name for name in jobs if name.startswith("qheal")],
            [[bitmap for bitmap in disk.get("dirty-bitmaps", [])
              if bitmap.get("name", "").startswith("qheal")] for disk in disks])


def memfd_bytes(process):
    """Memory behind the memfds that a process holds, each counted once."""
    found = {}
    for entry in pathlib.Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            if os.readlink(entry).startswith("/memfd:qheal"):
                info = os.stat(entry)
                found[info.st_ino] = info.st_blocks * 512
        except FileNotFoundError:
            pass
    return sum(found.values())


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def anonymous_bytes(process):
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", text)[1]) << 10


def qheal(*words, timeout=60, **how):
    """A qheal command that ends by itself."""
    return subprocess.run([str(cache.built("qheal")), *map(str, words)], capture_output=True,
                          text=True, timeout=timeout, check=False, **how)


def end(sidecar, sig=signal.SIGKILL, timeout=30):
    """Ends a sidecar that will be started again; its exit status."""
    status = sidecar.stop(sig, timeout)
    sidecar.process.stdout.close()
    return status


def again(sidecar, name="protected", **fields):
    """Starts it once more and waits for the event."""
    since = len(sidecar.events)
    return sidecar.start().wait(name, since=since, **fields)


def remove_bitmaps(vm, index=0):
    """Of this disk; again when a cycle has them in use, or others come just then."""
    def removed():
        disk = vm.qmp("query-block")[index]["inserted"]
        try:
            for bitmap in disk.get("dirty-bitmaps", []):
                vm.qmp("block-dirty-bitmap-remove", node=vm.disks[index].node,
                       name=bitmap["name"])
        except QmpError:
            return False
        return bool(disk.get("dirty-bitmaps"))

    until(removed, "the bitmaps can be removed", every=0.005)


def stop_in_cycle(vm, sidecar, seconds=60):
    """SIGSTOP while a frozen point is offered: the filters are above the disks. False: never."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(name.startswith("qheal-snap") for name in graph(vm)[0]):
            continue
        sidecar.halt()
        time.sleep(0.02)
        if graph(vm)[1]:
            return True
        sidecar.process.send_signal(signal.SIGCONT)
    return False


def hang_in_cycle(vm, sidecar):
    """QEMU stands still while the sidecar reads a frozen point: it waits for data, not an answer."""
    if not stop_in_cycle(vm, sidecar):
        raise AssertionError("no cycle")
    vm.process.send_signal(signal.SIGSTOP)
    sidecar.process.send_signal(signal.SIGCONT)


class HarmTest(unittest.TestCase):
    """What must hold of any guest, whatever happened to its sidecar."""

    def assert_goes_on(self, vm, records=20, within=20):
        """The guest runs and its writes are acknowledged."""
        vm.wait_more(records, within)
        until(lambda: vm.status() == "running", "the guest runs")

    def assert_nothing_left(self, vm, disks=None, bitmaps=1):
        """No exports, nodes or jobs; so many bitmaps on each disk, all of them recording."""
        nodes, exports, jobs, found = graph(vm)
        self.assertEqual((nodes, exports, jobs), ([], [], []))
        for per_disk in found[:disks]:
            self.assertEqual(len(per_disk), bitmaps, found)
            self.assertTrue(all(bitmap["recording"] and not bitmap["busy"] for bitmap in per_disk))

    def assert_nothing_stays(self, vm):
        """Beside a sidecar that tries again now and then: what an attempt has goes with it."""
        def left():
            try:
                self.assert_nothing_left(vm)
            except AssertionError as error:
                return str(error)
            return None

        for _ in range(200):
            if not (found := left()):
                return
            time.sleep(0.05)
        self.fail(found)

    def assert_short_pauses(self, vm, what):
        """Tells how long the guest stood still, and refuses what no noise explains."""
        pauses = [seconds for _, seconds in vm.pauses()]
        stalls = [slowest / 1e6 for _, slowest in vm.rates()]
        for name, values in (("paused by QEMU", pauses), ("slowest request of a second", stalls)):
            count, median, high, top = spread(values)
            say(f"{what}: {name}: {count}, median {median * 1e3:.2f} ms, "
                f"99 % {high * 1e3:.2f} ms, longest {top * 1e3:.2f} ms")
        if max(pauses, default=0) > PAUSE_MAX_S:
            raise Late(f"{what}: the guest was paused for {max(pauses):.2f} s")

    def assert_replica(self, vm, sidecar):
        """Guest and sidecar at rest: the heads are what the guest wrote, to the last record.

        Ends the sidecar and leaves the guest paused by order."""
        vm.order("pause")
        sidecar.wait_caught_up()
        self.assertEqual(end(sidecar, signal.SIGTERM), 0, sidecar.log.read_text())
        verdict = vm.check(sidecar.heads(), at_least=vm.acked)
        self.assertTrue(verdict["consistent"], verdict)
        self.assertEqual((verdict["lost"], vm.guest_errors), (0, []))

    def assert_sentence(self, text, *words):
        """One sentence for a person: names these things, no code names, no second line."""
        lines = [line for line in text.strip().splitlines() if "warning:" not in line]
        self.assertEqual(len(lines), 1, text)
        self.assertRegex(lines[0], r"^qheal: ")
        for word in words:
            self.assertIn(str(word), lines[0])
