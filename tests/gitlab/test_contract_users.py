#!/usr/bin/python3
"""The stand-in against GitLab's contract, release by release: the calls of users."""

from __future__ import annotations

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import report  # noqa: E402
from contract_case import NO_ACCESS, V4, Case, at_least  # noqa: E402

UNAUTHORIZED = {"message": "401 Unauthorized"}
FORBIDDEN = {"message": "403 Forbidden"}


class Access(Case):
    def test_who_is_asking(self) -> None:
        self.is_(self.call("GET", "/runners"), 401, UNAUTHORIZED)
        self.is_(self.get("/runners", token="glpat-unknown"), 401, UNAUTHORIZED)
        self.assertEqual(self.is_(self.get("/runners", token="expired"), 401).json["error_description"],
                         "Token is expired. You can either do re-authorization or token refresh.")
        self.assertEqual(self.is_(self.get("/runners", token="revoked"), 401).json["error"], "invalid_token")
        bearer = {"Authorization": f"Bearer {self.gitlab.tokens['owner']}"}
        self.is_(self.call("GET", "/runners", headers=bearer), 200)
        self.is_(self.call("GET", "/runners", query={"private_token": self.gitlab.tokens["owner"]}), 200)

    def test_scopes(self) -> None:
        number = self.gitlab.seed_runner(project_id=1)["id"]
        refused = {"error": "insufficient_scope",
                   "error_description": "The request requires higher privileges than provided by the access token."}
        for method, path, scopes in (("GET", "/runners", "api read_api"), ("GET", f"/runners/{number}", "api read_api manage_runner"),
                                     ("PUT", f"/runners/{number}", "api manage_runner"), ("GET", "/projects/1/runners", "api read_api"),
                                     ("POST", "/user/runners", "api create_runner"), ("POST", "/projects/1/runners", "api")):
            for token, scope in (("read", "read_api"), ("manage", "manage_runner"), ("create", "create_runner")):
                reply = self.call(method, path, {}, token=token)
                if scope in scopes.split():
                    self.assertNotEqual(reply.status, 403, (method, path, token))
                else:
                    self.is_(reply, 403, {**refused, "scope": scopes})

    def test_manage_runner_came_late(self) -> None:
        for profile in self.each("16", "17"):
            number = self.gitlab.seed_runner(project_id=1)["id"]
            self.assertEqual(self.get(f"/runners/{number}", token="manage").status, 200 if profile == "17" else 403)

    def test_admin_mode(self) -> None:
        self.is_(self.get("/runners/all", token="nomode"), 200)
        self.gitlab.settings(admin_mode=True)
        self.is_(self.get("/runners/all", token="nomode"), 403, FORBIDDEN)
        self.is_(self.get("/runners/all", token="root"), 200)

    def test_unknown_routes(self) -> None:
        self.is_(self.get("/nonsense"), 404, {"error": "404 Not Found"})
        self.is_(self.call("PATCH", "/runners", {}), 405, {"error": "405 Not Allowed"})
        self.is_(self.get("//api/v3/runners"), 410, {"error": "API V3 is no longer supported. Use API V4 instead."})


