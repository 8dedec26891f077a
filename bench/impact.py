# SPDX-License-Identifier: Apache-2.0
"""What protection costs the guest: its own synchronous writes a second and how long they take, with
and without."""

import shutil
import statistics
import subprocess
import time

import common
from common import MIB
from firstcopy import fill
from lab.disk import Disk
from lab.sidecar import Sidecar
from lab.vm import Vm

ROUNDS = 25
PEER_ROUNDS = 8
SECONDS = 1.5
SETTLE_S = 0.3
WANTED = {1000: 0.95, 100: 0.80}
PATTERNS = ("seq", "rand")
MODES = ("background", "write-blocking")
PERCENTILES = ("p50", "p99", "p999")
COPY_BYTES = 512 << 20
COPY_ROUNDS = 2


def watched(vm, wait):
    """What the guest had while `wait()` ran: records a second of the host's time, and how long its
    requests took by its own clock, in milliseconds."""
    vm.latency()
    first, begin = vm.acked, time.monotonic()
    wait()
    found = {"per_s": (vm.acked - first) / (time.monotonic() - begin)}
    latency = vm.latency()
    return {**found, **{name: latency[name] / 1e3 for name in PERCENTILES}}


def settled(vm, seconds):
    time.sleep(SETTLE_S)
    return watched(vm, lambda: time.sleep(seconds))


def with_qheal(vm, interval, seconds):
    """Under protection, with the CPU time that protection took meanwhile."""
    with Sidecar(vm, interval=interval) as qheal:
        qheal.wait("protected", timeout=60)
        cpu = common.cpu_seconds(qheal.process.pid)
        found = settled(vm, seconds)
        cpu = (common.cpu_seconds(qheal.process.pid) - cpu) / (seconds + SETTLE_S)
        qheal.stop()
    return {**found, "cpu": cpu}


def qheal_copies(vm, seconds):
    """While the first copy of the disk runs; SECONDS do not count, its length does."""
    sidecar = Sidecar(vm, interval=1000)

    def whole():
        with sidecar as qheal:
            qheal.wait("protected", timeout=180)
            qheal.stop()
    found = watched(vm, whole)
    shutil.rmtree(sidecar.store)
    return found


class Mirror:
    """QEMU's own mirror to an NBD server, the peer of delta mode."""

    def __init__(self, vm, mode):
        self.vm, self.mode = vm, mode
        self.socket, self.target = vm.work / "peer.sock", vm.work / "peer.raw"

    def start(self):
        size = self.vm.disks[0].size
        subprocess.run(["truncate", "-s", str(size), self.target], check=True)
        self.server = subprocess.Popen(["qemu-nbd", "-t", "-f", "raw", "--cache=none", "-k",
                                        self.socket, self.target])
        while not self.socket.exists():
            time.sleep(0.005)
        self.vm.qmp("blockdev-add", driver="nbd", node_name="peer",
                    server={"type": "unix", "path": str(self.socket)})
        self.vm.qmp("blockdev-mirror", job_id="peer", device="d0", target="peer", sync="full",
                    copy_mode=self.mode)
        self.vm.qmp.wait_event("BLOCK_JOB_READY", timeout=180)

    def end(self):
        # Without force: QEMU 7.2 has died of a forced cancel while the guest wrote.
        self.vm.qmp("block-job-cancel", device="peer", force=False)
        self.vm.qmp.wait_event("BLOCK_JOB_COMPLETED", timeout=60)
        self.vm.qmp("blockdev-del", node_name="peer")
        self.server.terminate()
        self.server.wait()
        self.socket.unlink(missing_ok=True)
        self.target.unlink()


def with_mirror(vm, mode, seconds):
    mirror = Mirror(vm, mode)
    mirror.start()
    found = settled(vm, seconds)
    mirror.end()
    return found


def mirror_copies(vm, mode, seconds):
    mirror = Mirror(vm, mode)
    found = watched(vm, mirror.start)
    mirror.end()
    return found


def latencies(found):
    return {f"latency_{name}_ms": common.figures([each[name] for each in found], 3)
            for name in PERCENTILES}


def pairs(vm, rounds, seconds, protected, *args):
    """Without and with in turn; the ratio pair by pair, the bare rate from both sides of it."""
    under, bare = [], [settled(vm, seconds)]
    for _ in range(rounds):
        under.append(protected(vm, *args, seconds))
        bare.append(settled(vm, seconds))
    ratios = [with_it["per_s"] / ((before["per_s"] + after["per_s"]) / 2)
              for with_it, before, after in zip(under, bare, bare[1:])]
    entry = {"ratio": common.figures(ratios, 3),
             "bare_per_s": round(statistics.median(each["per_s"] for each in bare)),
             "protected_per_s": round(statistics.median(each["per_s"] for each in under)),
             "bare": latencies(bare), **latencies(under)}
    if "cpu" in under[0]:
        entry["sidecar_cpu_share"] = round(statistics.median(each["cpu"] for each in under), 4)
    common.say(f"{protected.__name__} {args}: {entry['ratio']['median']:.3f}, p99 "
               f"{entry['latency_p99_ms']['median']} ms, bare "
               f"{entry['bare']['latency_p99_ms']['median']} ms")
    return entry


def guest(pattern, rounds, seconds):
    """All alternations within one life of one guest."""
    with Vm(disks=[Disk(size=64 * MIB)], pattern=pattern) as vm:
        vm.wait_more(100)
        entries = [{"with": "qheal", "interval_ms": interval,
                    **pairs(vm, rounds, seconds, with_qheal, interval)} for interval in WANTED]
        entries += [{"with": f"blockdev-mirror {mode}",
                     **pairs(vm, min(rounds, PEER_ROUNDS), seconds, with_mirror, mode)}
                    for mode in MODES]
        errors = vm.guest_errors
    return {"pattern": pattern, "entries": entries, "guest_errors": len(errors)}


def copying(rounds, seconds, modes):
    """The guest's writes while all of a disk of random data is copied for the first time."""
    vm = Vm(disks=[Disk(size=COPY_BYTES)], pattern="rand")
    fill(vm.disks[0].path, COPY_BYTES)
    with vm:
        vm.wait_more(100)
        entries = [{"with": "qheal copies", **pairs(vm, rounds, seconds, qheal_copies)}]
        entries += [{"with": f"blockdev-mirror {mode} copies",
                     **pairs(vm, rounds, seconds, mirror_copies, mode)} for mode in modes]
        errors = vm.guest_errors
    return {"pattern": "rand", "entries": entries, "guest_errors": len(errors)}


def measure(chosen):
    rounds, seconds = chosen.rounds or ROUNDS, chosen.seconds or SECONDS
    few = 1 if rounds == 1 else None  # only whether it runs
    found = [guest(pattern, rounds, seconds) for pattern in PATTERNS[:few]]
    found.append(copying(min(rounds, COPY_ROUNDS), seconds, MODES[:few]))
    wanted = {f"{each['pattern']}_{entry['interval_ms']}_ms":
              common.verdict(entry["ratio"]["median"], at_least=WANTED[entry["interval_ms"]])
              for each in found for entry in each["entries"] if "interval_ms" in entry}
    return {"record_bytes": 4096, "seconds_each": seconds, "guests": found, "wanted": wanted}


if __name__ == "__main__":
    common.main("impact", measure)
