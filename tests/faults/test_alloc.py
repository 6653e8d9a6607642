#!/usr/bin/python3
"""Each allocation and each call for a file or socket that our own code makes, failing in turn. See README.md.

    test_alloc.py [SCENE…] [KIND…]                  all points, or a sample of them
    test_alloc.py SCENE/KIND/CALL#N=ERRNO[+]…       these points
"""
# tests: sanitized
# tests: timeout=3600

import collections
import multiprocessing
import os
import subprocess
import sys
import time

import alloc
from client import GitLab

# They wait more than they work.
WORKERS = 4
SAMPLE = {alloc.MEMORY: 8, alloc.FILES: 4, alloc.LIBRARY: 4}
# An agent's points last seconds, as it tries again in its time.
SLOW = {"reload": 2, "start": 2}
gitlab: GitLab


def begin() -> None:
    global gitlab
    gitlab = GitLab().start()


def find(job: tuple[str, str]) -> list[alloc.Point]:
    return alloc.points_of(gitlab, *job)


def attempt(point: alloc.Point) -> tuple[alloc.Point, str, int | None]:
    for _ in range(2):
        try:
            stage = alloc.play(gitlab, point)
            return point, "", stage.code
        except alloc.Broken as broken:
            return point, str(broken), None
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
    return point, why, None


def place_of(point: alloc.Point) -> str:
    """The function of ours whose call failed."""
    if not point.place:
        return ""
    done = subprocess.run(["addr2line", "-f", "-s", "-e", alloc.FAULTY, point.place], capture_output=True, text=True, check=False)
    return f" [{point.call} at {' '.join(done.stdout.split())}]"


def main() -> int:
    words = sys.argv[1:]
    begun, failed = time.monotonic(), 0
    with multiprocessing.Pool(WORKERS, begin) as pool:
        if words and "#" in words[0]:
            chosen = [alloc.parse_point(word) for word in words]
        else:
            scenes = [word for word in words if word in alloc.SCENES] or alloc.SCENES
            kinds = [word for word in words if word in alloc.KINDS] or alloc.KINDS
            jobs = [(scene, kind) for scene in scenes for kind in kinds]
            chosen = []
            for (scene, kind), points in zip(jobs, pool.imap(find, jobs)):
                if points:
                    chosen += alloc.sample(points, SAMPLE[kind] // SLOW.get(scene, 1))
        found, broken = collections.Counter(), []
        codes: dict[tuple[str, str], collections.Counter[int]] = collections.defaultdict(collections.Counter)
        for point, why, code in pool.imap_unordered(attempt, chosen, chunksize=4):
            found[point.scene, point.kind] += 1
            if why:
                broken.append((point, why))
                print(f"FAIL alloc/{point.name}: {' '.join(why.split())}{place_of(point)}; again: tests/faults/test_alloc.py '{point.name}'", flush=True)
            else:
                codes[point.scene, point.kind][code] += 1
        wrong = {(point.scene, point.kind) for point, _ in broken}
        for (scene, kind), n in sorted(found.items()):
            if (scene, kind) not in wrong:
                ends = ", ".join(f"{n} exit {code}" for code, n in sorted(codes[scene, kind].items()))
                print(f"PASS alloc/{scene}/{kind}: {n} points ({ends})")
        failed = len(broken)
    print(f"{sum(found.values())} points, {failed} failed, {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
