"""What the instance knows: users, groups, projects, runners, managers, jobs, and its settings and clock."""

from __future__ import annotations

import dataclasses
import itertools
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import tokens
from profiles import PROFILES, Profile

DAY = 86400
ROLES = {"guest": 10, "reporter": 20, "developer": 30, "maintainer": 40, "owner": 50}
RUNNER_TYPES = ("instance_type", "group_type", "project_type")


@dataclass
class Settings:
    external_url: str = "http://gitlab.example.com"
    read_only: Any = False
    migration_backoff: bool = False
    allow_runner_registration_token: bool = True
    valid_runner_registrars: list[str] = field(default_factory=lambda: ["group", "project"])
    runner_token_expiration_interval: int | None = None
    group_runner_token_expiration_interval: int | None = None
    project_runner_token_expiration_interval: int | None = None
    throttle_unauthenticated: dict[str, Any] | None = None
    throttle_authenticated: dict[str, Any] | None = None
    runner_jobs_request_api_limit: int | None = None
    admin_mode: bool = False
    instance_token_prefix: str = ""
    routable_tokens: bool | None = None
    max_project_runners: int | None = None
    max_group_runners: int | None = None
    job_router_url: str | None = None


@dataclass
class User:
    id: int
    username: str
    admin: bool = False
    auditor: bool = False


@dataclass
class UserToken:
    value: str
    user_id: int
    scopes: list[str] = field(default_factory=lambda: ["api"])
    expires_at: float | None = None
    revoked: bool = False


@dataclass
class Group:
    id: int
    path: str
    parent_id: int | None = None
    visibility: str = "public"
    members: dict[int, int] = field(default_factory=dict)
    registration_token: str = ""
    allow_runner_registration_token: bool = True
    runner_token_expiration_interval: int | None = None
    shared_runners_enabled: bool = True
    created_at: float = 0


@dataclass
class Project:
    id: int
    path: str
    group_id: int | None = None
    visibility: str = "public"
    members: dict[int, int] = field(default_factory=dict)
    registration_token: str = ""
    allow_runner_registration_token: bool = True
    runner_token_expiration_interval: int | None = None
    shared_runners_enabled: bool = True
    group_runners_enabled: bool = True
    moved_from: str | None = None
    created_at: float = 0


@dataclass
class Manager:
    id: int
    system_id: str
    created_at: float
    updated_at: float
    version: str | None = None
    revision: str | None = None
    platform: str | None = None
    architecture: str | None = None
    executor: str | None = None
    ip_address: str | None = None
    contacted_at: float | None = None
    details_at: float | None = None


@dataclass
class Runner:
    id: int
    runner_type: str
    token: str
    created_at: float
    updated_at: float
    created: bool = False                # by POST /user/runners, not registered by a token
    creator_id: int | None = None
    group_id: int | None = None
    project_ids: dict[int, float] = field(default_factory=dict)  # project -> when assigned; the first one owns it
    token_expires_at: float | None = None
    token_rotation_deadline: float | None = None
    creation_finished: bool = False
    description: str | None = None
    name: str | None = None
    active: bool = True
    run_untagged: bool = True
    locked: bool = False
    access_level: str = "not_protected"
    maximum_timeout: int | None = None
    tag_list: list[str] = field(default_factory=list)
    maintenance_note: str | None = None
    version: str | None = None
    revision: str | None = None
    platform: str | None = None
    architecture: str | None = None
    ip_address: str | None = None
    contacted_at: float | None = None
    managers: dict[str, Manager] = field(default_factory=dict)

    @property
    def owner_project_id(self) -> int | None:
        return next(iter(self.project_ids), None)


@dataclass
class Job:
    id: int
    runner_id: int
    project_id: int
    status: str = "success"
    system_id: str | None = None
    name: str = "build"
    stage: str = "test"
    ref: str = "main"
    user_id: int = 1
    created_at: float = 0
    started_at: float | None = None
    finished_at: float | None = None


def seconds(value: Any) -> float | None:
    """A time as a test may write it: epoch seconds, ISO 8601, or nothing."""
    if value is None or isinstance(value, (int, float)):
        return value
    parsed = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()


