"""What the tests of real boots share: a lab for each script, machines that are gone after each test, and the questions
asked most."""

from __future__ import annotations

import json
import sys
import unittest
from typing import Any

from machine import Lab, Machine

from report import main

__all__ = ["Boots", "main", "FAST"]

# Short, so that nothing waits for minutes; a second is the shortest that the configuration takes.
FAST = {"verify_interval": "1s", "removed_after": "1s", "retry_min": "1s", "retry_max": "1s", "refused_retry": "1s"}

# What creates or deletes something at GitLab.
CREATING = ("register", "create")
DELETING = ("delete", "delete_manager", "delete_by_id")
REPLACING = ("reset", "reset_by_id")


class Boots(unittest.TestCase):
    release = "bookworm"
    lab: Lab

    @classmethod
    def setUpClass(cls) -> None:
        cls.lab = Lab(cls.release)
        cls.addClassCleanup(cls.lab.close)
        cls.lab.gitlab.start()
        cls.gitlab = cls.lab.gitlab

    def setUp(self) -> None:
        self.gitlab.up()
        self.gitlab.reset()
        self.addCleanup(self._close_machines)

    def _close_machines(self) -> None:
        result = self._outcome.result  # type: ignore[attr-defined]
        failed = any(test is self or getattr(test, "test_case", None) is self for test, _ in result.failures + result.errors)
        for machine in reversed(self.lab.machines):
            if failed:
                print(f"--- {self.id()}: {machine.name}\n{machine.said()}\n{machine.said('gitlab-runner.service')}",
                      file=sys.stderr)
            machine.close()
        self.lab.machines.clear()

    def machine(self, name: str = "build1", machine_id: str | None = "", agent: dict[str, Any] | None = None,
                gitlab_runner: bool = False, **runner: Any) -> Machine:
        """A machine that is off, enabled and configured with a registration token, or as RUNNER says."""
        machine = self.lab.machine(name, machine_id)
        if not {"access_token", "authentication_token", "registration_token"} & set(runner):
            runner["registration_token"] = "instance"
        machine.configure(agent, **runner)
        machine.enable()
        if gitlab_runner:
            machine.enable("gitlab-runner.service")
        return machine

    def enrolled(self, **options: Any) -> Machine:
        """A machine that has booted and is enrolled."""
        machine = self.machine(**options)
        machine.boot()
        machine.wait_enrolled()
        return machine

    def done(self, operations: tuple[str, ...], since: int = 0) -> list[str]:
        return [operation for operation in self.gitlab.operations(since) if operation in operations]

    def assert_one_runner(self, machine: Machine) -> dict[str, Any]:
        """Invariant 1: GitLab knows the host exactly once, by the token in its config.toml."""
        runners = self.gitlab.runners()
        self.assertEqual(len(runners), 1, runners)
        entries = machine.entries()
        self.assertEqual([entry["token"] for entry in entries], [runners[0]["token"]])
        return runners[0]

    def assert_nothing_left(self, machine: Machine) -> None:
        """Invariant 6."""
        self.assertEqual(self.gitlab.runners(), [])
        self.assertEqual(machine.entries(), [])

    @staticmethod
    def debts(machine: Machine, name: str = "build-1") -> list[dict[str, Any]]:
        """What the state says, also of a machine that is off."""
        return json.loads(machine.read(f"/var/lib/runner-registrar/{name}.json")).get("debts") or []
