#!/usr/bin/python3
"""What `runners` must not do: show a token, send twice what acts twice, delete without being told to, send what was not
meant. And that every refusal ends with its exit code, GitLab's words and what to do."""
# tests: timeout=600

from __future__ import annotations

import os
import stat

from shell import AGAIN, CONFIG, DONE, FAILED, REFUSED, SYSTEM_ID, USAGE, Shell

import report

JSON = {"Content-Type": "application/json"}


class Usage(Shell):
    def test_nothing_is_sent(self) -> None:
        runner = self.server.seed_runner(project_id=1)
        mark = self.server.mark()
        for words in (["nothing"], ["list", "--nothing"], ["list", "7"], ["show"], ["show", "x"], ["show", "1", "2"], ["show", "0"],
                      ["update", "1"], ["update", "1", "--paused", "--active"], ["update", "1", "--locked=perhaps"],
                      ["update", "1", "--maximum-timeout", "long"], ["update", "1", "--access-level", "all"],
                      ["update", "1", "--description", "a", "--description", "b"], ["update", "1", "--description"],
                      ["list", "--all", "--group", "1"], ["list", "--group", "1", "--scope", "paused"], ["list", "--status", "ill"],
                      ["delete"], ["delete", "--token-from", "env:T", "1"], ["assign", "1"], ["register", "--show-token"],
                      ["register", "--token-from", "env:T"], ["reset-token", "1"], ["reset-registration-token", "--show-token"],
                      ["reset-registration-token", "--instance", "--group", "1", "--show-token"],
                      ["create", "--show-token"], ["create", "--runner-type", "my_type", "--show-token"],
                      ["create", "--runner-type", "instance_type"], ["delete-manager", "--token-from", "env:T"],
                      ["delete-manager", "--token-from", "env:T", "--system-id", ""],
                      ["delete-manager", "--token-from", "env:T", "--system-id", "x" * 65], ["verify"],
                      ["verify", "--token-from", "env:T", "--token-to", "x"], ["show", "1", "--api-version", "v5"],
                      ["list", "-o", "xml"], ["list", "--limit", "none"], ["pause"], ["pause", "1", "--description", "x"],
                      ["prune"], ["prune", "--offline-for", "soon"], ["prune", "--offline-for", "7d", "1"],
                      ["prune", "--offline-for", "7d", "--managers", "1"], ["list", "--group", ".."]):
            with self.subTest(words=words):
                result = self.run_words(*words, code=USAGE, env={"T": runner["token"]})
                self.assertIn("--help`", result.err)
                self.assertEqual(result.out, "")
        self.assertEqual(self.server.mark(), mark)
        self.assertFalse(os.path.exists("x"))

    def test_a_token_in_the_wrong_place_is_not_echoed(self) -> None:
        token = "glpat-" + "S3cret" * 4
        for words in (["show", token], ["list", "--" + token], ["list", "--access-token", token], ["list", "--access-token=" + token],
                      ["verify", "--token-from", token], [token], ["list", token], ["list", "--limit", token], ["list", "--status", token],
                      ["update", "1", "--paused=" + token], ["list", "--url", "https://x:" + token + "@h/"],
                      ["list", "-o", token], ["list", "--group", "1", "--type", token], ["register", "--token-from", "token:" + token]):
            result = self.run_words(*words, code=USAGE, raw="--url" in words)
            self.assertNotIn("S3cret", result.out + result.err, words)

    def test_help_needs_nothing(self) -> None:
        whole = self.run_words("--help", raw=True, token=None).out
        described = self.run_words("--describe", raw=True, token=None).out
        names = [line.split("\t")[1] for line in described.splitlines() if line.startswith("command\t")]
        self.assertEqual(len(names), 18)
        for name in names:
            self.assertIn(f"\n  {name} ", whole)
            text = self.run_words(name, "--help", raw=True, token=None).out
            for line in described.splitlines():
                fields = line.split("\t")
                if fields[:2] == ["option", name]:
                    self.assertIn("--" + fields[2], text)
                elif fields[:2] == ["row", name]:
                    self.assertIn(f"{fields[2]} /{fields[3]}", text)

    def test_where_gitlab_is(self) -> None:
        self.assertIn("--url", self.run_words("list", raw=True, code=USAGE).err)
        self.run_words("list", raw=True, env={"CI_SERVER_URL": self.server.url})
        self.run_words("list", url="http://gitlab.example.com", code=USAGE)
        self.run_words("list", url="gitlab.example.com", code=USAGE)
        self.run_words("list", url="ftp://x", code=USAGE)


