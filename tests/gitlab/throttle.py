"""The request throttle that an administrator sets [lib/gitlab/rack_attack.rb, lib/gitlab/throttle.rb], and counters."""

from __future__ import annotations

import math
from email.utils import formatdate
from typing import Any

from access import find_user_token
from errors import ApiError
from model import World
from wire import Answer, Headers, Request


class Counters:
    """Hits per key in fixed windows of the server's clock."""

    def __init__(self) -> None:
        self.hits: dict[str, tuple[int, int]] = {}

    def hit(self, key: str, period: float, now: float) -> int:
        window = int(now // period)
        before = self.hits.get(key, (window, 0))
        count = before[1] + 1 if before[0] == window else 1
        self.hits[key] = (window, count)
        return count

    def allows(self, key: str, limit: int, period: float, now: float) -> bool:
        return self.hit(key, period, now) <= limit


class Throttle:
    def __init__(self) -> None:
        self.counters = Counters()

    def check(self, world: World, request: Request) -> tuple[Answer | None, Headers]:
        """The refusal, if the budget is used up, and what ordinary answers carry of it."""
        settings = world.settings
        if not settings.throttle_unauthenticated and not settings.throttle_authenticated:
            return None, []
        rule, key, name = self.classify(world, request)
        if not rule:
            return None, []
        now = world.now()
        period = float(rule.get("period", 60))
        limit = int(rule["requests"])
        count = self.counters.hit(key, period, now)
        headers = self.headers(rule, name, limit, count, period, now)
        if count <= limit:
            return None, headers[:5] if rule.get("headers_always") else []
        wait = math.ceil(period - now % period)
        # Plain text, not JSON, and both a number of seconds and a date.
        return Answer(429, [("Content-Type", "text/plain"), *headers, ("Retry-After", str(wait))],
                      (rule.get("text") or "Retry later\n").encode()), []

    def classify(self, world: World, request: Request) -> tuple[dict[str, Any] | None, str, str]:
        try:
            token = find_user_token(world, request)
            runner = None if token else world.find_runner_by_token(request.params().get("token"))
        except ApiError:
            # A body that can't be read names nobody.
            token = runner = None
        if token and not token.revoked and not (token.expires_at and world.now() > token.expires_at):
            return world.settings.throttle_authenticated, f"user {token.user_id}", "throttle_authenticated_api"
        if runner:
            # A valid runner token is no anonymous caller; a bad or expired one, or a registration, is.
            return None, "", ""
        return world.settings.throttle_unauthenticated, f"ip {request.peer}", "throttle_unauthenticated_api"

    @staticmethod
    def headers(rule: dict[str, Any], name: str, limit: int, count: int, period: float, now: float) -> Headers:
        reset = (now // period + 1) * period
        shown = math.ceil(reset - now) if rule.get("reset_in_seconds") else math.ceil(reset)
        return [("RateLimit-Name", name),
                # Normalised to a minute, whatever the period is.
                ("RateLimit-Limit", str(math.ceil(limit * 60 / period))),
                ("RateLimit-Observed", str(count)),
                ("RateLimit-Remaining", str(max(0, limit - count))),
                ("RateLimit-Reset", str(shown)),
                ("RateLimit-ResetTime", formatdate(math.ceil(reset), usegmt=True))]
