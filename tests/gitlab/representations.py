"""The JSON that GitLab shows for each thing [lib/api/entities/ci/, lib/api/entities/]."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from access import Actor
from model import DAY, Group, Job, Manager, Project, Runner, User, World

Json = dict[str, Any]


def iso(moment: float | None) -> str | None:
    """UTC, three decimals, Z."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(moment * 1000) % 1000:03d}Z"


# How a runner is doing [app/models/concerns/ci/has_runner_status.rb, app/models/ci/runner.rb]

def online_for(world: World) -> int:
    return 7200 if world.profile.since(14) else 3600


def stale_after(world: World) -> int:
    return 7 * DAY if world.profile.since(17) else 90 * DAY


def is_online(world: World, thing: Runner | Manager) -> bool:
    return thing.contacted_at is not None and thing.contacted_at > world.now() - online_for(world)


def is_stale(world: World, thing: Runner | Manager) -> bool:
    edge = world.now() - stale_after(world)
    return thing.created_at < edge and (thing.contacted_at is None or thing.contacted_at < edge)


def manager_status(world: World, manager: Manager) -> str:
    if is_stale(world, manager):
        return "stale"
    if manager.contacted_at is None:
        return "never_contacted"
    return "online" if is_online(world, manager) else "offline"


def runner_status(world: World, runner: Runner) -> str:
    if world.profile.since(14, 6) and is_stale(world, runner):
        return "stale"
    if runner.contacted_at is None:
        return "never_contacted" if world.profile.since(15) else "not_connected"
    # A paused runner is "paused" here, though that word is deprecated as a filter.
    if not runner.active:
        return "paused"
    return "online" if is_online(world, runner) else "offline"


def latest_manager(runner: Runner) -> Manager | None:
    return max(runner.managers.values(), key=lambda manager: manager.contacted_at or 0, default=None)


def web_url(world: World, path: str) -> str:
    return f"{world.settings.external_url.rstrip('/')}{world.relative_root}/{path}"


def user(world: World, person: User) -> Json:
    return {"id": person.id, "username": person.username, "public_email": "", "name": person.username.title(),
            "state": "active", "locked": False, "avatar_url": None, "web_url": web_url(world, person.username)}


def runner(world: World, item: Runner) -> Json:
    profile = world.profile
    body: Json = {"id": item.id, "description": item.description, "active": item.active,
                  "is_shared": item.runner_type == "instance_type", "name": item.name}
    if not profile.since(9):
        return body
    if profile.since(14, 8):
        body["paused"] = not item.active
    body["ip_address"] = None if profile.since(18) else "" if profile.since(17) else item.ip_address
    body["runner_type"] = item.runner_type
    body["online"] = None if item.contacted_at is None else is_online(world, item)
    body["status"] = runner_status(world, item)
    if profile.since(18):
        if creator := world.users.get(item.creator_id or 0):
            body["created_by"] = user(world, creator)
        body["created_at"] = iso(item.created_at)
        body["job_execution_status"] = "active" if item.id in world.busy else "idle"
    return body


def runner_details(actor: Actor, item: Runner, include_projects: bool = True) -> Json:
    world = actor.world
    profile = world.profile
    body = runner(world, item)
    # From 16 on the versions are those of the machine seen last, the runner's own are history.
    source: Any = latest_manager(item) if profile.since(16) else None
    source = source or item
    body.update(tag_list=list(item.tag_list), version=source.version, revision=source.revision,
                platform=source.platform, architecture=source.architecture, contacted_at=iso(item.contacted_at))
    if profile.since(9):
        body.update(run_untagged=item.run_untagged, locked=item.locked, maximum_timeout=item.maximum_timeout,
                    access_level=item.access_level)
    if profile.since(15):
        shown = not profile.since(18, 10) or actor.updates(item)
        body["maintenance_note"] = item.maintenance_note if shown else None
    if not profile.since(13):
        body["token"] = item.token if actor.updates(item) else None
    if include_projects:
        body["projects"] = [project(world, entry) for entry in projects_of(actor, item)]
    if profile.since(9):
        owner = world.groups.get(item.group_id or 0)
        body["groups"] = [group(world, owner, brief=True)] if owner and actor.sees_group(owner) else []
    return body


def projects_of(actor: Actor, item: Runner) -> list[Project]:
    found = (actor.world.projects.get(key) for key in item.project_ids)
    return [entry for entry in found if entry and actor.sees_project(entry)]


def manager(world: World, item: Manager) -> Json:
    body = {"id": item.id, "system_id": item.system_id, "version": item.version, "revision": item.revision,
            "platform": item.platform, "architecture": item.architecture, "created_at": iso(item.created_at),
            "contacted_at": iso(item.contacted_at), "ip_address": item.ip_address,
            "status": manager_status(world, item)}
    if world.profile.since(18):
        body["job_execution_status"] = "idle"
    return body


def project(world: World, item: Project) -> Json:
    path = world.project_path(item)
    name = path.replace("/", " / ").title()
    return {"id": item.id, "description": None, "name": item.path.title(), "name_with_namespace": name,
            "path": item.path, "path_with_namespace": path, "created_at": iso(item.created_at),
            "default_branch": "main", "tag_list": [], "topics": [], "web_url": web_url(world, path),
            "visibility": item.visibility, "star_count": 0, "forks_count": 0}


def group(world: World, item: Group, brief: bool = False) -> Json:
    path = world.group_path(item)
    body: Json = {"id": item.id, "web_url": web_url(world, f"groups/{path}"), "name": item.path.title()}
    if not brief:
        body.update(path=item.path, full_path=path, full_name=path.replace("/", " / ").title(),
                    parent_id=item.parent_id, visibility=item.visibility, description="",
                    created_at=iso(item.created_at))
    return body


def job(world: World, item: Job) -> Json:
    duration = round(item.finished_at - item.started_at, 3) if item.finished_at and item.started_at else None
    place = world.projects.get(item.project_id)
    starter = world.users.get(item.user_id)
    path = world.project_path(place) if place else ""
    body: Json = {
        "id": item.id, "status": item.status, "stage": item.stage, "name": item.name, "ref": item.ref, "tag": False,
        "coverage": 98.7 if item.status == "success" else None, "allow_failure": False,
        "created_at": iso(item.created_at), "started_at": iso(item.started_at), "finished_at": iso(item.finished_at),
        "erased_at": None, "duration": duration, "queued_duration": 0.5,
        "user": user(world, starter) if starter else None,
        "commit": {"id": "6104942438c14ec7bd21c6cd5bd995272b3faff6", "short_id": "61049424", "title": "Change it"},
        "pipeline": {"id": item.id, "project_id": item.project_id, "ref": item.ref, "status": item.status,
                     "sha": "6104942438c14ec7bd21c6cd5bd995272b3faff6"},
        "web_url": web_url(world, f"{path}/-/jobs/{item.id}"),
        "project": project(world, place) if place else None,
    }
    if item.status == "failed":
        body["failure_reason"] = "script_failure"
    return body


# Credentials [lib/api/entities/ci/runner_registration_details.rb, lib/api/entities/ci/reset_token_result.rb]

def credentials(world: World, item: Runner) -> Json:
    body: Json = {"id": item.id, "token": item.token}
    if world.profile.since(15):
        body["token_expires_at"] = iso(item.token_expires_at)
    return body


def reset_token(item: Runner) -> Json:
    return {"token": item.token, "token_expires_at": iso(item.token_expires_at)}
