"""Who is asking, and what they may do [lib/api/api_guard.rb, app/policies/ci/runner_policy.rb]."""

from __future__ import annotations

from dataclasses import dataclass

import errors
from model import ROLES, Group, Project, Runner, User, UserToken, World
from wire import Request

REPORTER, MAINTAINER, OWNER = ROLES["reporter"], ROLES["maintainer"], ROLES["owner"]


def find_user_token(world: World, request: Request) -> UserToken | None:
    """The token that the request carries, if it is one that the instance knows."""
    value = request.header("private-token")
    if value is None:
        authorization = request.header("authorization") or ""
        if authorization.lower().startswith("bearer "):
            value = authorization[7:].strip()
    if value is None:
        params = request.params()
        value = params.get("private_token") or params.get("access_token")
    return world.user_tokens.get(value) if isinstance(value, str) else None


@dataclass
class Actor:
    """A user as their token lets them act."""
    world: World
    user: User
    token: UserToken

    @property
    def admin(self) -> bool:
        # Where admin mode is enforced, an administrator without that scope counts as an ordinary user.
        return self.user.admin and (not self.world.settings.admin_mode or "admin_mode" in self.token.scopes)

    @property
    def sees_all(self) -> bool:
        return self.admin or (self.user.auditor and self.world.profile.since(18))

    def role_in_group(self, group: Group | None) -> int:
        if group is None:
            return 0
        return max(above.members.get(self.user.id, 0) for above in self.world.group_chain(group.id))

    def role_in_project(self, project: Project | None) -> int:
        if project is None:
            return 0
        inherited = self.role_in_group(self.world.groups.get(project.group_id)) if project.group_id else 0
        return max(project.members.get(self.user.id, 0), inherited)

    def sees_group(self, group: Group) -> bool:
        return group.visibility == "public" or self.sees_all or self.role_in_group(group) > 0

    def sees_project(self, project: Project) -> bool:
        return project.visibility == "public" or self.sees_all or self.role_in_project(project) > 0

    # Runners

    def owns(self, runner: Runner) -> bool:
        """Whether the runner is in the user's own list: group runners as Owner, project runners as Maintainer."""
        if runner.runner_type == "group_type":
            return self.role_in_group(self.world.groups.get(runner.group_id or 0)) >= OWNER
        if runner.runner_type == "project_type":
            return any(self.role_in_project(self.world.projects.get(key)) >= MAINTAINER for key in runner.project_ids)
        return False

    def reads(self, runner: Runner) -> bool:
        if self.sees_all or runner.runner_type == "instance_type":
            return True
        if runner.runner_type == "project_type":
            return self.owns(runner)
        if self.role_in_group(self.world.groups.get(runner.group_id or 0)) >= MAINTAINER:
            return True
        # A Maintainer of a project that uses the group's runners sees them too.
        return any(project.group_runners_enabled and self.role_in_project(project) >= MAINTAINER
                   and any(group.id == runner.group_id for group in self.world.group_chain(project.group_id))
                   for project in self.world.projects.values())

    def updates(self, runner: Runner) -> bool:
        if self.admin:
            return True
        if runner.runner_type == "group_type":
            return self.role_in_group(self.world.groups.get(runner.group_id or 0)) >= OWNER
        if runner.runner_type == "project_type":
            return self.role_in_project(self.world.projects.get(runner.owner_project_id or 0)) >= MAINTAINER
        return False

    def reads_jobs(self, runner: Runner) -> bool:
        return self.sees_all or self.owns(runner)


def authenticate(world: World, request: Request, scopes: tuple[str, ...]) -> Actor:
    """The user behind the request, or 401; then 403 where the token's scopes do not open this route."""
    token = find_user_token(world, request)
    if token is None or token.user_id not in world.users:
        raise errors.unauthorized()
    if token.revoked:
        raise errors.invalid_token("Token was revoked. You have to re-authorize from the user.")
    if token.expires_at is not None and world.now() > token.expires_at:
        raise errors.invalid_token("Token is expired. You can either do re-authorization or token refresh.")
    accepted = ["api", *scopes]
    if not any(scope in token.scopes for scope in accepted):
        raise errors.insufficient_scope(accepted)
    return Actor(world, world.users[token.user_id], token)
