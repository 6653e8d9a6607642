"""The instance's way with a request: throttle, read-only guard, route, checks in GitLab's order, action."""

from __future__ import annotations

import os
from email.utils import formatdate
from typing import Any

import errors
import routes
import runner_calls
from access import MAINTAINER, OWNER, Actor, authenticate
from errors import ApiError
from model import Group, Project, World
from params import validate
from throttle import Counters, Throttle
from wire import Answer, Request, json_answer

WRITES = ("POST", "PUT", "PATCH", "DELETE")
READ_ONLY = "You cannot perform write operations on a read-only instance"
ORGANIZATION = "This organization is currently in read-only mode. Write operations are "


class Instance:
    def __init__(self, world: World):
        self.world = world
        self.throttle = Throttle()
        self.limiter = Counters()

    def answer(self, request: Request) -> Answer:
        refused, extra = self.throttle.check(self.world, request)
        answer = refused or self.guarded(request)
        answer.headers += extra + self.common_headers()
        if request.method == "HEAD":
            answer.body = b""
        return answer

    def common_headers(self) -> list[tuple[str, str]]:
        # The date is the server's: a shifted clock shows here as well.
        return [("Server", "nginx"), ("Date", formatdate(self.world.now(), usegmt=True)),
                ("Cache-Control", "max-age=0, private, must-revalidate"), ("Vary", "Origin"),
                ("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "SAMEORIGIN"),
                ("X-Request-Id", os.urandom(13).hex().upper())]

    def guarded(self, request: Request) -> Answer:
        try:
            if self.leads_away(request):
                return Answer(301, [("Location", self.world.settings.external_url + "/")])
            self.check_read_only(request)
            return self.routed(request)
        except ApiError as refusal:
            if self.wants_plain_text(request):
                text = refusal.body.get("message") or refusal.body.get("error")
                return Answer(refusal.status, [("Content-Type", "text/plain"), *refusal.headers], str(text).encode())
            return json_answer(refusal.status, refusal.body, list(refusal.headers))

    def leads_away(self, request: Request) -> bool:
        """A write that does not call itself JSON is taken for a browser's: it is sent to the last page, with the refusal
        in its session [lib/gitlab/middleware/read_only/controller.rb]."""
        media = (request.header("content-type") or "").split(";")[0].strip().lower()
        return self.world.settings.read_only is True and request.method in WRITES and media != "application/json"

    def check_read_only(self, request: Request) -> None:
        """[lib/gitlab/middleware/read_only/controller.rb]: verify is a write too."""
        mode = self.world.settings.read_only
        if not mode or request.method not in WRITES:
            return
        if mode == "organization":
            raise errors.message(503, ORGANIZATION + "temporarily disabled.", [("Retry-After", "60")])
        raise errors.message(403, ORGANIZATION + "disabled." if mode == "organization_open" else READ_ONLY)

    def wants_plain_text(self, request: Request) -> bool:
        # Only the runner's own calls know text/plain [lib/api/ci/runner.rb].
        if (request.header("accept") or "").split(";")[0].strip() != "text/plain":
            return False
        route, _, _ = routes.find(self.world.profile, request.method, request.path)
        return route is not None and route.scopes is None

    def routed(self, request: Request) -> Answer:
        world = self.world
        route, in_path, allowed = routes.find(world.profile, request.method, request.path)
        if route is None:
            if request.path.startswith("/api/v3/") and world.profile.since(11):
                raise errors.ApiError(410, {"error": "API V3 is no longer supported. Use API V4 instead."})
            raise errors.wrong_method(allowed) if allowed else errors.no_route()
        if route.limited:
            runner_calls.check_migrations(world)
        # A body that can't be parsed is found before anybody is asked who they are.
        given = routes.given_to(route, request.params(), in_path)
        context: dict[str, Any] = {"limiter": self.limiter}
        if route.scopes is not None:
            actor = authenticate(world, request, self.scopes(route, request.method))
            context["actor"] = actor
            if "project" in in_path:
                context["project"] = project = self.project(actor, in_path["project"], request)
                self.check_role(actor, actor.role_in_project(project), route.role)
            elif "group" in in_path:
                context["group"] = group = self.group(actor, in_path["group"])
                self.check_role(actor, actor.role_in_group(group), route.role, group)
        values = validate(route.params, route.rules, given, world.profile)
        if "id" in in_path and "id" not in values:
            values |= validate((routes.ID,), routes.Rules(), given, world.profile)
        return route.handler(world=world, request=request, given=values, **context)

    def scopes(self, route: routes.Route, method: str) -> tuple[str, ...]:
        """read_api opens GET and HEAD only, which the table says route by route; manage_runner came in 17.1."""
        known = route.scopes or ()
        return known if self.world.profile.since(17, 1) else tuple(name for name in known if name != "manage_runner")

    def project(self, actor: Actor, key: str, request: Request) -> Project:
        world = self.world
        project = world.find_project(key)
        if project is None and (moved := world.moved_project(key)) and actor.sees_project(moved):
            if request.method not in ("GET", "HEAD"):
                raise errors.message(405, "Non GET methods are not allowed for moved projects")
            head, _, tail = request.path.partition("/projects/")
            rest = tail.partition("/")[2]
            location = (f"{world.settings.external_url.rstrip('/')}{world.relative_root}{head}/projects/{moved.id}"
                        + (f"/{rest}" if rest else "") + (f"?{request.query}" if request.query else ""))
            raise errors.ApiError(301, {"message": f"This resource has been moved permanently to {location}"},
                                  [("Location", location)])
        if project is None or not actor.sees_project(project):
            raise errors.not_found("Project")
        return project

    def group(self, actor: Actor, key: str) -> Group:
        group = self.world.find_group(key)
        if group is None or not actor.sees_group(group):
            raise errors.not_found("Group")
        return group

    def check_role(self, actor: Actor, role: int, needed: str | None, group: Group | None = None) -> None:
        if needed is None or actor.admin or ("auditor" in needed and actor.sees_all):
            return
        # Before 14 the list of a group's runners was its owners'.
        if role < (OWNER if group and not self.world.profile.since(14) else MAINTAINER):
            raise errors.forbidden()


