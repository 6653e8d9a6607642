#!/usr/bin/python3
"""`runners prune`: ghosts go, and nobody else."""
# tests: timeout=600

from __future__ import annotations

from shell import DONE, FAILED, REFUSED, USAGE, Shell

import report

DAY = 86400


class Prune(Shell):
    def ages(self, **more):
        now = self.server.now()
        return {"created_at": now - 30 * DAY, "contacted_at": now - 20 * DAY, "project_id": 1} | more

    def left(self) -> list[int]:
        return [runner["id"] for runner in self.server.runners()]

    def plant(self) -> None:
        now = self.server.now()
        online = {"created_at": now - 30 * DAY, "contacted_at": now - 60}
        self.server.seed(runners=[
            self.ages(),                                                             # 1: a ghost
            self.ages(contacted_at=now - 60),                                        # 2: online
            self.ages(contacted_at=now - 5 * DAY),                                   # 3: away, but not for long
            self.ages(contacted_at=None),                                            # 4: never heard of, and old: a ghost
            self.ages(contacted_at=None, created_at=now - DAY),                      # 5: never heard of, and young
            self.ages(managers=[{"system_id": "s_000000000001", **online}]),         # 6: a live machine
            self.ages(),                                                             # 7: a job still runs
            self.ages(managers=[{"system_id": "s_000000000002", "created_at": now - 30 * DAY,
                                 "contacted_at": now - 20 * DAY}], tag_list=["x"]),  # 8: a ghost, with a dead machine
            self.ages(managers=[{"system_id": "s_000000000003", "created_at": now - 30 * DAY,
                                 "contacted_at": now - 2 * DAY}]),                   # 9: a machine away, but not for long
        ])
        self.server.seed(jobs=[{"runner_id": 7, "status": "running"}])

    def test_dry_by_default(self) -> None:
        self.plant()
        mark = self.server.mark()
        result = self.run_words("prune", "--offline-for", "7d", "--all")
        self.assertEqual([row["id"] for row in result.json], [1, 4, 8])
        self.assertIn("3 of 9 runners are ghosts; nothing was deleted", result.err)
        self.assertEqual(len(self.left()), 9)
        self.assertEqual({entry["method"] for entry in self.server.log(since=mark)}, {"GET"})
        self.assertEqual([row["id"] for row in self.run_words("prune", "--offline-for", "3d", "--all").json], [1, 3, 4, 8])
        self.assertIn("stale", self.run_words("prune", "--offline-for", "7d", "--all", "-o", "table").out)

    def test_deletes(self) -> None:
        self.plant()
        result = self.run_words("prune", "--offline-for", "7d", "--all", "--yes")
        self.assertEqual(self.left(), [2, 3, 5, 6, 7, 9])
        self.assertEqual([row["id"] for row in result.json], [1, 4, 8])
        self.assertIn("3 of 9 runners were deleted", result.err)
        self.assertEqual(self.run_words("prune", "--offline-for", "7d", "--all", "--yes").json, [])

    def test_looks_again_before_each_deletion(self) -> None:
        """Each is back by the time that it is looked at, whatever the list said."""
        self.server.seed(runners=[self.ages(), self.ages()])
        now = self.server.now()
        fresh = '{"id":1,"online":true,"status":"online","contacted_at":null}'
        self.server.fault(operation="show", path="/1$", kind="status", status=200, body=fresh,
                          headers={"Content-Type": "application/json"})
        self.run_words("prune", "--offline-for", "7d", "--all", "--yes")
        self.assertEqual(self.left(), [1])
        operations = self.server.operations()
        self.assertEqual(operations[operations.index("delete_by_id") - 2:][:2], ["show", "managers"])
        self.assertGreater(now, 0)

    def test_many(self) -> None:
        self.server.seed(runners=[self.ages(count=230), self.ages(contacted_at=self.server.now() - 60)])
        self.run_words("prune", "--offline-for", "7d", "--all", "--yes")
        self.assertEqual(self.left(), [231])

    def test_filters_and_places(self) -> None:
        self.server.seed(runners=[self.ages(project_id=None), self.ages(project_id=None, group_id=1), self.ages(tag_list=["old"]),
                                  self.ages(paused=True), self.ages(project_id=2)])
        for words, expected in ((["--group", "acme"], [2]), (["--group", "acme", "--type", "instance_type"], [1]),
                                (["--project", "acme/web"], [2, 3, 4]), (["--all", "--paused"], [4]), (["--all", "--tag-list", "old"], [3]),
                                (["--all", "--type", "group_type"], [2]), (["--all", "--status", "stale"], [1, 2, 3, 4, 5]),
                                (["--all", "--status", "online"], []), ([], [])):
            rows = self.run_words("prune", "--offline-for", "7d", *words).json
            self.assertEqual([row["id"] for row in rows], expected, words)

    def test_what_old_servers_can_not_tell(self) -> None:
        for profile, old, never in (("8.5", False, False), ("13", True, False), ("15", True, False), ("16", False, False),
                                    ("17", True, False), ("18", True, True)):
            with self.subTest(profile=profile):
                self.profile(profile)
                self.server.seed(runners=[self.ages(created_at=self.server.now() - 200 * DAY, contacted_at=self.server.now() - 190 * DAY),
                                          self.ages(contacted_at=None)])
                result = self.run_words("prune", "--offline-for", "7d", "--all", "--yes")
                expected = [number for number, goes in ((1, old), (2, never)) if not goes]
                self.assertEqual(self.left(), expected, result.err)
                for number in expected:
                    self.assertIn(f"Runner {number} is skipped: ", result.err)

    def test_filters_that_the_server_ignores(self) -> None:
        """A filter that is not heeded would delete what was not meant."""
        self.profile("13")
        self.server.seed(runners=[self.ages(), self.ages(paused=True)])
        self.run_words("prune", "--offline-for", "7d", "--all", "--paused", "--yes", code=FAILED)
        self.assertEqual(self.left(), [1, 2])
        # The same where the release is not told.
        self.server.fault(operation="version", kind="status", status=404, body={"error": "404 Not Found"}, count=None)
        self.run_words("prune", "--offline-for", "7d", "--all", "--paused", "--yes", code=None)
        self.assertIn(1, self.left())

    def test_failures(self) -> None:
        self.server.seed(runners=[self.ages(count=3)])
        self.server.fault(operation="delete_by_id", path="/2$", kind="status", status=403, count=None,
                          body={"message": "403 Forbidden - No access granted"})
        result = self.run_words("prune", "--offline-for", "7d", "--all", "--yes", code=REFUSED)
        self.assertIn("runner 2: 403 Forbidden - No access granted", result.err)
        self.assertEqual(self.left(), [2])
        self.run_words("prune", "--offline-for", "7d", "--all", token="owner", code=REFUSED)

    def test_the_servers_clock_counts(self) -> None:
        self.server.seed(runners=[{"project_id": 1, "contacted_at": self.server.now() - 60}])
        self.server.advance(days=8)
        self.assertEqual(len(self.run_words("prune", "--offline-for", "7d", "--all").json), 1)
        self.assertEqual(len(self.run_words("prune", "--offline-for", "9d", "--all").json), 0)


