# SPDX-License-Identifier: Apache-2.0
"""What protection costs the guest: its own synchronous writes a second, with and without."""

import statistics
import subprocess
import time

import common
from common import MIB
from lab.disk import Disk
from lab.sidecar import Sidecar
from lab.vm import Vm

ROUNDS = 25
PEER_ROUNDS = 8
SECONDS = 1.5
SETTLE_S = 0.3
WANTED = {1000: 0.95, 100: 0.80}
PATTERNS = ("seq", "rand")


def rate(vm, seconds):
    """Records acknowledged a second of the host's time."""
    time.sleep(SETTLE_S)
    first, begin = vm.acked, time.monotonic()
    time.sleep(seconds)
    return (vm.acked - first) / (time.monotonic() - begin)


def with_qheal(vm, interval, seconds):
    """The rate under protection, and the CPU time that protection took meanwhile."""
    with Sidecar(vm, interval=interval) as qheal:
        qheal.wait("protected", timeout=60)
        cpu = common.cpu_seconds(qheal.process.pid)
        found = rate(vm, seconds)
        cpu = (common.cpu_seconds(qheal.process.pid) - cpu) / (seconds + SETTLE_S)
        qheal.stop()
    return found, cpu


class Mirror:
    """QEMU's own mirror to an NBD server, the peer of delta mode."""

    def __init__(self, vm, mode):
        self.vm, self.mode = vm, mode
        self.socket, self.target = vm.work / "peer.sock", vm.work / "peer.raw"

    def __enter__(self):
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
        self.vm.qmp.wait_event("BLOCK_JOB_READY", timeout=120)
        return self

    def __exit__(self, *_):
        # Without force: QEMU 7.2 has died of a forced cancel while the guest wrote.
        self.vm.qmp("block-job-cancel", device="peer", force=False)
        self.vm.qmp.wait_event("BLOCK_JOB_COMPLETED", timeout=60)
        self.vm.qmp("blockdev-del", node_name="peer")
        self.server.terminate()
        self.server.wait()
        self.socket.unlink(missing_ok=True)


def with_mirror(vm, mode, seconds):
    with Mirror(vm, mode):
        return rate(vm, seconds), None


def pairs(vm, rounds, seconds, protected, *args):
    """Without and with in turn; the ratio pair by pair, the bare rate from both sides of it."""
    found, bare = [], rate(vm, seconds)
    for _ in range(rounds):
        under, cpu = protected(vm, *args, seconds)
        after = rate(vm, seconds)
        found.append((under / ((bare + after) / 2), under, bare, cpu))
        bare = after
    ratios = [ratio for ratio, *_ in found]
    entry = {"ratio": common.figures(ratios, 3),
             "bare_per_s": round(statistics.median(bare for _, _, bare, _ in found)),
             "protected_per_s": round(statistics.median(under for _, under, _, _ in found))}
    if found[0][3] is not None:
        entry["sidecar_cpu_share"] = round(statistics.median(cpu for *_, cpu in found), 4)
    common.say(f"{protected.__name__} {args}: {entry['ratio']['median']}")
    return entry


def guest(pattern, rounds, seconds):
    """All alternations within one life of one guest."""
    with Vm(disks=[Disk(size=64 * MIB)], pattern=pattern) as vm:
        vm.wait_more(100)
        entries = [{"with": "qheal", "interval_ms": interval,
                    **pairs(vm, rounds, seconds, with_qheal, interval)} for interval in WANTED]
        entries += [{"with": f"blockdev-mirror {mode}",
                     **pairs(vm, min(rounds, PEER_ROUNDS), seconds, with_mirror, mode)}
                    for mode in ("background", "write-blocking")]
        errors = vm.guest_errors
    return {"pattern": pattern, "entries": entries, "guest_errors": len(errors)}


def measure(chosen):
    rounds, seconds = chosen.rounds or ROUNDS, chosen.seconds or SECONDS
    found = [guest(pattern, rounds, seconds) for pattern in PATTERNS]
    wanted = {f"{each['pattern']}_{entry['interval_ms']}_ms":
              common.verdict(entry["ratio"]["median"], at_least=WANTED[entry["interval_ms"]])
              for each in found for entry in each["entries"] if "interval_ms" in entry}
    return {"record_bytes": 4096, "seconds_each": seconds, "guests": found, "wanted": wanted}


if __name__ == "__main__":
    common.main("impact", measure)
