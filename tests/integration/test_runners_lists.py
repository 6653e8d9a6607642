#!/usr/bin/python3
"""Lists from the shell: every row of every page, whatever GitLab's idea of its own address; and how they are shown."""
# tests: timeout=600

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request

from shell import AGAIN, DONE, FAILED, PROFILES, PROGRAM, SYSTEM_ID, USAGE, Shell, has

import report


def link(target: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "Link": f'<{target}>; rel="next"'}


class Pages(Shell):
    def test_more_than_two_pages(self) -> None:
        for profile in PROFILES:
            with self.subTest(profile=profile):
                self.profile(profile)
                self.server.seed(runners=[{"count": 257, "project_id": 1}])
                for words in (["--all"], ["--project", "1"], []):
                    for form in ("json", "jsonl"):
                        result = self.run_words("list", *words, "-o", form, token="root" if words else "owner")
                        rows = result.json if form == "json" else result.rows
                        self.assertEqual([row["id"] for row in rows], list(range(1, 258)))
                if has(profile, 13):
                    self.server.seed(jobs=[{"runner_id": 3, "count": 253}])
                    self.assertEqual(len(self.run_words("jobs", 3).json), 253)

    def test_full_pages_end(self) -> None:
        for count in (0, 1, 99, 100, 101, 200):
            self.server.reset()
            if count:
                self.server.seed(runners=[{"count": count}])
            mark = self.server.mark()
            self.assertEqual(len(self.run_words("list", "--all").json), count)
            self.assertEqual(self.server.count(since=mark, operation="list_all"), max(1, (count + 99) // 100))

    def test_limit(self) -> None:
        self.server.seed(runners=[{"count": 350}])
        for limit, requests in ((1, 1), (99, 1), (100, 1), (101, 2), (250, 3), (1000, 4)):
            mark = self.server.mark()
            rows = self.run_words("list", "--all", "--limit", limit).json
            self.assertEqual([row["id"] for row in rows], list(range(1, min(limit, 350) + 1)))
            self.assertEqual(self.server.count(since=mark, operation="list_all"), requests)
        self.run_words("list", "--limit", 0, code=USAGE)

    def test_keyset(self) -> None:
        self.server.settings(external_url=self.server.url)
        number = self.server.seed_runner(project_id=1)["id"]
        self.server.seed(jobs=[{"runner_id": number, "count": 257}])
        rows = self.run_words("jobs", number, "--pagination", "keyset").json
        self.assertEqual([row["id"] for row in rows], list(range(257, 0, -1)))
        # Without a total.
        self.server.change_runner(number)
        self.server.seed(jobs=[{"runner_id": number, "count": 150, "system_id": SYSTEM_ID}])
        self.assertEqual(len(self.run_words("jobs", number, "--system-id", SYSTEM_ID).json), 150)

    def test_no_token_goes_to_another_host(self) -> None:
        """Whatever leads there: the second stand-in is asked for nothing."""
        from client import GitLab
        number = self.server.seed_runner(project_id=1)["id"]
        self.server.seed(jobs=[{"runner_id": number, "count": 150}])
        with GitLab() as other:
            self.server.settings(external_url=other.url)
            broken = self.run_words("jobs", number, "--pagination", "keyset", code=FAILED)
            self.assertIn("nothing was sent there", broken.err)
            # What broke off is no array.
            self.assertRaises(json.JSONDecodeError, json.loads, broken.out)
            # Pages by number do not need the link.
            self.assertEqual(len(self.run_words("jobs", number).json), 150)
            for target in (f"{other.url}/api/v4/runners?page=2", f"//{other.url[7:]}/x?page=2", f"{self.server.url}@{other.url[7:]}/?page=2",
                           "ftp://x/?page=2"):
                self.server.fault(operation="list", kind="status", status=200, body='[{"id":1}]', headers=link(target))
                self.run_words("list", code=FAILED)
            self.server.fault(operation="list", kind="redirect", location=f"{other.url}/api/v4/runners")
            self.run_words("list", code=FAILED)
            self.assertEqual(other.mark(), 0)

    def test_link_to_itself(self) -> None:
        self.server.fault(operation="list", kind="status", status=200, body='[{"id":1}]',
                          headers=link(f"{self.server.url}/api/v4/runners?page=2"))
        self.server.fault(operation="list", kind="status", status=200, body='[{"id":2}]',
                          headers={"Content-Type": "application/json"})
        self.assertEqual([row["id"] for row in self.run_words("list").json], [1, 2])

    def test_circles_end(self) -> None:
        for headers in ({"X-Next-Page": "1"}, {"X-Next-Page": "x"}, {"Link": f'<{self.server.url}/?page=1>; rel="next"'}):
            self.server.fault(operation="list", kind="status", status=200, body='[{"id":1}]', count=5,
                              headers={"Content-Type": "application/json", **headers})
            self.run_words("list", code=FAILED)
            self.server.clear_faults()
        # Empty pages for ever are no list either.
        self.server.fault(operation="list", kind="status", status=200, body="[]", count=None,
                          headers={"Content-Type": "application/json", "X-Next-Page": "99999"})
        self.assertEqual(self.run_words("list").json, [])

    def test_throttled_in_the_middle(self) -> None:
        self.server.seed(runners=[{"count": 350}])
        for answer in ({"headers": {"Retry-After": "1"}, "body": "Retry later\n"},
                       {"headers": {"Retry-After": "1"}, "body": {"message": "Executing database migrations. Please retry later."}},
                       {"headers": {}, "body": {"message": {"error": "This endpoint has been requested too many times."}}}):
            self.server.fault(operation="list_all", kind="status", status=429, skip=2, **answer)
            done = self.run_words("list", "--all")
            self.assertEqual([row["id"] for row in done.json], list(range(1, 351)))
            self.assertIn("trying again in", done.err)
        # Before anything came, that is for who called us to decide.
        self.server.fault(operation="list_all", kind="status", status=429, body="Retry later\n", headers={"Retry-After": "61"})
        self.assertIn("come back in 1min 1s", self.run_words("list", "--all", code=AGAIN).err)

    def test_outages_in_the_middle(self) -> None:
        self.server.seed(runners=[{"count": 250}])
        for fault in ({"kind": "html", "status": 502}, {"kind": "drop"}, {"kind": "cut"}):
            self.server.fault(operation="list_all", skip=1, **fault)
            self.assertEqual(len(self.run_words("list", "--all").json), 250)
        self.server.fault(operation="list_all", kind="html", status=502, skip=1, count=None)
        broken = self.run_words("list", "--all", code=AGAIN)
        self.assertRaises(json.JSONDecodeError, json.loads, broken.out)

    def test_pages_too_large_get_smaller(self) -> None:
        number = self.server.seed_runner(project_id=1)["id"]
        self.server.seed(jobs=[{"runner_id": number, "count": 230}])
        self.server.fault(operation="jobs", kind="big_body", bytes=2 << 20, skip=1)
        self.assertEqual([row["id"] for row in self.run_words("jobs", number).json], list(range(1, 231)))
        sizes = [dict(entry["query"] if isinstance(entry["query"], list) else []) or entry["target"] for entry in self.server.log(operation="jobs")]
        self.assertIn("per_page=50", str(sizes[-1]).replace("'per_page': '50'", "per_page=50"))

    def test_thousands_of_machines(self) -> None:
        """They come in one piece, of more than a megabyte."""
        number = self.server.seed_runner(project_id=1, managers=6000)["id"]
        self.assertEqual(len(self.run_words("managers", number).json), 6000)

    def test_memory_is_flat(self) -> None:
        with open(PROGRAM, "rb") as f:
            if b"__asan_init" in f.read():
                self.skipTest("a sanitizer keeps what is freed")
        self.server.seed(runners=[{"count": 10000, "description": "x" * 200}])
        few, many = self.run_words("list", "--all", "--limit", 300, "-o", "jsonl"), self.run_words("list", "--all", "-o", "jsonl")
        self.assertEqual(len(many.rows), 10000)
        self.assertLess(many.peak - few.peak, 3000, "KiB more for 33 times as many rows")

    def test_reader_that_leaves(self) -> None:
        self.server.seed(runners=[{"count": 2500, "description": "x" * 500}])
        process = subprocess.Popen(self.words(("list", "--all", "-o", "jsonl"), None), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.environment("root", {}))
        process.stdout.readline()
        process.stdout.close()
        process.stderr.close()
        self.assertEqual(process.wait(60), FAILED)


class Bytes(Shell):
    def test_nothing_is_written_anew(self) -> None:
        """The bytes of every object are GitLab's own."""
        self.server.seed(runners=[{"description": "ü\"\\ \u2028 </b>", "count": 3}], jobs=[])
        request = urllib.request.Request(self.server.api + "/runners/all?per_page=100",
                                         headers={"PRIVATE-TOKEN": self.server.tokens["root"]})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request) as answer:
            theirs = answer.read().decode()
        ours = self.run_words("list", "--all").out
        self.assertEqual(ours.rstrip("\n").replace(",\n{", ",{"), theirs.replace("}, {", "},{"))
        self.assertEqual("[" + ",".join(self.run_words("list", "--all", "-o", "jsonl").out.rstrip("\n").split("\n")) + "]",
                         theirs.replace("}, {", "},{"))

    def test_odd_forms_of_json(self) -> None:
        objects = ['{"id":1,"n":98.70}', '{ "id" : 2 ,\n "x":[ ] }', '{"id":3,"e":1E+2,"big":18446744073709551616,"u":"\\ud83d\\ude00\\/"}']
        body = " [" + " ,\r\n".join(objects) + "\n]\n"
        for form in ("json", "jsonl"):
            self.server.fault(operation="list", kind="status", status=200, body=body, headers={"Content-Type": "application/json"})
            out = self.run_words("list", "-o", form).out
            if form == "json":
                self.assertEqual(out, "[" + ",\n".join(objects) + "]\n")
            else:
                self.assertEqual(out.splitlines(), [text.replace("\n", " ") for text in objects])


class Tables(Shell):
    def seed(self) -> None:
        now = self.server.now()
        self.server.seed(runners=[
            {"description": "a rather long description of a runner " * 4, "contacted_at": now - 60},
            {"description": "日本語のランナー", "paused": True, "contacted_at": now - 3 * 3600, "group_id": 1},
            {"description": "esc \x1b[31mred\x1b[0m", "project_id": 1}])

    def test_columns(self) -> None:
        self.seed()
        lines = self.run_words("list", "--all", "-o", "table").out.splitlines()
        self.assertEqual(re.split(r"\s{2,}", lines[0].strip())[:4], ["ID", "STATUS", "TYPE", "DESCRIPTION"])
        self.assertEqual(len(lines), 4)
        self.assertIn("esc [31mred [0m", lines[3])

    def test_no_status_in_v3(self) -> None:
        self.profile("8.5")
        self.seed()
        lines = self.run_words("list", "--all", "-o", "table").out.splitlines()
        self.assertIn("paused", lines[2])
        self.assertIn("active", lines[1])

    def test_ages_go_by_the_server(self) -> None:
        self.server.seed_runner(project_id=1, managers=[{"system_id": SYSTEM_ID, "contacted_at": self.server.now() - 3 * 3600}])
        self.server.advance(days=400)
        self.assertIn("400 d ago", self.run_words("managers", 1, "-o", "table").out)

    def test_width_and_colour(self) -> None:
        self.seed()
        for columns in (60, 80, 120):
            shown = self.on_terminal("list", "--all", columns=columns)
            plain = re.sub(r"\x1b\[\d+m", "", shown)
            for line in plain.splitlines():
                wide = sum(2 if "\u2e80" <= character <= "\uffef" else 1 for character in line)
                self.assertLessEqual(wide, columns, line)
            self.assertIn("\x1b[32monline\x1b[0m", shown)
            self.assertIn("…", shown)
        self.assertNotIn("\x1b", self.on_terminal("list", "--all", env={"NO_COLOR": "1"}))
        self.assertNotIn("\x1b", self.on_terminal("list", "--all", env={"TERM": "dumb"}))
        # A table off a terminal is for files: neither cut nor coloured.
        out = self.run_words("list", "--all", "-o", "table").out
        self.assertNotIn("\x1b", out)
        self.assertNotIn("…", out)

    def test_json_off_a_terminal(self) -> None:
        self.seed()
        self.assertEqual(len(self.run_words("list", "--all").json), 3)
        self.assertIn("DESCRIPTION", self.on_terminal("list", "--all"))

    def test_progress(self) -> None:
        self.server.seed(runners=[{"count": 450}])
        shown = self.on_terminal("list", "--all", "-o", "jsonl", stdout_too=False)
        self.assertIn("100 of 450 rows", shown)
        self.assertEqual(self.run_words("list", "--all").err, "")

    def test_every_view(self) -> None:
        number = self.server.seed_runner(project_ids=[1, 2], managers=[{"system_id": SYSTEM_ID, "version": "18.0.0"}])["id"]
        self.server.seed(jobs=[{"runner_id": number, "status": "success"}])
        for words, expected in ((["show", number], "acme/web, acme/sub/api"), (["managers", number], "18.0.0"),
                                (["jobs", number], "success"), (["projects", number], "acme/sub/api")):
            self.assertIn(expected, self.run_words(*words, "-o", "table").out)


if __name__ == "__main__":
    report.main("runners_lists.")
