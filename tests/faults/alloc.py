"""What a user does, done by a program one of whose calls fails: scenes, and what must be true after each.

A scene is set up by the ordinary program, played by the faulty one, and ended by the ordinary one. A point is a scene, a
kind of call, which of them fails, and how.
"""

from __future__ import annotations

import collections
import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

sys.dont_write_bytecode = True
TOP = os.environ.get("SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))

import host as host_module  # noqa: E402
import invariants  # noqa: E402
import points  # noqa: E402
from case import AGAIN, CONFIG, DONE, FAILED, FAST  # noqa: E402
from host import PROGRAM, Agent, Host  # noqa: E402

from client import GitLab  # noqa: E402

BUILD = os.environ.get("BUILD_DIR") or os.path.join(TOP, "build", "gcc")
FAULTY = os.path.join(BUILD, "tests", "faults", "agent-faulty")
LONG = os.environ.get("TESTS_LONG") == "1"
SEED = int(os.environ.get("TESTS_SEED", "1"))

# A sanitizer's word must not look like one of ours.
SANITIZERS = {
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=1",
    "LSAN_OPTIONS": "exitcode=99",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=99",
}
SANITIZED = re.compile(r"Sanitizer|runtime error:")

# Whatever is done takes milliseconds, and the longest wait that the configuration allows is two seconds.
BOUND = 10.0
# How long an agent is watched to which nothing is given any more: long enough to see it spin or die.
LASTING_SPAN = 2.0
STILL_WELL = 1.0                         # CPU seconds in all, sanitizers' start included

OTHER = ("# ours and others'\nconcurrent = 4\n\n[[runners]]\n  name = \"other\" # keep\n  url = \"https://other.example.com\"\n"
         "  token = \"foreign-token-of-another\"\n  executor = \"shell\"\n")

MEMORY, FILES, LIBRARY = "memory", "files", "library"
KINDS = (MEMORY, FILES, LIBRARY)


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
    scene, kind, call, at, error, lasting = re.fullmatch(r"([^/]+)/(\w+)/([\w.-]+)#(\d+)=(\w+?)(\+?)", name).groups()
    return Point(scene, kind, int(at), call, error, bool(lasting))


class Broken(Exception):
    """What must hold does not."""


class Stage:
    """A host, a GitLab, and the faulty program between them; lent to one scene after the other."""

    def __init__(self, gitlab: GitLab, environment: dict[str, str], program: str = FAULTY):
        self.gitlab = gitlab
        self.program = program
        self.faults = environment
        self.host: Host
        self.code: int | None = None
        self.output = ""                 # what the faulty program said, both streams
        self.out = ""
        self.old_toml: str | None = None
        self.tokens: set[str] = set()
        self.kept: Any = None            # a scene's own

    # --- the ordinary program

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.host.command(*words, timeout=BOUND)

    def must(self, *words: str) -> str:
        done = self.run(*words)
        if done.returncode != DONE:
            raise Broken(f"afterwards `{' '.join(words)}` ends with {done.returncode}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.must("status", "--json"))

    def toml(self) -> str | None:
        try:
            return self.host.toml_text()
        except FileNotFoundError:
            return None

    def configure(self, **agent: Any) -> None:
        self.host.configure(agent={**FAST, "deregister_on": "never", **agent}, **self.by_access_token())

    def by_access_token(self) -> dict[str, Any]:
        return {"access_token": "owner", "runner_type": "group_type", "group_id": self.gitlab.ids["group"]}

    def enrol(self) -> None:
        self.must("register")

    # --- the faulty one

    def faulty_environment(self) -> dict[str, str]:
        return self.host.environment | SANITIZERS | self.faults

    def play(self, *words: str, plain: bool = False, **more: str) -> None:
        command = [self.program, *words] if plain else [self.program, "-c", self.host.config, *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=BOUND, check=False,
                                  env=self.faulty_environment() | more, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as late:
            raise Broken(f"hangs: {(late.stderr or b'').decode(errors='replace')[-400:]}") from None
        self.code, self.out, self.output = done.returncode, done.stdout, done.stdout + done.stderr

    def faulty_agent(self) -> Agent:
        ordinary, environment = host_module.PROGRAM, self.host.environment
        host_module.PROGRAM, self.host.environment = self.program, self.faulty_environment()
        try:
            return self.host.agent()
        finally:
            host_module.PROGRAM, self.host.environment = ordinary, environment

    def watch(self, lasting: bool, well: Callable[[Agent], bool], begin: Callable[[Agent], None] | None = None) -> None:
        """Runs the faulty agent until all is WELL, or it gave up, or (LASTING) for a while; then stops it."""
        with self.faulty_agent() as agent:
            if begin:
                begin(agent)
            try:
                if lasting:
                    agent.process.wait(LASTING_SPAN)
                else:
                    self.wait(agent, well)
            except subprocess.TimeoutExpired:
                spent = cpu_seconds(agent.process.pid)
                if spent > STILL_WELL:
                    agent.kill()
                    raise Broken(f"spins: {spent:.1f} s of CPU in {LASTING_SPAN} s: {agent.output()[-400:]}") from None
            if agent.process.poll() is None:
                agent.send(signal.SIGTERM)
            try:
                self.code = agent.process.wait(BOUND)
            except subprocess.TimeoutExpired:
                agent.kill()
                raise Broken(f"does not stop: {agent.output()[-400:]}") from None
            self.output = agent.output()

    @staticmethod
    def wait(agent: Agent, well: Callable[[Agent], bool]) -> None:
        """Until the agent ended, or its status says that all is well."""
        try:
            agent.wait_status(lambda _: well(agent))
        except AssertionError as never:
            if agent.process.poll() is None:
                raise Broken(f"is not well after {host_module.PATIENCE} s: {agent.runner()}: "
                             f"{agent.output()[-400:]}") from never

    # --- what must hold

    def check_end(self, point: Point, codes: tuple[int, ...], read_only: bool = False) -> None:
        """The program ended by itself, as documented, and said why."""
        assert self.code is not None
        if SANITIZED.search(self.output) or self.code == 99:
            where = self.output.find("ERROR: ")
            raise Broken("sanitizer: " + self.output[max(where, 0):][:3000])
        if self.code < 0:
            raise Broken(f"died by {signal.Signals(-self.code).name}: {self.output[-400:]}")
        if self.code not in codes:
            raise Broken(f"ends with {self.code}: {self.output[-400:]}")
        secrets = {*self.gitlab.tokens.values(), *self.gitlab.registration_tokens.values(), *self.tokens,
                   *(runner["token"] for runner in self.gitlab.runners())}
        problems = invariants.silent(self.output, secrets)
        if self.code != DONE and not says(self.output, point):
            problems.append(f"exit {self.code}, but nothing says why: {self.output[-400:]!r}")
        if problems:
            raise Broken("; ".join(problems))

    def note_tokens(self) -> None:
        self.tokens |= {runner["token"] for runner in self.gitlab.runners()}
        self.tokens |= {entry["token"] for entry in self.host.entries()}

    def check_toml(self, new: str | None) -> None:
        """config.toml is the OLD or the NEW file, whole."""
        self.tokens |= {runner["token"] for runner in self.gitlab.runners()}
        outlines = {text if text is None else invariants.outline(text) for text in (self.old_toml, new)}
        text = self.toml()
        problems = invariants.torn(text, text and invariants.outline(text), outlines, self.tokens)
        if problems:
            raise Broken("; ".join(problems))

    def check_kept(self) -> None:
        """The token of each runner of ours is in a file, or an open intent says that one may be missing."""
        texts = {}
        for folder in (self.host.state_dir, os.path.dirname(self.host.config_toml)):
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                    texts[name] = f.read()
        problems = invariants.state_parses({name: text for name, text in texts.items()
                                            if name.endswith(".json") and not name.startswith(".")})
        if problems:
            raise Broken("; ".join(problems))
        open_intent = any(json.loads(text).get("intent") or json.loads(text).get("debts")
                          for name, text in texts.items() if name.endswith(".json") and not name.startswith("."))
        for runner in self.gitlab.runners():
            if not open_intent and not any(runner["token"] in text for text in texts.values()):
                raise Broken(f"the token of runner {runner['id']} is in no file, and nothing is noted")

    def check_enrolled(self, names: tuple[str, ...] = ("build-1",)) -> None:
        """The ordinary program makes it good: each once, whatever is left over known."""
        for _ in range(4):
            done = self.run("register")
            if done.returncode not in (FAILED, AGAIN):
                break
        if done.returncode != DONE:
            self.recover(done)
        self.must("verify")
        problems = invariants.enrolled(list(names), self.gitlab.runners(), self.toml() or "", self.status())
        problems += invariants.strays(os.listdir(self.host.state_dir))
        problems += invariants.strays(os.listdir(os.path.dirname(self.host.config_toml)))
        if not (self.toml() or "").startswith(OTHER):
            problems.append(f"what others wrote is changed: {self.toml()}")
        if problems:
            raise Broken("; ".join(problems))

    def recover(self, done: subprocess.CompletedProcess[str]) -> None:
        """A rotation whose answer was lost: that the token is dead takes an agent three looks to believe."""
        def well(runner: dict[str, Any]) -> bool:
            return host_module.quiet(runner) and runner["last_verdict"] == "alive" \
                and any(known["token"] == entry["token"] for known in self.gitlab.runners() for entry in self.host.entries())

        with self.host.agent() as agent:
            try:
                agent.wait_status(well)
            except AssertionError as never:
                raise Broken(f"afterwards `register` ends with {done.returncode}: {done.stderr.strip()[-300:]}; and an "
                             f"agent does not recover: {str(never)[-300:]}") from None
            agent.stop()

    def check_gone(self) -> None:
        self.must("deregister")
        problems = invariants.gone(["build-1"], self.gitlab.runners(), self.toml(), OTHER, self.status())
        if problems:
            raise Broken("; ".join(problems))


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def says(output: str, point: Point) -> bool:
    """Whether a person learns what failed."""
    if point.kind in (MEMORY, LIBRARY):
        return re.search(r"(?i)memory", output) is not None
    return os.strerror(getattr(errno, point.error)) in output or re.search(r"(?i)failed to|can't|could not|cannot", output) is not None


# --- scenes: set up, play, check. `well` tells a lasting fault's scene nothing: it is watched and then stopped.


class Scene:
    codes = (DONE, FAILED, AGAIN, CONFIG)

    def set_up(self, stage: Stage) -> None:
        stage.configure()

    def play(self, stage: Stage, lasting: bool) -> None:
        raise NotImplementedError

    def check(self, stage: Stage, point: Point) -> None:
        raise NotImplementedError


class Register(Scene):
    def play(self, stage: Stage, lasting: bool) -> None:
        stage.play("register")

    def check(self, stage: Stage, point: Point) -> None:
        if stage.code == DONE and not stage.host.entries():
            raise Broken("exit 0, but it is not enrolled")
        stage.check_toml(ENTRY_ADDED)
        stage.check_kept()
        stage.check_enrolled()


class RegisterOldWay(Register):
    def set_up(self, stage: Stage) -> None:
        stage.host.configure(agent=FAST, registration_token="instance")


class Rotate(Scene):
    def set_up(self, stage: Stage) -> None:
        stage.configure()
        stage.enrol()
        stage.kept = stage.host.entry()["token"]

    def play(self, stage: Stage, lasting: bool) -> None:
        stage.play("rotate")

    def check(self, stage: Stage, point: Point) -> None:
        if stage.code == DONE and stage.host.entry()["token"] == stage.kept:
            raise Broken("exit 0, but the token is the old one")
        stage.check_toml(None)
        stage.check_kept()
        stage.check_enrolled()


class Deregister(Rotate):
    def play(self, stage: Stage, lasting: bool) -> None:
        stage.play("deregister")

    def check(self, stage: Stage, point: Point) -> None:
        if stage.code == DONE and stage.gitlab.runners():
            raise Broken("exit 0, but the runner is still there")
        stage.check_toml(OTHER)
        stage.check_gone()


class Reload(Rotate):
    """One runner more, and another attribute of the agent's."""
    names = ("build-1", "build-2")

    def play(self, stage: Stage, lasting: bool) -> None:
        def begin(agent: Agent) -> None:
            agent.wait_quiet()
            stage.configure(retry_max="1s")
            stage.host.configure(name="build-2", append=True, **stage.by_access_token())
            agent.send(signal.SIGHUP)

        def well(agent: Agent) -> bool:
            second = agent.runner("build-2")
            return "keeping the old" in agent.output() or second is not None and host_module.quiet(second)

        stage.faults["FAULT_FROM"] = "reload"
        stage.watch(lasting, well, begin)

    def check(self, stage: Stage, point: Point) -> None:
        # A file that can't be read is one.
        if point.kind != FILES and "mistake" in stage.output:
            raise Broken(f"a fault is taken for a mistake of the configuration: {stage.output[-400:]}")
        stage.check_kept()
        stage.check_enrolled(self.names)


class Start(Scene):
    """After a crash that left a new token nowhere but in the journal, and one runner's config.toml with a dead one."""

    def set_up(self, stage: Stage) -> None:
        stage.configure()
        stage.enrol()
        crash_with_journal(stage)
        stage.kept = stage.gitlab.runners()[0]["token"]

    def play(self, stage: Stage, lasting: bool) -> None:
        def well(agent: Agent) -> bool:
            runner = agent.runner()
            return runner is not None and host_module.quiet(runner) and stage.host.entry()["token"] == stage.kept

        stage.watch(lasting, well)

    def check(self, stage: Stage, point: Point) -> None:
        stage.check_toml(None)
        stage.check_kept()
        stage.check_enrolled()
        runner = stage.gitlab.runners()[0]
        if runner["id"] != 1 or runner["token"] != stage.kept:
            raise Broken("the token in the journal was lost")


class Reading(Rotate):
    """A command that changes nothing, and says the whole truth or fails."""
    words: tuple[str, ...] = ()

    def set_up(self, stage: Stage) -> None:
        super().set_up(stage)
        stage.kept = (stage.toml(), files_of(stage.host.state_dir))

    def play(self, stage: Stage, lasting: bool) -> None:
        stage.play(*self.words)

    def truth(self, stage: Stage) -> str:
        return self.shown(stage.must(*self.words))

    def shown(self, text: str) -> str:
        return text

    def check(self, stage: Stage, point: Point) -> None:
        if (stage.toml(), files_of(stage.host.state_dir)) != stage.kept:
            raise Broken("a file was changed")
        if stage.code == DONE and self.shown(stage.out) != self.truth(stage):
            raise Broken(f"exit 0, but it says {stage.out!r}")


class Status(Reading):
    words = ("status",)

    def shown(self, text: str) -> str:
        return re.sub(r"\b\d+(ms|s|min|h|d)\b.*", "…", text)


class StatusJson(Reading):
    words = ("status", "--json")

    def shown(self, text: str) -> str:
        return re.sub(r'"(next_action_at|reason)":\s*("[^"]*"|null)', "", text)


class Check(Reading):
    words = ("check",)


class List(Reading):
    words = ("runners", "list", "--all", "-o", "json")

    def play(self, stage: Stage, lasting: bool) -> None:
        stage.host.environment["GITLAB_TOKEN"] = stage.gitlab.tokens["root"]
        super().play(stage, lasting)


class Create(Scene):
    def play(self, stage: Stage, lasting: bool) -> None:
        stage.kept = os.path.join(stage.host.secrets, "new")
        stage.host.environment["GITLAB_TOKEN"] = stage.gitlab.tokens["owner"]
        stage.play("runners", "create", "--runner-type", "group_type", "--group-id", str(stage.gitlab.ids["group"]),
                   "--token-to", stage.kept)

    def check(self, stage: Stage, point: Point) -> None:
        runners, text = stage.gitlab.runners(), ""
        if os.path.exists(stage.kept):
            with open(stage.kept, encoding="utf-8") as f:
                text = f.read()
        if stage.code == DONE and (len(runners) != 1 or text.strip() != runners[0]["token"]):
            raise Broken("exit 0, but the token is not in the file")
        if runners and runners[0]["token"] not in text and "all the same" not in stage.output:
            raise Broken(f"a runner was made, its token is lost, and nobody is told: {stage.output!r}")
        if text and text.strip() not in {runner["token"] for runner in runners}:
            raise Broken(f"the file holds {text!r}")


SCENES: dict[str, Scene] = {
    "register": Register(),
    "register-old-way": RegisterOldWay(),
    "rotate": Rotate(),
    "deregister": Deregister(),
    "reload": Reload(),
    "start": Start(),
    "status": Status(),
    "status-json": StatusJson(),
    "check": Check(),
    "runners-list": List(),
    "runners-create": Create(),
}

ENTRY_ADDED: str | None = None           # config.toml after a register that went well


def files_of(folder: str) -> dict[str, bytes]:
    found = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as f:
            found[name] = f.read() if name != "lock" else b""
    return found


def crash_with_journal(stage: Stage) -> None:
    """Rotates until the answer is journalled, and dies there: the third file that gets its name is the record."""
    played, stage.program = stage.program, FAULTY
    stage.play("rotate", FAULT_KIND=FILES, FAULT_CALL="renameat", FAULT_AT="3", FAULT_ERRNO="0")
    stage.program = played
    if stage.code != -signal.SIGKILL:
        raise Broken(f"the crash did not come: {stage.output}")
    stage.tokens |= {runner["token"] for runner in stage.gitlab.runners()}


@dataclass(frozen=True)
class Traced:
    at: int                              # among the calls of its name
    call: str
    place: str


def read_trace(path: str) -> list[Traced]:
    found, seen = [], collections.Counter()
    with open(path, encoding="utf-8") as f:
        for line in f:
            _, call, place = line.split()
            seen[call] += 1
            found.append(Traced(seen[call], call, place))
    return found


def play(gitlab: GitLab, point: Point, environment: dict[str, str] | None = None, program: str = FAULTY,
         check: bool = True, tolerant: bool = False) -> Stage:
    """One point, on a fresh host and a fresh GitLab; raises Broken. TOLERANT: it may die, and need not say of what."""
    global ENTRY_ADDED
    scene = SCENES[point.scene]
    gitlab.reset()
    stage = Stage(gitlab, {}, program)
    with Host(gitlab) as stage.host:
        stage.host.write_toml(OTHER)
        if ENTRY_ADDED is None:
            stage.configure()
            stage.must("register")
            ENTRY_ADDED = stage.host.toml_text()
            gitlab.reset()
            stage.host.write_toml(OTHER)
            shutil.rmtree(stage.host.state_dir)
        scene.set_up(stage)
        stage.old_toml = stage.toml()
        stage.note_tokens()
        stage.faults = point.environment() if environment is None else environment
        scene.play(stage, point.lasting)
        if check:
            stage.faults = {}
            if not tolerant:
                stage.check_end(point, scene.codes)
            scene.check(stage, point)
    return stage


def calls_of(gitlab: GitLab, scene: str, kind: str) -> list[Traced]:
    """What the scene calls when nothing fails."""
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "trace")
        play(gitlab, Point(scene, kind, 0, "", "ENOMEM"), {"FAULT_KIND": kind, "FAULT_TRACE": trace}, check=False)
        return read_trace(trace) if os.path.exists(trace) else []


# The kernel's name of what the C library calls otherwise.
KERNEL = {"fstat64": "newfstatat", "fstatat64": "newfstatat", "lstat64": "newfstatat", "open64": "openat", "openat64": "openat",
          "fallocate64": "fallocate", "ftruncate64": "ftruncate", "futimens": "utimensat", "readdir64": "getdents64",
          "recv": "recvfrom", "send": "sendto", "faccessat": "access", "posix_spawn": "clone", "readlink": "readlinkat",
          "fcntl64": "dup", "getcwd": "access"}


def errors_of(kind: str, call: str) -> list[str]:
    return points.ERRNOS.get(KERNEL.get(call, call), ["EIO"]) if kind == FILES else ["ENOMEM"]


def points_of(gitlab: GitLab, scene: str, kind: str) -> list[Point]:
    found = []
    for call in calls_of(gitlab, scene, kind):
        errors = errors_of(kind, call.call)
        found += [Point(scene, kind, call.at, call.call, error, lasting, call.place)
                  for error, lasting in [(error, False) for error in errors] + [(errors[0], True)]]
    return found


def sample(chosen: list[Point], n: int) -> list[Point]:
    """N points, of as many places in the program."""
    if LONG:
        return chosen
    lots = random.Random(f"{SEED} {chosen[0].scene} {chosen[0].kind}")
    lots.shuffle(chosen)
    first: dict[str, Point] = {}
    for point in chosen:
        first.setdefault(point.place, point)
    return list(first.values())[:n]
