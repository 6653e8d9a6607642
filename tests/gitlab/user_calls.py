"""Calls that a user's token opens [lib/api/ci/runners.rb, lib/api/user_runners.rb]."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import attributes
import conditions
import errors
import pages
import representations as show
import tokens
from access import MAINTAINER, OWNER, REPORTER, Actor
from model import DAY, Group, Project, Runner, World
from runner_calls import plan_limit, rotate
from wire import Answer, Request, json_answer

Given = dict[str, Any]


# Lists

def version_matches(version: str | None, prefix: str) -> bool:
    """By component, not by text: 1 does not match 16."""
    wanted = [part for part in prefix.split(".") if part]
    return version is not None and version.replace("~", ".").replace("-", ".").split(".")[:len(wanted)] == wanted


def by_scope(world: World, scope: str) -> Callable[[Runner], bool]:
    match scope:
        case "active":
            return lambda runner: runner.active
        case "paused":
            return lambda runner: not runner.active
        case "shared" | "instance_type":
            return lambda runner: runner.runner_type == "instance_type"
        case "specific":
            # Project and group runners, whatever the name says.
            return lambda runner: runner.runner_type != "instance_type"
        case "group_type" | "project_type":
            return lambda runner: runner.runner_type == scope
        case "online":
            return lambda runner: show.is_online(world, runner)
        case "offline":
            # Includes stale ones and excludes those never heard of.
            return lambda runner: runner.contacted_at is not None and not show.is_online(world, runner)
        case "never_contacted":
            return lambda runner: runner.contacted_at is None
        case "stale":
            return lambda runner: show.is_stale(world, runner)
    raise errors.message(400, "Scope contains invalid value")


# GET /runners lists one's own runners and honours only these of the words that validation lets through.
OWN_SCOPES = ("active", "paused", "online", "offline", "never_contacted", "stale")


def filtered(world: World, rows: Iterable[Runner], given: Given, scopes: tuple[str, ...] | None = None) -> list[Runner]:
    tests: list[Callable[[Runner], bool]] = []
    if (scope := given.get("scope")) is not None:
        if scopes is not None and scope not in scopes:
            raise errors.message(400, "Scope contains invalid value")
        tests.append(by_scope(world, scope))
    if (kind := given.get("type")) is not None:
        tests.append(lambda runner: runner.runner_type == kind)
    if (status := given.get("status")) is not None:
        tests.append(by_scope(world, status))
    if (paused := given.get("paused")) is not None:
        tests.append(lambda runner: runner.active is not paused)
    if wanted := set(given.get("tag_list") or []):
        tests.append(lambda runner: wanted.issubset(runner.tag_list))
    if prefix := given.get("version_prefix"):
        tests.append(lambda runner: any(version_matches(manager.version, prefix) for manager in runner.managers.values()))
    # Runners are kept in the order of their ids, which is the order of every list.
    return [runner for runner in rows if all(test(runner) for test in tests)]


def shown(world: World, request: Request, rows: list[Runner]) -> Answer:
    page, headers = pages.by_number(world, request, rows)
    return json_answer(200, [show.runner(world, runner) for runner in page], headers)


def list_own(world: World, request: Request, given: Given, actor: Actor, **_: Any) -> Answer:
    return shown(world, request, filtered(world, filter(actor.owns, world.runners.values()), given, OWN_SCOPES))


def list_all(world: World, request: Request, given: Given, actor: Actor, **_: Any) -> Answer:
    if not actor.sees_all:
        raise errors.forbidden()
    return shown(world, request, filtered(world, world.runners.values(), given))


def list_project(world: World, request: Request, given: Given, project: Project, **_: Any) -> Answer:
    """Its own, those of the groups above, and the instance's, as far as the project lets them in."""
    groups = {group.id for group in world.group_chain(project.group_id)} if project.group_runners_enabled else set()

    def usable(runner: Runner) -> bool:
        if runner.runner_type == "instance_type":
            return project.shared_runners_enabled
        return project.id in runner.project_ids or runner.group_id in groups

    return shown(world, request, filtered(world, filter(usable, world.runners.values()), given))


