# SPDX-License-Identifier: Apache-2.0
"""The first full copy beside nbdcopy: the same data, out of the same running QEMU, in turn."""

import os
import statistics

import common
from common import GIB, MIB
from lab.disk import Disk
from lab.sidecar import Sidecar
from lab.vm import Vm

SIZE = 4 * GIB
ROUNDS = 5


def fill(path, size):
    """Incompressible, without a hole, and on the disk rather than in the page cache."""
    with open(path, "wb") as file:
        for _ in range(0, size, 8 * MIB):
            file.write(os.urandom(8 * MIB))
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def drop(path):
    """Nothing of the round before is in anybody's way: written back, not cached, gone."""
    common.subprocess.run(["rm", "-rf", path], check=True)
    os.sync()


def round_of(vm, wall_s, cpu_s, qemu_before, **more):
    qemu_s = common.cpu_seconds(vm.process.pid) - qemu_before
    return {"wall_s": wall_s, "cpu_s": cpu_s, "qemu_cpu_s": qemu_s, **more}


def with_qheal(vm):
    """`protect --once`: first copy and the generation that makes a point in time of it."""
    qemu, sidecar = common.cpu_seconds(vm.process.pid), Sidecar(vm, once=True)
    wall, cpu = common.run_timed(sidecar.arguments(), stdout=open(vm.work / "events", "wb"),
                                 stderr=common.subprocess.DEVNULL)
    with open(vm.work / "events", encoding="ascii") as events:
        protected = [event for event in map(common.json.loads, events)
                     if event["event"] == "protected"][-1]
    found = round_of(vm, wall, cpu, qemu, protected_s=protected["seconds"])
    drop(sidecar.store)
    return found


def with_nbdcopy(vm):
    """As it comes: four connections, 64 requests of 256 KiB; --flush, so that the file is durable."""
    target, socket = vm.work / "copy.raw", vm.work / "copy.sock"
    vm.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": str(socket)}})
    vm.qmp("block-export-add", type="nbd", id="copy", node_name="d0", name="copy")
    qemu = common.cpu_seconds(vm.process.pid)
    wall, cpu = common.run_timed(["nbdcopy", "--flush", f"nbd+unix:///copy?socket={socket}",
                                  target])
    found = round_of(vm, wall, cpu, qemu)
    vm.qmp("nbd-server-stop")
    drop(target)
    return found


def summary(rounds):
    entry = {key: common.figures([each[key] for each in rounds], 3) for key in rounds[0]}
    entry["gb_s"] = round(SIZE / 1e9 / entry["wall_s"]["median"], 3)
    return entry


def alternate(vm, count):
    found = {"qheal": [], "nbdcopy": []}
    for _ in range(count):
        for name, run in (("qheal", with_qheal), ("nbdcopy", with_nbdcopy)):
            found[name].append(run(vm))
            common.say(f"{name}: {found[name][-1]}")
    return found


def measure(chosen):
    disk = Disk(size=SIZE)
    # Paused from the start: the guest writes nothing, and looks for nothing either.
    with Vm(disks=[disk], paused=1, scan=0) as vm:
        fill(disk.path, SIZE)
        os.sync()
        found = alternate(vm, chosen.rounds or ROUNDS)
    ratios = [peer["wall_s"] / ours["wall_s"]
              for ours, peer in zip(found["qheal"], found["nbdcopy"])]
    return {"bytes": SIZE, "qheal": summary(found["qheal"]), "nbdcopy": summary(found["nbdcopy"]),
            "speed_against_nbdcopy": common.figures(ratios, 3), "wanted": {
                "speed_against_nbdcopy":
                    common.verdict(statistics.median(ratios), at_least=1)}}


if __name__ == "__main__":
    common.main("firstcopy", measure)
