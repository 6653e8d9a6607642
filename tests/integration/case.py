"""What the tests of the whole program share: a stand-in GitLab per class, a host per test, and the questions asked most."""

from __future__ import annotations

import unittest
from typing import Any

from host import Agent, Host, quiet  # noqa: F401  (for the tests)

from client import GitLab

# Short, so that nothing here waits for minutes; a second is the shortest that the configuration takes.
FAST = {"verify_interval": "1s", "removed_after": "1s", "retry_min": "1s", "retry_max": "2s", "refused_retry": "1s"}

DONE, FAILED, USAGE, AGAIN, REFUSED, CONFIG = 0, 1, 2, 75, 77, 78


class Case(unittest.TestCase):
    profile = "newest"
    options: dict[str, Any] = {}
    gitlab: GitLab

    @classmethod
    def setUpClass(cls) -> None:
        cls.gitlab = GitLab(cls.profile, **cls.options).start()
        cls.addClassCleanup(cls.gitlab.stop)

    def setUp(self) -> None:
        self.gitlab.up()
        self.gitlab.reset(self.profile)
        self.host = self.enterContext(Host(self.gitlab))

    def run_command(self, *words: str, code: int = DONE, host: Host | None = None, **options: Any) -> str:
        """Runs a command that must end with this exit code; gives all that it said."""
        done = (host or self.host).command(*words, **options)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, code, f"{words}: {said}")
        return said

    def start_agent(self, *options: str, host: Host | None = None) -> Agent:
        return self.enterContext((host or self.host).agent(*options))

    def enrolled_agent(self, *options: str, agent: dict[str, Any] | None = None, **runner: Any) -> Agent:
        """An agent that has enrolled by registration token, or as RUNNER says, and has nothing to do."""
        if not {"access_token", "authentication_token"} & set(runner):
            runner.setdefault("registration_token", "instance")
        self.host.configure(agent={**FAST, "verify_interval": "1h", **(agent or {})}, **runner)
        running = self.start_agent(*options)
        running.wait_quiet()
        return running

    def by_access_token(self, **changes: Any) -> dict[str, Any]:
        return {"access_token": "owner", "runner_type": "group_type", "group_id": self.gitlab.ids["group"], **changes}

    def works(self, token: str) -> bool:
        """Whether GitLab takes the token now (behind the API's back, so that no manager is made)."""
        return any(runner["token"] == token for runner in self.gitlab.runners())

    def assert_enrolled_once(self, host: Host | None = None, name: str = "build-1") -> dict[str, Any]:
        """Invariant 1: one runner at GitLab, and its token is the one in config.toml."""
        runners = self.gitlab.runners()
        self.assertEqual(len(runners), 1, runners)
        entry = (host or self.host).entry(name)
        self.assertEqual(entry["token"], runners[0]["token"])
        self.assertEqual(entry["id"], runners[0]["id"])
        return runners[0]

    def assert_nothing_left(self) -> None:
        """Invariant 6."""
        self.assertEqual(self.gitlab.runners(), [])
        self.assertEqual(self.host.entries(), [])