def list_group(world: World, request: Request, given: Given, group: Group, **_: Any) -> Answer:
    """Its own, its ancestors' and the instance's; never those of subgroups and projects."""
    groups = {above.id for above in world.group_chain(group.id)}

    def usable(runner: Runner) -> bool:
        return group.shared_runners_enabled if runner.runner_type == "instance_type" else runner.group_id in groups

    return shown(world, request, filtered(world, filter(usable, world.runners.values()), given))


# One runner

def runner_by_id(world: World, key: int | None) -> Runner:
    runner = world.runners.get(key or 0)
    if runner is None:
        raise errors.not_found("Runner") if world.profile.since(18, 6) else errors.message(404, "404 Not found")
    return runner


def readable(actor: Actor, key: int | None) -> Runner:
    runner = runner_by_id(actor.world, key)
    if not actor.reads(runner):
        raise errors.forbidden("No access granted")
    return runner


def updatable(actor: Actor, key: int | None) -> Runner:
    runner = runner_by_id(actor.world, key)
    if not actor.updates(runner):
        raise errors.forbidden("No access granted")
    return runner


def details(world: World, request: Request, given: Given, actor: Actor, **_: Any) -> Answer:
    runner = readable(actor, given["id"])
    return json_answer(200, show.runner_details(actor, runner, given.get("include_projects") is not False))


def update(world: World, request: Request, given: Given, actor: Actor, **_: Any) -> Answer:
    runner = updatable(actor, given["id"])
    changed = copy.copy(runner)
    attributes.apply(changed, given)
    found = attributes.complaints(changed, tags_changed=set(changed.tag_list) != set(runner.tag_list))
    if found:
        raise errors.message(400, found)
    attributes.apply(runner, given)
    runner.updated_at = world.now()
    return json_answer(200, show.runner_details(actor, runner))


def delete(world: World, request: Request, given: Given, actor: Actor, **_: Any) -> Answer:
    runner = runner_by_id(world, given["id"])
    # Before the role, and not for administrators.
    if not actor.admin and len(runner.project_ids) > 1:
        raise errors.forbidden("Runner associated with more than one project")
    if not actor.updates(runner):
        raise errors.forbidden("No access granted")
    conditions.unmodified_since(request, runner.updated_at)
    world.delete_runner(runner)
    return deleted(world, runner)


def deleted(world: World, runner: Runner) -> Answer:
    # API v3 showed what it deleted.
    return Answer(204) if world.profile.since(9) else json_answer(200, show.runner(world, runner))


def jobs(world: World, request: Request, given: Given, actor: Actor, **_: Any) -> Answer:
    runner = runner_by_id(world, given["id"])
    if not actor.reads_jobs(runner):
        raise errors.forbidden("No access granted")
    rows = [job for job in world.jobs.values() if job.runner_id == runner.id
            and (actor.sees_all or actor.role_in_project(world.projects.get(job.project_id)) >= REPORTER)]
    if status := given.get("status"):
        rows = [job for job in rows if job.status == status]
    if system_id := given.get("system_id"):
        rows = [job for job in rows if job.system_id == system_id]
    ordered = given.get("order_by") is not None
    descending = given.get("sort", "desc") != "asc"
    if given.get("pagination") == "keyset":
        page, headers = pages.by_cursor(world, request, rows, descending or not ordered)
    else:
        # Without order_by, sort has no effect and rows ascend [app/finders/ci/runner_jobs_finder.rb].
        rows.sort(key=lambda job: job.id, reverse=ordered and descending)
        page, headers = pages.by_number(world, request, rows, counted=not system_id)
    return json_answer(200, [show.job(world, job) for job in page], headers)


