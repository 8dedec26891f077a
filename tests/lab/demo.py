# SPDX-License-Identifier: Apache-2.0
"""The main job, to watch: a running guest survives the death of its disk.

Run it by scripts/demo.  The last line on stdout is one JSON object; the exit status is 0
only when no acknowledged write was lost and the guest saw no error.
"""

import argparse
import json
import os
import shutil
import sys
import time

from . import cache
from .cache import LabError
from .disk import MIB, Disk
from .sidecar import Sidecar
from .vm import Vm, have_kvm

WIDTH = 78
BAR = 16  # columns of the recovery's chart
NOTES = {"detect": "hear of it, decide", "wait": "finish what is under way",
         "drain": "wait for what is in flight",
         "overlay": "new disk above the replica", "freeze": "open the old one for reading",
         "catch-up": "read what changed", "flush": "all on stable storage",
         "swap": "put the new disk in place", "promote": "note it in the store",
         "resume": "let the guest go on"}


class Screen:
    """Lines with a clock; on a terminal in colour, with one line that lives."""

    def __init__(self):
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.colour = self.terminal and "NO_COLOR" not in os.environ
        self.began = time.monotonic()
        self.live = False

    def paint(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def line(self, text=""):
        if self.live:
            print("\r\x1b[K", end="")
            self.live = False
        print(text, flush=True)

    def title(self, text):
        self.line()
        self.line(self.paint("1", text))

    def say(self, text, code=None):
        """With the seconds since the start."""
        clock = f"{time.monotonic() - self.began:7.2f} s  "
        self.line(clock + (self.paint(code, text) if code else text))

    def now(self, text):
        """Overwritten by the next; nothing in a log."""
        if self.terminal:
            clock = f"{time.monotonic() - self.began:7.2f} s  "
            print(f"\r\x1b[K{(clock + text)[:WIDTH]}", end="", flush=True)
            self.live = True


def size(count):
    """1536 -> 1.5 KiB"""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.1f} {unit}" if unit != "bytes" else f"{count} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def words(text, first, rest):
    """Wraps at WIDTH columns, as (line with its prefix) one after the other."""
    line = first
    for word in text.split():
        if len(line) + len(word) > WIDTH and line.strip():
            yield line.rstrip()
            line = rest
        line += word + " "
    yield line.rstrip()


def watch_generations(screen, vm, qheal, count):
    """Waits for so many generations and tells of the last."""
    first, deadline = len(qheal.find("generation")), time.monotonic() + 60
    while len(done := qheal.find("generation")) < first + count:
        if qheal.ended or time.monotonic() > deadline:
            raise LabError(f"{len(done) - first} of {count} generations came\n{qheal.report()}")
        if done:
            screen.now(f"generation {done[-1]['generation']}, {size(done[-1]['bytes'])}, "
                       f"lag {done[-1]['lag_ms']:.0f} ms; the guest has {vm.acked:,} writes done")
        time.sleep(0.05)
    lags = sorted(event["lag_ms"] for event in done[first:])
    screen.say(f"{count} generations later: each durable {lags[len(lags) // 2]:.0f} ms (median)")
    screen.line(f"{'':11}after its point in time; the guest has {vm.acked:,} writes done")


def show_recovery(screen, fault, decision, recovered):
    """The timeline, from the error to the guest running again."""
    screen.title("The recovery, in milliseconds since QEMU heard of it")
    screen.line()
    for name, text in (
            ("failed", f"disk {fault['resource']}: {fault['detail']}"),
            ("decided", f"{decision['strategy']}: {decision['why']}"),
            ("predicted", f"{decision['predicted_downtime_ms']:.1f} ms of downtime, "
             f"{decision['predicted_loss_bytes']} bytes lost")):
        for line in words(text, f"  {name:10}", " " * 12):
            screen.line(line)
    screen.line()
    show_steps(screen, recovered)


def show_steps(screen, recovered):
    """One line a step: when it was over, what it took, and a bar on the common scale."""
    total = sum(step["ms"] for step in recovered["steps"])
    began = 0.0
    screen.line("   at ms  step       took")
    for step in recovered["steps"]:
        left = min(round(began / total * BAR), BAR - 1)
        right = max(round((began + step["ms"]) / total * BAR), left + 1)
        began += step["ms"]
        bar = f"{' ' * left + '#' * (right - left):{BAR}}"
        note = NOTES.get(step["name"], "")
        if step["name"] == "catch-up":
            note += f", {size(recovered['catch_up_bytes'])}"
        screen.line(f"  {began:6.1f}  {step['name']:9}{step['ms']:6.1f}  |"
                    + screen.paint("36", bar) + "| " + note)
    screen.line(f"{'':10}" + screen.paint("1;32", "the guest runs again"))