class Lists(Case):
    def test_own(self) -> None:
        instance, group, project, hidden = (self.gitlab.seed_runner(**place)["id"] for place in
                                            ({}, {"group_id": 1}, {"project_id": 1}, {"project_id": 3}))
        for _ in self.each_kept(*V4):
            self.assertEqual(self.ids(self.get("/runners", token="owner")), [group, project])
            self.assertEqual(self.ids(self.get("/runners", token="maintainer")), [project])
            self.assertEqual(self.ids(self.get("/runners", token="stranger")), [])
            self.assertEqual(self.ids(self.get("/runners/all")), [instance, group, project, hidden])
            self.is_(self.get("/runners/all", token="owner"), 403, FORBIDDEN)

    def each_kept(self, *profiles: str):
        """Each release in turn, with the same data."""
        for profile in profiles:
            with self.subTest(profile=profile):
                self.gitlab.settings(profile=profile)
                yield profile

    def test_auditor(self) -> None:
        for profile in self.each("17", "newest"):
            self.assertEqual(self.get("/runners/all", token="auditor").status, 200 if profile == "newest" else 403)

    def test_filters(self) -> None:
        now = self.gitlab.now()
        hour, day = 3600, 86400
        rows = [
            {"contacted_at": now, "tag_list": ["a", "b"], "managers": [{"version": "16.1.0"}]},
            {"contacted_at": now - 3 * hour, "tag_list": ["a"], "paused": True, "managers": [{"version": "15.0.3"}]},
            {"contacted_at": now - 9 * day, "created_at": now - 20 * day, "group_id": 1, "managers": [{"version": "1.6.0"}]},
            {"project_id": 1},
            {"project_id": 1, "created_at": now - 20 * day},
        ]
        self.gitlab.seed(runners=rows)
        for query, wanted in (("type=instance_type", [1, 2]), ("type=project_type", [4, 5]), ("status=online", [1]),
                              ("status=offline", [2, 3]), ("status=stale", [3, 5]), ("status=never_contacted", [4, 5]),
                              ("status=paused", [2]), ("status=active", [1, 3, 4, 5]), ("paused=true", [2]),
                              ("paused=false", [1, 3, 4, 5]), ("tag_list=a", [1, 2]), ("tag_list=a,b", [1]),
                              ("tag_list[]=b&tag_list[]=a", [1]), ("version_prefix=16", [1]), ("version_prefix=1", [3]),
                              ("version_prefix=15.0", [2]), ("version_prefix=15.0.3", [2]), ("scope=shared", [1, 2]),
                              ("scope=specific", [3, 4, 5]), ("scope=group_type", [3]), ("scope=stale", [3, 5]),
                              ("type=instance_type&paused=true", [2]), ("search=x", [1, 2, 3, 4, 5])):
            with self.subTest(query=query):
                self.assertEqual(self.ids(self.get(f"/runners/all?{query}")), wanted)
        shown = {row["id"]: (row["status"], row["online"]) for row in self.get("/runners/all").json}
        self.assertEqual(shown, {1: ("online", True), 2: ("paused", False), 3: ("stale", False),
                                 4: ("never_contacted", None), 5: ("stale", None)})

    def test_bad_filters(self) -> None:
        for query, words in (("scope=x", "scope does not have a valid value"), ("type=x", "type does not have a valid value"),
                             ("status=x", "status does not have a valid value"), ("version_prefix=v1", "version_prefix is invalid"),
                             ("paused=perhaps", "paused is invalid"), ("page=x", "page is invalid"),
                             ("per_page=0", "per_page does not have a valid value"), ("page=-1", "page does not have a valid value")):
            self.is_(self.get(f"/runners?{query}"), 400, {"error": words})
        # A word that validation lets through, but this list does not honour.
        self.is_(self.get("/runners?scope=shared"), 400, {"message": "Scope contains invalid value"})
        self.is_(self.get("/runners/all?scope=shared"), 200)

    def test_old_statuses(self) -> None:
        self.gitlab.seed_runner()
        self.gitlab.settings(profile="13")
        self.is_(self.get("/runners/all?status=stale"), 400)
        self.assertEqual(self.get("/runners/all").json[0]["status"], "not_connected")

    def test_fields_by_release(self) -> None:
        self.gitlab.seed_runner(creator_id=1)
        base = {"id", "description", "active", "is_shared", "name", "ip_address", "runner_type", "online", "status"}
        newer = base | {"paused"}
        fields = {"13": base, "15": newer, "16": newer, "17": newer}
        for profile in self.each_kept(*V4):
            self.assertEqual(set(self.get("/runners/all").json[0]),
                             fields.get(profile, newer | {"created_by", "created_at", "job_execution_status"}))

    def test_pages(self) -> None:
        self.gitlab.seed(runners=[{"count": 250}])
        reply = self.get("/runners/all?per_page=500&paused=false")
        names = ("x-per-page", "x-page", "x-next-page", "x-prev-page", "x-total", "x-total-pages")
        self.assertEqual([reply.headers[name] for name in names], ["100", "1", "2", "", "250", "3"])
        base = "http://gitlab.example.com/api/v4/runners/all?"
        self.assertEqual(reply.headers["link"], f'<{base}page=2&paused=false&per_page=100>; rel="next", '
                         f'<{base}page=1&paused=false&per_page=100>; rel="first", <{base}page=3&paused=false&per_page=100>; rel="last"')
        last = self.get("/runners/all?per_page=100&page=3")
        self.assertEqual((last.headers["x-next-page"], last.headers["x-prev-page"], len(last.json)), ("", "2", 50))
        self.assertEqual(len(self.get("/runners/all").json), 20)
        beyond = self.get("/runners/all?page=99")
        self.assertEqual((beyond.json, beyond.headers["x-next-page"]), ([], ""))
        empty = self.get("/runners")
        self.assertEqual((empty.headers["x-total"], empty.headers["x-total-pages"]), ("0", "1"))

    def test_beyond_ten_thousand_there_are_no_totals(self) -> None:
        self.gitlab.seed(runners=[{"count": 10_001, "token_format": "hex30"}])
        reply = self.get("/runners/all?per_page=100")
        self.assertNotIn("x-total", reply.headers)
        self.assertNotIn("x-total-pages", reply.headers)
        self.assertNotIn('rel="last"', reply.headers["link"])
        self.assertEqual(reply.headers["x-next-page"], "2")

    def test_project(self) -> None:
        self.gitlab.seed(runners=[{}, {"group_id": 1}, {"group_id": 2}, {"project_id": 1}, {"project_id": 2}])
        self.assertEqual(self.ids(self.get("/projects/1/runners", token="maintainer")), [1, 2, 4])
        self.assertEqual(self.ids(self.get("/projects/acme%2Fsub%2Fapi/runners", token="maintainer")), [1, 2, 3, 5])
        self.assertEqual(self.ids(self.get("/projects/1/runners?scope=specific", token="maintainer")), [2, 4])
        self.is_(self.get("/projects/1/runners", token="developer"), 403, FORBIDDEN)
        self.is_(self.get("/projects/3/runners", token="owner"), 404, {"message": "404 Project Not Found"})
        self.is_(self.get("/projects/1/runners/all", token="owner"), 405)

    def test_group(self) -> None:
        self.gitlab.seed(runners=[{}, {"group_id": 1}, {"group_id": 2}, {"project_id": 1}])
        self.assertEqual(self.ids(self.get("/groups/1/runners", token="maintainer")), [1, 2])
        self.assertEqual(self.ids(self.get("/groups/acme%2Fsub/runners?scope=nonsense", token="maintainer")), [1, 2, 3])
        self.assertEqual(self.ids(self.get("/groups/1/runners?type=project_type", token="maintainer")), [])
        self.is_(self.get("/groups/1/runners", token="developer"), 403, FORBIDDEN)
        self.is_(self.get("/groups/3/runners", token="owner"), 404, {"message": "404 Group Not Found"})

    def test_moved_project(self) -> None:
        self.gitlab.seed(projects=[{"path": "new", "group_id": 1, "moved_from": "acme/old"}])
        reply = self.is_(self.get("/projects/acme%2Fold/runners?page=1"), 301)
        self.assertEqual(reply.headers["location"], "http://gitlab.example.com/api/v4/projects/4/runners?page=1")
        self.is_(self.call("POST", "/projects/acme%2Fold/runners", {}, token="root"), 405,
                 {"message": "Non GET methods are not allowed for moved projects"})


