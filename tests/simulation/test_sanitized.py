#!/usr/bin/python3
# tests: sanitized timeout=900
"""Worlds under ASan and UBSan: what goes wrong in memory while every invariant holds.

SIMULATION_SANITIZED_SECONDS says for how long fresh seeds are tried; TESTS_LONG=1 makes that ten minutes."""

import os
import sys

import test_simulation as simulation

SECONDS = float(os.environ.get("SIMULATION_SANITIZED_SECONDS", "600" if simulation.LONG else "20"))


def main():
    simulation.holds("lives", "--scenario", "lives", "--hosts", 40)
    simulation.holds("blanket", "--scenario", "blanket", "--hosts", 30)
    for scenario in ("herd-boot", "herd-outage"):
        simulation.holds(scenario, "--scenario", scenario, "--hosts", 200)
    simulation.try_fresh(SECONDS, 30)
    return simulation.failed


if __name__ == "__main__":
    sys.exit(main())
