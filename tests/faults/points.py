"""Which faults there are at which system call: the points, with names that stay.

A point is `SCENARIO/CALL#N=DEED`: the Nth CALL that the scenario makes after the dynamic loader (`child.CALL#N`: of its
children, until they are another program), and what befalls it:

    EIO      it fails so, and nothing was done; of close() the descriptor is gone all the same, as Linux does it
    EIO+     it fails so, and so does each such call from then on: a disk that stays full
    EINTR    as by a signal
    byte     it transfers one byte of what it was asked to
    half     it transfers half of what it transferred when all was well
    kill     the program is killed before it
    killed   the program is killed after it
"""

from __future__ import annotations

import collections
import errno
import os
import re
from dataclasses import dataclass

KINDS = ("error", "lasting", "interrupted", "short", "killed")

DISK_FULL = ["ENOSPC", "EDQUOT"]

# Of a path's parts, which are looked at again and again, each gets all of its errors this many times.
IN_FULL = 2

# What a system call can fail with on a machine that has a bad day. What is missing can't fail, or fails every day: a
# file that is not there is no fault.
ERRNOS: dict[str, list[str]] = {
    "accept4": ["EMFILE", "ECONNABORTED"],
    "access": ["EACCES", "EIO"],
    "bind": ["EADDRINUSE", "EACCES", "ENOSPC", "EROFS"],
    "brk": ["ENOMEM"],
    "chmod": ["EPERM", "EROFS", "EIO"],
    "clone": ["EAGAIN", "ENOMEM"],
    "clone3": ["EAGAIN", "ENOMEM"],
    "close": ["EIO"],
    "connect": ["ECONNREFUSED", "EACCES", "EAGAIN"],
    "dup": ["EMFILE"],
    "dup2": ["EMFILE"],
    "dup3": ["EMFILE"],
    "epoll_create1": ["EMFILE", "ENOMEM"],
    "epoll_ctl": ["ENOMEM", "ENOSPC"],
    "eventfd2": ["EMFILE"],
    "execve": ["EACCES", "ENOMEM"],
    "fallocate": ["ENOSPC", "EDQUOT", "EIO", "EOPNOTSUPP"],
    "fchmod": ["EPERM", "EROFS", "EIO"],
    "fchmodat": ["EPERM", "EROFS", "EIO"],
    "fchown": ["EPERM", "EROFS", "EIO"],
    "fsync": ["EIO", "ENOSPC", "EDQUOT"],
    "ftruncate": ["EIO", "EPERM"],
    "getdents64": ["EIO", "ENOMEM"],
    "getpeername": ["ENOBUFS", "ENOTCONN"],
    "getrandom": ["ENOSYS"],
    "getsockname": ["ENOBUFS"],
    "getsockopt": ["ENOBUFS"],
    "inotify_add_watch": ["ENOSPC", "ENOMEM", "EACCES"],
    "inotify_init1": ["EMFILE", "ENOMEM"],
    "listen": ["EADDRINUSE"],
    "lstat": ["EIO", "EACCES"],
    "mkdir": ["ENOSPC", "EROFS", "EACCES"],
    "mkdirat": ["ENOSPC", "EROFS", "EACCES"],
    "mmap": ["ENOMEM"],
    "mremap": ["ENOMEM"],
    "newfstatat": ["EIO", "EACCES"],
    "openat": ["EIO", "EMFILE", "EACCES", "ENOMEM"],
    "pidfd_open": ["EMFILE"],
    "pipe2": ["EMFILE"],
    "poll": ["ENOMEM"],
    "prctl": ["EPERM"],
    "pread64": ["EIO", "ESTALE"],
    "pwrite64": ["ENOSPC", "EIO", "EDQUOT"],
    "read": ["EIO", "ESTALE"],
    "readlinkat": ["EIO", "EACCES"],
    "recvfrom": ["ECONNRESET", "ETIMEDOUT", "ENOMEM"],
    "recvmsg": ["ECONNRESET", "ENOMEM"],
    "renameat": ["EIO", "ENOSPC", "EACCES", "EROFS", "EBUSY"],
    "sendmsg": ["ECONNRESET", "EPIPE", "ENOBUFS"],
    "sendto": ["ECONNRESET", "EPIPE", "ENOBUFS"],
    "setpgid": ["EPERM"],
    "setsockopt": ["ENOBUFS"],
    "signalfd4": ["EMFILE", "ENOMEM"],
    "socket": ["EMFILE", "ENOBUFS", "EACCES", "EAFNOSUPPORT"],
    "socketpair": ["EMFILE"],
    "statfs": ["EIO", "EACCES"],
    "statx": ["EIO", "EPERM"],
    "timerfd_create": ["EMFILE", "ENOMEM"],
    "timerfd_settime": ["ENOMEM"],
    "unlink": ["EIO", "EROFS", "EACCES"],
    "unlinkat": ["EIO", "EROFS", "EACCES"],
    "utimensat": ["EPERM", "EROFS", "EIO"],
    "write": ["ENOSPC", "EIO", "EPIPE"],
}
INTERRUPTED = {"accept4", "close", "connect", "dup2", "dup3", "epoll_pwait", "epoll_wait", "fallocate", "fsync",
               "ftruncate", "getrandom", "openat", "poll", "pread64", "pwrite64", "read", "recvfrom", "recvmsg",
               "sendmsg", "sendto", "statfs", "wait4", "waitid", "write"}