class World:
    """One GitLab instance; everything in it is plain data, so that it can be saved and loaded."""

    COLLECTIONS = {"users": User, "groups": Group, "projects": Project, "runners": Runner, "jobs": Job}

    def __init__(self, profile: Profile, relative_root: str = ""):
        self.profile = profile
        self.relative_root = relative_root
        self.settings = Settings()
        self.clock_offset = 0.0
        self.users: dict[int, User] = {}
        self.user_tokens: dict[str, UserToken] = {}
        self.groups: dict[int, Group] = {}
        self.projects: dict[int, Project] = {}
        self.runners: dict[int, Runner] = {}
        self.jobs: dict[int, Job] = {}
        self.busy: set[int] = set()      # runners with a running job
        self.registration_token = ""
        self.by_token: dict[str, Runner] = {}
        self.next_id = {name: itertools.count(1) for name in (*self.COLLECTIONS, "managers")}

    # Time

    def now(self) -> float:
        # Milliseconds, as the API shows them, but finer for conditional deletes.
        return time.time() + self.clock_offset

    # Groups and projects

    def group_chain(self, group_id: int | None) -> list[Group]:
        """The group and its ancestors, the nearest first."""
        chain = []
        while group_id is not None and (group := self.groups.get(group_id)):
            chain.append(group)
            group_id = group.parent_id
        return chain

    def group_path(self, group: Group) -> str:
        return "/".join(ancestor.path for ancestor in reversed(self.group_chain(group.id)))

    def project_path(self, project: Project) -> str:
        group = self.groups.get(project.group_id) if project.group_id else None
        return f"{self.group_path(group)}/{project.path}" if group else f"root/{project.path}"

    def find_group(self, key: str) -> Group | None:
        if key.isdigit():
            return self.groups.get(int(key))
        return next((group for group in self.groups.values() if self.group_path(group) == key), None)

    def find_project(self, key: str) -> Project | None:
        if key.isdigit():
            return self.projects.get(int(key))
        return next((project for project in self.projects.values() if self.project_path(project) == key), None)

    def moved_project(self, key: str) -> Project | None:
        return next((project for project in self.projects.values() if project.moved_from == key), None)

    # Runners

    def find_runner_by_token(self, token: Any) -> Runner | None:
        """An expired token is as if it did not exist; the expiry instant itself is still valid
        [app/models/concerns/token_authenticatable_strategies/base.rb]."""
        runner = self.by_token.get(token) if isinstance(token, str) and token else None
        if runner and runner.token_expires_at is not None and self.now() > runner.token_expires_at:
            return None
        return runner

    def token_payload(self, runner_type: str, group_id: int | None, project_id: int | None,
                      creator_id: int | None) -> dict[str, int]:
        payload = {"o": 1, "t": tokens.TYPE_NUMBER[runner_type]}
        if group_id:
            payload["g"] = group_id
        if project_id:
            payload["p"] = project_id
        if creator_id:
            payload["u"] = creator_id
        return payload

    def expiry(self, runner_type: str, group_id: int | None, project_id: int | None) -> float | None:
        """The smallest interval that applies, counted from now [app/models/ci/runner.rb]."""
        settings = self.settings
        intervals: list[int | None] = []
        if runner_type == "instance_type":
            intervals = [settings.runner_token_expiration_interval]
        elif runner_type == "group_type":
            intervals = [settings.group_runner_token_expiration_interval]
            intervals += [group.runner_token_expiration_interval for group in self.group_chain(group_id)]
        elif project_id in self.projects:
            project = self.projects[project_id]
            intervals = [settings.project_runner_token_expiration_interval, project.runner_token_expiration_interval]
            intervals += [group.runner_token_expiration_interval for group in self.group_chain(project.group_id)]
        chosen = [interval for interval in intervals if interval]
        return self.now() + min(chosen) if chosen and self.profile.since(15) else None

    def new_token(self, runner_type: str, created: bool, group_id: int | None, project_id: int | None,
                  creator_id: int | None, token_format: str | None = None) -> str:
        payload = self.token_payload(runner_type, group_id, project_id, creator_id)
        if token_format:
            return tokens.in_format(token_format, runner_type, created, payload, self.settings.instance_token_prefix)
        return tokens.authentication_token(self.profile, runner_type, created, payload,
                                           self.settings.instance_token_prefix, self.settings.routable_tokens)

    def add_runner(self, runner_type: str, *, created: bool = False, group_id: int | None = None,
                   project_ids: list[int] | None = None, creator_id: int | None = None,
                   token: str | None = None, token_format: str | None = None, **attributes: Any) -> Runner:
        now = self.now()
        owner = project_ids[0] if project_ids else None
        runner = Runner(id=next(self.next_id["runners"]), runner_type=runner_type, created=created,
                        token=token or self.new_token(runner_type, created, group_id, owner, creator_id, token_format),
                        created_at=now, updated_at=now, group_id=group_id, creator_id=creator_id,
                        project_ids={project: now for project in project_ids or []},
                        token_expires_at=self.expiry(runner_type, group_id, owner))
        for key, value in attributes.items():
            setattr(runner, key, value)
        self.runners[runner.id] = runner
        self.by_token[runner.token] = runner
        return runner

    def set_token(self, runner: Runner, token: str) -> None:
        """The one stored token is replaced: the old one is refused from this moment, without grace."""
        self.by_token.pop(runner.token, None)
        runner.token = token
        self.by_token[token] = runner

    def rotate(self, runner: Runner) -> None:
        owner = runner.owner_project_id
        self.set_token(runner, self.new_token(runner.runner_type, runner.created, runner.group_id, owner,
                                              runner.creator_id))
        # From today's settings, not from the previous expiry.
        runner.token_expires_at = self.expiry(runner.runner_type, runner.group_id, owner)
        runner.token_rotation_deadline = None
        runner.updated_at = self.now()

    def delete_runner(self, runner: Runner) -> None:
        self.runners.pop(runner.id, None)
        self.by_token.pop(runner.token, None)

    def add_manager(self, runner: Runner, system_id: str, **attributes: Any) -> Manager:
        now = self.now()
        manager = Manager(next(self.next_id["managers"]), system_id, now, now, **attributes)
        runner.managers[system_id] = manager
        return manager

    # Jobs

    def jobs_changed(self) -> None:
        self.busy = {job.runner_id for job in self.jobs.values() if job.status == "running"}

    # Saving and loading

    def dump(self) -> dict[str, Any]:
        return {
            "profile": self.profile.name,
            "settings": dataclasses.asdict(self.settings),
            "clock_offset": self.clock_offset,
            "registration_token": self.registration_token,
            "user_tokens": [dataclasses.asdict(token) for token in self.user_tokens.values()],
            **{name: [dataclasses.asdict(item) for item in getattr(self, name).values()] for name in self.COLLECTIONS},
        }

    def load(self, data: dict[str, Any]) -> None:
        self.profile = PROFILES[data["profile"]]
        self.settings = Settings(**data["settings"])
        self.clock_offset = data["clock_offset"]
        self.registration_token = data["registration_token"]
        self.user_tokens = {item["value"]: UserToken(**item) for item in data["user_tokens"]}
        for name, kind in self.COLLECTIONS.items():
            items = [kind(**item) for item in data[name]]
            setattr(self, name, {item.id: item for item in items})
            self.next_id[name] = itertools.count(max((item.id for item in items), default=0) + 1)
        # JSON has only text keys.
        for owner in (*self.groups.values(), *self.projects.values()):
            owner.members = {int(user): role for user, role in owner.members.items()}
        highest = 0
        for runner in self.runners.values():
            runner.project_ids = {int(project): when for project, when in runner.project_ids.items()}
            runner.managers = {key: Manager(**value) for key, value in runner.managers.items()}
            highest = max([highest, *(manager.id for manager in runner.managers.values())])
        self.next_id["managers"] = itertools.count(highest + 1)
        self.by_token = {runner.token: runner for runner in self.runners.values()}
        self.jobs_changed()


