#!/usr/bin/python3
# tests: timeout=7200
"""The real program with a fault at one of its system calls, for as many of them as there is time; see README.md.

    test_syscalls.py [--long] [--only PATTERN | --point NAME] [--every] [--list] [--verbose] [--counts FILE]

TESTS_FAULTS_SEED (a fresh one each time, and printed), TESTS_FAULTS_SECONDS (30), TESTS_FAULTS_JOBS (2; of all points two for each processor).
"""

from __future__ import annotations

import argparse
import collections
import fnmatch
import itertools
import json
import multiprocessing
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from points import KINDS, Point
from points_judge import Verdict, try_point
from points_scenarios import INJECT, SCENARIOS, Stage

# Every default run takes so many of each scenario, always the same, and fresh ones for the rest of its time.
FIXED_SEED, FIXED_EACH = 1, 7

# And these, which once found something: scenario, call, what it is about, deed, which of those (-1: the last).
KEPT = (
    ("register", "openat", "/etc", "EIO", 0),                                    # taken for an image being built
    ("register", "openat", "HOST/state/.", "EIO", 1),                            # no word of what could not be listed
    ("register", "openat", "/var/lib", "ENOMEM", 0),                             # called a mistake of the configuration
    ("register", "getrandom", "", "ENOSYS", 0),                                  # abort()
    ("register", "fchmod", "HOST/gitlab-runner/.config.toml.TEMP", "EPERM", 0),  # said to be the owner's
    ("register", "timerfd_settime", "anon_inode:[timerfd]", "ENOMEM", -1),       # ended without a word
    ("register", "unlinkat", "HOST/state/build-1.journal", "EIO", -1),           # left lying about for good
    ("rotate", "recvfrom", "gitlab", "ECONNRESET", -1),                          # called a refusal
    ("reload", "newfstatat", "HOST/state/build-2.json", "EACCES", 0),            # the new runner forgotten
    ("start-create", "newfstatat", "HOST/secrets/build-1-access_token", "EIO", 0),  # the orphan never looked for again
    ("start-create", "sendto", "gitlab", "EAGAIN", -3),                          # a dead connection asked again
    ("start-reset", "pread64", "HOST/state/build-1.journal", "EIO", 0),          # its token taken for lost
    ("start-debt", "renameat", "HOST/run/.status.json.tmp -> HOST/run/status.json", "EACCES", -1),  # stale for an hour
    ("start-debt", "epoll_ctl", "", "ENOMEM", -1),                               # libcurl fell over its timer
)

Task = tuple[int, Point, set]


def work(tasks: Any, results: Any) -> None:
    place = Stage()
    try:
        while (task := tasks.get()) is not None:
            index, point, outlines = task
            try:
                verdict = try_point(place, SCENARIOS[index], point, outlines)
            except Exception as error:
                verdict = Verdict(point.name, point.kind, [f"{type(error).__name__}: {error}"])
            results.put((index, verdict))
    finally:
        place.close()
        results.put(None)


def all_points() -> tuple[list[list[Point]], list[set]]:
    place = Stage()
    try:
        pairs = [scenario.points(place) for scenario in SCENARIOS]
    finally:
        place.close()
    return [points for points, _ in pairs], [outlines for _, outlines in pairs]