class Details(Case):
    def test_not_found(self) -> None:
        for profile in self.each(*V4):
            words = "404 Runner Not Found" if profile == "newest" else "404 Not found"
            self.is_(self.get("/runners/77"), 404, {"message": words})
            self.is_(self.get("/runners/x"), 400, {"error": "id is invalid"})

    def test_who_reads(self) -> None:
        instance, group, project = (self.gitlab.seed_runner(**place)["id"] for place in ({}, {"group_id": 1}, {"project_id": 1}))
        for number, allowed, denied in ((instance, ("stranger",), ()), (group, ("owner", "maintainer"), ("developer", "stranger")),
                                        (project, ("maintainer", "auditor"), ("developer", "stranger"))):
            for path in (f"/runners/{number}", f"/runners/{number}/managers", f"/runners/{number}/projects"):
                for token in allowed:
                    self.is_(self.get(path, token=token), 200)
                for token in denied:
                    self.is_(self.get(path, token=token), 403, NO_ACCESS)

    def test_shape(self) -> None:
        for profile in self.each(*V4):
            number = self.gitlab.seed_runner(project_id=1, maintenance_note="note", tag_list=["a"])["id"]
            body = self.get(f"/runners/{number}").json
            for name in ("tag_list", "run_untagged", "locked", "maximum_timeout", "access_level", "version", "revision",
                         "platform", "architecture", "contacted_at", "projects", "groups"):
                self.assertIn(name, body)
            self.assertNotIn("token", body)
            self.assertEqual("maintenance_note" in body, at_least(profile, 15))
            self.assertEqual(body["projects"][0]["path_with_namespace"], "acme/web")
            self.assertEqual("projects" in self.get(f"/runners/{number}?include_projects=false").json, not at_least(profile, 18))

    def test_note_is_for_those_who_may_update(self) -> None:
        number = self.gitlab.seed_runner(maintenance_note="note")["id"]
        for profile in ("17", "newest"):
            self.gitlab.settings(profile=profile)
            self.assertEqual(self.get(f"/runners/{number}", token="stranger").json["maintenance_note"],
                             "note" if profile == "17" else None)

    def test_version_is_the_latest_manager_s(self) -> None:
        number = self.gitlab.seed_runner(managers=[{"system_id": "s_1", "version": "1", "contacted_at": 20},
                                                   {"system_id": "s_2", "version": "2", "contacted_at": 10}])["id"]
        self.assertEqual(self.get(f"/runners/{number}").json["version"], "1")

    def test_managers(self) -> None:
        number = self.gitlab.seed_runner(managers=[{"system_id": f"s_{n:012x}"} for n in range(150)])["id"]
        rows = self.get(f"/runners/{number}/managers").json
        self.assertEqual(len(rows), 150)
        self.assertEqual(set(rows[0]), {"id", "system_id", "version", "revision", "platform", "architecture", "created_at",
                                        "contacted_at", "ip_address", "status", "job_execution_status"})
        for profile in ("16", "17"):
            self.gitlab.settings(profile=profile)
            self.assertEqual(self.get(f"/runners/{number}/managers").status, 200 if profile == "17" else 404)

    def test_projects(self) -> None:
        number = self.gitlab.seed_runner(project_ids=[1, 3])["id"]
        self.assertEqual(self.ids(self.get(f"/runners/{number}/projects", token="owner")), [1])
        self.assertEqual(self.ids(self.get(f"/runners/{number}/projects")), [1, 3])
        self.gitlab.settings(profile="17")
        self.is_(self.get(f"/runners/{number}/projects"), 404)


