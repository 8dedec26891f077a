# SPDX-License-Identifier: Apache-2.0
"""`qheal protect` beside a Vm, and what it says."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

from . import cache
from .cache import LabError, Late, until

READER_S = 60  # what an ended sidecar wrote is there; a busy machine takes its time


class Sidecar:
    """Runs until the end of the with block.  options: interval=100, disk=["vda"], once=True, ...
    $QHEAL_OBJECTIVE is the objective of those that name none.  verb: its command.

    .events holds what came on stdout, each with "at" (time.monotonic() of its arrival); a line that
    is no JSON object is an error of qheal and raises in wait().
    """

    verb = "protect"
    environment = {}  # more of it

    def __init__(self, vm, store=None, **options):
        self.vm = vm
        self.store = pathlib.Path(store or vm.work / "store")
        usual = {"interval": 100}
        if os.environ.get("QHEAL_OBJECTIVE"):
            usual["objective"] = os.environ["QHEAL_OBJECTIVE"]
        self.options = {**usual, **options}
        self.events, self.garbage, self.changed = [], [], threading.Condition()
        self.log = vm.work / "qheal.log"
        self.process, self.ended = None, True

    def arguments(self):
        args = [cache.built("qheal"), self.verb, "--qmp", self.vm.qmp_path, "--store", self.store,
                "--events", "-"]
        for name, value in self.options.items():
            flag = "--" + name.replace("_", "-")
            for each in value if isinstance(value, list) else [value]:
                args += [flag] if each is True else [flag, each]
        return [str(arg) for arg in args]

    def start(self):
        with open(self.log, "ab") as log, self.changed:  # a former one's reader waits: not its end
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self.arguments()],
                                            stdout=subprocess.PIPE, stderr=log,
                                            env={**os.environ, **self.environment})
            self.ended = False
        self.reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self.reader.start()
        return self

    def _read(self, process):
        for line in process.stdout:
            with self.changed:
                try:
                    self.events.append({**json.loads(line), "at": time.monotonic()})
                    cache.record(f"{self.vm.work.name}-{self.store.name}.jsonl", line.decode())
                except (ValueError, TypeError):
                    self.garbage.append(line)
                self.changed.notify_all()
        with self.changed:
            self.ended = self.ended or process is self.process
            self.changed.notify_all()

    def find(self, name, since=0, **fields):
        """The events of this name and with these fields, from the since-th on."""
        return [event for event in self.events[since:] if event["event"] == name and
                all(event.get(key) == value for key, value in fields.items())]

    def wait(self, name, timeout=30, since=0, count=1, **fields):
        """Waits for `count` such events, from the since-th on, and returns the last of them."""
        def found():
            return self.find(name, since, **fields)[:count]

        with self.changed:
            self.changed.wait_for(lambda: self.garbage or len(found()) == count or self.ended,
                                  timeout)
        if self.garbage or len(found()) < count:
            why = (f"qheal printed {self.garbage[0]!r}" if self.garbage else
                   f"qheal ended with {self.process.wait()}" if self.ended else f"after {timeout} s")
            kind = LabError if self.garbage or self.ended else Late
            raise kind(f"{len(found())} of {count} events {name} {fields or ''}: {why}\n"
                       f"{self.report()}")
        return found()[-1]

    def wait_generations(self, count, timeout=30):
        """Waits for `count` more generations; the last of them."""
        return self.wait("generation", timeout, since=len(self.events), count=count)

    def stop(self, sig=signal.SIGTERM, timeout=30):
        """Ends it and returns its exit status; all that it said is in .events then."""
        self.process.send_signal(sig)
        status = self.process.wait(timeout)
        self.reader.join(READER_S)
        return status

    def halt(self):
        """SIGSTOP, and waits until it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat")
        until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T",
              "the sidecar stands still", every=0.001)

    def wait_caught_up(self, timeout=60):
        """Until two cycles found nothing to copy: the guest writes no more, and all is stored."""
        began = self.status()["empty_cycles"]
        until(lambda: self.status()["empty_cycles"] >= began + 2, "the replica catches up", timeout)

    def command(self, *words, **how):
        """Another qheal command on this store: (exit status, stdout, stderr)."""
        done = subprocess.run([str(cache.built("qheal")), *map(str, words), "--store", self.store],
                              capture_output=True, text=True, timeout=60, check=False, **how)
        return done.returncode, done.stdout, done.stderr

    def last_record(self, point):
        """The number of the last record that this point of the store has, which is whole."""
        images = [self.vm.work / f"{point.replace(':', '')}-{disk.id}.raw" for disk in self.vm.disks]
        for disk, image in zip(self.vm.disks, images):
            code, _, err = self.command("restore", "--disk", disk.id, "--point", point, "--output",
                                        image, "--force")
            if code:
                raise LabError(f"qheal restore: {err}")
        verdict = self.vm.check(images, acked=0)
        if not verdict["consistent"]:
            raise AssertionError(f"point {point}: {verdict}")
        return verdict["n"]

    def status(self):
        """qheal status --json.  Who asks slowly is hung up on, and may have to ask again."""
        def asked():
            code, out, err = self.command("status", "--json")
            if code == 0:
                return json.loads(out)
            passes = ("ask again", "does not answer", "gave no answer")
            lives = self.process and self.process.poll() is None
            if not lives or not any(words in err for words in passes):
                raise LabError(f"qheal status: {err}")
            return None

        return until(asked, "qheal status")

    def heads(self):
        """The replica's images, one per disk of the guest; quiet only while no sidecar runs."""
        return [self.store / "disks" / disk.id / "head.raw" for disk in self.vm.disks]

    def memory_bytes(self):
        """The most memory that was ever resident."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) << 10

    def report(self):
        last = [json.dumps(event) for event in self.events[-6:]]
        return "\n".join(["last events:", *last, "log:", self.log.read_text()[-2000:]])

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, kind, *_):
        if kind:
            print(self.report())
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        self.reader.join(READER_S)
        self.process.stdout.close()
