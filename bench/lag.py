# SPDX-License-Identifier: Apache-2.0
"""How old the replica is while the guest writes steadily, at an interval of 100 ms."""

import datetime
import time

import common
from lab.sidecar import Sidecar
from lab.vm import Vm

SECONDS = 60
INTERVAL_MS = 100
# (name, records a second (0: as fast as it can), order of the slots)
LOADS = (("steady", 500, "seq"), ("full", 0, "seq"), ("full-random", 0, "rand"))


def stamp_ms(event):
    return 1e3 * datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


def behind(found):
    """At its worst, just before the next generation is durable, the replica is as old as this."""
    return [stamp_ms(event) - (stamp_ms(last) - last["lag_ms"])
            for last, event in zip(found, found[1:])]


def load(name, rate, pattern, seconds):
    with Vm(rate=rate, pattern=pattern) as vm, Sidecar(vm, interval=INTERVAL_MS) as qheal:
        qheal.wait("protected")
        qheal.wait_generations(10)
        before, acked, since = qheal.status(), vm.acked, len(qheal.events)
        begin = time.monotonic()
        time.sleep(seconds)
        qheal.wait("generation", since=since, count=2)  # on a busy machine, too
        after, records, took = qheal.status(), vm.acked - acked, time.monotonic() - begin
        found = qheal.find("generation", since)
        others = [event for event in qheal.events[since:] if event["event"] != "generation"]
    entry = {"load": name, "records_per_s": round(records / took),
             "cycles": after["cycles"] - before["cycles"],
             "skipped": after["skipped_cycles"] - before["skipped_cycles"],
             "failed": after["failed_cycles"] - before["failed_cycles"],
             "other_events": len(others),
             "lag_ms": common.figures([event["lag_ms"] for event in found]),
             "duration_ms": common.figures([event["duration_ms"] for event in found]),
             "behind_ms": common.figures(behind(found)),
             "bytes": common.figures([event["bytes"] for event in found], 0)}
    common.say(f"{name}: lag p99 {entry['lag_ms']['p99']} ms, {entry['skipped']} skipped")
    return entry


def measure(chosen):
    seconds = chosen.seconds or SECONDS
    found = [load(*each, seconds) for each in LOADS]
    return {"seconds": seconds, "loads": found, "wanted": {
        "lag_p99_ms": common.verdict(found[0]["lag_ms"]["p99"], at_most=250),
        "skipped": common.verdict(found[0]["skipped"], at_most=0)}}


if __name__ == "__main__":
    common.main("lag", measure)