class Update(Case):
    def setUp(self) -> None:
        super().setUp()
        self.number = self.gitlab.seed_runner(project_ids=[1, 2], tag_list=["a"])["id"]
        self.path = f"/runners/{self.number}"

    def put(self, body: object, token: str = "maintainer"):
        return self.call("PUT", self.path, body, token=token)

    def test_pause(self) -> None:
        body = self.is_(self.put({"paused": True}), 200).json
        self.assertEqual((body["paused"], body["active"], body["status"]), (True, False, "never_contacted"))
        self.assertTrue(self.put({"active": "true"}).json["active"])
        self.gitlab.settings(profile="13")
        words = "description, active, tag_list, run_untagged, locked, access_level, maximum_timeout"
        self.is_(self.put({"paused": True}), 400, {"error": f"{words} are missing, at least one parameter must be provided"})
        self.assertFalse(self.put({"active": False}).json["active"])

    def test_refusals(self) -> None:
        self.is_(self.put({"active": True, "paused": True}), 400, {"error": "active, paused are mutually exclusive"})
        self.is_(self.put({"access_level": "x"}), 400, {"error": "access_level does not have a valid value"})
        self.is_(self.put({"run_untagged": False, "tag_list": ""}), 400,
                 {"message": {"tags_list": ["can not be empty when runner is not allowed to pick untagged jobs"]}})
        self.is_(self.put({"maximum_timeout": 1}), 400, {"message": {"maximum_timeout": ["needs to be at least 10 minutes"]}})
        self.is_(self.put({"paused": True}, "developer"), 403, NO_ACCESS)
        self.is_(self.call("PUT", self.path, {"paused": True}), 401)
        self.assertEqual(self.gitlab.runner(self.number)["tag_list"], ["a"])

    def test_tags(self) -> None:
        self.assertEqual(self.put({"tag_list": "x, y"}).json["tag_list"], ["x", "y"])
        many = [str(number) for number in range(60)]
        self.is_(self.put({"tag_list": many}), 400,
                 {"message": {"tags_list": ["Too many tags specified. Please limit the number of tags to 50"]}})
        self.gitlab.change_runner(self.number, tag_list=many)
        self.is_(self.put({"description": "still editable"}), 200)

    def test_no_limit(self) -> None:
        self.assertEqual(self.put({"maximum_timeout": 700}).json["maximum_timeout"], 700)
        self.assertIsNone(self.put({"maximum_timeout": ""}).json["maximum_timeout"])

    def test_who(self) -> None:
        for place, allowed, denied in (({}, "root", "owner"), ({"group_id": 1}, "owner", "maintainer"),
                                       ({"project_id": 1}, "maintainer", "developer")):
            self.path = f"/runners/{self.gitlab.seed_runner(**place)['id']}"
            self.is_(self.put({"locked": True}, denied), 403, NO_ACCESS)
            self.is_(self.put({"locked": True}, allowed), 200)


