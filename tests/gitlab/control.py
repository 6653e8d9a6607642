"""The control plane: how tests look into the instance, change it behind the API's back, and wait for things."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import seed
from model import Runner, World, seconds
from profiles import PROFILES
from representations import runner_status
from server import CONTROL, Server
from wire import Answer, Request, json_answer, pairs

TIMES = ("token_expires_at", "token_rotation_deadline", "contacted_at", "created_at", "updated_at")
Json = dict[str, Any]


class Control:
    def __init__(self, server: Server, save: Callable[[], None]):
        self.server = server
        self.save = save

    @property
    def world(self) -> World:
        return self.server.world

    def respond(self, request: Request) -> Answer | Awaitable[Answer]:
        words = [unquote(word) for word in request.path.removeprefix(CONTROL).strip("/").split("/")]
        name = f"{request.method.lower()}_{words[0]}"
        call = getattr(self, name, None)
        if call is None:
            return json_answer(404, {"error": f"no control call {request.method} {words[0]}"})
        try:
            body = json.loads(request.body) if request.body.strip() else {}
            result = call(words[1:], dict(pairs(request.query)), body)
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            return json_answer(400, {"error": f"{type(problem).__name__}: {problem}"})
        if isinstance(result, Awaitable):
            return self.awaited(result)
        if request.method != "GET":
            self.server.changed()
        return json_answer(200, result)

    async def awaited(self, result: Awaitable[Answer]) -> Answer:
        try:
            return await result
        except (ValueError, KeyError, TypeError, OSError) as problem:
            return json_answer(400, {"error": f"{type(problem).__name__}: {problem}"})

    # Looking

    def get_state(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        world = self.world
        state: Json = {
            "time": world.now(), "profile": world.profile.name, "version": world.profile.text,
            "settings": dataclasses.asdict(world.settings),
            "counts": {"runners": len(world.runners), "managers": sum(len(r.managers) for r in world.runners.values()),
                       "jobs": len(world.jobs), "requests": self.server.journal.next,
                       "connections": len(self.server.connections)},
        }
        if "brief" in query:
            return state
        if "runner" in query:
            found = world.runners.get(int(query["runner"]))
            return state | {"runners": [self.shown(found)] if found else []}
        return state | {
            "registration_token": world.registration_token,
            "users": [vars(item) for item in world.users.values()],
            "tokens": [vars(item) for item in world.user_tokens.values()],
            "groups": [vars(item) | {"full_path": world.group_path(item)} for item in world.groups.values()],
            "projects": [vars(item) | {"full_path": world.project_path(item)} for item in world.projects.values()],
            "runners": [self.shown(item) for item in world.runners.values()],
            "jobs": [vars(item) for item in world.jobs.values()],
        }

    def shown(self, runner: Runner) -> Json:
        return vars(runner) | {
            "managers": [vars(manager) for manager in runner.managers.values()],
            "project_ids": list(runner.project_ids),
            "paused": not runner.active,
            "status": runner_status(self.world, runner),
            "token_works": self.world.find_runner_by_token(runner.token) is runner,
        }

    def get_log(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        journal = self.server.journal
        return {"next": journal.next, "entries": [entry.shown() for entry in journal.matching(query)]}

    def get_settings(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        return dataclasses.asdict(self.world.settings) | {"profile": self.world.profile.name}

    def get_faults(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        return {"faults": [rule.shown() for rule in self.server.faults.rules]}

    # Changing

    def post_reset(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        world = self.server.make_world()
        if "profile" in body:
            world.profile = PROFILES[body["profile"]]
        self.server.start_over(world)
        return {"profile": world.profile.name}

    def get_world(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        return self.world.dump()

    def post_world(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        world = self.server.make_world()
        world.load(body)
        self.server.start_over(world)
        return {"profile": world.profile.name}

    def post_seed(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        return seed.plant(self.world, body)

    def post_settings(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        settings = self.world.settings
        changes = dict(body)
        profile = changes.pop("profile", None)
        for name in changes:
            if not hasattr(settings, name):
                raise KeyError(f"no setting {name}")
        if profile is not None:
            self.world.profile = PROFILES[str(profile)]
        for name, value in changes.items():
            setattr(settings, name, value)
        return self.get_settings(words, query, body)

    def post_clock(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        world = self.world
        if body.get("reset"):
            world.clock_offset = 0.0
        if "set" in body:
            world.clock_offset += (seconds(body["set"]) or 0) - world.now()
        world.clock_offset += float(body.get("shift", 0))
        return {"time": world.now(), "offset": world.clock_offset}

    def post_runners(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        runner = self.world.runners[int(words[0])]
        changes = dict(body)
        if "token" in changes:
            self.world.set_token(runner, changes.pop("token"))
        if "paused" in changes:
            changes["active"] = not changes.pop("paused")
        if "project_ids" in changes:
            changes["project_ids"] = {int(key): self.world.now() for key in changes["project_ids"]}
        if "managers" in changes:
            runner.managers = {}
            seed.add_managers(self.world, runner, changes.pop("managers"))
        for name, value in changes.items():
            if not hasattr(runner, name):
                raise KeyError(f"a runner has no {name}")
            setattr(runner, name, seconds(value) if name in TIMES else value)
        return self.shown(runner)

    def delete_runners(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        world = self.world
        if not words:
            gone = list(world.runners.values())
            for runner in gone:
                world.delete_runner(runner)
            return {"deleted": len(gone)}
        runner = world.runners[int(words[0])]
        if words[1:] == ["managers"]:
            before = len(runner.managers)
            if "system_id" in query:
                runner.managers.pop(query["system_id"], None)
            else:
                runner.managers.clear()
            return {"deleted": before - len(runner.managers)}
        world.delete_runner(runner)
        return {"deleted": 1}

    def delete_groups(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        """Its runners stay, orphaned."""
        del self.world.groups[int(words[0])]
        return {"deleted": 1}

    def delete_projects(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        """Assignments end with it, so that its runners may be left orphaned."""
        del self.world.projects[int(words[0])]
        for runner in self.world.runners.values():
            runner.project_ids.pop(int(words[0]), None)
        return {"deleted": 1}

    def delete_log(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        self.server.journal.clear()
        return {"next": self.server.journal.next}

    def post_faults(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        return {"ids": self.server.faults.add(body if isinstance(body, list) else [body])}

    def delete_faults(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        faults = self.server.faults
        before = len(faults.rules)
        faults.rules = [rule for rule in faults.rules if words and rule.id != int(words[0])]
        return {"deleted": before - len(faults.rules)}

    async def post_listen(self, words: list[str], query: dict[str, str], body: Any) -> Answer:
        if body["open"]:
            await self.server.open()
        else:
            self.server.shut()
        return json_answer(200, {"open": bool(self.server.listeners)})

    def post_connections(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        count = len(self.server.connections)
        if body.get("close"):
            self.server.close_connections()
        return {"connections": count}

    def post_save(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        self.save()
        return {"saved": True}

    def post_stop(self, words: list[str], query: dict[str, str], body: Any) -> Json:
        self.server.stopping.set()
        return {"stopping": True}

    # Waiting

    async def get_wait(self, words: list[str], query: dict[str, str], body: Any) -> Answer:
        kind = query.get("for", "")
        condition = getattr(self, f"wait_{kind}", None)
        if condition is None:
            return json_answer(400, {"error": f"nothing to wait for: {kind!r}"})
        timeout = float(query.get("timeout", 10))
        found = await self.server.until(lambda: condition(query), timeout)
        if found is None:
            return json_answer(408, {"error": f"not within {timeout:g} s", "next": self.server.journal.next})
        return json_answer(200, found | {"next": self.server.journal.next})

    def wait_requests(self, query: dict[str, str]) -> Json | None:
        rows = self.server.journal.matching(query)
        if not query.get("arrived"):
            rows = [entry for entry in rows if entry.done]
        if len(rows) < int(query.get("count", 1)):
            return None
        return {"entries": [entry.shown() for entry in rows]}

    def wait_runners(self, query: dict[str, str]) -> Json | None:
        count = len(self.world.runners)
        return {"count": count} if count == int(query["count"]) else None

    def wait_managers(self, query: dict[str, str]) -> Json | None:
        chosen = [runner for runner in self.world.runners.values() if query.get("runner") in (None, str(runner.id))]
        count = sum(len(runner.managers) for runner in chosen)
        return {"count": count} if count == int(query["count"]) else None

    def wait_runner(self, query: dict[str, str]) -> Json | None:
        runner = self.world.runners.get(int(query["id"]))
        if query.get("gone"):
            return {"runner": None} if runner is None else None
        if runner is None:
            return None
        shown = self.shown(runner)
        wanted = {key: value for key, value in query.items() if key not in ("for", "id", "timeout", "gone")}
        for key, value in wanted.items():
            actual = shown[key]
            if actual != (value if isinstance(actual, str) else json.loads(value)):
                return None
        return {"runner": shown}

    def wait_faults(self, query: dict[str, str]) -> Json | None:
        return None if self.server.faults.pending() else {"faults": []}

    def wait_connections(self, query: dict[str, str]) -> Json | None:
        count = len(self.server.connections)
        return {"count": count} if count == int(query["count"]) else None
