#!/usr/bin/python3
"""The stand-in driven by python-gitlab, a client written by others against the real GitLab."""

from __future__ import annotations

import sys
import unittest
import warnings
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import report  # noqa: E402
from client import GitLab  # noqa: E402

try:
    import gitlab as api
except ImportError:
    print("SKIP python_gitlab: python3-gitlab is not installed")
    sys.exit(0)


class Case(unittest.TestCase):
    server: GitLab

    @classmethod
    def setUpClass(cls) -> None:
        # Over TLS, and with links that lead back, because this client follows them.
        cls.server = GitLab(tls=True).start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def setUp(self) -> None:
        self.server.reset()
        self.server.settings(external_url=self.server.url)

    def client(self, token: str = "root", **options: object) -> api.Gitlab:
        return api.Gitlab(self.server.url, private_token=self.server.tokens[token], ssl_verify=self.server.ca_file,
                          retry_transient_errors=False, **options)

    def anonymous(self) -> api.Gitlab:
        return api.Gitlab(self.server.url, ssl_verify=self.server.ca_file)

    def registered(self, kind: str = "project", **attributes: object) -> object:
        return self.anonymous().runners.create({"token": self.server.registration_tokens[kind], **attributes})


class Runners(Case):
    def test_register_and_verify(self) -> None:
        runner = self.registered(description="one", tag_list="a,b", info={"name": "x"})
        self.assertTrue(runner.token.startswith("glrtr-"))
        self.assertTrue(self.anonymous().runners.verify(runner.token) is None)
        with self.assertRaises(api.GitlabVerifyError) as refused:
            self.anonymous().runners.verify("unknown")
        self.assertEqual((refused.exception.response_code, refused.exception.error_message), (403, "403 Forbidden"))
        with self.assertRaises(api.GitlabCreateError):
            self.anonymous().runners.create({"token": "unknown"})

    def test_delete_by_token(self) -> None:
        runner = self.registered()
        client = self.anonymous()
        client.http_delete("/runners", query_data={"token": runner.token})
        self.server.wait_gone(runner.id)

    def test_create_as_user(self) -> None:
        body = self.client("owner").http_post("/user/runners", post_data={"runner_type": "group_type", "group_id": 1})
        self.assertTrue(body["token"].startswith("glrt-"))
        with self.assertRaises(api.GitlabHttpError) as refused:
            self.client("stranger").http_post("/user/runners", post_data={"runner_type": "group_type", "group_id": 1})
        self.assertEqual(refused.exception.error_message, "403 Forbidden - Insufficient permissions")

    def test_get_update_pause_delete(self) -> None:
        number = self.registered(tag_list=["a"]).id
        runners = self.client("maintainer").runners
        runner = runners.get(number)
        self.assertEqual((runner.tag_list, runner.runner_type, runner.paused), (["a"], "project_type", False))
        runner.description = "changed"
        runner.tag_list = ["x", "y"]
        runner.save()
        self.assertEqual(self.server.runner(number)["tag_list"], ["x", "y"])
        runners.update(number, {"paused": True})
        self.assertEqual(runners.get(number).paused, True)
        runners.delete(number)
        with self.assertRaises(api.GitlabGetError) as refused:
            runners.get(number)
        self.assertEqual(refused.exception.response_code, 404)

    def test_errors_are_exceptions(self) -> None:
        number = self.registered().id
        with self.assertRaises(api.GitlabUpdateError) as refused:
            self.client("maintainer").runners.update(number, {"maximum_timeout": 5})
        self.assertIn("needs to be at least 10 minutes", str(refused.exception))
        with self.assertRaises(api.GitlabAuthenticationError):
            api.Gitlab(self.server.url, private_token="nonsense", ssl_verify=self.server.ca_file).runners.list()
        with self.assertRaises(api.GitlabGetError):
            self.client("developer").runners.get(number)
        self.server.settings(throttle_authenticated={"requests": 0, "period": 60})
        with self.assertRaises(api.GitlabHttpError) as refused:
            self.client().http_get("/runners", obey_rate_limit=False)
        self.assertEqual(refused.exception.response_code, 429)

    def test_jobs(self) -> None:
        number = self.registered().id
        self.server.seed(jobs=[{"runner_id": number, "count": 30}, {"runner_id": number, "status": "running"}])
        runner = self.client("maintainer").runners.get(number)
        self.assertEqual([job.id for job in runner.jobs.list(iterator=True)], list(range(1, 32)))
        self.assertEqual([job.id for job in runner.jobs.list(status="running")], [31])
        self.assertEqual([job.id for job in runner.jobs.list(order_by="id", sort="desc", per_page=2, page=1)], [31, 30])

    def test_reset_by_id(self) -> None:
        runner = self.registered()
        body = self.client("owner").http_post(f"/runners/{runner.id}/reset_authentication_token")
        self.anonymous().runners.verify(body["token"])
        with self.assertRaises(api.GitlabVerifyError):
            self.anonymous().runners.verify(runner.token)


