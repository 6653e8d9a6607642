#!/usr/bin/python3
"""Every row of the Runners API from the shell, for every GitLab that has it, and its explanation for all others."""
# tests: timeout=600 valgrind

from __future__ import annotations

import os
import stat

from shell import AGAIN, DONE, FAILED, PROFILES, REFUSED, SYSTEM_ID, USAGE, Shell, has

import report


class Rows(Shell):
    def each(self, *, since: float = 0):
        """Every profile that has what came with SINCE, in a new world."""
        for name in PROFILES:
            if name == "8.5" and since > 8.5:
                continue
            with self.subTest(profile=name):
                self.profile(name)
                yield name

    def lacks(self, result, method: str, path: str, name: str) -> None:
        self.assertEqual(result.code, FAILED)
        version = {"8.5": "", "13": "GitLab 13.12.15", "15": "GitLab 15.11.13", "16": "GitLab 16.11.10",
                   "17": "GitLab 17.8.7"}[name]
        self.assertIn(f"{version} has no {method} /{path}: it came with GitLab", result.err)

    def register(self, **attributes: object) -> dict:
        return self.server.seed_runner(**({"project_id": 1} | attributes))

    def test_lists(self) -> None:
        for name in self.each():
            self.server.seed(runners=[{}, {"group_id": 1}, {"project_id": 1, "tag_list": ["t"]}, {"project_id": 2}])
            self.assertEqual([row["id"] for row in self.run_words("list", token="owner").json], [2, 3, 4])
            self.assertEqual([row["id"] for row in self.run_words("list", "--all").json], [1, 2, 3, 4])
            for project in ("1", "acme/web"):
                rows = self.run_words("list", "--project", project, token="maintainer").json
                self.assertEqual([row["id"] for row in rows], [1, 2, 3])
            if name == "8.5":
                refused = self.run_words("list", "--group", "acme", code=USAGE)
                self.assertIn("it came with GitLab", refused.err)
            else:
                self.assertEqual([row["id"] for row in self.run_words("list", "--group", "acme").json], [1, 2])

    def test_filters(self) -> None:
        for name in self.each(since=13):
            # Heard of a minute ago, and never.
            now = self.server.now()
            self.server.seed(runners=[
                {"contacted_at": now - 60, "tag_list": ["a", "b"], "managers": [{"system_id": SYSTEM_ID, "version": "16.1.0"}]},
                {"group_id": 1, "paused": True}, {"project_id": 1, "tag_list": ["a"]}])
            cases = [(["--type", "group_type"], [2]), (["--tag-list", "a,b"], [1]), (["--status", "online"], [1]),
                     (["--scope", "shared"], [1]), (["--scope", "specific"], [2, 3]), (["--status", "paused"], [2])]
            if has(name, 15):
                cases += [(["--paused"], [2]), (["--paused", "false"], [1, 3]), (["--paused=false"], [1, 3]),
                          (["--status", "never_contacted"], [2, 3])]
            if has(name, 16):
                cases += [(["--version-prefix", "16"], [1]), (["--version-prefix", "1"], [])]
            for words, expected in cases:
                rows = self.run_words("list", "--all", *words).json
                self.assertEqual([row["id"] for row in rows], expected, words)

    def test_filters_that_a_server_would_ignore(self) -> None:
        for profile, words in (("13", ["--paused"]), ("15", ["--version-prefix", "16"])):
            with self.subTest(profile=profile):
                self.profile(profile)
                self.register()
                refused = self.run_words("list", "--all", *words, code=FAILED)
                self.assertIn("does not know " + words[0], refused.err)
                self.assertEqual(refused.out, "")

    def test_details(self) -> None:
        for name in self.each():
            runner = self.register(tag_list=["x"], description="d")
            shown = self.run_words("show", runner["id"])
            self.assertEqual((shown.json["id"], shown.json["tag_list"]), (runner["id"], ["x"]))
            # 8.5 has the runner's own token among its details.
            self.assertNotIn(runner["token"], shown.out)
            if name == "8.5":
                self.assertEqual(shown.json["token"], "***")
                self.assertEqual(self.run_words("show", runner["id"], "--show-token").json["token"], runner["token"])
            elif has(name, 18):
                self.assertNotIn("projects", self.run_words("show", runner["id"], "--include-projects=false").json)
            self.assertIn("d", self.run_words("show", runner["id"], "-o", "table").out)
            self.run_words("show", 999, code=FAILED)

    def test_update(self) -> None:
        for name in self.each():
            number = self.register()["id"]
            words = ["--description", "häuslich & <b>", "--tag-list", "docker, linux"]
            if name != "8.5":
                words += ["--run-untagged=false", "--locked", "--access-level", "ref_protected", "--maximum-timeout", "3600"]
            if has(name, 15):
                words += ["--maintenance-note", "do not touch"]
            self.run_words("update", number, *words)
            runner = self.server.runner(number)
            self.assertEqual((runner["description"], runner["tag_list"]), ("häuslich & <b>", ["docker", "linux"]))
            if name == "8.5":
                continue
            self.assertEqual((runner["run_untagged"], runner["locked"], runner["access_level"], runner["maximum_timeout"]),
                             (False, True, "ref_protected", 3600))
            if has(name, 15):
                self.assertEqual(runner["maintenance_note"], "do not touch")
            self.run_words("update", number, "--maximum-timeout", "none", "--locked", "false")
            runner = self.server.runner(number)
            self.assertEqual((runner["maximum_timeout"], runner["locked"]), (None, False))

    def test_pause_and_resume(self) -> None:
        for name in self.each():
            first, second = self.register()["id"], self.register()["id"]
            self.run_words("pause", first, second)
            self.assertEqual([self.server.runner(number)["active"] for number in (first, second)], [False, False])
            self.run_words("resume", first)
            self.assertEqual([self.server.runner(number)["active"] for number in (first, second)], [True, False])
            # Beside other attributes an old server would just leave it out.
            if name != "8.5":
                self.run_words("update", first, "--paused", "--description", "both")
                runner = self.server.runner(first)
                self.assertEqual((runner["active"], runner["description"]), (False, "both"))

    def test_delete_by_id(self) -> None:
        for name in self.each():
            number = self.register()["id"]
            deleted = self.run_words("delete", number)
            self.assertIsNone(self.server.runner(number))
            self.assertEqual(deleted.json["id"] if name == "8.5" else deleted.out, number if name == "8.5" else "")
            self.run_words("delete", number, code=FAILED)

    def test_delete_by_token(self) -> None:
        for name in self.each():
            runner = self.register(token_format="plain20")
            self.run_words("delete", "--token-from", "env:RUNNER_TOKEN", env={"RUNNER_TOKEN": runner["token"]}, token=None)
            self.assertIsNone(self.server.runner(runner["id"]))

    def test_jobs(self) -> None:
        for name in self.each(since=13):
            number = self.register()["id"]
            self.server.seed(jobs=[{"runner_id": number, "count": 30, "status": "success", "system_id": SYSTEM_ID},
                                   {"runner_id": number, "status": "running"}])
            self.assertEqual([job["id"] for job in self.run_words("jobs", number).json], list(range(1, 32)))
            self.assertEqual([job["id"] for job in self.run_words("jobs", number, "--status", "running").json], [31])
            rows = self.run_words("jobs", number, "--order-by", "id", "--sort", "desc", "--limit", 3, "-o", "jsonl").rows
            self.assertEqual([job["id"] for job in rows], [31, 30, 29])
            self.assertIn("98.7,", self.run_words("jobs", number, "--limit", 1).out)
            self.assertIn("acme/web", self.run_words("jobs", number, "-o", "table").out)
            if has(name, 17):
                self.assertEqual(len(self.run_words("jobs", number, "--system-id", SYSTEM_ID).json), 30)

    def test_managers(self) -> None:
        for name in self.each(since=13):
            number = self.register(managers=[{"system_id": SYSTEM_ID}, {}])["id"]
            result = self.run_words("managers", number, code=None)
            if not has(name, 17):
                self.lacks(result, "GET", "runners/:id/managers", name)
                continue
            self.assertEqual(len(result.json), 2)
            self.assertIn(SYSTEM_ID, self.run_words("managers", number, "-o", "table").out)

    def test_projects(self) -> None:
        for name in self.each(since=13):
            number = self.server.seed_runner(project_ids=[1, 2])["id"]
            result = self.run_words("projects", number, code=None)
            if not has(name, 18):
                self.lacks(result, "GET", "runners/:id/projects", name)
                continue
            self.assertEqual([project["path_with_namespace"] for project in result.json], ["acme/web", "acme/sub/api"])

    def test_assign_and_unassign(self) -> None:
        for name in self.each():
            number = self.register()["id"]
            assigned = self.run_words("assign", number, "--project", "acme/sub/api" if name != "8.5" else 2)
            self.assertEqual(assigned.json["id"], number)
            self.assertEqual(sorted(map(int, self.server.runner(number)["project_ids"])), [1, 2])
            self.run_words("unassign", number, "--project", 2)
            self.assertEqual(list(map(int, self.server.runner(number)["project_ids"])), [1])
            last = self.run_words("unassign", number, "--project", 1, code=REFUSED)
            self.assertIn("runners delete ID", last.err)

    def test_register(self) -> None:
        for name in self.each():
            env = {"REGISTRATION": self.server.state()["groups"][0]["registration_token"]}
            words = ["--token-from", "env:REGISTRATION", "--description", "new", "--tag-list", "a,b"]
            if name != "8.5":
                words += ["--locked", "--run-untagged=false", "--maximum-timeout", "700", "--access-level", "ref_protected",
                          "--info", '{"name":"shell"}']
            if has(name, 15):
                words += ["--paused", "--maintenance-note", "n"]
            done = self.run_words("register", *words, "--token-to", self.path("token"), env=env, token=None)
            self.assertEqual(done.json["token"], "***")
            runner = self.server.runner(done.json["id"])
            with open(self.path("token"), encoding="ascii") as f:
                self.assertEqual(f.read(), runner["token"] + "\n")
            self.assertEqual(stat.S_IMODE(os.stat(self.path("token")).st_mode), 0o600)
            self.assertEqual((runner["description"], runner["tag_list"]), ("new", ["a", "b"]))
            if has(name, 15):
                self.assertEqual((runner["active"], runner["maintenance_note"]), (False, "n"))

    def test_create(self) -> None:
        for name in self.each(since=13):
            words = ["create", "--runner-type", "group_type", "--group-id", 1, "--description", "made", "--tag-list", "a,b"]
            result = self.run_words(*words, "--token-to", self.path("token"), token="create", code=None)
            if not has(name, 16):
                # A token for creating may not ask for the version.
                self.assertEqual(result.code, FAILED)
                self.assertIn("has no POST /user/runners: it came with GitLab 16.0; there a runner is made with a "
                              "registration token, by `runners register`", result.err)
                self.assertFalse(os.path.exists(self.path("token")))
                self.lacks(self.run_words(*words, "--show-token", code=None), "POST", "user/runners", name)
                continue
            runner = self.server.runner(result.json["id"])
            self.assertEqual((runner["description"], runner["tag_list"], runner["runner_type"]), ("made", ["a", "b"], "group_type"))
            with open(self.path("token"), encoding="ascii") as f:
                self.assertEqual(f.read().strip(), runner["token"])

    def test_verify(self) -> None:
        for name in self.each(since=13):
            runner = self.register()
            token = self.write("token", runner["token"])
            result = self.run_words("verify", "--token-from", "file:" + token, "--system-id", SYSTEM_ID, token=None)
            self.assertNotIn(runner["token"], result.out)
            if has(name, 16):
                self.assertEqual((result.json["id"], result.json["token"]), (runner["id"], "***"))
                self.assertEqual([m["system_id"] for m in self.server.runner(runner["id"])["managers"]], [SYSTEM_ID])
            self.write("token", "unknown-token-0123456789")
            dead = self.run_words("verify", "--token-from", "file:" + token, "--system-id", SYSTEM_ID, token=None, code=REFUSED)
            self.assertIn("403 Forbidden", dead.err)

    def test_verify_says_which_machine(self) -> None:
        runner = self.register()
        env = {"T": runner["token"]}
        self.run_words("verify", "--token-from", "env:T", env=env, token=None, code=None)
        self.assertNotIn("<legacy>", [manager["system_id"] for manager in self.server.runner(runner["id"])["managers"]])

    def test_delete_manager(self) -> None:
        for name in self.each(since=13):
            runner = self.register(managers=[{"system_id": SYSTEM_ID}])
            words = ["delete-manager", "--token-from", "env:T", "--system-id", SYSTEM_ID]
            result = self.run_words(*words, env={"T": runner["token"]}, token=None, code=None)
            if not has(name, 16):
                self.assertEqual(result.code, FAILED)
                self.assertIn("has no DELETE /runners/managers: it came with GitLab 16.0", result.err)
                self.assertIsNotNone(self.server.runner(runner["id"]))
                continue
            self.assertEqual(result.code, DONE)
            self.assertEqual(self.server.runner(runner["id"])["managers"], [])
            gone = self.run_words(*words, env={"T": runner["token"]}, token=None, code=FAILED)
            self.assertIn("no manager with that system id", gone.err)

    def test_reset_by_id(self) -> None:
        for name in self.each(since=13):
            runner = self.register()
            result = self.run_words("reset-token", runner["id"], "--token-to", self.path("t"), code=None)
            if not has(name, 15):
                self.lacks(result, "POST", "runners/:id/reset_authentication_token", name)
                self.assertFalse(os.path.exists(self.path("t")))
                continue
            self.assertEqual(result.code, DONE)
            with open(self.path("t"), encoding="ascii") as f:
                self.assertEqual(f.read().strip(), self.server.runner(runner["id"])["token"])
            self.assertNotEqual(self.server.runner(runner["id"])["token"], runner["token"])

    def test_reset_by_token(self) -> None:
        for name in self.each(since=13):
            runner = self.register()
            path = self.write("t", runner["token"])
            result = self.run_words("reset-token", "--token-from", "file:" + path, "--token-to", path, "--system-id", SYSTEM_ID,
                                    token=None, code=None)
            if not has(name, 15):
                self.assertEqual(result.code, FAILED)
                with open(path, encoding="ascii") as f:
                    self.assertEqual(f.read(), runner["token"])
                continue
            self.assertEqual(result.code, DONE)
            with open(path, encoding="ascii") as f:
                self.assertEqual(f.read().strip(), self.server.runner(runner["id"])["token"])

    def test_reset_registration_tokens(self) -> None:
        for name in self.each(since=13):
            for words in (["--instance"], ["--group", "acme"], ["--project", "acme/web"]):
                result = self.run_words("reset-registration-token", *words, "--show-token", code=None)
                if not has(name, 15):
                    self.assertEqual(result.code, FAILED)
                    self.assertIn("reset_registration_token: it came with GitLab 14.3", result.err)
                    continue
                state = self.server.state()
                known = {"--group": state["groups"][0], "--project": state["projects"][0]}.get(words[0])
                if known:
                    self.assertEqual(result.json, {"token": known["registration_token"]})
                else:
                    self.assertEqual(len(result.json["token"]) >= 20, True)

    def test_v3_on_a_modern_server(self) -> None:
        self.v3 = True
        self.assertIn("leave out --api-version v3", self.run_words("list", code=REFUSED).err)

    def test_unknown_fields_pass(self) -> None:
        body = '{"id":7,"token_expires_at":null,"future":{"a":[98.70,1e2,-0.0,123456789012345678901234567890]},"s":"\\u00e9\\/x"}'
        self.server.fault(operation="show", kind="status", status=200, body=body, headers={"Content-Type": "application/json"})
        self.assertEqual(self.run_words("show", 7).out, body + "\n")

    def test_empty_details(self) -> None:
        for body in ("{}", '{"id":null,"status":null,"tag_list":null,"projects":null,"created_at":7}'):
            for form in ("table", "json", "jsonl"):
                self.server.fault(operation="show", kind="status", status=200, body=body,
                                  headers={"Content-Type": "application/json"})
                self.run_words("show", 7, "-o", form)
        for body in ("[null]", "[1,[]]", '[{"id":"x"}]'):
            for form in ("table", "json", "jsonl"):
                self.server.fault(operation="list", kind="status", status=200, body=body,
                                  headers={"Content-Type": "application/json"})
                self.run_words("list", "-o", form)

    def test_answers_that_are_none(self) -> None:
        for kind in ("garble", "cut", "drop", "reset"):
            self.server.fault(operation="show", kind=kind, count=3)
            self.run_words("show", self.register()["id"], code=AGAIN)
            self.server.clear_faults()


if __name__ == "__main__":
    report.main("runners_calls.")
