# SPDX-License-Identifier: Apache-2.0
"""What a cycle costs by how much is dirty, beside QEMU's own incremental backup, and by disk size."""

import common
from common import GIB, MIB
from lab.disk import Disk
from lab.sidecar import Sidecar
from lab.vm import Vm

DIRTY_MIB = (1, 16, 64, 256)
SIZES_GIB = (1, 64, 4096)
ROUNDS = 3
INTERVAL_MS = 1500


def cycle(vm, qheal, mib):
    """MIB of new data, then the generation that brings all of it."""
    since = len(qheal.events)
    vm.order(f"burst {mib}", timeout=180)
    while sum(event["bytes"] for event in qheal.find("generation", since)) < mib * MIB:
        qheal.wait_generations(1)
    return max(qheal.find("generation", since), key=lambda event: event["bytes"])


def qheal_cycles(size, mib, rounds):
    """An interval longer than the burst takes, so that one cycle has most of it."""
    with Vm(disks=[Disk(size=size)], paused=1) as vm, Sidecar(vm, interval=INTERVAL_MS) as qheal:
        qheal.wait("protected", timeout=120)
        found = [cycle(vm, qheal, mib) for _ in range(rounds)]
    return {"duration_ms": common.figures([event["duration_ms"] for event in found]),
            "dirty_bytes": common.figures([event["bytes"] for event in found], 0),
            "rate_mb_s": common.figures([event["bytes"] / 1e3 / event["duration_ms"]
                                         for event in found])}


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
            vm.order(f"burst {mib}", timeout=180)
            found.append(backup(vm, number))
    return {"duration_ms": common.figures([took for took, _ in found]),
            "dirty_bytes": common.figures([copied for _, copied in found], 0),
            "rate_mb_s": common.figures([copied / 1e3 / took for took, copied in found])}


def measure(chosen):
    rounds = chosen.rounds or ROUNDS
    entries, sizes, short = [], [], rounds == 1
    for mib in DIRTY_MIB[:2] if short else DIRTY_MIB:
        size = (mib + 64) * MIB
        entries.append({"tool": "qheal", "mib": mib, **qheal_cycles(size, mib, rounds)})
        entries.append({"tool": "blockdev-backup", "mib": mib, **backups(size, mib, rounds)})
        common.say(f"{mib} MiB dirty: " + ", ".join(
            f"{entry['tool']} {entry['duration_ms']['median']:.1f} ms" for entry in entries[-2:]))
    for gib in SIZES_GIB[:1] if short else SIZES_GIB:
        sizes.append({"tool": "qheal", "size_gib": gib, **qheal_cycles(gib * GIB, 1, rounds)})
        common.say(f"{gib} GiB: {sizes[-1]['duration_ms']['median']:.1f} ms")
    return {"dirty": entries, "size": sizes}


if __name__ == "__main__":
    common.main("delta", measure)
