#!/usr/bin/python3
"""Each allocation and each call for a file or socket that our own code makes, failing in turn. See README.md.

    test_alloc.py [SCENE…] [KIND…]                  all points, or a sample of them
    test_alloc.py SCENE/KIND/CALL#N=ERRNO[+]…       these points
"""
# tests: sanitized
# tests: timeout=3600

import collections
import multiprocessing
import multiprocessing.util
import os
import random
import sys
import time
import traceback

import alloc
from alloc_scenes import SCENES, calls_of, play
from alloc_stage import Broken, Stage
from client import GitLab

# They wait as long as they work.
WORKERS = int(os.environ.get("TESTS_FAULTS_JOBS") or 2 * (os.cpu_count() or 1))
SAMPLE = {alloc.MEMORY: 8, alloc.FILES: 4, alloc.LIBRARY: 4}
# An agent's points last longer, as it tries again in its time.
SLOW = {"reload": 2, "start": 2}
stage: Stage


def begin() -> None:
    global stage
    stage = Stage(GitLab().start())
    multiprocessing.util.Finalize(None, stage.close, exitpriority=1)


def find(job: tuple[str, str]) -> list[alloc.Point]:
    scene, kind = job
    calls = calls_of(stage, scene, kind)
    points = alloc.points_of(scene, kind, calls)
    if not alloc.LONG and points:
        points = alloc.sample(points, SAMPLE[kind] // SLOW.get(scene, 1))
        points += [point for point in alloc.kept(scene, kind, calls) if point not in points]
    return points


def attempt(point: alloc.Point) -> tuple[alloc.Point, str, int | None, bool, float]:
    started, why, mended = time.monotonic(), "", False
    try:
        mended = play(stage, point)
    except Broken as broken:
        why = str(broken)
    except Exception:
        why = traceback.format_exc()
    return point, why, stage.code, mended, time.monotonic() - started


def place_of(point: alloc.Point) -> str:
    """The function of ours whose call failed."""
    return f" [{point.call} at {alloc.functions_at([point.place])[0]}]" if point.place else ""


def choose(pool, words: list[str]) -> list[alloc.Point]:
    if words and "#" in words[0]:
        return [alloc.parse_point(word) for word in words]
    scenes = [word for word in words if word in SCENES] or SCENES
    kinds = [word for word in words if word in alloc.KINDS] or alloc.KINDS
    jobs = [(scene, kind) for scene in scenes for kind in kinds]
    chosen = [point for points in pool.imap(find, jobs) for point in points]
    # One's waits lie beside another's work.
    random.Random(alloc.SEED).shuffle(chosen)
    return chosen


def main() -> int:
    began, broken, mended = time.monotonic(), [], 0
    codes: dict[tuple[str, str], collections.Counter[int]] = collections.defaultdict(collections.Counter)
    spent = collections.Counter()
    with multiprocessing.Pool(WORKERS, begin) as pool:
        for point, why, code, clean, seconds in pool.imap_unordered(attempt, choose(pool, sys.argv[1:])):
            codes[point.scene, point.kind][code] += 1
            spent[point.scene, point.kind] += seconds
            mended += clean
            if why:
                broken.append((point.scene, point.kind))
                print(f"FAIL alloc/{point.name}: {' '.join(why.split())}{place_of(point)}; again: tests/faults/test_alloc.py '{point.name}'", flush=True)
        pool.close()
        pool.join()
    for (scene, kind), ends in sorted(codes.items()):
        if (scene, kind) not in broken:
            said = ", ".join(f"{n} exit {code}" for code, n in sorted(ends.items()))
            print(f"PASS alloc/{scene}/{kind}: {ends.total()} points ({said}), {spent[scene, kind] / ends.total() * 1000:.0f} ms each")
    print(f"{sum(ends.total() for ends in codes.values())} points, {len(broken)} failed, {mended} ways to be left, "
          f"{time.monotonic() - began:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
