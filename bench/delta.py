# SPDX-License-Identifier: Apache-2.0
"""What a cycle costs by how much is dirty, beside QEMU's own incremental backup and tools that pull
one (pull.py), and by disk size."""

import signal

import common
from common import GIB, MIB
from lab.disk import Disk
from lab.sidecar import Sidecar
from lab.vm import Vm
from pull import Puller

DIRTY_MIB = (0, 1, 64, 256, 1024)
SIZES_GIB = (1, 16, 256, 4096)
ROUNDS = 3
INTERVAL_MS = 500


def cycle(vm, qheal, mib):
    """MIB of new data, then the generation that brings all of it: the sidecar stands still while the
    guest writes, so that one cycle has it all and nobody else uses the disk meanwhile."""
    since = len(qheal.events)
    qheal.process.send_signal(signal.SIGSTOP)
    vm.order(f"burst {mib}", timeout=180)
    qheal.process.send_signal(signal.SIGCONT)
    count = 0  # the guest is paused: a generation that came meanwhile was perhaps the last
    while sum(event["bytes"] for event in qheal.find("generation", since)) < mib * MIB:
        count += 1
        qheal.wait("generation", since=since, count=count)
    return max(qheal.find("generation", since), key=lambda event: event["bytes"])


def qheal_cycles(size, mib, rounds):
    with Vm(disks=[Disk(size=size)], paused=1) as vm, Sidecar(vm, interval=INTERVAL_MS) as qheal:
        qheal.wait("protected", timeout=120)
        found = [cycle(vm, qheal, mib) for _ in range(rounds)]
    return {"duration_ms": common.figures([event["duration_ms"] for event in found]),
            "dirty_bytes": common.figures([event["bytes"] for event in found], 0),
            "rate_mb_s": common.figures([event["bytes"] / 1e3 / event["duration_ms"]
                                         for event in found])}


def summary(found):
    entry = {"duration_ms": common.figures([took for took, _ in found]),
             "dirty_bytes": common.figures([copied for _, copied in found], 0)}
    if all(copied for _, copied in found):
        entry["rate_mb_s"] = common.figures([copied / 1e3 / took for took, copied in found])
    return entry


def backup(vm, number):
    """One `blockdev-backup sync=bitmap` of disk 0 to a raw file, flushed at its end."""
    qmp, target = vm.qmp, vm.work / "backup.raw"
    with open(target, "wb") as file:
        file.truncate(vm.disks[0].size)
    qmp("blockdev-add", driver="raw", node_name="b", file={
        "driver": "file", "filename": str(target), "cache": {"direct": True}})
    begin = common.time.monotonic()
    qmp("blockdev-backup", job_id=f"b{number}", device="d0", target="b", sync="incremental",
        bitmap="peer")
    event = qmp.wait_event("BLOCK_JOB_COMPLETED", timeout=120)
    with open(target, "rb") as file:
        common.os.fsync(file.fileno())
    took = 1e3 * (common.time.monotonic() - begin)
    if "error" in event.get("data", event):
        raise RuntimeError(f"the backup failed: {event}")
    qmp("blockdev-del", node_name="b")
    copied = target.stat().st_blocks * 512
    target.unlink()
    return took, copied


def backups(size, mib, rounds):
    found = []
    with Vm(disks=[Disk(size=size)], paused=1) as vm:
        vm.qmp("block-dirty-bitmap-add", node="d0", name="peer", granularity=65536)
        for number in range(rounds):
            vm.qmp.poll()
            vm.qmp.events.clear()
            if mib:
                vm.order(f"burst {mib}", timeout=180)
            found.append(backup(vm, number))
    return summary(found)


def pulls(size, mib, rounds, tool):
    with Vm(disks=[Disk(size=size)], paused=1) as vm:
        puller, found = Puller(vm, tool), []
        for _ in range(rounds):
            if mib:
                vm.order(f"burst {mib}", timeout=180)
            found.append(puller.backup())
        puller.check()
    return summary(found)


def peers(size, mib, rounds):
    for tool, run in (("blockdev-backup", backups), ("qemu-img", pulls), ("nbdcopy", pulls)):
        more = () if run is backups else (tool,)
        yield {"tool": tool, "mib": mib, **run(size, mib, rounds, *more)}


def by_dirty(rounds, every):
    entries = []
    for mib in every:
        size, count = (mib + 64) * MIB, common.fewer(rounds, mib)
        if mib:  # cycle.py has the look that finds nothing
            entries.append({"tool": "qheal", "mib": mib, **qheal_cycles(size, mib, count)})
        entries += peers(size, mib, count)
        common.say(f"{mib} MiB dirty: " + ", ".join(
            f"{each['tool']} {each['duration_ms']['median']:.1f} ms" for each in entries
            if each["mib"] == mib))
    return entries


def by_size(rounds, every):
    found = []
    for gib in every:
        found.append({"tool": "qheal", "size_gib": gib, **qheal_cycles(gib * GIB, 1, rounds)})
        common.say(f"{gib} GiB: {found[-1]['duration_ms']['median']:.1f} ms")
    return found


def measure(chosen):
    rounds = chosen.rounds or ROUNDS
    dirty, sizes = DIRTY_MIB, SIZES_GIB
    if rounds == 1:  # only whether it runs
        dirty, sizes = DIRTY_MIB[1:2], SIZES_GIB[-1:]
    return {"dirty": by_dirty(rounds, dirty), "size": by_size(rounds, sizes)}


if __name__ == "__main__":
    common.main("delta", measure)