class Secrets(Shell):
    options = {"tls": True}

    def test_sources(self) -> None:
        path = self.write("token", self.server.tokens["root"] + "\n")
        for source in ("file:" + path, "env:OTHER", f"exec:/bin/cat '{path}'", "credential:token"):
            self.run_words("list", "--access-token", source, token=None,
                           env={"OTHER": self.server.tokens["root"], "CREDENTIALS_DIRECTORY": str(self.folder)})

    def test_sources_that_fail(self) -> None:
        readable = self.write("readable", self.server.tokens["root"])
        os.chmod(readable, 0o644)
        for source in ("file:/nonexistent", "env:NONE", "exec:/bin/false", "credential:none", "file:" + readable,
                       "file:" + self.write("empty", ""), "file:" + self.write("two", "a b\n")):
            with self.subTest(source=source):
                result = self.run_words("list", "--access-token", source, token=None, code=CONFIG)
                self.assertNotEqual(result.err, "")
        self.assertIn("--access-token", self.run_words("list", token=None, code=CONFIG).err)
        self.assertEqual(self.server.mark(), 0)

    def test_tls_is_verified(self) -> None:
        result = self.run_words("list", "--url", self.server.url, raw=True, code=FAILED)
        self.assertIn("certificate", result.err)

    def test_the_configuration_tells_where_and_how(self) -> None:
        import subprocess
        from shell import PROGRAM
        token = self.write("token", self.server.tokens["root"])
        config = self.write("config.ini", f"""[runner one]
url = {self.server.url}
access_token = file:{token}
runner_type = instance_type
executor = shell
tls_ca_file = {self.server.ca_file}
""")
        done = subprocess.run([PROGRAM, "-c", config, "runners", "list"], capture_output=True, text=True,
                              env=self.environment("root", {}), check=False)
        self.assertEqual((done.returncode, done.stdout), (DONE, "[]\n"), done.stderr)
        broken = self.write("broken.ini", "[runner one]\nurl = https://x\nnonsense = 1\n")
        done = subprocess.run([PROGRAM, "-c", broken, "runners", "list"], capture_output=True, text=True,
                              env=self.environment("root", {}), check=False)
        self.assertEqual(done.returncode, CONFIG)
        self.assertIn("nonsense", done.stderr)

    def test_tokens_travel_in_headers_and_bodies_only(self) -> None:
        runner = self.server.seed_runner(project_id=1, token_format="plain20")
        mark = self.server.mark()
        self.run_words("list", "--all", "--limit", 1)
        self.run_words("verify", "--token-from", "env:T", "--system-id", SYSTEM_ID, env={"T": runner["token"]})
        self.run_words("delete", "--token-from", "env:T", env={"T": runner["token"]})
        for entry in self.server.log(since=mark):
            for secret in (*self.secrets(), runner["token"]):
                self.assertNotIn(secret, entry["target"])
        self.assertEqual([entry["operation"] for entry in self.server.log(since=mark)], ["list_all", "verify", "delete"])


class TokenFiles(Shell):
    def create(self, path: str, **more):
        return self.run_words("create", "--runner-type", "instance_type", "--token-to", path, **more)

    def test_proved_before_anything_is_sent(self) -> None:
        self.write("file", "")
        os.mkdir(self.path("folder"))
        os.mkdir(self.path("fifo-here"))
        os.mkfifo(self.path("fifo"))
        for path in ("/nonexistent/token", self.path("folder"), self.path("folder") + "/", self.path("file") + "/x", self.path("fifo"),
                     "/dev/full", "/proc/token"):
            with self.subTest(path=path):
                self.assertIn("Failed", self.create(path, code=FAILED).err)
        self.assertEqual(self.server.counts()["runners"], 0)

    def test_what_is_there_is_replaced_only_by_a_token(self) -> None:
        path = self.write("token", "old\n", 0o644)
        self.server.fault(operation="create", kind="html", status=502)
        self.create(path, code=AGAIN)
        with open(path, encoding="ascii") as f:
            self.assertEqual(f.read(), "old\n")
        self.assertEqual(os.listdir(self.folder), ["token"])
        done = self.create(path)
        with open(path, encoding="ascii") as f:
            self.assertEqual(f.read(), self.server.runner(done.json["id"])["token"] + "\n")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(os.listdir(self.folder), ["token"])

    def test_a_link_keeps_pointing(self) -> None:
        os.mkdir(self.path("real"))
        self.write("real/token", "old\n")
        os.symlink("real/token", self.path("link"))
        self.create(self.path("link"))
        self.assertTrue(os.path.islink(self.path("link")))
        with open(self.path("real/token"), encoding="ascii") as f:
            self.assertTrue(f.read().startswith("glrt-"))

    def test_long_tokens(self) -> None:
        token = "my-company-glrt-" + "x" * 300 + ".01.a"
        self.server.fault(operation="create", kind="status", status=201, headers=JSON, body='{"id":1,"token":"%s"}' % token)
        self.create(self.path("token"))
        with open(self.path("token"), encoding="ascii") as f:
            self.assertEqual(f.read(), token + "\n")