class Lists(Case):
    def test_pages(self) -> None:
        self.server.seed(runners=[{"count": 130, "tag_list": ["many"]}, {"group_id": 1, "paused": True}])
        client = self.client()
        runners = client.runners
        self.assertEqual(len(runners.all(get_all=True)), 131)
        rows = client.http_list("/runners/all", iterator=True, per_page=50)
        self.assertEqual((rows.total, rows.total_pages, rows.per_page, rows.next_page), (131, 3, 50, 2))
        self.assertEqual([row["id"] for row in rows], list(range(1, 132)))
        self.assertEqual(len(runners.all(scope="paused")), 1)

    def test_own(self) -> None:
        self.server.seed(runners=[{}, {"group_id": 1}, {"project_id": 1, "tag_list": ["t"]}])
        runners = self.client("owner").runners
        self.assertEqual([runner.id for runner in runners.list()], [2, 3])
        self.assertEqual([runner.id for runner in runners.list(tag_list=["t"])], [3])
        self.assertEqual([runner.id for runner in runners.list(type="group_type")], [2])

    def test_links_lead_to_the_configured_host(self) -> None:
        self.server.settings(external_url="http://127.0.0.1:9")
        self.server.seed(runners=[{"count": 3}])
        with warnings.catch_warnings(), self.assertRaises(OSError):
            warnings.simplefilter("ignore")
            list(self.client().http_list("/runners/all", per_page=1, iterator=True))
        rows = self.client(keep_base_url=True).http_list("/runners/all", per_page=1, iterator=True)
        self.assertEqual(len(list(rows)), 3)

    def test_project_and_group(self) -> None:
        self.server.seed(runners=[{}, {"group_id": 1}, {"project_id": 1}])
        client = self.client("maintainer")
        self.assertEqual([runner.id for runner in client.projects.get("acme/web").runners.list()], [1, 2, 3])
        self.assertEqual([runner.id for runner in client.groups.get("acme").runners.list()], [1, 2])
        with self.assertRaises(api.GitlabGetError):
            client.projects.get("hidden/secret")

    def test_assign(self) -> None:
        number = self.registered().id
        client = self.client("maintainer")
        project = client.projects.get(2)
        project.runners.create({"runner_id": number})
        self.assertEqual([entry["id"] for entry in client.runners.get(number).projects], [1, 2])
        project.runners.delete(number)
        with self.assertRaises(api.GitlabDeleteError) as refused:
            client.projects.get(1).runners.delete(number)
        self.assertEqual(refused.exception.response_code, 403)


class Instance(Case):
    def test_user_and_version(self) -> None:
        client = self.client("owner")
        client.auth()
        self.assertEqual(client.user.username, "owner")
        self.assertEqual(client.version(), ("19.4.0-ee", "4bbd2cd9f1a"))

    def test_every_release(self) -> None:
        for profile in ("13", "15", "16", "17", "18", "newest"):
            with self.subTest(profile=profile):
                self.server.reset(profile)
                runner = self.registered()
                self.anonymous().runners.verify(runner.token)
                field = "active" if profile == "13" else "paused"
                self.client("maintainer").runners.update(runner.id, {field: True})
                self.assertEqual(getattr(self.client("maintainer").runners.get(runner.id), field), True)
                self.client("maintainer").runners.delete(runner.id)

    def test_transient_errors_are_retried(self) -> None:
        self.server.fault(operation="version", kind="html", status=503, headers={"Retry-After": "0"})
        client = api.Gitlab(self.server.url, private_token=self.server.tokens["root"], ssl_verify=self.server.ca_file,
                            retry_transient_errors=True)
        self.assertEqual(client.version()[0], "19.4.0-ee")
        self.assertEqual(self.server.count(operation="version"), 2)


if __name__ == "__main__":
    report.main("python_gitlab.")
