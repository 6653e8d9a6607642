"""The calls of our own code that can fail, each in turn: points, and how a scene's are found.

A point is a scene, a kind of call, which of them fails, and how.
"""

from __future__ import annotations

import collections
import errno
import os
import random
import re
import subprocess
from dataclasses import dataclass

import points
from place import TOP

BUILD = os.environ.get("BUILD_DIR") or os.path.join(TOP, "build", "gcc")
FAULTY = os.path.join(BUILD, "tests", "faults", "agent-faulty")
LONG = os.environ.get("TESTS_LONG") == "1"
SEED = int(os.environ.get("TESTS_SEED", "1"))

MEMORY, FILES, LIBRARY = "memory", "files", "library"
KINDS = (MEMORY, FILES, LIBRARY)

# What once found something: scene, kind, call, a function of ours that it is made by or below, error. The first such call.
KEPT = (
    ("rotate", MEMORY, "calloc", "entries_written", "ENOMEM"),           # took its own entry for somebody else's
    ("deregister", MEMORY, "calloc", "lifecycle_owe", "ENOMEM"),         # said that too much was owed
    ("deregister", MEMORY, "realloc", "record_add_leftover", "ENOMEM"),  # its entry stood there for ever
    ("runners-create", MEMORY, "malloc", "on_body", "ENOMEM+"),          # a runner was made, and nobody told
)

# The kernel's name of what the C library calls otherwise.
KERNEL = {"fstat64": "newfstatat", "fstatat64": "newfstatat", "lstat64": "newfstatat", "open64": "openat", "openat64": "openat",
          "fallocate64": "fallocate", "ftruncate64": "ftruncate", "futimens": "utimensat", "readdir64": "getdents64",
          "recv": "recvfrom", "send": "sendto", "faccessat": "access", "posix_spawn": "clone", "readlink": "readlinkat",
          "fcntl64": "dup", "getcwd": "access"}


@dataclass(frozen=True)
class Point:
    scene: str
    kind: str
    at: int
    call: str
    error: str
    lasting: bool = False
    place: str = ""                      # in the program, where the call is made

    @property
    def name(self) -> str:
        return f"{self.scene}/{self.kind}/{self.call}#{self.at}={self.error}{'+' if self.lasting else ''}"

    def environment(self) -> dict[str, str]:
        found = {"FAULT_KIND": self.kind, "FAULT_CALL": self.call, "FAULT_AT": str(self.at),
                 "FAULT_ERRNO": str(getattr(errno, self.error))}
        return found | ({"FAULT_LASTING": "1"} if self.lasting else {})


def parse_point(name: str) -> Point:
    parts = re.fullmatch(r"([^/]+)/(\w+)/([\w.-]+)#(\d+)=(\w+?)(\+?)", name)
    if not parts:
        raise ValueError(f"{name} names no point")
    scene, kind, call, at, error, lasting = parts.groups()
    return Point(scene, kind, int(at), call, error, bool(lasting))


@dataclass(frozen=True)
class Traced:
    at: int                              # among the calls of its name
    call: str
    way: tuple[str, ...]                 # the places in the program that it came from, the innermost first


def read_trace(path: str) -> list[Traced]:
    found, seen = [], collections.Counter()
    with open(path, encoding="utf-8") as f:
        for line in f:
            _, call, *way = line.split()
            seen[call] += 1
            found.append(Traced(seen[call], call, tuple(way)))
    return found


def errors_of(kind: str, call: str) -> list[str]:
    return points.ERRNOS.get(KERNEL.get(call, call), ["EIO"]) if kind == FILES else ["ENOMEM"]


def points_of(scene: str, kind: str, calls: list[Traced]) -> list[Point]:
    found = []
    for call in calls:
        errors = errors_of(kind, call.call)
        found += [Point(scene, kind, call.at, call.call, error, lasting, call.way[0])
                  for error, lasting in [(error, False) for error in errors] + [(errors[0], True)]]
    return found


def functions_at(places: list[str]) -> list[str]:
    """Of places in the program, the functions, and where they lie."""
    done = subprocess.run(["addr2line", "-f", "-s", "-e", FAULTY], input="\n".join(places), capture_output=True, text=True,
                          check=False)
    lines = done.stdout.splitlines()
    return [f"{name} {where}" for name, where in zip(lines[::2], lines[1::2])]


def kept(scene: str, kind: str, calls: list[Traced]) -> list[Point]:
    """The points that are taken in every run."""
    wanted = [one for one in KEPT if one[:2] == (scene, kind)]
    if not wanted:
        return []
    places = sorted({place for call in calls for place in call.way})
    functions = {place: said.split()[0] for place, said in zip(places, functions_at(places))}
    found = []
    for _, _, name, function, error in wanted:
        lasting, error = error.endswith("+"), error.rstrip("+")
        found += [Point(scene, kind, call.at, name, error, lasting, call.way[0]) for call in calls
                  if call.call == name and function in (functions.get(place) for place in call.way)][:1]
    return found


def sample(chosen: list[Point], n: int) -> list[Point]:
    """N points, of as many places in the program."""
    lots = random.Random(f"{SEED} {chosen[0].scene} {chosen[0].kind}")
    lots.shuffle(chosen)
    first: dict[str, Point] = {}
    for point in chosen:
        first.setdefault(point.place, point)
    return list(first.values())[:n]
