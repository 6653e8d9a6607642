"""What a user does, done by a program one of whose calls fails: a beginning, the play, and what must be true after it."""

from __future__ import annotations

import os
import re
import signal
import tempfile
from typing import Any

from alloc import FAULTY, FILES, Point, Traced, read_trace
from alloc_stage import OTHER, TIMEOUT, Broken, Stage, at_rest

from case import AGAIN, CONFIG, DONE, FAILED, FAST
from host import Agent
from invariants import outline


class Scene:
    name = ""
    codes = (DONE, FAILED, AGAIN, CONFIG)

    def set_up(self, stage: Stage) -> None:
        stage.configure()

    def play(self, stage: Stage, lasting: bool) -> None:
        """LASTING: nothing can become well; an agent is watched and then stopped."""
        raise NotImplementedError

    def check(self, stage: Stage, point: Point) -> None:
        """What must be true at once."""
        stage.check_toml(self.name)
        stage.check_kept()

    def mend(self, stage: Stage) -> None:
        """A clean run of the ordinary program, and what must be true after it."""


class Register(Scene):
    name = "register"

    def play(self, stage: Stage, lasting: bool) -> None:
        stage.play("register")

    def check(self, stage: Stage, point: Point) -> None:
        if stage.code == DONE and not any(entry["name"] == "build-1" for entry in stage.host.entries()):
            raise Broken("exit 0, but it is not enrolled")
        super().check(stage, point)

    def mend(self, stage: Stage) -> None:
        stage.check_enrolled()


class RegisterOldWay(Register):
    name = "register-old-way"

    def set_up(self, stage: Stage) -> None:
        stage.host.configure(agent=FAST, registration_token="instance", timeout=TIMEOUT)


class Enrolled(Scene):
    """Begins with a runner."""

    def set_up(self, stage: Stage) -> None:
        stage.configure()
        stage.enrol()


class Rotate(Enrolled):
    name = "rotate"

    def play(self, stage: Stage, lasting: bool) -> None:
        stage.play("rotate")

    def check(self, stage: Stage, point: Point) -> None:
        if stage.code == DONE and stage.host.entry()["token"] in stage.beginnings[self.name].tokens:
            raise Broken("exit 0, but the token is the old one")
        super().check(stage, point)

    def mend(self, stage: Stage) -> None:
        stage.check_enrolled()


class Deregister(Enrolled):
    name = "deregister"

    def play(self, stage: Stage, lasting: bool) -> None:
        stage.play("deregister")

    def check(self, stage: Stage, point: Point) -> None:
        if stage.code == DONE and stage.runners:
            raise Broken("exit 0, but the runner is still there")
        stage.check_toml(self.name)

    def mend(self, stage: Stage) -> None:
        stage.check_gone()


class Reload(Enrolled):
    """One runner more, and another attribute of the agent's."""
    name = "reload"

    def play(self, stage: Stage, lasting: bool) -> None:
        def begin(agent: Agent) -> None:
            agent.wait_quiet()
            stage.configure(retry_max="1s")
            stage.host.configure(name="build-2", append=True, **stage.by_access_token())
            agent.send(signal.SIGHUP)

        def well(agent: Agent, runners: dict[str, dict[str, Any]]) -> bool:
            return "keeping the old" in agent.output() or "build-2" in runners and at_rest(runners["build-2"])

        stage.faults["FAULT_FROM"] = "reload"
        stage.watch(lasting, well, begin)

    def check(self, stage: Stage, point: Point) -> None:
        # A file that can't be read is one.
        if point.kind != FILES and "mistake" in stage.output:
            raise Broken(f"a fault is taken for a mistake of the configuration: {stage.output[-400:]}")
        super().check(stage, point)

    def mend(self, stage: Stage) -> None:
        stage.check_enrolled(("build-1", "build-2"))


class Start(Scene):
    """After a crash that left a new token nowhere but in the journal, and one runner's config.toml with a dead one."""
    name = "start"

    def set_up(self, stage: Stage) -> None:
        stage.configure()
        stage.enrol()
        crash_with_journal(stage)

    def play(self, stage: Stage, lasting: bool) -> None:
        def well(_: Agent, runners: dict[str, dict[str, Any]]) -> bool:
            return "build-1" in runners and at_rest(runners["build-1"]) \
                and stage.host.entry()["token"] == self.journalled(stage)

        stage.watch(lasting, well)

    def mend(self, stage: Stage) -> None:
        stage.check_enrolled()
        runner = stage.gitlab.runners()[0]
        if runner["id"] != 1 or runner["token"] != self.journalled(stage):
            raise Broken("the token in the journal was lost")

    def journalled(self, stage: Stage) -> str:
        return stage.beginnings[self.name].world["runners"][0]["token"]


