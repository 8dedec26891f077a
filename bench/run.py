# SPDX-License-Identifier: Apache-2.0
"""Runs benchmarks one after the other and prints one report (README.md)."""

import importlib

import common

ALL = ["pivot", "cycle", "lag", "impact", "reprotect", "firstcopy", "resync", "footprint",
       "freeze", "restore"]


def run():
    chosen = common.options()
    results = {} if chosen.samples else {"machine": common.machine()}
    for name in chosen.names or ALL:
        results[name] = common.run(name, importlib.import_module(name).measure, chosen)
    common.report(results, chosen.output)


if __name__ == "__main__":
    run()
