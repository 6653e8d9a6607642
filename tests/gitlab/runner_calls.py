"""Calls that a runner's own token, or a registration token, opens [lib/api/ci/runner.rb]."""

from __future__ import annotations

from typing import Any

import attributes
import conditions
import errors
import representations as show
from model import DAY, Group, Manager, Project, Runner, World
from wire import Answer, Request, json_answer

# A manager's details are kept at most once in 40 to 55 minutes; the stand-in takes the longest
# [app/models/ci/runner_manager.rb].
DETAILS_EVERY = 55 * 60
LEGACY = "<legacy>"


def check_migrations(world: World) -> None:
    """Comes before everything else: even a call without a token gets 429 [lib/api/ci/helpers/runner.rb]."""
    if world.settings.migration_backoff and world.profile.since(16):
        raise errors.migrating()


def runner_of(world: World, token: Any) -> Runner:
    runner = world.find_runner_by_token(token)
    if runner is None:
        # The bare words, without a reason, are what tells a dead token from every other refusal.
        raise errors.forbidden()
    return runner


def touch(world: World, runner: Runner, request: Request, polling: bool = False) -> Manager | None:
    """A runner was heard of: its contact time, and from 16 on the manager that called."""
    given = request.params()
    now = world.now()
    # In 16 and 17 a created runner's contact counted only when it polled for jobs.
    if polling or not (world.profile.since(16) and not world.profile.since(18) and runner.created):
        runner.contacted_at = now
    if not world.profile.since(16):
        info = given.get("info")
        if isinstance(info, dict):
            for key in attributes.INFO_KEYS:
                if info.get(key) is not None:
                    setattr(runner, key, str(info[key]))
        runner.ip_address = request.peer
        return None
    system_id = given.get("system_id")
    if system_id is None:
        # The phantom manager of calls that do not say which machine they come from.
        system_id = LEGACY
    system_id = str(system_id)
    if not 1 <= len(system_id) <= 64:
        # GitLab has no tidy answer to this; a client must not depend on it.
        raise errors.message(500, "500 Internal Server Error")
    manager = runner.managers.get(system_id) or world.add_manager(runner, system_id)
    manager.contacted_at = now
    if manager.details_at is None or now >= manager.details_at + DETAILS_EVERY:
        manager.details_at = manager.updated_at = now
        manager.ip_address = request.peer
        info = given.get("info")
        if isinstance(info, dict):
            for key in (*attributes.INFO_KEYS, "executor"):
                if info.get(key) is not None:
                    setattr(manager, key, str(info[key]))
    return manager


# POST /runners

def registration_scope(world: World, token: str | None) -> tuple[str, Group | Project | None]:
    """Whose registration token this is: it alone decides the runner's type
    [app/services/ci/runners/register_runner_service.rb]."""
    newer = world.profile.since(16)
    refused = errors.forbidden("invalid token supplied" if newer else None)
    if not token:
        raise refused
    # 410 comes before the token is looked at: any non-empty token, valid or not.
    if newer and not world.settings.allow_runner_registration_token:
        raise errors.gone("runner registration disallowed")
    if token == world.registration_token:
        return "instance_type", None
    for kind, owners in (("project", world.projects), ("group", world.groups)):
        owner = next((item for item in owners.values() if item.registration_token == token), None)
        if owner is None:
            continue
        if kind not in world.settings.valid_runner_registrars:
            raise refused
        chain = world.group_chain(owner.group_id if isinstance(owner, Project) else owner.id)
        if newer and not all(item.allow_runner_registration_token for item in (owner, *chain)):
            raise errors.gone("runner registration disallowed")
        return f"{kind}_type", owner
    raise refused


def plan_limit(world: World, owner: Group | Project | None) -> attributes.Complaints:
    """Runners inactive for long do not count."""
    if owner is None:
        return {}
    project = isinstance(owner, Project)
    limit = world.settings.max_project_runners if project else world.settings.max_group_runners
    if limit is None:
        return {}
    recent = world.now() - 90 * DAY
    count = sum(1 for runner in world.runners.values()
                if (owner.id in runner.project_ids if project else runner.group_id == owner.id)
                and max(runner.created_at, runner.contacted_at or 0) > recent)
    if count < limit:
        return {}
    kind, table = ("project", "runner_projects") if project else ("group", "runner_namespaces")
    return {f"{table}.base": [f"Maximum number of ci registered {kind} runners ({limit}) exceeded"]}


