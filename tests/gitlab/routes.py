"""Every route: method, path, who may call, which parameters, from which release to which."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import attributes as a
import runner_calls as runner
import user_calls as user
from model import RUNNER_TYPES
from params import Param, Rules, boolean, comma_list, integer, moment
from profiles import Profile, Version
from wire import Answer

READ = ("read_api",)
MANAGE = ("manage_runner",)
ACCESS_OF_CREATOR = ("create_runner",)


@dataclass(frozen=True)
class Route:
    operation: str
    method: str
    path: str
    handler: Callable[..., Answer]
    params: tuple[Param, ...] = ()
    rules: Rules = Rules()
    scopes: tuple[str, ...] | None = None    # None: no user; else what opens it besides "api"
    role: str | None = None                  # what the group or project of the path asks for
    since: Version = (9,)
    until: Version | None = None
    limited: bool = False                    # answers 429 during migrations, before anything else
    pattern: re.Pattern[str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        expression = re.sub(r":(\w+)", r"(?P<\1>[^/]+)", self.path)
        object.__setattr__(self, "pattern", re.compile(f"{expression}/?"))


def scopes_of_lists(profile: Profile) -> tuple[str, ...]:
    words = ("specific", "shared", "active", "paused", "online")
    if not profile.since(9):
        return words
    words += ("offline", "instance_type", "group_type", "project_type")
    return words + ("never_contacted", "stale") if profile.since(15) else words


def statuses(profile: Profile) -> tuple[str, ...]:
    words = ("active", "paused", "online", "offline")
    return words + ("never_contacted", "stale") if profile.since(15) else words


JOB_STATUSES = ("created", "waiting_for_resource", "preparing", "waiting_for_callback", "pending", "running", "success",
                "failed", "canceling", "canceled", "skipped", "manual", "scheduled")

ID = Param("id", integer, required=True)
TOKEN = Param("token", required=True)
FILTERS = (
    Param("type", values=RUNNER_TYPES, since=(11,)),
    Param("status", values=statuses, since=(11,)),
    Param("paused", boolean, since=(14, 8)),
    Param("tag_list", comma_list, since=(11,)),
    Param("version_prefix", check=lambda text: re.match(r"[\d.]+", text) is not None, since=(16,)),
)
SCOPE = Param("scope", values=scopes_of_lists, since=(9,))
# API v3 checked the word itself, with the other shape of error.
SCOPE_V3 = Param("scope", until=(9,))
LIST = (SCOPE, SCOPE_V3, *FILTERS)
SENT_ATTRIBUTES = (a.DESCRIPTION, a.ACTIVE, a.PAUSED, a.TAG_LIST, a.RUN_UNTAGGED, a.LOCKED, a.ACCESS_LEVEL,
                   a.MAXIMUM_TIMEOUT, a.MAINTENANCE_NOTE)
EXCLUSIVE = (("active", "paused"),)
RUNNER_ID = Param("runner_id", integer, required=True)

ROUTES = (
    # With a registration token, or the runner's own.
    Route("register", "POST", "/api/v4/runners", runner.register,
          (TOKEN, a.DESCRIPTION, a.MAINTAINER_NOTE, a.MAINTENANCE_NOTE, a.INFO, a.ACTIVE, a.PAUSED, a.LOCKED,
           a.ACCESS_LEVEL, a.RUN_UNTAGGED, a.TAG_LIST, a.MAXIMUM_TIMEOUT),
          Rules(exclusive=(*EXCLUSIVE, ("maintainer_note", "maintenance_note"))), limited=True),
    Route("delete", "DELETE", "/api/v4/runners", runner.delete, (TOKEN,), limited=True),
    Route("delete_manager", "DELETE", "/api/v4/runners/managers", runner.delete_manager,
          (TOKEN, Param("system_id", required=True)), since=(16,), limited=True),
    Route("verify", "POST", "/api/v4/runners/verify", runner.verify, (TOKEN, Param("system_id", since=(16,))),
          limited=True),
    Route("reset", "POST", "/api/v4/runners/reset_authentication_token", runner.reset, (TOKEN,), since=(14,),
          limited=True),
    Route("discovery", "GET", "/api/v4/runners/router/discovery", runner.discovery, since=(18, 6), limited=True),
    Route("request_job", "POST", "/api/v4/jobs/request", runner.request_job, (TOKEN,), limited=True),

    # With a user's token: lists before single runners, since "all" would be an id.
    Route("list", "GET", "/api/v4/runners", user.list_own, LIST, scopes=READ),
    Route("list_all", "GET", "/api/v4/runners/all", user.list_all, LIST, scopes=READ),
    Route("reset_registration_token", "POST", "/api/v4/runners/reset_registration_token",
          user.reset_registration_token, scopes=(), since=(14, 3)),
    Route("show", "GET", "/api/v4/runners/:id", user.details, (ID, Param("include_projects", boolean, since=(18,))),
          scopes=(*READ, *MANAGE)),
    Route("update", "PUT", "/api/v4/runners/:id", user.update, SENT_ATTRIBUTES,
          Rules(exclusive=EXCLUSIVE, at_least_one=True), scopes=MANAGE),
    Route("delete_by_id", "DELETE", "/api/v4/runners/:id", user.delete, (ID,), scopes=MANAGE),
    Route("jobs", "GET", "/api/v4/runners/:id/jobs", user.jobs,
          (ID, Param("system_id", since=(17,)), Param("status", values=JOB_STATUSES), Param("order_by", values=("id",)),
           Param("sort", values=("asc", "desc")), Param("cursor", since=(17,)),
           Param("pagination", values=("legacy", "keyset"), since=(17,))), scopes=(*READ, *MANAGE)),
    Route("managers", "GET", "/api/v4/runners/:id/managers", user.managers, (ID,), scopes=(*READ, *MANAGE), since=(17,)),
    Route("projects", "GET", "/api/v4/runners/:id/projects", user.projects, (ID,), scopes=(*READ, *MANAGE), since=(18,)),
    Route("reset_by_id", "POST", "/api/v4/runners/:id/reset_authentication_token", user.reset_by_id, (ID,),
          scopes=MANAGE, since=(14,)),
    Route("create", "POST", "/api/v4/user/runners", user.create,
          (Param("runner_type", required=True, values=RUNNER_TYPES),
           Param("group_id", integer, when=("runner_type", "group_type")),
           Param("project_id", integer, when=("runner_type", "project_type")),
           a.DESCRIPTION, a.MAINTENANCE_NOTE, a.PAUSED, a.LOCKED, a.ACCESS_LEVEL, a.RUN_UNTAGGED, a.TAG_LIST,
           a.MAXIMUM_TIMEOUT, Param("token_expires_at", moment, since=(18, 10)),
           Param("token_rotation_deadline", moment, since=(18, 10))),
          scopes=ACCESS_OF_CREATOR, since=(16,)),

    # Of a group or project: its lookup and role come before the parameters.
    Route("list_project", "GET", "/api/v4/projects/:project/runners", user.list_project, LIST, scopes=READ,
          role="maintainer or auditor"),
    Route("assign", "POST", "/api/v4/projects/:project/runners", user.assign, (RUNNER_ID,), scopes=(),
          role="maintainer"),
    Route("unassign", "DELETE", "/api/v4/projects/:project/runners/:runner_id", user.unassign, (RUNNER_ID,), scopes=(),
          role="maintainer"),
    Route("reset_registration_token", "POST", "/api/v4/projects/:project/runners/reset_registration_token",
          user.reset_registration_token, scopes=(), since=(14, 3)),
    Route("list_group", "GET", "/api/v4/groups/:group/runners", user.list_group, FILTERS, scopes=READ,
          role="maintainer or auditor"),
    Route("reset_registration_token", "POST", "/api/v4/groups/:group/runners/reset_registration_token",
          user.reset_registration_token, scopes=(), since=(14, 3)),

    # Neighbours.
    Route("version", "GET", "/api/v4/version", user.version, scopes=READ),
    Route("version", "GET", "/api/v4/metadata", user.version, scopes=READ, since=(15, 2)),
    Route("user", "GET", "/api/v4/user", user.current_user, scopes=(*READ, "read_user")),
    Route("project", "GET", "/api/v4/projects/:project", user.project_details, scopes=READ),
    Route("group", "GET", "/api/v4/groups/:group", user.group_details, scopes=READ),

    # API v3 and the CI API of 8.5.
    Route("list", "GET", "/api/v3/runners", user.list_own, LIST, scopes=(), since=(8,), until=(9,)),
    Route("list_all", "GET", "/api/v3/runners/all", user.list_all, LIST, scopes=(), since=(8,), until=(9,)),
    Route("show", "GET", "/api/v3/runners/:id", user.details, (ID,), scopes=(), since=(8,), until=(9,)),
    Route("update", "PUT", "/api/v3/runners/:id", user.update, (a.DESCRIPTION, a.ACTIVE, a.TAG_LIST), scopes=(),
          since=(8,), until=(9,)),
    Route("delete_by_id", "DELETE", "/api/v3/runners/:id", user.delete, (ID,), scopes=(), since=(8,), until=(9,)),
    Route("list_project", "GET", "/api/v3/projects/:project/runners", user.list_project, LIST, scopes=(),
          role="maintainer", since=(8,), until=(9,)),
    Route("assign", "POST", "/api/v3/projects/:project/runners", user.assign, (RUNNER_ID,), scopes=(),
          role="maintainer", since=(8,), until=(9,)),
    Route("unassign", "DELETE", "/api/v3/projects/:project/runners/:runner_id", user.unassign, (RUNNER_ID,), scopes=(),
          role="maintainer", since=(8,), until=(9,)),
    Route("register", "POST", "/ci/api/v1/runners/register", runner.register_ci, (TOKEN, a.DESCRIPTION, a.TAG_LIST, a.INFO),
          since=(8,), until=(9,)),
    Route("delete", "DELETE", "/ci/api/v1/runners/delete", runner.delete, (TOKEN,), since=(8,), until=(9,)),
)


def find(profile: Profile, method: str, path: str) -> tuple[Route | None, dict[str, str], list[str]]:
    """The first route that fits, the parameters in its path, and the methods that the path would take."""
    allowed = []
    for route in ROUTES:
        if profile.between(route.since, route.until) and (match := route.pattern.fullmatch(path)):
            if route.method == method or (method == "HEAD" and route.method == "GET"):
                # A full path travels percent-encoded: acme%2Fweb.
                return route, {key: unquote(value) for key, value in match.groupdict().items()}, []
            allowed.append(route.method)
    return None, {}, allowed


def given_to(route: Route, params: dict[str, Any], in_path: dict[str, str]) -> dict[str, Any]:
    return {**params, **{key: value for key, value in in_path.items() if key not in ("project", "group")}}