class Managers(Shell):
    def setUp(self) -> None:
        super().setUp()
        now = self.server.now()

        def manager(number: int, days: float) -> dict:
            return {"system_id": f"s_00000000000{number}", "created_at": now - 60 * DAY, "contacted_at": now - days * DAY}

        self.runner = self.server.seed_runner(group_id=1, created=True, managers=[manager(1, 0), manager(2, 20), manager(3, 30)])
        self.dead = self.server.seed_runner(group_id=1, created=True, managers=[manager(2, 20), manager(3, 30)])
        self.call = ["prune", "--managers", self.runner["id"], "--token-from", "env:T", "--offline-for", "7d"]

    def managers(self, runner: dict) -> list[str]:
        return sorted(m["system_id"] for m in self.server.runner(runner["id"])["managers"])

    def test_dry(self) -> None:
        result = self.run_words(*self.call, token="owner", env={"T": self.runner["token"]})
        self.assertEqual(sorted(row["system_id"] for row in result.json), ["s_000000000002", "s_000000000003"])
        self.assertEqual(len(self.managers(self.runner)), 3)

    def test_deletes(self) -> None:
        result = self.run_words(*self.call, "--yes", token="owner", env={"T": self.runner["token"]})
        self.assertEqual(self.managers(self.runner), ["s_000000000001"])
        self.assertIn("2 managers were deleted", result.err)
        self.assertEqual(len(self.managers(self.dead)), 2)

    def test_all_are_ghosts(self) -> None:
        self.call[2] = self.dead["id"]
        self.run_words(*self.call, "--yes", env={"T": self.dead["token"]})
        self.assertEqual(self.managers(self.dead), [])
        self.assertIsNotNone(self.server.runner(self.dead["id"]))

    def test_with_another_runners_token(self) -> None:
        result = self.run_words(*self.call, "--yes", env={"T": self.dead["token"]}, code=FAILED)
        self.assertIn("not that of runner", result.err)
        self.assertEqual(len(self.managers(self.runner)), 3)
        self.assertTrue({"s_000000000002", "s_000000000003"} <= set(self.managers(self.dead)))

    def test_refused(self) -> None:
        self.run_words(*self.call, "--yes", env={"T": "unknown-0123456789"}, code=REFUSED)
        self.run_words("prune", "--managers", self.runner["id"], "--offline-for", "7d", code=USAGE)
        self.run_words(*self.call, "--paused", env={"T": "x"}, code=USAGE)
        self.server.reset("16")
        self.server.seed(runners=[{"group_id": 1}])
        self.assertIn("has no GET /runners/:id/managers", self.run_words(
            "prune", "--managers", 1, "--token-from", "env:T", "--offline-for", "7d", env={"T": "x"}, code=FAILED).err)


if __name__ == "__main__":
    report.main("runners_prune.")