def draw(points: list[Point], chance: random.Random) -> Iterator[Point]:
    """Without end, and fair to what is rare: first a kind, then a call's name, then one of those."""
    groups: dict[str, dict[str, list[Point]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for point in points:
        groups[point.kind][point.call.name].append(point)
    while True:
        kind = groups[chance.choice(sorted(groups))]
        yield chance.choice(kind[chance.choice(sorted(kind))])


def kept(points: list[list[Point]]) -> Iterator[tuple[int, Point]]:
    for scenario, name, what, deed, which in KEPT:
        index = [one.name for one in SCENARIOS].index(scenario)
        same = [point for point in points[index]
                if (point.call.name, point.call.what, point.deed) == (name, what, deed)]
        yield from ((index, point) for point in same[which:][:1])


def sample(points: list[list[Point]], seed: int, until: float) -> Iterator[tuple[int, Point]]:
    yield from kept(points)
    for index, own in enumerate(points):
        drawn = draw(own, random.Random(FIXED_SEED + index))
        yield from ((index, next(drawn)) for _ in range(FIXED_EACH))
    drawn = [draw(own, random.Random(seed + index)) for index, own in enumerate(points)]
    while True:
        for index in range(len(points)):
            if time.monotonic() >= until:
                return
            yield index, next(drawn[index])


def carry_out(chosen: Iterator[tuple[int, Point]], outlines: list[set], jobs: int) -> Iterator[tuple[int, Verdict]]:
    tasks: Any = multiprocessing.Queue(2 * jobs)
    results: Any = multiprocessing.Queue()
    workers = [multiprocessing.Process(target=work, args=(tasks, results), daemon=True) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    waiting, ended = 0, 0
    for index, point in chosen:
        tasks.put((index, point, outlines[index]))
        waiting += 1
        while not results.empty():
            yield results.get()
            waiting -= 1
    for _ in workers:
        tasks.put(None)
    while ended < len(workers):
        result = results.get()
        if result is None:
            ended += 1
        else:
            yield result
    for worker in workers:
        worker.join()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true", help="every point")
    parser.add_argument("--only", metavar="PATTERN", help="every point whose name matches")
    parser.add_argument("--point", metavar="NAME", action="append", help="this one, and all that was said")
    parser.add_argument("--every", action="store_true", help="also kills that are the same as others")
    parser.add_argument("--list", action="store_true", help="print the points' names")
    parser.add_argument("--verbose", action="store_true", help="print what was said at points that failed")
    parser.add_argument("--counts", metavar="FILE", help="write the counts there, as JSON")
    options = parser.parse_args()
    # Under sanitizers every point would take hours; a sample of them does.
    if os.environ.get("TESTS_LONG") == "1" and "ASAN_OPTIONS" not in os.environ:
        options.long = True

    if platform.machine() not in ("x86_64", "aarch64"):
        print(f"SKIP syscalls: nothing is known of the registers of {platform.machine()}")
        return 0
    if not os.access(INJECT, os.X_OK):
        print(f"FAIL syscalls: there is no {INJECT}; is BUILD_DIR set?")
        return 1
    tried = subprocess.run([INJECT, "--report", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        print(f"SKIP syscalls: nothing can be traced here: {tried.stderr.strip()}")
        return 0
    begin = time.monotonic()
    seed = int(os.environ.get("TESTS_FAULTS_SEED") or random.SystemRandom().randrange(1, 10**6))
    seconds = float(os.environ.get("TESTS_FAULTS_SECONDS", 30))
    points, outlines = all_points()
    if not options.every and not options.point:
        points = [[point for point in own if not point.again] for own in points]
    flat = [(index, point) for index, own in enumerate(points) for point in own]
    if options.point or options.only:
        flat = [pair for pair in flat
                if pair[1].name in (options.point or []) or fnmatch.fnmatch(pair[1].name, options.only or "")]
        if not flat:
            print(f"FAIL syscalls: there is no point {options.point or options.only}")
            return 1
    if options.list:
        print("\n".join(f"{point.name}  {point.call.what}" for _, point in flat))
        return 0
    whole = options.long or options.point or options.only
    if whole:
        # Waits of one scenario's points lie beside the work of another's.
        random.Random(FIXED_SEED).shuffle(flat)
        limit = begin + seconds if "TESTS_FAULTS_SECONDS" in os.environ else float("inf")
        chosen = itertools.takewhile(lambda _: time.monotonic() < limit, flat)
    else:
        chosen = sample(points, seed, begin + seconds)
        print(f"seed {seed}; again: TESTS_FAULTS_SEED={seed} {sys.argv[0]}", flush=True)

    counts = [collections.Counter() for _ in SCENARIOS]
    jobs = 1 if options.point else int(os.environ.get("TESTS_FAULTS_JOBS") or (2 * (os.cpu_count() or 1) if whole else 2))
    for index, verdict in carry_out(chosen, outlines, jobs):
        count = counts[index]
        count["points"] += 1
        count[verdict.kind] += 1
        count["not reached"] += not verdict.reached
        count["absorbed"] += verdict.absorbed
        count["mended by the agent"] += not verdict.healed
        if options.verbose:
            print(f"{verdict.seconds:.2f} s {verdict.point}", flush=True)
        if verdict.problems:
            count["failed"] += 1
            print(f"FAIL {verdict.point}: {'; '.join(verdict.problems)}", flush=True)
        if options.point or (options.verbose and verdict.problems):
            print(verdict.said, flush=True)
    for scenario, count in zip(SCENARIOS, counts):
        if count["points"] and not count["failed"]:
            kinds = ", ".join(f"{count[kind]} {kind}" for kind in KINDS if count[kind])
            print(f"PASS {scenario.name}: {count['points']} points ({kinds}); {count['absorbed']} absorbed, "
                  f"{count['mended by the agent']} mended by an agent, {count['not reached']} not reached")
    taken = time.monotonic() - begin
    print(f"{sum(count['points'] for count in counts)} points in {taken:.0f} s")
    if options.counts:
        with open(options.counts, "w", encoding="utf-8") as f:
            by_name = {scenario.name: count for scenario, count in zip(SCENARIOS, counts)}
            json.dump({"seconds": taken, **by_name}, f, indent=1)
    return 1 if any(count["failed"] for count in counts) else 0


if __name__ == "__main__":
    sys.exit(main())