def managers(world: World, request: Request, given: Given, actor: Actor, **_: Any) -> Answer:
    """All of them: neither pages nor filters exist here."""
    runner = readable(actor, given["id"])
    rows = sorted(runner.managers.values(), key=lambda manager: manager.id, reverse=True)
    return json_answer(200, [show.manager(world, manager) for manager in rows])


def projects(world: World, request: Request, given: Given, actor: Actor, **_: Any) -> Answer:
    runner = readable(actor, given["id"])
    page, headers = pages.by_number(world, request, show.projects_of(actor, runner))
    return json_answer(200, [show.project(world, project) for project in page], headers)


def reset_by_id(world: World, request: Request, given: Given, actor: Actor, **_: Any) -> Answer:
    """Found by id, so this also revives a runner whose token has expired."""
    return rotate(world, updatable(actor, given["id"]))


# Assignments

def assign(world: World, request: Request, given: Given, actor: Actor, project: Project, **_: Any) -> Answer:
    runner = runner_by_id(world, given["runner_id"])
    if runner.runner_type == "group_type":
        # Even for administrators.
        raise errors.forbidden("Runner is a group runner")
    if not actor.admin:
        if runner.locked:
            raise errors.forbidden("Runner is locked")
        if not actor.owns(runner):
            raise errors.forbidden("No access granted")
    if runner.runner_type == "instance_type":
        if world.profile.since(16):
            raise errors.message(500, "500 Internal Server Error")
        # Before 16 this silently made a project runner of it.
        runner.runner_type = "project_type"
    problem = None
    if project.id in runner.project_ids:
        problem = "Validation failed: Runner has already been taken"
    elif limited := plan_limit(world, project):
        problem = "Validation failed: " + next(iter(limited.values()))[0]
    elif world.profile.since(18, 6) and not runner.project_ids:
        problem = "Taking over an orphaned project runner is not allowed"
    if problem:
        if world.profile.since(16):
            raise errors.message(400, f"Assign to {problem} - runner_error")
        raise errors.message(400, {"assign_to": [problem]})
    runner.project_ids[project.id] = runner.updated_at = world.now()
    return json_answer(201, show.runner(world, runner))


def unassign(world: World, request: Request, given: Given, actor: Actor, project: Project, **_: Any) -> Answer:
    runner = world.runners.get(given["runner_id"] or 0)
    if runner is None or project.id not in runner.project_ids:
        raise errors.not_found("Runner")
    if world.profile.since(18, 6):
        if runner.owner_project_id == project.id:
            # The first one, even if others remain.
            raise errors.forbidden("You cannot unassign a runner from the owner project. Delete the runner instead")
        if not actor.admin and runner.locked:
            raise errors.forbidden("Runner is locked")
        if not actor.admin and not actor.owns(runner):
            raise errors.forbidden("No access granted")
    elif len(runner.project_ids) == 1:
        raise errors.forbidden("Only one project associated with the runner. Please remove the runner instead")
    conditions.unmodified_since(request, runner.project_ids[project.id])
    del runner.project_ids[project.id]
    return deleted(world, runner)


# Registration tokens

def reset_registration_token(world: World, request: Request, given: Given, actor: Actor,
                             group: Group | None = None, project: Project | None = None, **_: Any) -> Answer:
    """403 when they are disabled, even for administrators; not the 410 of a registration."""
    owner = project or group
    allowed = actor.admin
    if project:
        allowed = allowed or actor.role_in_project(project) >= MAINTAINER
    elif group:
        allowed = allowed or actor.role_in_group(group) >= OWNER
    if world.profile.since(17) and not world.settings.allow_runner_registration_token:
        allowed = False
    if not allowed:
        raise errors.forbidden()
    token = tokens.registration_token("project" if project else "group" if group else "instance", world.profile)
    if owner:
        owner.registration_token = token
    else:
        world.registration_token = token
    return json_answer(201, {"token": token})


# POST /user/runners