class Once(Shell):
    def test_no_second_try_of_what_acts_twice(self) -> None:
        runner = self.server.seed_runner(project_ids=[1])
        env = {"R": self.server.registration_tokens["project"], "T": runner["token"]}
        for operation, words in (
                ("register", ["register", "--token-from", "env:R", "--show-token"]),
                ("create", ["create", "--runner-type", "instance_type", "--show-token"]),
                ("reset", ["reset-token", "--token-from", "env:T", "--show-token", "--system-id", SYSTEM_ID]),
                ("reset_by_id", ["reset-token", runner["id"], "--show-token"]),
                ("reset_registration_token", ["reset-registration-token", "--instance", "--show-token"]),
                ("assign", ["assign", runner["id"], "--project", 2])):
            for kind, rule in (("act_then_drop", {}), ("act_then_reset", {}), ("html", {"status": 502}), ("garble", {}), ("cut", {}),
                               ("status", {"status": 429, "body": "Retry later\n", "headers": {"Retry-After": "1"}})):
                with self.subTest(operation=operation, kind=kind):
                    self.server.clear_faults()
                    self.server.fault(operation=operation, kind=kind, count=None, **rule)
                    mark = self.server.mark()
                    result = self.run_words(*words, env=env, code=AGAIN)
                    self.assertEqual(self.server.count(since=mark, operation=operation), 1)
                    if kind == "act_then_drop":
                        self.assertIn("look before you try again", result.err)

    def test_what_may_be_repeated_is(self) -> None:
        runner = self.server.seed_runner(project_id=1)
        for operation, words in (("show", ["show", runner["id"]]), ("update", ["update", runner["id"], "--description", "x"]),
                                 ("list", ["list"]), ("jobs", ["jobs", runner["id"]])):
            for fault in ({"kind": "drop"}, {"kind": "html", "status": 502}, {"kind": "cut"}):
                self.server.fault(operation=operation, **fault)
                self.run_words(*words)

    def test_a_delete_whose_answer_was_lost_is_done(self) -> None:
        for words, env in ((["delete", 1, "--yes"], {}), (["delete", "--token-from", "env:T", "--yes"], {})):
            self.server.reset()
            runner = self.server.seed_runner(project_id=1)
            self.server.fault(method="DELETE", path="runners", kind="act_then_drop")
            self.run_words(*words, env={"T": runner["token"], **env})
            self.assertIsNone(self.server.runner(1))

    def test_down(self) -> None:
        self.server.down()
        try:
            self.assertIn("connection refused", self.run_words("list", code=AGAIN).err)
        finally:
            self.server.up()


class Confirm(Shell):
    def gone(self, *numbers: int) -> list[bool]:
        return [self.server.runner(number) is None for number in numbers]

    def test_several(self) -> None:
        self.server.seed(runners=[{"project_id": 1, "count": 3}])
        self.assertIn("--yes", self.run_words("delete", 1, 2, code=USAGE).err)
        self.assertEqual(self.gone(1, 2, 3), [False] * 3)
        self.run_words("delete", 1, 2, "--yes")
        self.assertEqual(self.gone(1, 2, 3), [True, True, False])
        # One that is not there does not save the others, and is told.
        self.run_words("delete", 1, 3, "--yes", code=FAILED)
        self.assertEqual(self.gone(3), [True])

    def test_instance_runner(self) -> None:
        self.server.seed(runners=[{}])
        self.assertIn("instance runner", self.run_words("delete", 1, code=USAGE).err)
        self.assertEqual(self.gone(1), [False])
        self.assertIn("Nothing was deleted", self.on_terminal("delete", 1, answer="n\n", code=FAILED))
        self.assertEqual(self.gone(1), [False])
        self.assertIn("Deleted runner 1", self.on_terminal("delete", 1, answer="y\n"))
        self.assertEqual(self.gone(1), [True])

    def test_live_managers(self) -> None:
        now = self.server.now()
        self.server.seed(runners=[{"project_id": 1, "managers": [{"contacted_at": now - 60}]},
                                  {"project_id": 1, "managers": [{"contacted_at": now - 3 * 3600}]}])
        self.assertIn("1 other live manager", self.run_words("delete", 1, code=USAGE).err)
        self.run_words("delete", 2)
        self.assertEqual(self.gone(1, 2), [False, True])

    def test_tokens_of_several_machines(self) -> None:
        shared = self.server.seed_runner(group_id=1, created=True)
        words = ["delete", "--token-from", "env:T"]
        self.assertIn("delete-manager", self.run_words(*words, env={"T": shared["token"]}, code=USAGE).err)
        self.run_words(*words, "--yes", env={"T": shared["token"]})
        self.assertEqual(self.gone(shared["id"]), [True])

    def test_dry_run(self) -> None:
        runner = self.server.seed_runner(project_id=1)
        mark = self.server.mark()
        for words, expected in (
                (["delete", 1, 2], f"DELETE {self.server.api}/runners/1\n"),
                (["update", 1, "--paused", "--tag-list", "a,b"], '{"paused":true,"tag_list":["a","b"]}'),
                (["register", "--token-from", "env:T", "--token-to", self.path("t")], '"token":"***"'),
                (["list", "--group", "acme/sub", "--status", "stale"], f"GET {self.server.api}/groups/acme%2Fsub/runners?status=stale&"),
                (["reset-token", 1, "--show-token"], "/runners/1/reset_authentication_token")):
            # Not even the secrets are read.
            shown = self.run_words(*words, "--dry-run", env={"T": runner["token"]})
            self.assertIn(expected, shown.out)
            self.assertNotIn(runner["token"], shown.out)
            self.run_words(*words, "--dry-run", token=None, env={})
        self.assertEqual(self.server.mark(), mark)
        self.assertEqual(os.listdir(self.folder), [])