class Delete(Case):
    def test_by_id(self) -> None:
        several, single, group = (self.gitlab.seed_runner(**place)["id"] for place in
                                  ({"project_ids": [1, 2]}, {"project_id": 1}, {"group_id": 1}))
        self.is_(self.call("DELETE", f"/runners/{several}", token="stranger"), 403,
                 {"message": "403 Forbidden - Runner associated with more than one project"})
        self.is_(self.call("DELETE", f"/runners/{several}", token="root"), 204)
        self.is_(self.call("DELETE", f"/runners/{group}", token="maintainer"), 403, NO_ACCESS)
        self.is_(self.call("DELETE", f"/runners/{group}", token="owner"), 204)
        self.is_(self.call("DELETE", f"/runners/{single}", token="manage"), 204)
        self.is_(self.call("DELETE", f"/runners/{single}", token="root"), 404)
        self.is_(self.call("DELETE", f"/runners/{single}"), 401)


class Jobs(Case):
    def setUp(self) -> None:
        super().setUp()
        self.number = self.gitlab.seed_runner(project_ids=[1, 3])["id"]
        self.gitlab.seed(jobs=[{"runner_id": self.number, "count": 3, "system_id": "s_1"},
                               {"runner_id": self.number, "status": "failed"}, {"runner_id": self.number, "status": "running"},
                               {"runner_id": self.number, "project_id": 3}])
        self.path = f"/runners/{self.number}/jobs"

    def test_order(self) -> None:
        for query, wanted in (("", [1, 2, 3, 4, 5, 6]), ("sort=desc", [1, 2, 3, 4, 5, 6]), ("order_by=id", [6, 5, 4, 3, 2, 1]),
                              ("order_by=id&sort=asc", [1, 2, 3, 4, 5, 6]), ("status=failed", [4]), ("system_id=s_1", [1, 2, 3])):
            self.assertEqual(self.ids(self.get(f"{self.path}?{query}")), wanted, query)

    def test_shape(self) -> None:
        rows = self.get(self.path).json
        self.assertEqual([job["id"] for job in rows if "failure_reason" in job], [4])
        self.assertEqual(rows[0]["coverage"], 98.7)
        self.assertEqual(self.get(f"/runners/{self.number}").json["job_execution_status"], "active")

    def test_totals(self) -> None:
        self.assertIn("x-total", self.get(self.path).headers)
        reply = self.get(f"{self.path}?system_id=s_1")
        self.assertNotIn("x-total", reply.headers)
        self.assertNotIn('rel="last"', reply.headers["link"])

    def test_keyset(self) -> None:
        path, seen = f"{self.path}?pagination=keyset&per_page=4", []
        while path:
            reply = self.get(path)
            self.assertNotIn("x-page", reply.headers)
            seen += self.ids(reply)
            link = reply.headers.get("link", "")
            path = link.partition("<http://gitlab.example.com/api/v4")[2].partition(">")[0]
        self.assertEqual(seen, [6, 5, 4, 3, 2, 1])

    def test_who(self) -> None:
        self.assertEqual(self.ids(self.get(self.path, token="maintainer")), [1, 2, 3, 4, 5])
        self.is_(self.get(self.path, token="developer"), 403, NO_ACCESS)
        shared = self.gitlab.seed_runner()["id"]
        self.is_(self.get(f"/runners/{shared}/jobs", token="owner"), 403, NO_ACCESS)
        self.is_(self.get(f"/runners/{shared}/jobs", token="root"), 200)

    def test_refusals(self) -> None:
        for query, word in (("status=x", "status"), ("order_by=name", "order_by"), ("sort=up", "sort")):
            self.is_(self.get(f"{self.path}?{query}"), 400, {"error": f"{word} does not have a valid value"})


