"""Planting users, groups, projects, runners and jobs, thousands at a time if need be."""

from __future__ import annotations

import secrets
from typing import Any

import tokens
from model import ROLES, Group, Job, Manager, Project, Runner, User, UserToken, World, seconds

Json = dict[str, Any]
TIMES = ("expires_at", "token_expires_at", "token_rotation_deadline", "contacted_at", "created_at", "updated_at",
         "started_at", "finished_at")


def plant(world: World, wanted: dict[str, list[Json]]) -> dict[str, list[Json]]:
    """The order is fixed, so that one call can plant a group and what belongs to it."""
    unknown = set(wanted) - set(PLANTERS)
    if unknown:
        raise KeyError(f"can't plant {', '.join(sorted(unknown))}")
    made: dict[str, list[Json]] = {}
    for name, planter in PLANTERS.items():
        for item in wanted.get(name, []):
            options = {key: seconds(value) if key in TIMES else value for key, value in item.items()}
            count = int(options.pop("count", 1))
            for number in range(count):
                made.setdefault(name, []).append(planter(world, dict(options), number))
    world.jobs_changed()
    return made


def plant_user(world: World, options: Json, number: int) -> Json:
    key = next(world.next_id["users"])
    user = User(key, **{"username": f"user-{key}"} | options)
    world.users[key] = user
    return {"id": key, "username": user.username}


def plant_token(world: World, options: Json, number: int) -> Json:
    value = options.pop("value", None) or "glpat-" + tokens.friendly()
    world.user_tokens[value] = UserToken(value, **options)
    return {"value": value}


def plant_group(world: World, options: Json, number: int) -> Json:
    key = next(world.next_id["groups"])
    path = options.pop("path", f"group-{key}") + (f"-{number}" if number else "")
    group = Group(key, path, **{"created_at": world.now()} | options)
    group.registration_token = group.registration_token or tokens.registration_token("group", world.profile)
    world.groups[key] = group
    return {"id": key, "full_path": world.group_path(group), "registration_token": group.registration_token}


def plant_project(world: World, options: Json, number: int) -> Json:
    key = next(world.next_id["projects"])
    path = options.pop("path", f"project-{key}") + (f"-{number}" if number else "")
    project = Project(key, path, **{"created_at": world.now()} | options)
    project.registration_token = project.registration_token or tokens.registration_token("project", world.profile)
    world.projects[key] = project
    return {"id": key, "full_path": world.project_path(project), "registration_token": project.registration_token}


def plant_member(world: World, options: Json, number: int) -> Json:
    place: Group | Project = (world.groups[options["group_id"]] if "group_id" in options
                              else world.projects[options["project_id"]])
    place.members[options["user_id"]] = ROLES[options["role"]]
    return {"user_id": options["user_id"], "role": options["role"]}


def plant_runner(world: World, options: Json, number: int) -> Json:
    managers = options.pop("managers", [])
    kind = options.pop("runner_type", None)
    projects = options.pop("project_ids", None)
    project = options.pop("project_id", None)
    if projects is None:
        projects = [project] if project is not None else []
    group = options.pop("group_id", None)
    if kind is None:
        kind = "project_type" if projects else "group_type" if group is not None else "instance_type"
    if "paused" in options:
        options["active"] = not options.pop("paused")
    if "description" in options and number:
        options["description"] = f"{options['description']} {number + 1}"
    if "tag_list" in options:
        options["tag_list"] = list(options["tag_list"])
    for name in options:
        if name not in Runner.__dataclass_fields__ and name != "token_format":
            raise KeyError(f"a runner has no {name}")
    runner = world.add_runner(kind, group_id=group, project_ids=projects, **options)
    add_managers(world, runner, managers)
    return {"id": runner.id, "token": runner.token, "token_expires_at": runner.token_expires_at}


def add_managers(world: World, runner: Runner, managers: list[Json] | int) -> None:
    """A list of them, or only how many."""
    if isinstance(managers, int):
        managers = [{} for _ in range(managers)]
    for item in managers:
        options = {key: seconds(value) if key in TIMES else value for key, value in item.items()}
        system_id = options.pop("system_id", None) or "s_" + secrets.token_hex(6)
        for name in options:
            if name not in Manager.__dataclass_fields__:
                raise KeyError(f"a manager has no {name}")
        manager = world.add_manager(runner, system_id)
        for name, value in options.items():
            setattr(manager, name, value)


def plant_job(world: World, options: Json, number: int) -> Json:
    key = next(world.next_id["jobs"])
    now = world.now()
    runner = world.runners[options["runner_id"]]
    defaults = {"project_id": runner.owner_project_id or 1, "created_at": now - 60, "started_at": now - 50}
    job = Job(key, **defaults | options)
    if job.finished_at is None and job.status in ("success", "failed", "canceled"):
        job.finished_at = now
    world.jobs[key] = job
    return {"id": key}


PLANTERS = {"users": plant_user, "tokens": plant_token, "groups": plant_group, "projects": plant_project,
            "members": plant_member, "runners": plant_runner, "jobs": plant_job}