TRANSFERS = {"getrandom", "pread64", "pwrite64", "read", "recvfrom", "recvmsg", "sendmsg", "sendto", "write"}
SOCKET_CALLS = {"recvfrom", "recvmsg", "sendmsg", "sendto"}
# What somebody outside can see that it was done: disk, GitLab, systemd.
VISIBLE = {"bind", "chmod", "connect", "fallocate", "fchmod", "fchmodat", "fchown", "fsync", "ftruncate", "listen",
           "mkdir", "mkdirat", "pwrite64", "renameat", "sendmsg", "sendto", "unlink", "unlinkat", "utimensat", "write"}
LASTING = {"fallocate": ["ENOSPC"], "fsync": ["EIO", "ENOSPC"], "mkdirat": ["EROFS"], "pwrite64": ["ENOSPC", "EIO"],
           "renameat": ["EROFS", "EACCES"], "unlinkat": ["EROFS"], "socket": ["EMFILE"], "connect": ["ECONNREFUSED"],
           "openat": ["EMFILE", "EIO"]}

O_CREAT = os.O_CREAT
EPOLL_CTL_ADD = 1
F_DUPFD, F_OFD_SETLK, F_DUPFD_CLOEXEC = 0, 37, 1030
FCNTL_ERRNOS = {F_OFD_SETLK: ["EAGAIN", "ENOLCK"], F_DUPFD: ["EMFILE"], F_DUPFD_CLOEXEC: ["EMFILE"]}


@dataclass(frozen=True)
class Call:
    """One system call of a run in which nothing was spoilt."""
    who: str
    name: str
    n: int
    result: int
    arguments: tuple[int, int, int]
    what: str

    @property
    def label(self) -> str:
        return ("child." if self.who == "child" else "") + f"{self.name}#{self.n}"

    @property
    def creates(self) -> bool:
        return self.name == "openat" and bool(self.arguments[2] & O_CREAT)

    @property
    def visible(self) -> bool:
        return self.name in VISIBLE or self.creates


@dataclass(frozen=True)
class Point:
    scenario: str
    call: Call
    deed: str                            # as in the name
    order: str                           # as inject takes it
    again: bool = False                  # a kill between two calls that nobody outside could see: as the one before it

    @property
    def name(self) -> str:
        return f"{self.scenario}/{self.call.label}={self.deed}"

    @property
    def kind(self) -> str:
        """One of KINDS."""
        if self.deed in ("kill", "killed"):
            return "killed"
        if self.deed in ("byte", "half"):
            return "short"
        return "lasting" if self.deed.endswith("+") else "interrupted" if self.deed == "EINTR" else "error"

    @property
    def errno(self) -> int | None:
        return getattr(errno, self.deed.rstrip("+"), None) if self.deed[0] == "E" else None