class Assign(Case):
    def test_assign(self) -> None:
        runner = self.gitlab.seed_runner(project_id=1)["id"]
        self.is_(self.call("POST", "/projects/2/runners", {}, token="maintainer"), 400, {"error": "runner_id is missing"})
        self.assertEqual(self.is_(self.call("POST", "/projects/2/runners", {"runner_id": runner}, token="maintainer"), 201).json["id"], runner)
        self.is_(self.call("POST", "/projects/2/runners", {"runner_id": runner}, token="maintainer"), 400,
                 {"message": "Assign to Validation failed: Runner has already been taken - runner_error"})
        self.gitlab.settings(profile="15")
        self.is_(self.call("POST", "/projects/2/runners", {"runner_id": runner}, token="maintainer"), 400,
                 {"message": {"assign_to": ["Validation failed: Runner has already been taken"]}})

    def test_assign_refusals(self) -> None:
        group, locked, shared, hidden, free = (self.gitlab.seed_runner(**place)["id"] for place in (
            {"group_id": 1}, {"project_id": 1, "locked": True}, {}, {"project_id": 3}, {"project_id": 1}))
        for number, token, reason in ((group, "root", "Runner is a group runner"), (locked, "maintainer", "Runner is locked"),
                                      (shared, "maintainer", "No access granted"), (hidden, "maintainer", "No access granted")):
            self.is_(self.call("POST", "/projects/2/runners", {"runner_id": number}, token=token), 403,
                     {"message": f"403 Forbidden - {reason}"})
        self.is_(self.call("POST", "/projects/2/runners", {"runner_id": free}, token="developer"), 403, FORBIDDEN)
        self.is_(self.call("POST", "/projects/3/runners", {"runner_id": free}, token="maintainer"), 404)
        self.is_(self.call("POST", "/projects/2/runners", {"runner_id": 99}, token="maintainer"), 404)

    def test_instance_runner_was_converted(self) -> None:
        shared = self.gitlab.seed_runner()["id"]
        self.is_(self.call("POST", "/projects/2/runners", {"runner_id": shared}, token="root"), 500)
        self.gitlab.settings(profile="15")
        body = self.is_(self.call("POST", "/projects/2/runners", {"runner_id": shared}, token="root"), 201).json
        self.assertEqual(body["runner_type"], "project_type")

    def test_unassign(self) -> None:
        runner = self.gitlab.seed_runner(project_ids=[1, 2])["id"]
        old = {"If-Unmodified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"}
        self.is_(self.call("DELETE", f"/projects/1/runners/{runner}", token="maintainer"), 403,
                 {"message": "403 Forbidden - You cannot unassign a runner from the owner project. Delete the runner instead"})
        self.is_(self.call("DELETE", f"/projects/2/runners/{runner}", token="maintainer", headers=old), 412)
        self.is_(self.call("DELETE", f"/projects/2/runners/{runner}", token="maintainer"), 204)
        self.is_(self.call("DELETE", f"/projects/2/runners/{runner}", token="maintainer"), 404, {"message": "404 Runner Not Found"})
        self.gitlab.settings(profile="17")
        self.is_(self.call("DELETE", f"/projects/1/runners/{runner}", token="maintainer"), 403, {
            "message": "403 Forbidden - Only one project associated with the runner. Please remove the runner instead"})


