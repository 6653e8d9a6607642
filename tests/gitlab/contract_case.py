"""What the contract's tests share."""

from __future__ import annotations

import unittest
from collections.abc import Iterator

from client import GitLab, Reply

V4 = ("13", "15", "16", "17", "18", "newest")
SYSTEM = "s_0123456789ab"
FORBIDDEN = {"message": "403 Forbidden"}
NO_ACCESS = {"message": "403 Forbidden - No access granted"}


def at_least(profile: str, number: int) -> bool:
    return profile == "newest" or float(profile) >= number


class Case(unittest.TestCase):
    """One stand-in for all tests, made new before each."""

    gitlab: GitLab

    @classmethod
    def setUpClass(cls) -> None:
        cls.gitlab = GitLab().start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.gitlab.stop()

    def setUp(self) -> None:
        self.gitlab.reset()

    def each(self, *profiles: str) -> Iterator[str]:
        for profile in profiles:
            with self.subTest(profile=profile):
                self.gitlab.reset(profile)
                yield profile

    def is_(self, reply: Reply, status: int, body: object = None) -> Reply:
        self.assertEqual((reply.status, reply.json if body is not None else None), (status, body), reply.body[:300])
        return reply

    def call(self, method: str, path: str, body: object = None, **options: object) -> Reply:
        return self.gitlab.request(method, path, body, **options)

    def post(self, path: str, body: object = None, **options: object) -> Reply:
        return self.call("POST", path, body, **options)

    def get(self, path: str, token: str = "root", **options: object) -> Reply:
        return self.call("GET", path, token=token, **options)

    def registered(self, kind: str = "project", **attributes: object) -> dict:
        reply = self.post("/runners", {"token": self.gitlab.registration_tokens[kind], **attributes})
        self.assertEqual(reply.status, 201, reply.body)
        return reply.json

    def created(self, token: str = "owner", **attributes: object) -> dict:
        reply = self.post("/user/runners", {"runner_type": "project_type", "project_id": 1, **attributes}, token=token)
        self.assertEqual(reply.status, 201, reply.body)
        return reply.json

    def ids(self, reply: Reply) -> list[int]:
        self.assertEqual(reply.status, 200, reply.body)
        return [row["id"] for row in reply.json]