def create(world: World, request: Request, given: Given, actor: Actor, **_: Any) -> Answer:
    kind = given["runner_type"]
    owner: Group | Project | None = None
    if kind == "group_type":
        owner = world.groups.get(given.get("group_id") or 0)
    elif kind == "project_type":
        owner = world.projects.get(given.get("project_id") or 0)
    if kind != "instance_type" and owner is None:
        raise bad_request(f"Missing/invalid {kind.partition('_')[0]}")
    # An owner that exists but can't be seen gives 403, so 400 against 403 tells existence.
    if not actor.admin and not may_create(actor, owner):
        raise errors.forbidden("Insufficient permissions")
    times = check_token_times(world, given, world.expiry(kind, given.get("group_id"), given.get("project_id")))
    full = plan_limit(world, owner)
    runner = world.add_runner(kind, created=True, creator_id=actor.user.id,
                              group_id=owner.id if isinstance(owner, Group) else None,
                              project_ids=[owner.id] if isinstance(owner, Project) else [])
    attributes.apply(runner, given)
    # The first token only; rotated ones follow the settings.
    for name, value in times.items():
        setattr(runner, name, value)
    if found := attributes.complaints(runner) | full:
        world.delete_runner(runner)
        raise bad_request(attributes.sentence(found))
    return json_answer(201, show.credentials(world, runner))


def bad_request(text: str) -> errors.ApiError:
    return errors.message(400, f"400 Bad request - {text}")


def may_create(actor: Actor, owner: Group | Project | None) -> bool:
    registrars = actor.world.settings.valid_runner_registrars
    if isinstance(owner, Group):
        return "group" in registrars and actor.role_in_group(owner) >= OWNER
    return isinstance(owner, Project) and "project" in registrars and actor.role_in_project(owner) >= MAINTAINER


def check_token_times(world: World, given: Given, longest: float | None) -> dict[str, float]:
    """[ee/app/services/ee/ci/runners/create_runner_service.rb]"""
    expires, deadline = given.get("token_expires_at"), given.get("token_rotation_deadline")
    now = world.now()
    found: dict[str, float] = {}
    if expires is not None:
        if expires < now + 300:
            raise bad_request("token_expires_at must be at least 5 minutes in the future")
        limit = min(now + 15 * DAY, longest or now + 15 * DAY)
        if expires > limit:
            raise bad_request(f"token_expires_at is too far in the future (maximum is {show.iso(limit)})")
        found["token_expires_at"] = expires
    if deadline is not None:
        if expires is None:
            raise bad_request("token_expires_at is required when token_rotation_deadline is specified")
        if deadline < now:
            raise bad_request("token_rotation_deadline cannot be in the past")
        if deadline > expires:
            raise bad_request("token_rotation_deadline must be less than or equal to token_expires_at")
        found["token_rotation_deadline"] = deadline
    return found


# Small neighbours that clients ask for

def version(world: World, request: Request, given: Given, **_: Any) -> Answer:
    return json_answer(200, {"version": world.profile.text, "revision": "4bbd2cd9f1a",
                             "enterprise": world.profile.text.endswith("-ee")})


def current_user(world: World, request: Request, given: Given, actor: Actor, **_: Any) -> Answer:
    body = show.user(world, actor.user) | {"email": f"{actor.user.username}@example.com", "bot": False}
    if actor.user.admin:
        body["is_admin"] = True
    return json_answer(200, body)


def project_details(world: World, request: Request, given: Given, project: Project, actor: Actor, **_: Any) -> Answer:
    body = show.project(world, project)
    if actor.admin or actor.role_in_project(project) >= MAINTAINER:
        body["runners_token"] = project.registration_token
    return json_answer(200, body)


def group_details(world: World, request: Request, given: Given, group: Group, actor: Actor, **_: Any) -> Answer:
    body = show.group(world, group)
    if actor.admin or actor.role_in_group(group) >= OWNER:
        body["runners_token"] = group.registration_token
    return json_answer(200, body)