class RegistrationTokens(Case):
    PLACES = (("instance", "", "root", "owner"), ("group", "/groups/1", "owner", "maintainer"), ("project", "/projects/1", "maintainer", "developer"))

    def test_reset(self) -> None:
        for kind, place, allowed, denied in self.PLACES:
            path = f"{place}/runners/reset_registration_token" if place else "/runners/reset_registration_token"
            self.is_(self.call("POST", path), 401, UNAUTHORIZED)
            self.is_(self.call("POST", path, token=denied), 403, FORBIDDEN)
            reply = self.is_(self.call("POST", path, token=allowed), 201)
            self.assertEqual(set(reply.json), {"token"})
            self.is_(self.post("/runners", {"token": self.gitlab.registration_tokens[kind]}), 403)
            self.is_(self.post("/runners", {"token": reply.json["token"]}), 201)
        self.is_(self.call("POST", "/groups/nonsense/runners/reset_registration_token", token="root"), 404,
                 {"message": "404 Group Not Found"})

    def test_disabled(self) -> None:
        self.gitlab.settings(allow_runner_registration_token=False)
        for _, place, _, _ in self.PLACES:
            path = f"{place}/runners/reset_registration_token" if place else "/runners/reset_registration_token"
            self.is_(self.call("POST", path, token="root"), 403, FORBIDDEN)


class Version3(Case):
    def setUp(self) -> None:
        self.gitlab.reset("8.5")

    def test_lists_and_details(self) -> None:
        self.gitlab.seed(runners=[{"project_ids": [1, 2]}, {}])
        self.assertEqual(set(self.get("//api/v3/runners/all").json[0]), {"id", "description", "active", "is_shared", "name"})
        self.assertEqual(self.ids(self.get("//api/v3/runners?scope=active", token="maintainer")), [1])
        self.is_(self.get("//api/v3/runners?scope=x"), 400, {"message": "Scope contains invalid value"})
        body = self.get("//api/v3/runners/1").json
        self.assertEqual(body["token"], self.gitlab.runner(1)["token"])
        self.assertFalse({"locked", "run_untagged", "groups"} & set(body))
        self.is_(self.get("//api/v3/runners/9"), 404, {"message": "404 Not found"})
        self.is_(self.get("//api/v4/runners"), 404, {"error": "404 Not Found"})

    def test_changes(self) -> None:
        self.gitlab.seed(runners=[{"project_ids": [1, 2]}])
        self.assertFalse(self.call("PUT", "//api/v3/runners/1", {"active": False}, token="maintainer").json["active"])
        self.assertEqual(self.is_(self.call("DELETE", "//api/v3/projects/2/runners/1", token="maintainer"), 200).json["id"], 1)
        self.is_(self.call("DELETE", "//api/v3/projects/1/runners/1", token="maintainer"), 403)
        self.is_(self.call("POST", "//api/v3/projects/2/runners", {"runner_id": 1}, token="maintainer"), 201)
        self.assertEqual(self.is_(self.call("DELETE", "//api/v3/runners/1", token="root"), 200).json["id"], 1)

    def test_ci_api(self) -> None:
        token = self.gitlab.registration_tokens["project"]
        body = self.is_(self.call("POST", "//ci/api/v1/runners/register", {"token": token}), 201).json
        self.assertRegex(body["token"], "^[0-9a-f]{30}$")
        self.is_(self.call("POST", "//ci/api/v1/runners/register", {"token": "x"}), 403)
        self.assertIn(self.call("DELETE", "//ci/api/v1/runners/delete", {"token": body["token"]}).status, (200, 204))


class Neighbours(Case):
    def test_all(self) -> None:
        self.assertEqual(self.get("/version").json["version"], "19.4.0-ee")
        self.assertEqual(self.get("/user", token="owner").json["username"], "owner")
        self.assertEqual(self.get("/projects/acme%2Fweb", token="owner").json["id"], 1)
        self.assertEqual(self.get("/groups/acme%2Fsub", token="owner").json["full_path"], "acme/sub")

    def test_discovery(self) -> None:
        token = {"Runner-Token": self.created()["token"]}
        self.is_(self.call("GET", "/runners/router/discovery"), 403, FORBIDDEN)
        self.is_(self.call("GET", "/runners/router/discovery", headers=token), 501,
                 {"message": "Job Router is not available. Please contact your administrator."})
        self.gitlab.settings(job_router_url="wss://router.example.com")
        self.is_(self.call("GET", "/runners/router/discovery", headers=token), 200, {"server_url": "wss://router.example.com"})


if __name__ == "__main__":
    report.main("contract.")