def run(screen, options):
    """One demo; the figures of its last line."""
    screen.line(screen.paint("1", "qheal demo: a running guest survives the death of its disk"))
    screen.line()
    screen.now("booting a Linux guest ...")
    with Vm(disks=[Disk(size=256 * MIB)], pattern="rand", region=64 * MIB) as vm:
        version = vm.qmp.greeting["version"]["qemu"]
        screen.say(f"a Linux guest runs in QEMU {version['major']}.{version['minor']}."
                   f"{version['micro']} ({'KVM' if have_kvm() else 'TCG, no KVM here'})")
        screen.line(f"{'':11}and writes numbered 4 KiB records to its disk vda (O_DSYNC), each")
        screen.line(f"{'':11}after the one before was acknowledged, as fast as it can")
        vm.wait_more(200)
        with Sidecar(vm, interval=options.interval) as qheal:
            screen.say("qheal protect --qmp guest.sock --store store "
                       f"--interval {options.interval}")
            protected = qheal.wait("protected")
            screen.say(f"protected: first copy of {size(protected['bytes'])} in "
                       f"{protected['seconds']:.2f} s, the guest went on")
            watch_generations(screen, vm, qheal, options.generations)
            return kill_and_check(screen, vm, qheal, options)


def kill_and_check(screen, vm, qheal, options):
    vm.fail(0, "write")
    screen.say("THE DISK DIES: from now on every write to vda fails", "1;31")
    recovered = qheal.wait("recovered", strategy="pivot")
    before = vm.acked
    screen.say(f"the guest runs again after {recovered['downtime_ms']:.1f} ms, on "
               f"promoted/{os.path.basename(recovered['image']['path'])}", "1;32")
    ends = time.monotonic() + options.after
    while time.monotonic() < ends:
        screen.now(f"the guest has {vm.acked:,} writes done")
        time.sleep(0.05)
    vm.wait_more(100)
    vm.order("pause")
    acked = vm.acked
    screen.say(f"it wrote {acked - before:,} more records there; stopped to check the disk")
    verdict = vm.check([recovered["image"]["path"]], at_least=acked)
    show_recovery(screen, qheal.find("fault")[0], qheal.find("recovery")[0], recovered)
    errors = vm.guest_errors
    lost = verdict.get("lost", acked) if verdict["consistent"] else acked
    show_verdict(screen, recovered, verdict, errors, acked, lost)
    if "QHEAL_KEEP" in os.environ:
        screen.line(f"  kept       {vm.work}")
    return {"guest_errors": len(errors), "acknowledged": acked, "lost": lost,
            "downtime_ms": round(recovered["downtime_ms"], 3),
            "swap_ms": round(recovered["swap_ms"], 3),
            "generations": len(qheal.find("generation")),
            "catch_up_bytes": recovered["catch_up_bytes"]}


def show_verdict(screen, recovered, verdict, errors, acked, lost):
    screen.title("The verdict")
    screen.line()
    good = verdict["consistent"] and not lost and not errors
    for name, text in (
            ("downtime", f"{recovered['downtime_ms']:.1f} ms, "
             f"{recovered['swap_ms']:.1f} ms of it the swap itself"),
            ("guest", "saw no error" if not errors else f"saw {len(errors)}: {errors[0]}"),
            ("data", f"all {acked:,} acknowledged writes are on the promoted disk, none lost"
             if good or (verdict["consistent"] and not lost) else
             f"{lost:,} of {acked:,} acknowledged writes LOST; checker: {json.dumps(verdict)}")):
        for line in words(text, f"  {name:10}", " " * 12):
            screen.line(line)
    screen.line()
    screen.line(screen.paint("1;32", "  passed") if good else screen.paint("1;31", "  FAILED"))
    screen.line()


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__.split("\n\n")[0],
                                     epilog="QHEAL_KEEP=1 keeps the disks and the store; "
                                     "QHEAL_QEMU=10 runs QEMU 10 (scripts/deps --qemu10).")
    parser.add_argument("--interval", type=int, default=200, metavar="MS",
                        help="from one generation to the next (default 200)")
    parser.add_argument("--generations", type=int, default=20, metavar="N",
                        help="how many to wait for before the disk dies (default 20)")
    parser.add_argument("--after", type=float, default=2, metavar="SECONDS",
                        help="how long the guest then goes on (default 2)")
    options = parser.parse_args()
    work = os.environ.get("QHEAL_WORK", "/var/tmp")
    if not os.access(work, os.W_OK) or shutil.disk_usage(work).free < 512 * MIB:
        sys.exit(f"demo: {work} needs to be writable with 512 MiB free: set QHEAL_WORK")
    try:
        figures = run(Screen(), options)
    except (LabError, OSError) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(json.dumps(figures, separators=(",", ":")))
    return 0 if figures["lost"] == 0 and figures["guest_errors"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
