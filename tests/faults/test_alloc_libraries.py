#!/usr/bin/python3
"""Each allocation of the libraries below us, failing in turn: they may take us down with them, and no more. See README.md.

    test_alloc_libraries.py [SCENE…]        all points, or a sample of them
    test_alloc_libraries.py SCENE/memory/LIBRARY#N=ENOMEM[+]…
"""
# tests: timeout=7200

import collections
import multiprocessing
import multiprocessing.util
import os
import random
import re
import signal
import sys
import time
import traceback

import alloc
from alloc_scenes import SCENES as ALL_SCENES
from alloc_scenes import begin as begin_scene
from alloc_scenes import play
from alloc_stage import Broken, Stage
from case import DONE
from client import GitLab
from host import PROGRAM

LIBRARY = os.path.join(alloc.BUILD, "tests", "faults", "wrap-library.so")
SCENES = ("register", "rotate", "deregister", "start", "status", "runners-list")
# Most of the time an agent waits until it may try again.
WORKERS = int(os.environ.get("TESTS_FAULTS_JOBS") or (4 if alloc.LONG else 2) * (os.cpu_count() or 1))
SAMPLE = 14
# In the long run: of each library's allocations in one scene at most so many, evenly.
LONG_MAX = 400
stage: Stage


def begin() -> None:
    global stage
    stage = Stage(GitLab(tls=True).start(), PROGRAM)
    stage.tolerant = True
    multiprocessing.util.Finalize(None, stage.close, exitpriority=1)


def environment(trace: str, **more: str) -> dict[str, str]:
    return {"LD_PRELOAD": LIBRARY, "FAULT_TRACE": trace, **more}


def read(path: str) -> list[tuple[int, str, str]]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return [(int(n), function, library) for n, function, library in (line.split() for line in f)]


def scratch() -> str:
    path = os.path.join(os.environ.get("TMPDIR") or "/tmp", f"libraries-{os.getpid()}")
    if os.path.exists(path):
        os.unlink(path)
    return path


def find(scene: str) -> list[alloc.Point]:
    """Each point's call is the library that asks, whatever that may be when it is its turn: threads make no order."""
    trace = scratch()
    begin_scene(stage, ALL_SCENES[scene])
    stage.faults = environment(trace)
    ALL_SCENES[scene].play(stage, False)
    found: dict[str, list[alloc.Point]] = collections.defaultdict(list)
    for n, _, library in read(trace):
        library = library.partition(".so")[0]
        found[library].append(alloc.Point(scene, alloc.MEMORY, n, library, "ENOMEM", len(found[library]) % 7 == 6))
    lots, chosen = random.Random(f"{alloc.SEED} {scene}"), []
    for library, points in sorted(found.items()):
        if alloc.LONG:
            chosen += points[::max(1, len(points) // LONG_MAX)]
        else:
            chosen += lots.sample(points, min(len(points), max(1, SAMPLE // len(found))))
    return chosen


def end_of() -> str:
    if stage.code is None or stage.code < 0:
        return "died by " + signal.Signals(-(stage.code or -9)).name
    if stage.crippled:
        return "was of no more use, and said so"
    if stage.code == DONE:
        return "went on"
    return "said why" if re.search(r"(?i)memory", stage.output) else "failed in other words" if stage.output else "failed silently"


def attempt(point: alloc.Point) -> tuple[alloc.Point, str, str, str]:
    trace = scratch()
    faults = environment(trace, FAULT_AT=str(point.at)) | ({"FAULT_LASTING": "1"} if point.lasting else {})
    try:
        play(stage, point, faults)
    except Broken as broken:
        return point, str(broken), "", ""
    except Exception:
        return point, traceback.format_exc(), "", ""
    struck = read(trace)
    return point, "", struck[0][2].partition(".so")[0] if struck else "", end_of()


def main() -> int:
    words, begun = sys.argv[1:], time.monotonic()
    if "ASAN_OPTIONS" in os.environ:
        print("SKIP alloc-libraries: a sanitizer's allocator stands before any that is preloaded")
        return 0
    with multiprocessing.Pool(WORKERS, begin) as pool:
        if words and "#" in words[0]:
            chosen = [alloc.parse_point(word) for word in words]
        else:
            chosen = [point for points in pool.map(find, [s for s in SCENES if not words or s in words], 1) for point in points]
            random.Random(alloc.SEED).shuffle(chosen)
        seen: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        done, failed = collections.Counter(), collections.Counter()
        for point, why, library, end in pool.imap_unordered(attempt, chosen):
            done[point.scene] += 1
            if why:
                failed[point.scene] += 1
                print(f"FAIL alloc-libraries/{point.name}: {' '.join(why.split())}; again: "
                      f"tests/faults/test_alloc_libraries.py '{point.name}'", flush=True)
            elif library:
                seen[library][end] += 1
        pool.close()
        pool.join()
        for scene, n in sorted(done.items()):
            if not failed[scene]:
                print(f"PASS alloc-libraries/{scene}: {n} points")
    for library, ends in sorted(seen.items()):
        print(f"{library}: " + ", ".join(f"{n} {end}" for end, n in ends.most_common()))
    print(f"{sum(done.values())} points, {sum(failed.values())} failed, {time.monotonic() - begun:.0f} s")
    return 1 if sum(failed.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