def register(world: World, request: Request, given: dict[str, Any], **_: Any) -> Answer:
    runner_type, owner = registration_scope(world, given.get("token"))
    full = plan_limit(world, owner)
    new = build(world, request, given, runner_type, owner)
    if found := attributes.complaints(new) | full:
        world.delete_runner(new)
        raise errors.message(400, found)
    return json_answer(201, show.credentials(world, new))


def build(world: World, request: Request, given: dict[str, Any], runner_type: str,
          owner: Group | Project | None) -> Runner:
    runner = world.add_runner(runner_type, group_id=owner.id if isinstance(owner, Group) else None,
                              project_ids=[owner.id] if isinstance(owner, Project) else [])
    attributes.apply(runner, given)
    attributes.take_info(runner, given.get("info"), world.profile, request.peer)
    return runner


def register_ci(world: World, request: Request, given: dict[str, Any], **_: Any) -> Answer:
    """The CI API of 8.x: the way to register before POST /runners existed [lib/ci/api/runners.rb]."""
    runner_type, owner = registration_scope(world, given.get("token"))
    runner = build(world, request, given, runner_type, owner)
    return json_answer(201, {"id": runner.id, "token": runner.token})


# The others

def verify(world: World, request: Request, given: dict[str, Any], **_: Any) -> Answer:
    runner = runner_of(world, given.get("token"))
    if world.profile.version[0] == 17 and orphaned(world, runner):
        raise errors.message(422, "Runner is orphaned")
    touch(world, runner, request)
    if not world.profile.since(16):
        # The text 200: bare, or as JSON, whichever was asked for.
        if "application/json" in (request.header("accept") or ""):
            return json_answer(200, "200")
        return Answer(200, [("Content-Type", "text/plain")], b"200")
    return json_answer(200, show.credentials(world, runner))


def orphaned(world: World, runner: Runner) -> bool:
    if runner.runner_type == "project_type":
        return not any(key in world.projects for key in runner.project_ids)
    return runner.runner_type == "group_type" and runner.group_id not in world.groups


def rotate(world: World, runner: Runner) -> Answer:
    """A reset, by token or by id [app/services/ci/runners/reset_authentication_token_service.rb and its ee/ twin]."""
    deadline = runner.token_rotation_deadline
    if deadline is not None and world.now() > deadline:
        raise errors.ApiError(403, {"error": "Token rotation deadline has passed"})
    if world.profile.since(18, 6) and orphaned(world, runner):
        needed = "at least one project" if runner.runner_type == "project_type" else "exactly one group"
        raise errors.ApiError(422, {"error": f"Runner needs to be assigned to {needed}"})
    world.rotate(runner)
    return json_answer(201, show.reset_token(runner))


def reset(world: World, request: Request, given: dict[str, Any], **_: Any) -> Answer:
    runner = runner_of(world, given.get("token"))
    touch(world, runner, request)
    return rotate(world, runner)


def delete(world: World, request: Request, given: dict[str, Any], **_: Any) -> Answer:
    """The whole runner with all its machines; no role and no number of projects protects it."""
    runner = runner_of(world, given.get("token"))
    conditions.unmodified_since(request, runner.updated_at)
    world.delete_runner(runner)
    return Answer(204)


def delete_manager(world: World, request: Request, given: dict[str, Any], **_: Any) -> Answer:
    runner = runner_of(world, given.get("token"))
    manager = runner.managers.get(given.get("system_id") or "")
    if manager is None:
        # Literally so.
        raise errors.not_found("Runner manager not found")
    conditions.unmodified_since(request, manager.updated_at)
    del runner.managers[manager.system_id]
    if not runner.managers and not world.profile.since(18):
        runner.contacted_at = None
    return Answer(204)


def discovery(world: World, request: Request, given: dict[str, Any], **_: Any) -> Answer:
    """The only runner call whose token travels in a header."""
    runner_of(world, request.header("runner-token"))
    if not world.settings.job_router_url:
        raise errors.message(501, "Job Router is not available. Please contact your administrator.")
    return json_answer(200, {"server_url": world.settings.job_router_url})


def request_job(world: World, request: Request, given: dict[str, Any], *, limiter: Any = None, **_: Any) -> Answer:
    """There is never a job here, but a poll makes the manager, and makes it again after it was deleted."""
    runner = runner_of(world, given.get("token"))
    limit = world.settings.runner_jobs_request_api_limit
    if limit and world.profile.since(18, 6) and limiter and not limiter.allows(f"jobs {runner.id}", limit, 60, world.now()):
        raise errors.requested_too_often()
    touch(world, runner, request, polling=True)
    runner.creation_finished = True
    return Answer(204, [("X-GitLab-Last-Update", f"{int(runner.updated_at * 1000):x}")])