# The user tokens of the world that every run starts with: name -> user, scopes, extra.
FIRST_TOKENS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "root": ("root", ["api", "admin_mode"], {}),
    "owner": ("owner", ["api"], {}),
    "maintainer": ("maintainer", ["api"], {}),
    "developer": ("developer", ["api"], {}),
    "stranger": ("stranger", ["api"], {}),
    "auditor": ("auditor", ["api"], {}),
    "create": ("owner", ["create_runner"], {}),
    "manage": ("owner", ["manage_runner"], {}),
    "read": ("owner", ["read_api"], {}),
    "expired": ("owner", ["api"], {"expires_at": 1.0}),
    "revoked": ("owner", ["api"], {"revoked": True}),
    "nomode": ("root", ["api"], {}),
}


def token_value(name: str) -> str:
    return "glpat-" + f"{name}-user-token-".ljust(20, "0")[:20]


def registration_value(kind: str) -> str:
    return tokens.REGISTRATION_PREFIX + f"{kind}-first-".ljust(20, "0")


def first_world(profile: Profile, relative_root: str, external_url: str | None) -> World:
    world = World(profile, relative_root)
    if external_url:
        world.settings.external_url = external_url
    now = world.now()
    for name in ("root", "owner", "maintainer", "developer", "stranger", "auditor"):
        user = User(next(world.next_id["users"]), name, admin=name == "root", auditor=name == "auditor")
        world.users[user.id] = user
    ids = {user.username: user.id for user in world.users.values()}
    for name, (username, scopes, extra) in FIRST_TOKENS.items():
        value = token_value(name)
        world.user_tokens[value] = UserToken(value, ids[username], list(scopes), **extra)
    members = {ids[name]: ROLES[name] for name in ("owner", "maintainer", "developer")}
    for path, parent, visibility in (("acme", None, "public"), ("sub", 1, "public"), ("hidden", None, "private")):
        group = Group(next(world.next_id["groups"]), path, parent, visibility, created_at=now)
        group.registration_token = registration_value("group") if group.id == 1 else tokens.registration_token("group", profile)
        world.groups[group.id] = group
    world.groups[1].members = members
    for path, group_id, visibility in (("web", 1, "public"), ("api", 2, "public"), ("secret", 3, "private")):
        project = Project(next(world.next_id["projects"]), path, group_id, visibility, created_at=now)
        project.registration_token = (registration_value("project") if project.id == 1
                                      else tokens.registration_token("project", profile))
        world.projects[project.id] = project
    world.registration_token = registration_value("instance")
    return world
