"""What the program is doing when a fault strikes: each scenario knows its beginning, its run, and what comes of it.

A beginning is made once and kept: the host's files and all of GitLab's rows, put back before every point.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

import invariants
from place import TOP, Beginning, Place
from points import Call, Point, points_of, read_call

from client import GitLab
from host import Agent, Host, Watch

INJECT = os.path.join(os.environ.get("BUILD_DIR") or os.path.join(TOP, "build", "gcc"), "tests", "faults", "inject")

# The loader is done once main() has looked whether descriptors 0 to 2 are there.
AFTER_LOADER = "/dev/null"

# Each run is over within this, whatever befell it; an agent that goes on has put things right by then.
BOUND = 15.0
SETTLED_BY = 10.0
# What lasts can't be put right.
ENDURED = 2.0

SETTINGS = {"verify_interval": "1h", "removed_after": "1s", "retry_min": "1s", "retry_max": "1s", "refused_retry": "1s",
            "stop_timeout": "5s", "deregister_on": "never"}

# Somebody else's part of config.toml, which no fault may touch.
TOKEN_OF_OTHERS = "a-token-of-others"
OTHER = f'''# kept by hand
concurrent = 4

[[runners]]
  name = "other"
  url = "https://other.example.com"
  token = "{TOKEN_OF_OTHERS}"   # theirs
  executor = "shell"
'''


# What a quiet agent waits for: an hour, or the ten minutes in which a lost registration may still come.
QUIET = ("verify (verify_interval", "pay debts (a late registration may still come")


def at_rest(runner: dict[str, Any] | None) -> bool:
    return bool(runner) and runner["state"] == "registered" and (runner["next_action"] or "").startswith(QUIET)


@dataclass
class Outcome:
    """How a run ended."""
    code: int = 0
    number: int = 0                      # the signal that ended it
    said: str = ""
    hung: bool = False
    settled: bool = True                 # what was begun came to its end, or was given up with a word
    hit: Call | None = None              # the call that was spoilt
    calls: list[Call] = field(default_factory=list)


class Stage(Place):
    """A GitLab and a host of a worker's own, and the tracer before the program."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()
        super().__init__(self.stack.enter_context(GitLab(tls=True)), self.stack.enter_context(Host()))
        self.host.gitlab = self.gitlab
        self.report = os.path.join(self.host.path, "report")
        # A search for leaks can't be done under a tracer.
        if "ASAN_OPTIONS" in self.host.environment:
            self.host.environment["ASAN_OPTIONS"] += ":detect_leaks=0"
        self.names = {os.path.dirname(self.gitlab.ca_file or "/nowhere"): "TLS", self.host.path: "HOST"}
        self.looked: set[str] = set()    # the ways to be left in which all was as it must be
        self.mended: dict[str, bool] = {}            # and those that a clean run made well, or an agent (False)

    def close(self) -> None:
        self.stack.close()

    def outline(self) -> str | None:
        """config.toml without what differs from place to place."""
        text = self.toml()
        if text is None:
            return None
        for path, short in {**self.names, self.gitlab.url: "URL"}.items():
            text = text.replace(path, short)
        return invariants.outline(text)

    def states(self) -> dict[str, str]:
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.host.state_dir):
                if name.endswith(".json") and not name.startswith("."):
                    with open(os.path.join(self.host.state_dir, name), encoding="utf-8", errors="replace") as f:
                        found[name] = f.read()
        return found

    def secrets(self) -> set[str]:
        """All tokens that there are now."""
        return {*self.gitlab.tokens.values(), *self.gitlab.registration_tokens.values(),
                *(runner["token"] for runner in self.gitlab.runners())}

    def real_path(self, what: str) -> str:
        for path, short in self.names.items():
            what = what.replace(short, path)
        return what

    # Running

    def read_report(self, outcome: Outcome) -> None:
        with open(self.report, encoding="utf-8", errors="replace") as f:
            for line in f.read().splitlines():
                if line.startswith("end\t"):
                    _, how, number = line.split("\t")
                    if how == "exit":
                        outcome.code = int(number)
                    else:
                        outcome.number = int(number)
                else:
                    outcome.calls.append(read_call(line, self.names))
        outcome.hit = outcome.calls[0] if outcome.calls else None

    def wrapper(self, point: Point | None, *how: str) -> list[str]:
        with open(self.report, "w", encoding="utf-8"):
            pass
        order = ["--point", f"{point.call.label}={point.order}"] if point else []
        return [INJECT, "--report", self.report, *how, *order]

    def command(self, word: str, point: Point | None = None) -> Outcome:
        """A command under a fault, or, without a point, listed."""
        outcome = Outcome()
        self.host.wrapper = self.wrapper(point, "--from", AFTER_LOADER)
        try:
            done = self.host.command(word, timeout=BOUND)
            outcome.said, outcome.code = done.stdout + done.stderr, done.returncode
        except subprocess.TimeoutExpired as error:
            outcome.hung = True
            outcome.said = ((error.stdout or b"") + (error.stderr or b"")).decode("utf-8", "replace")
        finally:
            self.host.wrapper = []
        self.read_report(outcome)
        return outcome

    def clean(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.host.command(*words, timeout=BOUND)

    def agent(self) -> Agent:
        with open(os.path.join(self.host.path, "agent.log"), "w", encoding="utf-8"):
            pass
        return self.host.agent()

    def settle(self, agent: Agent, condition: Any, seconds: float) -> bool:
        """Until the condition holds of the agent's runners; False: it ended, or time did."""
        until = time.monotonic() + seconds
        log = Watch(self.host.path, 0x2)
        try:
            while time.monotonic() < until:
                with contextlib.suppress(FileNotFoundError, ValueError):
                    if condition(agent):
                        return True
                if agent.process.poll() is not None:
                    return False
                agent.watch.wait(until - time.monotonic(), agent.pidfd, log.fd)
                with contextlib.suppress(BlockingIOError):
                    os.read(log.fd, 65536)
            return False
        finally:
            log.close()


class Scenario:
    name = ""
    runners = ["build-1"]
    clean_command = "register"

    def begin(self, place: Stage) -> None:
        """Makes the beginning."""

    def run(self, place: Stage, point: Point | None = None) -> Outcome:
        raise NotImplementedError

    def end_of(self, place: Stage, status: dict[str, Any]) -> list[str]:
        """Whether all is as it must be once this has come to its end."""
        return invariants.enrolled(self.runners, place.gitlab.runners(), place.toml() or "", status)

    # Shared

    def configure(self, place: Stage, **agent: str) -> None:
        place.host.configure(agent={**SETTINGS, **agent}, access_token="owner", runner_type="group_type",
                             group_id=place.gitlab.ids["group"], timeout="3s")

    def beginning(self, place: Stage) -> Beginning:
        if self.name not in place.beginnings:
            place.wipe()
            place.gitlab.reset()
            with open(place.host.config_toml, "w", encoding="utf-8") as f:
                f.write(OTHER)
            os.chmod(place.host.config_toml, 0o600)
            self.configure(place)
            self.begin(place)
            place.beginnings[self.name] = place.keep()
        place.put_back(place.beginnings[self.name])
        return place.beginnings[self.name]

    def points(self, place: Stage) -> tuple[list[Point], set[str | None]]:
        """All points, and the outlines that config.toml has on the way."""
        self.beginning(place)
        before = place.outline()
        outcome = self.run(place)
        if outcome.hung or outcome.code or outcome.number or not outcome.settled:
            raise AssertionError(f"{self.name} fails without a fault: {outcome.code} {outcome.number} {outcome.said}")
        return points_of(self.name, outcome.calls), {before, place.outline()}

    @staticmethod
    def must(done: Any, code: int = 0) -> None:
        if done.returncode != code:
            raise AssertionError(f"{done.args}: {done.returncode} {done.stdout}{done.stderr}")


class Command(Scenario):
    """A command by itself."""
    word = ""

    def run(self, place: Stage, point: Point | None = None) -> Outcome:
        return place.command(self.word, point)


class Register(Command):
    name = word = "register"


class Rotate(Command):
    name = word = clean_command = "rotate"

    def begin(self, place: Stage) -> None:
        self.must(place.clean("register"))


class Deregister(Command):
    name = word = clean_command = "deregister"

    def begin(self, place: Stage) -> None:
        self.must(place.clean("register"))

    def end_of(self, place: Stage, status: dict[str, Any]) -> list[str]:
        return invariants.gone(self.runners, place.gitlab.runners(), place.toml(), OTHER, status)


class Running(Scenario):
    """An agent that is stopped in the end."""
    counted_from_signal = 0

    def settled(self, place: Stage, agent: Agent) -> bool:
        found = [agent.runner(name) for name in self.runners]
        return all(at_rest(runner) and all(debt["kind"] == "orphan" for debt in runner["debts"]) for runner in found)

    def first(self, place: Stage) -> None:
        """What happens between the agent's start and its signal."""

    def run(self, place: Stage, point: Point | None = None) -> Outcome:
        outcome, unsettled = Outcome(), ""
        how = ["--on-signal"] if self.counted_from_signal else ["--from", AFTER_LOADER]
        place.host.wrapper = place.wrapper(point, *how)
        with place.agent() as agent:
            place.host.wrapper = []
            if self.counted_from_signal:
                names = self.runners[:1]
                if not place.settle(agent, lambda a: all(at_rest(a.runner(name)) for name in names), SETTLED_BY):
                    raise AssertionError(f"{self.name} does not begin: {agent.output()}")
                self.first(place)
                agent.send(self.counted_from_signal)
            if self.counted_from_signal != signal.SIGTERM:
                seconds = ENDURED if point and point.kind == "lasting" else SETTLED_BY
                outcome.settled = place.settle(agent, lambda a: self.settled(place, a), seconds)
                if not outcome.settled:
                    unsettled = f"--- not at rest: {[agent.runner(name) for name in self.runners]}\n"
                with contextlib.suppress(ProcessLookupError):
                    agent.send(signal.SIGTERM)
            try:
                agent.process.wait(BOUND)
            except subprocess.TimeoutExpired:
                outcome.hung = True
            outcome.said = agent.output() + unsettled
        place.read_report(outcome)
        return outcome


class StartAfterLostCreate(Running):
    """Killed while GitLab made the runner: the answer is lost, the runner is there."""
    name = "start-create"

    def begin(self, place: Stage) -> None:
        place.gitlab.fault(operation="create", kind="act_then_hang")
        with place.agent() as agent:
            place.gitlab.wait_faults()
            place.gitlab.wait_runners(1)
            agent.kill()
        place.gitlab.drop_connections()


class StartAfterAnsweredReset(Running):
    """Killed once the new token was journalled, before it was anywhere else."""
    name = "start-reset"

    def begin(self, place: Stage) -> None:
        self.must(place.clean("register"))
        before = place.keep()
        calls = place.command("rotate").calls
        journal = [call for call in calls if call.what == "HOST/state/build-1.journal"]
        written = [call for call in journal if call.name in ("pwrite64", "fsync")]
        place.put_back(before)
        outcome = place.command("rotate", Point(self.name, written[-1], "killed", "killed"))
        if outcome.number != signal.SIGKILL:
            raise AssertionError(f"{self.name}: {outcome}")


class StartWithDebt(Running):
    """Withdrawn while GitLab was down: it still has the runner."""
    name = "start-debt"

    def begin(self, place: Stage) -> None:
        self.must(place.clean("register"))
        place.gitlab.down()
        self.must(place.clean("deregister"), 75)
        place.gitlab.up()


class Reload(Running):
    """A second runner in the configuration, by the other flow."""
    name = "reload"
    runners = ["build-1", "build-2"]
    counted_from_signal = signal.SIGHUP

    def begin(self, place: Stage) -> None:
        self.must(place.clean("register"))

    def first(self, place: Stage) -> None:
        place.host.configure(name="build-2", append=True, registration_token="group", timeout="3s")

    def settled(self, place: Stage, agent: Agent) -> bool:
        if "keeping the old" in agent.output():
            return at_rest(agent.runner("build-1"))
        return all(at_rest(agent.runner(name)) for name in self.runners)


class Stop(Running):
    name = "stop"
    clean_command = "deregister"
    counted_from_signal = signal.SIGTERM

    def configure(self, place: Stage, **agent: str) -> None:
        super().configure(place, deregister_on="stop")

    def begin(self, place: Stage) -> None:
        self.must(place.clean("register"))

    def end_of(self, place: Stage, status: dict[str, Any]) -> list[str]:
        return invariants.gone(self.runners, place.gitlab.runners(), place.toml(), OTHER, status)


SCENARIOS: list[Scenario] = [Register(), Rotate(), Deregister(), Reload(), StartAfterLostCreate(),
                             StartAfterAnsweredReset(), StartWithDebt(), Stop()]
