"""A place where the faulty program plays, and the ordinary one before and after it; and what must be true then."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from alloc import FAULTY, LIBRARY, MEMORY, Point
from place import Place

import host as host_module
import invariants
from case import AGAIN, DONE, FAILED, FAST
from client import GitLab
from host import Agent, Host

# A sanitizer's word must not look like one of ours.
SANITIZERS = {
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=1",
    "LSAN_OPTIONS": "exitcode=99",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=99",
}
SANITIZED = re.compile(r"Sanitizer|runtime error:")

# Whatever is done takes milliseconds, and on a bad day a few requests that time out, with waits of two seconds between.
BOUND = 20.0
# A request of which a library has lost sight is over then.
TIMEOUT = "3s"
# The faulty program's seconds, as it reads them in its configuration, are tenths.
HASTE = 10
# How long an agent is watched at most to which nothing is given any more, looked at so often; it spins if it never
# rested meanwhile, and used so much of it.
LASTING_SPAN, LOOK, SPUN = 3.0, 0.1, 1.0

OTHER = ("# ours and others'\nconcurrent = 4\n\n[[runners]]\n  name = \"other\" # keep\n  url = \"https://other.example.com\"\n"
         "  token = \"foreign-token-of-another\"\n  executor = \"shell\"\n")


# Of a running agent and its runners, whether there is nothing more to wait for.
Well = Callable[[Agent, dict[str, dict[str, Any]]], bool]


class Broken(Exception):
    """What must hold does not."""


class Stage(Place):
    """A host, a GitLab, and the faulty program between them; one scene's after the other."""

    def __init__(self, gitlab: GitLab, program: str = FAULTY):
        super().__init__(gitlab, Host(gitlab))
        self.program = program
        self.faults: dict[str, str] = {}
        self.tolerant = False            # it may die, and need not say of what
        self.crippled = False            # it lives, says what it can't do, and will not be able to
        self.code: int | None = None
        self.output = ""                 # what the faulty program said, both streams
        self.out = ""
        self.runners: list[dict[str, Any]] = []      # GitLab's, once it had played
        self.tokens: set[str] = set()    # that there ever were
        self.outlines: dict[str, set[str | None]] = {}  # of config.toml in a scene without a fault
        self.ended: dict[str, set[str]] = {}         # how scenes were left, and all was well after a clean run
        self.notes: dict[str, str] = {}  # what a scene printed without a fault

    def close(self) -> None:
        self.host.__exit__()
        self.gitlab.stop()

    # --- the ordinary program

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return self.host.command(*words, timeout=BOUND)
        except subprocess.TimeoutExpired as late:
            raise Broken(f"afterwards `{' '.join(words)}` hangs: {(late.stderr or b'')[-400:]!r}") from None

    def must(self, *words: str) -> str:
        done = self.run(*words)
        if done.returncode != DONE:
            raise Broken(f"afterwards `{' '.join(words)}` ends with {done.returncode}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.must("status", "--json"))

    def configure(self, **agent: Any) -> None:
        self.host.configure(agent={**FAST, "verify_interval": "1h", "deregister_on": "never", **agent}, **self.by_access_token())

    def by_access_token(self) -> dict[str, Any]:
        return {"access_token": "owner", "runner_type": "group_type", "group_id": self.gitlab.ids["group"], "timeout": TIMEOUT}

    def enrol(self) -> None:
        self.must("register")

    # --- the faulty one

    def faulty_environment(self) -> dict[str, str]:
        return self.host.environment | SANITIZERS | {"FAULT_HASTE": str(HASTE)} | self.faults

    def play(self, *words: str, **more: str) -> None:
        try:
            done = subprocess.run([self.program, "-c", self.host.config, *words], capture_output=True, text=True,
                                  errors="replace", timeout=BOUND, check=False, env=self.faulty_environment() | more,
                                  stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as late:
            raise Broken(f"hangs: {(late.stderr or b'').decode(errors='replace')[-400:]}") from None
        self.code, self.out, self.output = done.returncode, done.stdout, done.stdout + done.stderr

    def faulty_agent(self) -> Agent:
        ordinary, environment = host_module.PROGRAM, self.host.environment
        host_module.PROGRAM, self.host.environment = self.program, self.faulty_environment()
        try:
            return self.agent()
        finally:
            host_module.PROGRAM, self.host.environment = ordinary, environment

    def agent(self) -> Agent:
        with open(os.path.join(self.host.path, "agent.log"), "w", encoding="utf-8"):
            pass
        return self.host.agent()

    def watch(self, lasting: bool, well: Well, begin: Callable[[Agent], None] | None = None) -> None:
        """Runs the faulty agent until all is WELL, or it gave up, or (LASTING) until it rests; then stops it."""
        with self.faulty_agent() as agent:
            if begin:
                begin(agent)
            if lasting:
                self.endure(agent)
            else:
                self.wait(agent, well)
            if agent.process.poll() is None:
                agent.send(signal.SIGTERM)
            try:
                self.code = agent.wait_end(BOUND)
            except subprocess.TimeoutExpired:
                agent.kill()
                raise Broken(f"does not stop: {agent.output()[-400:]}") from None
            self.output = agent.output()

    @staticmethod
    def endure(agent: Agent) -> None:
        """Until the agent ended, or did next to nothing for a while, all that it can try again over and over."""
        rested, before = 0, busy_seconds(agent.process.pid)
        for _ in range(int(LASTING_SPAN / LOOK)):
            if select.select([agent.pidfd], [], [], LOOK)[0]:
                return
            now = busy_seconds(agent.process.pid)
            rested = rested + 1 if sum(now) - sum(before) < LOOK / 2 else 0
            before = now
            if rested >= 4:
                return
        if before[0] > SPUN:
            agent.kill()
            raise Broken(f"spins: {before[0]:.1f} s of CPU in {LASTING_SPAN} s: {agent.output()[-400:]}")

    def wait(self, agent: Agent, well: Well) -> None:
        """Until the agent ended, or it is well."""
        until = time.monotonic() + (BOUND if self.tolerant else host_module.PATIENCE)
        while not well(agent, self.runners_of(agent)):
            if agent.process.poll() is not None:
                return
            if time.monotonic() >= until:
                # A library that can't do any more what it was made for is not ours to mend.
                self.crippled = self.tolerant and any(runner["reason"] for runner in self.runners_of(agent).values())
                if self.crippled:
                    return
                raise Broken(f"is not well in time: {agent.runner()}: {agent.output()[-400:]}")
            agent.watch.wait(LOOK, agent.pidfd)

    def runners_of(self, agent: Agent) -> dict[str, dict[str, Any]]:
        """As its status has them; an agent that could not write it does so again in five seconds, and tells at once."""
        try:
            if "Failed to write the status" in agent.output():
                said = self.run("status", "--json").stdout
            else:
                with open(os.path.join(self.host.runtime_dir, "status.json"), encoding="utf-8") as f:
                    said = f.read()
            return {runner["name"]: runner for runner in json.loads(said)["runners"]}
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    # --- what must hold

    def look(self) -> None:
        """Asks GitLab what has become of its runners."""
        self.runners = self.gitlab.runners()
        self.tokens |= {runner["token"] for runner in self.runners}

    def check_end(self, point: Point, codes: tuple[int, ...]) -> None:
        """The program ended by itself, as documented, and said why."""
        assert self.code is not None
        if SANITIZED.search(self.output) or self.code == 99:
            where = self.output.find("ERROR: ")
            raise Broken("sanitizer: " + self.output[max(where, 0):][:3000])
        if self.code < 0:
            raise Broken(f"died by {signal.Signals(-self.code).name}: {self.output[-400:]}")
        if self.code not in codes:
            raise Broken(f"ends with {self.code}: {self.output[-400:]}")
        problems = invariants.silent(self.output, {*self.gitlab.tokens.values(), *self.gitlab.registration_tokens.values(),
                                                   *self.tokens})
        if self.code != DONE and not says(self.output, point):
            problems.append(f"exit {self.code}, but nothing says why: {self.output[-400:]!r}")
        self.raise_any(problems)

    @staticmethod
    def raise_any(problems: list[str]) -> None:
        if problems:
            raise Broken("; ".join(problems))

    def check_toml(self, scene: str) -> None:
        """config.toml is the file from before or the one from after, whole."""
        text = self.toml()
        self.raise_any(invariants.torn(text, text and invariants.outline(text), self.outlines[scene], self.tokens))

    def check_kept(self) -> None:
        """The token of each runner of ours is in a file, or an open intent says that one may be missing."""
        texts = {}
        for folder in self.folders[:2]:
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                    texts[name] = f.read()
        states = {name: text for name, text in texts.items() if name.endswith(".json") and not name.startswith(".")}
        self.raise_any(invariants.state_parses(states))
        open_intent = any(json.loads(text).get("intent") or json.loads(text).get("debts") for text in states.values())
        for runner in self.runners:
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
        problems += invariants.strays(self.names_of_files())
        if not (self.toml() or "").startswith(OTHER):
            problems.append(f"what others wrote is changed: {self.toml()}")
        self.raise_any(problems)

    def recover(self, done: subprocess.CompletedProcess[str]) -> None:
        """A rotation whose answer was lost: that the token is dead takes an agent three looks to believe."""
        def well(runner: dict[str, Any]) -> bool:
            return at_rest(runner) and any(
                known["token"] == entry["token"] for known in self.gitlab.runners() for entry in self.host.entries())

        with self.agent() as agent:
            try:
                agent.wait_status(well)
            except AssertionError as never:
                raise Broken(f"afterwards `register` ends with {done.returncode}: {done.stderr.strip()[-300:]}; and an "
                             f"agent does not recover: {str(never)[-300:]}") from None
            agent.stop()

    def check_gone(self) -> None:
        self.must("deregister")
        self.raise_any(invariants.gone(["build-1"], self.gitlab.runners(), self.toml(), OTHER, self.status()))


def at_rest(runner: dict[str, Any]) -> bool:
    return runner["state"] == "registered" and runner["next_action_at"] is not None


def busy_seconds(pid: int) -> tuple[float, float]:
    """How long a process ran, and how long it wanted to."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
        ran, waited, _ = f.read().split()
    return int(ran) / 1e9, int(waited) / 1e9


def says(output: str, point: Point) -> bool:
    """Whether a person learns what failed."""
    if point.kind in (MEMORY, LIBRARY) or point.error == "ENOMEM":
        return re.search(r"(?i)memory", output) is not None
    return os.strerror(getattr(errno, point.error)) in output or re.search(r"(?i)failed to|can't|could not|cannot", output) is not None
