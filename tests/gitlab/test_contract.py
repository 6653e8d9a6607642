#!/usr/bin/python3
"""The stand-in against GitLab's contract, release by release: the calls of runners, and creating them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import report  # noqa: E402
from contract_case import FORBIDDEN, NO_ACCESS, SYSTEM, V4, Case, at_least  # noqa: E402


class Register(Case):
    def test_by_release(self) -> None:
        formats = {"13": r"[\w-]{20}", "15": r"[\w-]{20}", "16": r"[\w-]{20}", "17": r"t3_[\w-]{20}",
                   "18": r"glrtr-[\w-]+\.01\.[0-9a-z]{9}", "newest": r"glrtr-[\w-]+\.01\.[0-9a-z]{9}"}
        for profile in self.each(*V4):
            body = self.registered()
            self.assertEqual(set(body), {"id", "token", "token_expires_at"} if profile != "13" else {"id", "token"})
            self.assertRegex(body["token"], f"^{formats[profile]}$")
            self.assertIsNone(body.get("token_expires_at"))

    def test_type_follows_from_token(self) -> None:
        for kind in ("instance", "group", "project"):
            body = self.get(f"/runners/{self.registered(kind)['id']}").json
            self.assertEqual(body["runner_type"], f"{kind}_type")
            self.assertEqual(body["is_shared"], kind == "instance")
            self.assertEqual([len(body["projects"]), len(body["groups"])], [kind == "project", kind == "group"])

    def test_encodings(self) -> None:
        token = self.gitlab.registration_tokens["group"]
        multipart = b"".join(b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % part for part in (
            (b"token", token.encode()), (b"description", b"x"), (b"tag_list[]", b"a"), (b"tag_list[]", b" b ,c"),
            (b"info[version]", b"16.1.0"), (b"run_untagged", b"false"), (b"maximum_timeout", b""))) + b"--B--\r\n"
        fields = {"token": token, "description": "x", "tag_list": "a, b,c", "run_untagged": "0", "maximum_timeout": ""}
        sent = {
            "json": self.post("/runners", {"token": token, "description": "x", "tag_list": ["a", " b ,c"],
                                           "run_untagged": False, "maximum_timeout": "", "nonsense": 1}),
            "form": self.post("/runners", form=fields),
            "query": self.post("/runners", query=fields),
            "multipart": self.post("/runners", raw=multipart, headers={"Content-Type": "multipart/form-data; boundary=B"}),
        }
        for name, reply in sent.items():
            with self.subTest(encoding=name):
                self.is_(reply, 201)
                body = self.get(f"/runners/{reply.json['id']}").json
                self.assertEqual((body["description"], body["tag_list"], body["run_untagged"], body["maximum_timeout"]),
                                 ("x", ["a", "b", "c"], False, None))

    def test_bad_bodies(self) -> None:
        self.assertIn("error", self.is_(self.post("/runners", raw=b"{", headers={"Content-Type": "application/json"}), 400).json)
        self.assertIn("error", self.is_(self.post("/runners", raw=b"<a/>", headers={"Content-Type": "application/xml"}), 415).json)

    def test_tag_list_of_another_type_is_empty(self) -> None:
        for value in (None, 7, {"a": 1}):
            self.assertEqual(self.get(f"/runners/{self.registered(tag_list=value)['id']}").json["tag_list"], [])

    def test_refused_tokens(self) -> None:
        for profile in self.each(*V4):
            words = "403 Forbidden" + (" - invalid token supplied" if at_least(profile, 16) else "")
            self.is_(self.post("/runners", {}), 400, {"error": "token is missing"})
            for token in ("", "nonsense"):
                self.is_(self.post("/runners", {"token": token}), 403, {"message": words})
            self.gitlab.settings(valid_runner_registrars=["group"])
            self.is_(self.post("/runners", {"token": self.gitlab.registration_tokens["project"]}), 403, {"message": words})

    def test_gone_before_the_token_is_looked_at(self) -> None:
        gone = {"message": "410 Gone - runner registration disallowed"}
        self.gitlab.settings(allow_runner_registration_token=False)
        for token in ("nonsense", self.gitlab.registration_tokens["instance"]):
            self.is_(self.post("/runners", {"token": token}), 410, gone)
        self.is_(self.post("/runners", {"token": ""}), 403)
        self.gitlab.reset()
        group = self.gitlab.seed(groups=[{"allow_runner_registration_token": False}])["groups"][0]
        project = self.gitlab.seed(projects=[{"group_id": group["id"]}])["projects"][0]
        for owner in (group, project):
            self.is_(self.post("/runners", {"token": owner["registration_token"]}), 410, gone)

    def test_parameters(self) -> None:
        token = self.gitlab.registration_tokens["project"]
        for given, words in (({"active": True, "paused": True}, "active, paused are mutually exclusive"),
                             ({"maintainer_note": "a", "maintenance_note": "b"},
                              "maintainer_note, maintenance_note are mutually exclusive"),
                             ({"access_level": "root"}, "access_level does not have a valid value"),
                             ({"maximum_timeout": "soon", "locked": "perhaps"}, "locked is invalid, maximum_timeout is invalid"),
                             ({"info": "text"}, "info is invalid")):
            self.is_(self.post("/runners", {"token": token, **given}), 400, {"error": words})
        self.assertEqual(self.gitlab.counts()["runners"], 0)

    def test_model(self) -> None:
        token = self.gitlab.registration_tokens["project"]
        for given, field, text in (({"description": "x" * 1025}, "description", "is too long (maximum is 1024 characters)"),
                                   ({"maintenance_note": "x" * 1025}, "maintenance_note", "is too long (maximum is 1024 characters)"),
                                   ({"info": {"name": "x" * 257}}, "name", "is too long (maximum is 256 characters)"),
                                   ({"run_untagged": False}, "tags_list", "can not be empty when runner is not allowed to pick untagged jobs"),
                                   ({"tag_list": [str(n) for n in range(51)]}, "tags_list", "Too many tags specified. Please limit the number of tags to 50"),
                                   ({"maximum_timeout": 599}, "maximum_timeout", "needs to be at least 10 minutes")):
            self.is_(self.post("/runners", {"token": token, **given}), 400, {"message": {field: [text]}})
        self.assertEqual(self.gitlab.counts()["runners"], 0)

    def test_plan_limit(self) -> None:
        self.gitlab.settings(max_project_runners=1)
        self.registered()
        self.is_(self.post("/runners", {"token": self.gitlab.registration_tokens["project"]}), 400,
                 {"message": {"runner_projects.base": ["Maximum number of ci registered project runners (1) exceeded"]}})
        self.gitlab.advance(days=100)
        self.registered()

    def test_every_call_makes_a_runner(self) -> None:
        self.assertNotEqual(self.registered()["id"], self.registered()["id"])

    def test_info_by_release(self) -> None:
        for profile in self.each("15", "16", "17"):
            number = self.registered(info={"name": "n", "version": "1.2", "platform": "linux"})["id"]
            body = self.get(f"/runners/{number}").json
            self.assertEqual((body["name"], body["version"]), ("n", None if profile == "17" else "1.2"))
            self.assertEqual(body["ip_address"], "" if profile == "17" else "127.0.0.1")


class Verify(Case):
    def test_body_by_release(self) -> None:
        for profile in self.each(*V4):
            runner = self.registered()
            reply = self.post("/runners/verify", {"token": runner["token"], "system_id": SYSTEM},
                              headers={"Accept": "application/json"})
            self.is_(reply, 200, runner if at_least(profile, 16) else "200")
            if not at_least(profile, 16):
                self.assertEqual(self.post("/runners/verify", {"token": runner["token"]}).body, b"200")

    def test_refusals(self) -> None:
        for _ in self.each(*V4):
            self.is_(self.post("/runners/verify", {}), 400, {"error": "token is missing"})
            self.is_(self.post("/runners/verify", {"token": "glrt-unknown"}), 403, FORBIDDEN)

    def test_manager(self) -> None:
        for _ in self.each("16", "17", "18", "newest"):
            runner = self.registered()
            self.post("/runners/verify", {"token": runner["token"], "system_id": SYSTEM,
                                          "info": {"version": "19.4.0", "platform": "linux"}})
            [manager] = self.gitlab.runner(runner["id"])["managers"]
            self.assertEqual((manager["system_id"], manager["version"]), (SYSTEM, "19.4.0"))
            self.post("/runners/verify", {"token": runner["token"]})
            managers = self.gitlab.runner(runner["id"])["managers"]
            self.assertEqual([manager["system_id"] for manager in managers], [SYSTEM, "<legacy>"])

    def test_details_are_kept_rarely(self) -> None:
        runner = self.registered()
        verify = {"token": runner["token"], "system_id": SYSTEM}

        def version() -> str | None:
            return self.gitlab.runner(runner["id"])["managers"][0]["version"]

        self.post("/runners/verify", verify)
        self.post("/runners/verify", {**verify, "info": {"version": "1"}})
        self.assertIsNone(version())
        self.gitlab.advance(minutes=56)
        self.post("/runners/verify", {**verify, "info": {"version": "1"}})
        self.assertEqual(version(), "1")

    def test_contact_of_created_runners(self) -> None:
        for profile in self.each("16", "17", "18", "newest"):
            runner = self.created()
            self.post("/runners/verify", {"token": runner["token"], "system_id": SYSTEM})
            contacted = self.gitlab.runner(runner["id"])["contacted_at"] is not None
            self.assertEqual(contacted, at_least(profile, 18))
            self.post("/jobs/request", {"token": runner["token"], "system_id": SYSTEM})
            self.assertIsNotNone(self.gitlab.runner(runner["id"])["contacted_at"])

    def test_orphan_in_17(self) -> None:
        for profile in self.each("16", "17", "newest"):
            runner = self.registered()
            self.gitlab.control("DELETE", "projects/1")
            self.assertEqual(self.post("/runners/verify", {"token": runner["token"]}).status, 422 if profile == "17" else 200)

    def test_plain_text(self) -> None:
        reply = self.post("/runners/verify", {"token": "x"}, headers={"Accept": "text/plain"})
        self.assertEqual((reply.status, reply.media_type, reply.body), (403, "text/plain", b"403 Forbidden"))

    def test_migrations_come_first(self) -> None:
        self.gitlab.settings(migration_backoff=True)
        for method, path in (("POST", "/runners"), ("POST", "/runners/verify"), ("DELETE", "/runners"),
                             ("DELETE", "/runners/managers"), ("POST", "/runners/reset_authentication_token")):
            reply = self.is_(self.call(method, path, {}), 429, {"message": "Executing database migrations. Please retry later."})
            self.assertEqual(reply.headers["retry-after"], "60")
        self.assertEqual(self.get("/runners").status, 200)


class Poll(Case):
    def test_a_poll_makes_the_manager_again(self) -> None:
        runner = self.created()
        poll = {"token": runner["token"], "system_id": SYSTEM, "info": {"version": "19.4.0"}}
        self.is_(self.post("/jobs/request", poll), 204)
        self.is_(self.call("DELETE", "/runners/managers", {"token": runner["token"], "system_id": SYSTEM}), 204)
        self.assertEqual(self.gitlab.runner(runner["id"])["managers"], [])
        self.is_(self.post("/jobs/request", poll), 204)
        self.assertEqual(len(self.gitlab.runner(runner["id"])["managers"]), 1)
        self.call("DELETE", "/runners", {"token": runner["token"]})
        self.is_(self.post("/jobs/request", poll), 403, FORBIDDEN)

    def test_limiter(self) -> None:
        self.gitlab.settings(runner_jobs_request_api_limit=1)
        poll = {"token": self.created()["token"], "system_id": SYSTEM}
        # On the minute's edge the two would fall into two windows.
        self.gitlab.set_clock("2030-01-01T00:00:10Z")
        self.is_(self.post("/jobs/request", poll), 204)
        self.is_(self.post("/jobs/request", poll), 429,
                 {"message": {"error": "This endpoint has been requested too many times. Try again later."}})


class Reset(Case):
    def test_old_token_dies_at_once(self) -> None:
        for profile in self.each("15", "16", "17", "18", "newest"):
            runner = self.registered()
            reply = self.is_(self.post("/runners/reset_authentication_token", {"token": runner["token"], "system_id": SYSTEM}), 201)
            self.assertEqual(set(reply.json), {"token", "token_expires_at"})
            self.is_(self.post("/runners/verify", {"token": runner["token"]}), 403, FORBIDDEN)
            self.is_(self.post("/runners/verify", {"token": reply.json["token"]}), 200)
            self.is_(self.post("/runners/reset_authentication_token", {"token": runner["token"]}), 403, FORBIDDEN)

    def test_not_in_13(self) -> None:
        self.gitlab.reset("13")
        self.is_(self.post("/runners/reset_authentication_token", {"token": self.registered()["token"]}), 405,
                 {"error": "405 Not Allowed"})

    def test_refusals(self) -> None:
        self.is_(self.post("/runners/reset_authentication_token", {}), 400, {"error": "token is missing"})

    def test_legacy_manager(self) -> None:
        runner = self.registered()
        self.post("/runners/reset_authentication_token", {"token": runner["token"]})
        self.assertEqual([m["system_id"] for m in self.gitlab.runner(runner["id"])["managers"]], ["<legacy>"])

    def test_expired_is_unknown(self) -> None:
        self.gitlab.settings(project_runner_token_expiration_interval=7200)
        runner = self.registered()
        self.assertRegex(runner["token_expires_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.gitlab.advance(seconds=7190)
        self.is_(self.post("/runners/verify", {"token": runner["token"]}), 200)
        self.gitlab.advance(seconds=20)
        for method, path in (("POST", "/runners/verify"), ("POST", "/runners/reset_authentication_token"),
                             ("DELETE", "/runners")):
            self.is_(self.call(method, path, {"token": runner["token"]}), 403, FORBIDDEN)
        # By id it still can be revived.
        reply = self.is_(self.post(f"/runners/{runner['id']}/reset_authentication_token", token="maintainer"), 201)
        self.is_(self.post("/runners/verify", {"token": reply.json["token"]}), 200)
        self.assertGreater(reply.json["token_expires_at"], runner["token_expires_at"])

    def test_smallest_interval_wins(self) -> None:
        self.gitlab.settings(group_runner_token_expiration_interval=90000, project_runner_token_expiration_interval=80000,
                             runner_token_expiration_interval=70000)
        group = self.gitlab.seed(groups=[{"runner_token_expiration_interval": 7200}])["groups"][0]
        project = self.gitlab.seed(projects=[{"group_id": group["id"]}])["projects"][0]
        now = self.gitlab.now()
        for token, interval in ((group["registration_token"], 7200), (project["registration_token"], 7200),
                                (self.gitlab.registration_tokens["group"], 90000),
                                (self.gitlab.registration_tokens["project"], 80000),
                                (self.gitlab.registration_tokens["instance"], 70000)):
            number = self.post("/runners", {"token": token}).json["id"]
            self.assertAlmostEqual(self.gitlab.runner(number)["token_expires_at"] - now, interval, delta=20)

    def test_format_changes_with_the_release(self) -> None:
        self.gitlab.reset("13")
        token = self.registered("instance")["token"]
        for profile, pattern in (("17", r"t1_[\w-]{20}"), ("newest", r"glrtr-[\w-]{20}")):
            self.gitlab.settings(profile=profile)
            token = self.post("/runners/reset_authentication_token", {"token": token}).json["token"]
            self.assertRegex(token, f"^{pattern}$")

    def test_null_body(self) -> None:
        number = self.created()["id"]
        reply = self.post(f"/runners/{number}/reset_authentication_token", raw=b"null", token="owner",
                          headers={"Content-Type": "application/json"})
        self.is_(reply, 201)

    def test_by_id_refusals(self) -> None:
        number = self.registered("group")["id"]
        path = f"/runners/{number}/reset_authentication_token"
        self.is_(self.post(path), 401, {"message": "401 Unauthorized"})
        self.is_(self.post(path, token="maintainer"), 403, NO_ACCESS)
        self.is_(self.post(path, token="owner"), 201)
        self.is_(self.post(path, token="manage"), 201)
        self.is_(self.post("/runners/99/reset_authentication_token", token="root"), 404, {"message": "404 Runner Not Found"})

    def test_rotation_deadline(self) -> None:
        runner = self.created()
        self.gitlab.change_runner(runner["id"], token_rotation_deadline=self.gitlab.now() + 60)
        reply = self.post("/runners/reset_authentication_token", {"token": runner["token"]})
        self.is_(reply, 201)
        self.gitlab.change_runner(runner["id"], token_rotation_deadline=self.gitlab.now() - 1)
        self.is_(self.post("/runners/reset_authentication_token", {"token": reply.json["token"]}), 403,
                 {"error": "Token rotation deadline has passed"})

    def test_orphan(self) -> None:
        runner = self.registered()
        self.gitlab.control("DELETE", "projects/1")
        self.is_(self.post("/runners/reset_authentication_token", {"token": runner["token"]}), 422,
                 {"error": "Runner needs to be assigned to at least one project"})


class Delete(Case):
    def test_runner(self) -> None:
        for _ in self.each(*V4):
            runner = self.registered()
            self.is_(self.call("DELETE", "/runners", {}), 400, {"error": "token is missing"})
            reply = self.is_(self.call("DELETE", "/runners", {"token": runner["token"]}), 204)
            self.assertEqual(reply.body, b"")
            self.is_(self.call("DELETE", "/runners", {"token": runner["token"]}), 403, FORBIDDEN)
            self.assertIsNone(self.gitlab.runner(runner["id"]))

    def test_by_query(self) -> None:
        self.is_(self.call("DELETE", "/runners", query={"token": self.registered()["token"]}), 204)

    def test_no_protection_of_many_projects(self) -> None:
        runner = self.gitlab.seed_runner(project_ids=[1, 2])
        self.is_(self.call("DELETE", "/runners", {"token": runner["token"]}), 204)

    def test_manager(self) -> None:
        for profile in self.each("16", "17", "18", "newest"):
            runner = self.registered()
            given = {"token": runner["token"], "system_id": SYSTEM}
            self.is_(self.call("DELETE", "/runners/managers", {}), 400, {"error": "token is missing, system_id is missing"})
            self.is_(self.call("DELETE", "/runners/managers", given), 404,
                     {"message": "404 Runner manager not found Not Found"})
            self.post("/runners/verify", given)
            self.is_(self.call("DELETE", "/runners/managers", given), 204)
            shown = self.gitlab.runner(runner["id"])
            self.assertEqual(shown["managers"], [])
            self.assertEqual(shown["contacted_at"] is not None, at_least(profile, 18))
            self.is_(self.call("DELETE", "/runners/managers", {**given, "token": "x"}), 403, FORBIDDEN)

    def test_manager_before_16(self) -> None:
        self.gitlab.reset("15")
        runner = self.registered()
        self.is_(self.call("DELETE", "/runners/managers", {"token": runner["token"], "system_id": SYSTEM}), 401)
        self.assertIsNotNone(self.gitlab.runner(runner["id"]))

    def test_unmodified_since(self) -> None:
        runner = self.registered()
        given = {"token": runner["token"], "system_id": SYSTEM}
        self.post("/runners/verify", given)
        old = {"If-Unmodified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"}
        for path, body in (("/runners/managers", given), ("/runners", given)):
            self.is_(self.call("DELETE", path, body, headers=old), 412, {"message": "412 Precondition Failed"})
        self.is_(self.call("DELETE", f"/runners/{runner['id']}", token="owner", headers=old), 412)
        self.is_(self.call("DELETE", "/runners/managers", given, headers={"If-Unmodified-Since": "nonsense"}), 204)
        self.is_(self.call("DELETE", "/runners", given, headers={"If-Unmodified-Since": "Sat, 01 Jan 2099 00:00:00 GMT"}), 204)


class Create(Case):
    def test_by_release(self) -> None:
        formats = {"16": r"glrt-[\w-]{20}", "17": r"glrt-t3_[\w-]{20}", "18": r"glrt-[\w-]+\.01\.[0-9a-z]{9}",
                   "newest": r"glrt-[\w-]+\.01\.[0-9a-z]{9}"}
        for profile in self.each(*V4):
            if not at_least(profile, 16):
                self.is_(self.post("/user/runners", {}, token="owner"), 404, {"error": "404 Not Found"})
                continue
            body = self.created()
            self.assertEqual(set(body), {"id", "token", "token_expires_at"})
            self.assertRegex(body["token"], f"^{formats[profile]}$")

    def test_attributes(self) -> None:
        number = self.created(description="d", maintenance_note="n", paused=True, locked=True, access_level="ref_protected",
                              run_untagged=False, tag_list=["a"], maximum_timeout=600)["id"]
        body = self.get(f"/runners/{number}").json
        shown = {key: body[key] for key in ("description", "maintenance_note", "paused", "active", "locked", "access_level",
                                            "run_untagged", "tag_list", "maximum_timeout", "status")}
        self.assertEqual(shown, {"description": "d", "maintenance_note": "n", "paused": True, "active": False,
                                 "locked": True, "access_level": "ref_protected", "run_untagged": False, "tag_list": ["a"],
                                 "maximum_timeout": 600, "status": "never_contacted"})
        self.assertEqual(body["created_by"]["username"], "owner")

    def test_active_is_ignored(self) -> None:
        self.assertTrue(self.get(f"/runners/{self.created(active=False)['id']}").json["active"])

    def test_parameters(self) -> None:
        for given, words in (({}, "runner_type is missing, runner_type does not have a valid value"),
                             ({"runner_type": "x"}, "runner_type does not have a valid value"),
                             ({"runner_type": "group_type"}, "group_id is missing"),
                             ({"runner_type": "project_type"}, "project_id is missing")):
            self.is_(self.post("/user/runners", given, token="owner"), 400, {"error": words})

    def test_model_in_one_sentence(self) -> None:
        for given, words in (({"run_untagged": False}, "Tags list can not be empty when runner is not allowed to pick untagged jobs"),
                             ({"project_id": 99}, "Missing/invalid project"),
                             ({"maximum_timeout": 5, "description": "x" * 2000},
                              "Description is too long (maximum is 1024 characters) and Maximum timeout needs to be at least 10 minutes")):
            reply = self.post("/user/runners", {"runner_type": "project_type", "project_id": 1, **given}, token="owner")
            self.is_(reply, 400, {"message": f"400 Bad request - {words}"})
        self.assertEqual(self.gitlab.counts()["runners"], 0)

    def test_who(self) -> None:
        refused = {"message": "403 Forbidden - Insufficient permissions"}
        instance, group = {"runner_type": "instance_type"}, {"runner_type": "group_type", "group_id": 1}
        project, hidden = {"runner_type": "project_type", "project_id": 1}, {"runner_type": "project_type", "project_id": 3}
        for body, allowed, denied in ((instance, ("root",), ("owner",)), (group, ("root", "owner", "create"), ("maintainer",)),
                                      (project, ("owner", "maintainer"), ("developer", "stranger")), (hidden, ("root",), ("owner",))):
            for token in allowed:
                self.is_(self.post("/user/runners", body, token=token), 201)
            for token in denied:
                self.is_(self.post("/user/runners", body, token=token), 403, refused)
        self.is_(self.post("/user/runners", project), 401, {"message": "401 Unauthorized"})
        self.assertEqual(self.is_(self.post("/user/runners", project, token="manage"), 403).json["scope"], "api create_runner")

    def test_instance_prefix(self) -> None:
        self.gitlab.settings(instance_token_prefix="acme")
        self.assertTrue(self.created()["token"].startswith("acme-glrt-"))
        self.assertTrue(self.registered()["token"].startswith("glrtr-"))

    def test_times(self) -> None:
        now = self.gitlab.now()

        def refused(words: str, **given: float) -> None:
            reply = self.post("/user/runners", {"runner_type": "project_type", "project_id": 1, **{
                key: self.iso(now + value) for key, value in given.items()}}, token="owner")
            self.assertEqual(reply.status, 400)
            self.assertRegex(reply.json["message"], words)

        refused("must be at least 5 minutes in the future", token_expires_at=200)
        refused("is too far in the future", token_expires_at=16 * 86400)
        refused("token_expires_at is required", token_rotation_deadline=600)
        refused("cannot be in the past", token_expires_at=600, token_rotation_deadline=-600)
        refused("must be less than or equal", token_expires_at=600, token_rotation_deadline=700)
        body = self.created(token_expires_at=self.iso(now + 600), token_rotation_deadline=self.iso(now + 600))
        self.assertEqual(body["token_expires_at"], self.iso(now + 600))
        reply = self.post("/runners/reset_authentication_token", {"token": body["token"]})
        self.assertIsNone(reply.json["token_expires_at"])

    @staticmethod
    def iso(moment: float) -> str:
        from representations import iso
        return str(iso(float(int(moment))))


class Formats(Case):
    def test_routable_checksum(self) -> None:
        import base64
        import zlib
        token = self.created()["token"]
        head, check = token[:-7], token[-7:]
        self.assertEqual(int(check, 36), zlib.crc32(head.encode()))
        body, version, length = head.split(".")
        encoded = body.removeprefix("glrt-")
        self.assertEqual((version, int(length, 36)), ("01", len(encoded)))
        raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        self.assertEqual(raw[16:16 + raw[-1]].decode().splitlines(), ["o:1", "p:1", "t:3", "u:2"])

    def test_every_format(self) -> None:
        patterns = {"hex30": r"[0-9a-f]{30}", "plain20": r"[\w-]{20}", "glrt20": r"glrt-[\w-]{20}", "glrt28": r"glrt-t1_[\w-]{20}",
                    "t23": r"t1_[\w-]{20}", "glrtr": r"glrtr-[\w-]{20}", "glrtr_t": r"glrtr-t1_[\w-]{20}",
                    "routable": r"glrtr-[\w-]{20,}\.01\.\w{9}", "prefixed": r"acme-glrt-[\w-]{20,}\.01\.\w{9}"}
        for name, pattern in patterns.items():
            token = self.gitlab.seed_runner(token_format=name)["token"]
            self.assertRegex(token, re.compile(f"^{pattern}$", re.ASCII))
            self.is_(self.post("/runners/verify", {"token": token}), 200)


if __name__ == "__main__":
    report.main("contract.")