class Refusals(Shell):
    def test_each_has_its_code_and_advice(self) -> None:
        server = self.server
        server.seed(runners=[{}, {"group_id": 1}, {"project_ids": [1, 2]}, {"project_id": 1, "locked": True},
                             {"project_id": 1, "token_expires_at": server.now() + 8000}])
        cases = (
            ("stranger", ["list", "--all"], REFUSED, "403 Forbidden", "admin_mode"),
            ("stranger", ["show", 3], REFUSED, "No access granted", "Maintainer"),
            ("nonsense", ["list"], REFUSED, "401 Unauthorized", "--access-token"),
            ("expired", ["list"], REFUSED, "Token is expired", "new access token"),
            ("revoked", ["list"], REFUSED, "revoked", "new access token"),
            ("create", ["list"], REFUSED, "higher privileges", "api read_api"),
            ("manage", ["list"], REFUSED, "higher privileges", "scopes: "),
            ("read", ["delete", 2, "--yes"], REFUSED, "higher privileges", "manage_runner"),
            ("maintainer", ["delete", 3, "--yes"], REFUSED, "more than one project", "unassign"),
            ("maintainer", ["assign", 4, "--project", 2], REFUSED, "locked", "--locked=false"),
            ("root", ["assign", 2, "--project", 1], REFUSED, "group runner", "all projects of its group"),
            ("owner", ["update", 1, "--paused"], REFUSED, "No access granted", "administrator"),
            ("root", ["show", 99], FAILED, "404", "no such runner"),
            ("root", ["list", "--project", "no/such"], FAILED, "404 Project Not Found", "no such project"),
            ("root", ["list", "--group", "no/such"], FAILED, "404 Group Not Found", "no such group"),
            ("root", ["unassign", 2, "--project", 1], FAILED, "404", "not assigned"),
            ("root", ["update", 4, "--maximum-timeout", 5], FAILED, "maximum_timeout: needs to be at least 10 minutes", ""),
            ("root", ["update", 4, "--run-untagged=false"], FAILED, "tags_list: can not be empty", ""),
            ("root", ["update", 4, "--description", "x" * 1025], FAILED, "too long", ""),
            ("root", ["assign", 4, "--project", 1], FAILED, "already been taken", ""),
            ("stranger", ["create", "--runner-type", "group_type", "--group-id", 1, "--show-token"], REFUSED, "Insufficient permissions", "Owner"),
            ("root", ["create", "--runner-type", "group_type", "--show-token"], FAILED, "group_id is missing", ""),
            ("root", ["create", "--runner-type", "group_type", "--group-id", 99, "--show-token"], FAILED, "Missing/invalid group", ""),
            ("developer", ["reset-registration-token", "--group", 1, "--show-token"], REFUSED, "403 Forbidden", "role"),
        )
        for token, words, code, theirs, advice in cases:
            with self.subTest(words=words, token=token):
                result = self.run_words(*words, token=token, code=code)
                self.assertIn(theirs, result.err)
                self.assertIn(advice, result.err)
                self.assertIn("(HTTP ", result.err)
                self.assertEqual(result.out, "")

    def test_admin_mode(self) -> None:
        self.server.settings(admin_mode=True)
        self.assertIn("admin_mode", self.run_words("list", "--all", token="nomode", code=REFUSED).err)
        self.run_words("list", "--all")

    def test_registration_tokens(self) -> None:
        words = ["register", "--token-from", "env:T", "--show-token"]
        unknown = self.run_words(*words, env={"T": "GR1348941nonsense"}, code=REFUSED)
        self.assertIn("no registration token", unknown.err)
        self.server.settings(allow_runner_registration_token=False)
        gone = self.run_words(*words, env={"T": self.server.registration_tokens["instance"]}, code=REFUSED)
        self.assertIn("410 Gone - runner registration disallowed", gone.err)
        self.assertIn("runners create", gone.err)
        self.assertIn("disabled", self.run_words("reset-registration-token", "--instance", "--show-token", code=REFUSED).err)

    def test_rotation_deadline(self) -> None:
        now = self.server.now()
        runner = self.server.seed_runner(project_id=1, token_expires_at=now + 1000, token_rotation_deadline=now - 1)
        for words in (["reset-token", runner["id"]], ["reset-token", "--token-from", "env:T", "--system-id", SYSTEM_ID]):
            late = self.run_words(*words, "--show-token", env={"T": runner["token"]}, code=REFUSED)
            self.assertIn("Token rotation deadline has passed", late.err)
            self.assertIn("new runner", late.err)

    def test_expired_runner_token(self) -> None:
        runner = self.server.seed_runner(project_id=1, token_expires_at=self.server.now() - 1)
        refused = self.run_words("reset-token", "--token-from", "env:T", "--show-token", "--system-id", SYSTEM_ID,
                                 env={"T": runner["token"]}, code=REFUSED)
        self.assertIn("reset-token ID", refused.err)
        self.run_words("reset-token", runner["id"], "--show-token")

    def test_read_only(self) -> None:
        self.server.seed(runners=[{"project_id": 1}])
        self.server.settings(read_only=True)
        self.assertIn("try later", self.run_words("pause", 1, code=AGAIN).err)
        self.run_words("show", 1)
        self.server.settings(read_only="organization")
        self.assertIn("come back in 1min", self.run_words("pause", 1, code=AGAIN).err)

    def test_migrations(self) -> None:
        self.server.settings(migration_backoff=True)
        waiting = self.run_words("verify", "--token-from", "env:T", "--system-id", SYSTEM_ID, env={"T": "x0123456789"}, code=AGAIN)
        self.assertIn("come back in 1min", waiting.err)

    def test_every_shape(self) -> None:
        for status, body, headers, code, expected in (
                (400, '{"error":"id is invalid"}', JSON, FAILED, "id is invalid"),
                (400, '{"message":{"a":["x","y"],"b":["z"]}}', JSON, FAILED, "a: x; y, b: z"),
                (400, '{"message":"400 Bad request - no"}', JSON, FAILED, "400 Bad request - no"),
                (429, '{"message":{"error":"too often"}}', JSON, AGAIN, "too often"),
                (429, "Retry later\n", {}, AGAIN, "Retry later"),
                (401, '{"error":"invalid_token","error_description":"gone"}', JSON, REFUSED, "gone"),
                (403, "<html>", {"Content-Type": "text/html"}, AGAIN, "HTTP 403"),
                (404, "<html>", {"Content-Type": "text/html"}, AGAIN, "HTTP 404"),
                (412, '{"message":"412 Precondition Failed"}', JSON, FAILED, "412"),
                (418, "", {}, AGAIN, "418"),
                (500, '{"message":"500 Internal Server Error"}', JSON, AGAIN, "500"),
                (400, '{"message":"evil \\u001b[31m glpat-abcdefghij0123456789"}', JSON, FAILED, "evil [31m ***"),
                (200, "[]", JSON, AGAIN, "without what belongs to it"),
                (200, '{"id":1', JSON, AGAIN, "without what belongs to it")):
            with self.subTest(status=status, body=body):
                self.server.clear_faults()
                self.server.fault(operation="show", kind="status", status=status, body=body, headers=headers, count=3)
                self.assertIn(expected, self.run_words("show", 1, code=code).err)

    def test_redirect(self) -> None:
        self.server.fault(operation="show", kind="redirect", location="https://elsewhere.example.com/api/v4/runners/1")
        self.assertIn("set url to 'https://elsewhere.example.com'", self.run_words("show", 1, code=FAILED).err)


if __name__ == "__main__":
    report.main("runners_safety.")
