#!/usr/bin/python3
"""The same calls made by python-gitlab, a client that others wrote: both ask for the same, and get the same."""

from __future__ import annotations

import sys
import warnings

from shell import DONE, Shell

import report

try:
    import gitlab as api
except ImportError:
    print("SKIP runners_python_gitlab: python3-gitlab is not installed")
    sys.exit(0)

PAGING = ("page", "per_page", "pagination", "cursor")


class Alike(Shell):
    options = {"tls": True}

    def setUp(self) -> None:
        super().setUp()
        self.server.settings(external_url=self.server.url)
        now = self.server.now()
        self.server.seed(runners=[
            {"count": 120, "tag_list": ["many"]}, {"group_id": 1, "paused": True, "description": "ü & <b>"},
            {"project_id": 1, "tag_list": ["a", "b"], "contacted_at": now - 60, "managers": [{"version": "18.1.0"}, {}]},
            {"project_ids": [1, 2], "contacted_at": now - 8 * 86400}])
        self.server.seed(jobs=[{"runner_id": 122, "status": "success", "count": 3}, {"runner_id": 122, "status": "running"}])

    def client(self, token: str = "root") -> api.Gitlab:
        return api.Gitlab(self.server.url, private_token=self.server.tokens[token], ssl_verify=self.server.ca_file,
                          retry_transient_errors=False)

    def meaning(self, since: int) -> list[tuple]:
        """What was asked, whatever the transport and the size of pages."""
        asked = []
        for entry in self.server.log(since=since):
            params = {key: value for key, value in entry["params"].items() if key not in PAGING}
            if isinstance(params.get("tag_list"), list):
                params["tag_list"] = ",".join(params["tag_list"])
            params = {key.removesuffix("[]"): str(value).lower() for key, value in params.items()}
            item = (entry["operation"], entry["method"], entry["path"], tuple(sorted(params.items())))
            if item not in asked:
                asked.append(item)
        return asked

    def compare(self, theirs, *words: object, token: str = "root", rows: bool = True, **more: object) -> None:
        mark = self.server.mark()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs(self.client(token))
        asked = self.meaning(mark)
        mark = self.server.mark()
        result = self.run_words(*words, token=token, **more)
        filters = [item for item in self.meaning(mark) if item[0] != "version"]
        self.assertEqual(filters, asked)
        if rows:
            self.assertEqual(result.json, expected)

    def test_lists(self) -> None:
        def listed(path: str, **query: object):
            return lambda client: client.http_list(path, query_data=query, get_all=True)

        for path, words in (("/runners/all", ["--all"]), ("/runners", []), ("/projects/1/runners", ["--project", 1]),
                            ("/groups/1/runners", ["--group", 1])):
            for query, options in (({}, []), ({"type": "project_type"}, ["--type", "project_type"]), ({"status": "online"}, ["--status", "online"]),
                                   ({"paused": True}, ["--paused"]), ({"tag_list": "a,b"}, ["--tag-list", "a,b"]),
                                   ({"version_prefix": "18"}, ["--version-prefix", "18"])):
                with self.subTest(path=path, query=query):
                    self.compare(listed(path, **query), "list", *words, *options)
        self.compare(listed("/projects/acme%2Fweb/runners"), "list", "--project", "acme/web")

    def test_one_runner(self) -> None:
        self.compare(lambda c: c.runners.get(122).attributes, "show", 122)
        self.compare(lambda c: c.http_get("/runners/122/managers"), "managers", 122)
        self.compare(lambda c: c.http_list("/runners/122/projects", get_all=True), "projects", 122)
        self.compare(lambda c: c.http_list("/runners/122/jobs", get_all=True), "jobs", 122)
        self.compare(lambda c: c.http_list("/runners/122/jobs", query_data={"status": "running"}, get_all=True), "jobs", 122,
                     "--status", "running")
        self.compare(lambda c: c.http_list("/runners/122/jobs", query_data={"order_by": "id", "sort": "desc"}, get_all=True), "jobs",
                     122, "--order-by", "id", "--sort", "desc")

    def test_changes(self) -> None:
        changes = {"description": "new", "tag_list": ["x", "y"], "run_untagged": False, "locked": True,
                   "access_level": "ref_protected", "maximum_timeout": 900, "maintenance_note": "n"}
        self.compare(lambda c: c.runners.update(122, changes), "update", 122, "--description", "new", "--tag-list", "x,y",
                     "--run-untagged", "false", "--locked", "--access-level", "ref_protected", "--maximum-timeout", 900,
                     "--maintenance-note", "n")
        self.compare(lambda c: c.runners.update(122, {"paused": True}), "pause", 122)
        self.compare(lambda c: c.runners.update(122, {"paused": False}), "resume", 122)

    def again(self, theirs, *words: object, **more: object) -> None:
        """For what can't be done twice: in two equal worlds."""
        mark = self.server.mark()
        theirs(self.client())
        asked = self.meaning(mark)
        self.setUp()
        mark = self.server.mark()
        self.run_words(*words, **more)
        looks = ("show", "managers", "version")
        self.assertEqual([item for item in self.meaning(mark) if item[0] not in looks],
                         [item for item in asked if item[0] not in looks])

    def test_what_can_be_done_once(self) -> None:
        self.again(lambda c: c.runners.delete(123), "delete", 123)
        self.again(lambda c: c.projects.get(2, lazy=True).runners.create({"runner_id": 122}), "assign", 122, "--project", 2)
        self.again(lambda c: c.projects.get(2, lazy=True).runners.delete(123), "unassign", 123, "--project", 2)
        self.again(lambda c: c.http_post("/runners/122/reset_authentication_token"), "reset-token", 122, "--show-token")
        self.again(lambda c: c.http_post("/user/runners", post_data={"runner_type": "group_type", "group_id": 1, "tag_list": "a,b"}),
                   "create", "--runner-type", "group_type", "--group-id", 1, "--tag-list", "a,b", "--show-token")
        self.again(lambda c: c.runners.create({"token": self.server.registration_tokens["group"], "tag_list": "a,b", "locked": True}),
                   "register", "--token-from", "env:R", "--tag-list", "a,b", "--locked", "--show-token",
                   env={"R": self.server.registration_tokens["group"]})

    def test_what_is_made_is_alike(self) -> None:
        attributes = {"description": "d", "tag_list": "a,b", "run_untagged": False, "locked": True, "maximum_timeout": 700}
        theirs = self.client().http_post("/user/runners", post_data={"runner_type": "instance_type", **attributes})
        ours = self.run_words("create", "--runner-type", "instance_type", "--description", "d", "--tag-list", "a,b",
                              "--run-untagged=false", "--locked", "--maximum-timeout", 700, "--show-token", shows=True).json
        self.assertEqual(set(ours), set(theirs))
        made = [self.server.runner(item["id"]) for item in (ours, theirs)]
        for runner in made:
            for key in ("id", "token", "created_at", "updated_at"):
                runner.pop(key, None)
        self.assertEqual(*made)

    def test_refusals(self) -> None:
        for theirs, words, token in (
                (lambda c: c.runners.get(9999), ["show", 9999], "root"),
                (lambda c: c.http_list("/runners/all", get_all=True), ["list", "--all"], "stranger"),
                (lambda c: c.runners.update(122, {"maximum_timeout": 5}), ["update", 122, "--maximum-timeout", 5], "root")):
            with self.assertRaises(api.GitlabError) as refused:
                theirs(self.client(token))
            said = self.run_words(*words, token=token, code=None)
            self.assertNotEqual(said.code, DONE)
            self.assertIn(f"(HTTP {refused.exception.response_code})", said.err)
            words_of_theirs = refused.exception.error_message
            self.assertIn(words_of_theirs if isinstance(words_of_theirs, str) else next(iter(words_of_theirs.values()))[0], said.err)


if __name__ == "__main__":
    report.main("runners_python_gitlab.")