def read_call(line: str, names: dict[str, str]) -> Call:
    who, name, n, result, *arguments, what = line.split("\t")
    numbers = tuple(int(argument, 16) for argument in arguments)
    for path, short in names.items():
        what = what.replace(path, short)
    what = re.sub(r"^inet:\d+$", "gitlab", what)
    what = re.sub(r"\.config\.toml\.[0-9a-f]+\.tmp", ".config.toml.TEMP", what)
    if what.startswith(("pipe:", "socket:")) and numbers[0] <= 2:
        what = ("stdin", "stdout", "stderr")[numbers[0]]
    what = re.sub(r"^(pipe|socket):\[\d+\]$", r"\1", what)
    return Call(who, name, int(n), int(result), numbers, what)


def errors_of(call: Call) -> list[str]:
    if call.name == "epoll_ctl" and call.arguments[1] != EPOLL_CTL_ADD:
        return []                        # what is in the set already costs nothing more
    if call.name == "fcntl":
        return FCNTL_ERRNOS.get(call.arguments[1], [])
    if call.name == "connect":
        return ["ECONNREFUSED", *(["ENETUNREACH", "ETIMEDOUT"] if call.what == "gitlab" else ["EACCES", "EAGAIN"])]
    if call.name in ("read", "write") and call.what.startswith(("anon_inode", "pipe", "socket")):
        return ["EAGAIN"]
    names = list(ERRNOS.get(call.name, []))
    if call.creates:
        names += [*DISK_FULL, "EROFS"]
    if call.name in SOCKET_CALLS and call.result > 0:
        names.append("EAGAIN")
    if call.name == "close" and call.what.startswith("HOST/") and call.what.endswith(("TEMP", ".tmp", ".journal")):
        names += DISK_FULL
    return names


def shorts_of(call: Call) -> list[tuple[str, int]]:
    """A counter's or a signal's descriptor gives all or nothing."""
    if call.name not in TRANSFERS or call.result < 2 or call.what.startswith("anon_inode"):
        return []
    return [("byte", 1)] + ([("half", call.result // 2)] if call.result >= 4 else [])


class Choice:
    """Goes through a scenario's calls, and remembers what it has taken of them."""

    def __init__(self, scenario: str):
        self.scenario = scenario
        self.points: list[Point] = []
        self.seen: collections.Counter[tuple] = collections.Counter()
        self.after_visible = True

    def add(self, call: Call, deed: str, order: str, again: bool = False) -> None:
        self.points.append(Point(self.scenario, call, deed, order, again))

    def fail(self, call: Call, name: str, lasting: bool = False) -> None:
        # brk() tells its failures by what it gives, which is an address.
        number = 0 if call.name == "brk" else getattr(errno, name)
        how = "lasting" if lasting else "later" if call.name == "close" else "errno"
        self.add(call, name + ("+" if lasting else ""), f"{how}:{number}")

    def take(self, call: Call) -> None:
        same = (call.who, call.name, call.what, call.result < 0, call.creates)
        self.seen[same] += 1
        times, names = self.seen[same], errors_of(call)
        # What was only read or walked through has nothing to lose by its close(); once is enough to see that.
        if call.name == "close" and times > 1 and len(names) < 2:
            names = []
        elif times > IN_FULL and not call.visible and names:
            names = [names[times % len(names)]]
        for name in names:
            self.fail(call, name)
        if self.is_interrupted(call, times):
            self.fail(call, "EINTR")
        for deed, size in shorts_of(call):
            self.add(call, deed, f"short:{size}")
        # What lasts from a call on begins with the first one about something.
        if call.who == "main" and times == 1 and (call.visible or call.name in ("socket", "openat")):
            for name in LASTING.get(call.name, []):
                self.fail(call, name, lasting=True)
        self.kill(call)

    @staticmethod
    def is_interrupted(call: Call, times: int) -> bool:
        if call.name == "close" and len(errors_of(call)) < 2 or call.name == "openat" and not call.creates:
            return times == 1
        # Connecting to GitLab waits for nothing.
        return call.name in INTERRUPTED and (call.name, call.what) != ("connect", "gitlab")

    def kill(self, call: Call) -> None:
        self.add(call, "kill", "kill", not self.after_visible)
        self.after_visible = call.visible
        if call.visible:
            self.add(call, "killed", "killed")


def points_of(scenario: str, calls: list[Call]) -> list[Point]:
    """All points of a scenario, by its run in which nothing was spoilt."""
    choice = Choice(scenario)
    for call in calls:
        if call.name in ("exit", "exit_group"):
            choice.kill(call)
        else:
            choice.take(call)
    return choice.points
