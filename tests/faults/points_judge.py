"""One point: the run under its fault, what is right at once, and what comes of it when all is well again."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import dataclass, field

import invariants
from points import Point
from points_scenarios import TOKEN_OF_OTHERS, Command, Outcome, Scenario, Stage, at_rest

DONE, FAILED, AGAIN, REFUSED, CONFIG = 0, 1, 75, 77, 78

# How a reason reads where it is not in the C library's words.
WORDS = {
    "EROFS": ["read-only"],
    "ENOMEM": ["out of memory"],
    "EAGAIN": ["another"],
}
# Of a call to GitLab for which the loop had no descriptor or memory left: whose it was stands before it.
UNSENT = "the request could not be made"
# Calls that libraries make on their own account: what they could not do is told as what it was for.
FOR_TALK = ("gitlab", "TLS", "/etc/ssl", "/usr/lib/ssl", "/dev/urandom", "/etc/hosts", "/etc/resolv", "/etc/nsswitch",
            "/etc/host.conf", "/etc/gai.conf", "socket")


@dataclass
class Verdict:
    point: str
    kind: str
    problems: list[str] = field(default_factory=list)
    reached: bool = True
    absorbed: bool = False               # the fault struck, and what was asked for was done all the same
    healed: bool = True                  # the next command put all right; else the agent did, in its time
    seconds: float = 0
    said: str = ""


def explains(place: Stage, point: Point, outcome: Outcome) -> bool:
    """Whether a line says why, and of what: the path, or one that leads through it or beside it, or the host."""
    name, what = point.deed.rstrip("+"), place.real_path(outcome.hit.what if outcome.hit else point.call.what)
    reasons = [os.strerror(point.errno or 0).lower(), *WORDS.get(name, [])]
    lines = [line.lower() for line in outcome.said.splitlines()]
    lines = [line for line in lines if any(reason in line for reason in reasons)]
    # Out of memory is told of what was being done, as there may be none to name a path; what is about no file, too.
    if what in ("", "/") or name == "ENOMEM" or point.kind == "lasting":
        return bool(lines)
    places = ["127.0.0.1"]
    for path in what.lower().removesuffix("/.").split(" -> "):
        folder, name = os.path.split(path)
        places += [f"'{path}'", f"{path}/", f"{folder}/", f"{folder}'", f"{name}'"]
    return any(place in line for line in lines for place in places if len(place) > 1)


def of_talk(point: Point) -> bool:
    what = point.call.what
    return what.startswith(FOR_TALK) or not what and point.call.name in ("socket", "epoll_ctl", "getrandom", "poll")


def check_code(place: Stage, point: Point, outcome: Outcome) -> list[str]:
    if outcome.hung:
        return ["it hangs"]
    if point.kind == "killed":
        fine = outcome.number == signal.SIGKILL or (outcome.hit is None and outcome.number == 0)
        return [] if fine else [f"it was to be killed, and ended with code {outcome.code}, signal {outcome.number}"]
    if outcome.number:
        return [f"it dies by {signal.Signals(outcome.number).name}"]
    if re.search(r"Sanitizer|runtime error:", outcome.said):
        return ["a sanitizer stopped it"]
    if outcome.code not in (DONE, FAILED, AGAIN, CONFIG):
        return [f"exit {outcome.code} fits no such fault"]
    if outcome.code == AGAIN and point.call.what.startswith("HOST/") and point.call.name != "connect":
        return [f"exit 75, though GitLab was well, for {point.call.what}"]
    read_for_it = ("HOST/config.ini", "HOST/secrets/build-1-access_token", "TLS/ca.pem", "/etc/machine-id")
    if outcome.code == CONFIG and point.kind != "lasting" and not any(
            place.real_path(path).startswith(place.real_path(point.call.what)) for path in read_for_it):
        return [f"exit 78, though the configuration was well, for {point.call.what}"]
    return []


def check_words(place: Stage, point: Point, outcome: Outcome) -> list[str]:
    """A command that failed says what it tried, on what, and why."""
    if point.kind not in ("error", "lasting") or outcome.code == DONE or outcome.number or outcome.hung:
        return []
    if point.call.what in ("stdout", "stderr", "stdin"):
        return []
    # The number has come to mean another call, which the error may not even fit.
    if outcome.hit and outcome.hit.what != point.call.what:
        return []
    if of_talk(point) or UNSENT in outcome.said or "tls_ca_file" in outcome.said:
        words = ("127.0.0.1", "ca.pem", UNSENT, os.strerror(point.errno or 0))
        return [] if any(word in outcome.said for word in words) else ["it does not say what failed"]
    return [] if explains(place, point, outcome) else ["it does not say what failed, where, and why"]


def check_at_once(place: Stage, outcome: Outcome, outlines: set[str | None], tokens: set[str]) -> list[str]:
    return [*invariants.torn(place.toml(), place.outline(), outlines, tokens | {TOKEN_OF_OTHERS}),
            *invariants.state_parses(place.states()), *invariants.silent(outcome.said, tokens)]


def mend(place: Stage, scenario: Scenario) -> tuple[list[str], bool, str]:
    """The same again, without a fault; and where that is not enough by itself, an agent until it rests. Once for each way in
    which a scenario can be left."""
    left = f"{scenario.name} {place.left()}"
    if left in place.mended:
        return [], place.mended[left], ""
    problems, healed, said = run_clean(place, scenario)
    problems += invariants.strays(place.names_of_files())
    if not problems:
        place.mended[left] = healed
    return problems, healed, said


def run_clean(place: Stage, scenario: Scenario) -> tuple[list[str], bool, str]:
    done = place.clean(scenario.clean_command)
    said, problems = done.stdout + done.stderr, []
    if done.returncode == DONE:
        problems = look(place, scenario)
        if not problems:
            return [], True, said
    with place.agent() as agent:
        rested = place.settle(agent, lambda a: all(rests(runner) for runner in all_of(place)), 20)
        code = agent.stop()
        said += agent.output()
    if not rested or code != DONE:
        return [*problems, f"an agent does not put it right (exit {code})"], False, said
    if scenario.clean_command == "deregister":
        done = place.clean("deregister")
        said += done.stdout + done.stderr
    return look(place, scenario), False, said


def all_of(place: Stage) -> list[dict]:
    with open(os.path.join(place.host.runtime_dir, "status.json"), encoding="utf-8") as f:
        return json.load(f)["runners"]


def rests(runner: dict) -> bool:
    return at_rest(runner) and all(debt["kind"] == "orphan" for debt in runner["debts"])


def look(place: Stage, scenario: Scenario) -> list[str]:
    left = f"{scenario.name} {place.left()}"
    if left in place.looked:
        return []
    done = place.clean("status", "--json")
    if done.returncode != DONE:
        return [f"status fails: {done.stderr}"]
    problems = scenario.end_of(place, json.loads(done.stdout))
    if not problems:
        place.looked.add(left)
    return problems


def try_point(place: Stage, scenario: Scenario, point: Point, outlines: set[str | None]) -> Verdict:
    verdict = Verdict(point.name, point.kind)
    begin = time.monotonic()
    before = scenario.beginning(place)
    outcome = scenario.run(place, point)
    verdict.reached = outcome.hit is not None
    canaries = {*before.tokens, *place.secrets()}
    verdict.said = outcome.said
    verdict.problems += check_code(place, point, outcome)
    verdict.problems += check_words(place, point, outcome)
    verdict.problems += check_at_once(place, outcome, outlines, canaries)
    done = outcome.code == DONE and not outcome.number and not outcome.hung
    if done and not outcome.settled and point.kind != "lasting":
        verdict.problems.append("the agent goes on, but never comes to rest")
    if done and outcome.settled and isinstance(scenario, Command):
        verdict.problems += [f"done, it says: {problem}" for problem in look(place, scenario)]
    verdict.absorbed = done and outcome.settled and point.kind != "killed"
    problems, verdict.healed, said = mend(place, scenario)
    verdict.problems += [f"after a clean run: {problem}" for problem in problems]
    verdict.said += "--- then\n" + said
    verdict.problems += invariants.silent(said, {*canaries, *place.secrets()})
    verdict.seconds = time.monotonic() - begin
    return verdict