class Reading(Enrolled):
    """A command that changes nothing, and says the whole truth or fails."""
    words: tuple[str, ...] = ()

    def play(self, stage: Stage, lasting: bool) -> None:
        stage.play(*self.words)

    def shown(self, text: str) -> str:
        return text

    def check(self, stage: Stage, point: Point) -> None:
        if stage.files() != stage.beginnings[self.name].files:
            raise Broken("a file was changed")
        if stage.code == DONE and self.shown(stage.out) != self.shown(stage.notes[self.name]):
            raise Broken(f"exit 0, but it says {stage.out!r}")

    def mend(self, stage: Stage) -> None:
        """Nothing was changed."""


class Status(Reading):
    name = "status"
    words = ("status",)

    def shown(self, text: str) -> str:
        return re.sub(r"\b\d+(ms|s|min|h|d)\b.*", "…", text)


class StatusJson(Reading):
    name = "status-json"
    words = ("status", "--json")

    def shown(self, text: str) -> str:
        return re.sub(r'"(next_action_at|reason)":\s*("[^"]*"|null)', "", text)


class Check(Reading):
    name = "check"
    words = ("check",)


class List(Reading):
    name = "runners-list"
    words = ("runners", "list", "--all", "-o", "json")

    def play(self, stage: Stage, lasting: bool) -> None:
        stage.play(*self.words, GITLAB_TOKEN=stage.gitlab.tokens["root"])


class Create(Scene):
    name = "runners-create"

    def play(self, stage: Stage, lasting: bool) -> None:
        stage.play("runners", "create", "--runner-type", "group_type", "--group-id", str(stage.gitlab.ids["group"]),
                   "--token-to", self.file(stage), GITLAB_TOKEN=stage.gitlab.tokens["owner"])

    @staticmethod
    def file(stage: Stage) -> str:
        return os.path.join(stage.host.secrets, "new")

    def check(self, stage: Stage, point: Point) -> None:
        runners, file, text = stage.runners, self.file(stage), ""
        # Where the name could not be given, it says where the token is.
        said = re.search(r"; the token is in '([^']+)'", stage.output)
        if said and not os.path.exists(file):
            file = said[1]
        if os.path.exists(file):
            with open(file, encoding="utf-8") as f:
                text = f.read()
        if stage.code == DONE and (len(runners) != 1 or text.strip() != runners[0]["token"]):
            raise Broken("exit 0, but the token is not in the file")
        if runners and runners[0]["token"] not in text and "all the same" not in stage.output:
            raise Broken(f"a runner was made, its token is lost, and nobody is told: {stage.output!r}")
        if text and text.strip() not in {runner["token"] for runner in runners}:
            raise Broken(f"the file holds {text!r}")


SCENES: dict[str, Scene] = {scene.name: scene for scene in (
    Register(), RegisterOldWay(), Rotate(), Deregister(), Reload(), Start(), Status(), StatusJson(), Check(), List(), Create())}


def crash_with_journal(stage: Stage) -> None:
    """Rotates until the answer is journalled, and dies there: the third file that gets its name is the record."""
    played, stage.program = stage.program, FAULTY
    stage.play("rotate", FAULT_KIND=FILES, FAULT_CALL="renameat", FAULT_AT="3", FAULT_ERRNO="0")
    stage.program = played
    if stage.code != -signal.SIGKILL:
        raise Broken(f"the crash did not come: {stage.output}")


def begin(stage: Stage, scene: Scene) -> None:
    """Puts back the scene's beginning; the first time it is made, and the scene played once without a fault."""
    if scene.name not in stage.beginnings:
        stage.wipe()
        stage.gitlab.reset()
        stage.host.write_toml(OTHER)
        stage.faults = {}
        scene.set_up(stage)
        stage.beginnings[scene.name] = stage.keep()
        before = stage.toml()
        scene.play(stage, False)
        if stage.code != DONE:
            raise Broken(f"{scene.name} fails without a fault: {stage.code} {stage.output[-400:]}")
        stage.notes[scene.name] = stage.out
        stage.outlines[scene.name] = {text if text is None else outline(text) for text in (before, stage.toml())}
    stage.put_back(stage.beginnings[scene.name])
    stage.tokens = {*stage.beginnings[scene.name].tokens}


def play(stage: Stage, point: Point, faults: dict[str, str] | None = None) -> bool:
    """One point from its scene's beginning; raises Broken. Says whether the clean run was made: of each way in which a scene
    can be left it is, once."""
    scene = SCENES[point.scene]
    begin(stage, scene)
    stage.faults = point.environment() if faults is None else faults
    stage.crippled = False
    scene.play(stage, point.lasting)
    stage.look()
    if not stage.tolerant:
        stage.check_end(point, scene.codes)
    scene.check(stage, point)
    left, ended = stage.left(), stage.ended.setdefault(scene.name, set())
    if left in ended:
        return False
    scene.mend(stage)
    ended.add(left)
    return True


def calls_of(stage: Stage, name: str, kind: str) -> list[Traced]:
    """What the scene calls when nothing fails."""
    begin(stage, SCENES[name])
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "trace")
        stage.faults = {"FAULT_KIND": kind, "FAULT_TRACE": trace}
        SCENES[name].play(stage, False)
        return read_trace(trace) if os.path.exists(trace) else []
