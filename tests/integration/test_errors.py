#!/usr/bin/python3
"""Bad days of GitLab and the network: each answer means what the table says, and no error creates or deletes anything."""

import os
import shutil
import socket
import time

from case import AGAIN, DONE, FAILED, FAST, REFUSED, Case, quiet
from host import Host

from client import GitLab
from report import main


def status(number, body, **more):
    return {"kind": "status", "status": number, "body": body, **more}


# What is answered, and how verify, register, rotate and deregister end with it.
ANSWERS = {
    "unknown token": (status(403, {"message": "403 Forbidden"}), REFUSED, REFUSED, AGAIN, AGAIN),
    "read-only instance": (status(403, {"message": "You cannot perform write operations on a read-only instance"}),
                           AGAIN, AGAIN, AGAIN, AGAIN),
    "403 without a word": (status(403, "Forbidden", headers={"Content-Type": "text/plain"}), AGAIN, AGAIN, AGAIN, AGAIN),
    "403 with a reason": (status(403, {"message": "403 Forbidden - invalid token supplied"}), AGAIN, REFUSED, AGAIN, AGAIN),
    "scope": (status(403, {"error": "insufficient_scope", "error_description": "The request requires higher privileges"}),
              AGAIN, REFUSED, REFUSED, AGAIN),
    "401": (status(401, {"message": "401 Unauthorized"}), AGAIN, REFUSED, AGAIN, AGAIN),
    "400": (status(400, {"error": "token is missing"}), AGAIN, REFUSED, AGAIN, AGAIN),
    "404, no route": (status(404, {"error": "404 Not Found"}), AGAIN, REFUSED, AGAIN, AGAIN),
    "409": (status(409, {"message": "409 Conflict: Resource lock"}), AGAIN, AGAIN, AGAIN, AGAIN),
    "410": (status(410, {"message": "410 Gone - runner registration disallowed"}), AGAIN, REFUSED, AGAIN, AGAIN),
    "422": (status(422, {"error": "Runner is orphaned"}), AGAIN, REFUSED, REFUSED, AGAIN),
    "429": (status(429, {"message": "Executing database migrations. Please retry later."}, headers={"Retry-After": "60"}),
            AGAIN, AGAIN, AGAIN, AGAIN),
    "500": (status(500, {"message": "500 Internal Server Error"}), AGAIN, AGAIN, AGAIN, AGAIN),
    "502 of a proxy": ({"kind": "html", "status": 502}, AGAIN, AGAIN, AGAIN, AGAIN),
    "503 with Retry-After": (status(503, {"message": "503 Service Unavailable"}, headers={"Retry-After": "60"}),
                             AGAIN, AGAIN, AGAIN, AGAIN),
    "204 for 200": (status(204, ""), AGAIN, AGAIN, AGAIN, None),
    "a login page": ({"kind": "html", "status": 200}, AGAIN, AGAIN, AGAIN, AGAIN),
    "redirect": ({"kind": "redirect", "status": 302, "location": "https://gitlab.example.com/api/v4/x"},
                 FAILED, FAILED, FAILED, FAILED),
    "nothing": ({"kind": "drop"}, AGAIN, AGAIN, AGAIN, AGAIN),
    "reset": ({"kind": "reset"}, AGAIN, AGAIN, AGAIN, AGAIN),
    # The stand-in acts before it begins this one.
    "an answer without end": ({"kind": "endless"}, AGAIN, None, None, None),
}
# A withdrawal tries again within its time, which takes seconds: only what is different in kind.
DELETES = ("unknown token", "read-only instance", "401", "429", "502 of a proxy", "redirect", "nothing")


class Answers(Case):
    def each(self, column, check, names=tuple(ANSWERS)):
        for name in names:
            rule, *codes = ANSWERS[name]
            if codes[column] is None:
                continue
            with self.subTest(answer=name):
                self.gitlab.reset()
                with Host(self.gitlab) as self.host:
                    self.host.configure(agent={"retry_max": "1s"}, registration_token="instance")
                    check(rule, codes[column])

    def test_verify(self):
        def check(rule, code):
            self.run_command("register")
            text = self.host.toml_text()
            self.gitlab.fault(operation="verify", **rule)
            self.run_command("verify", code=code)
            self.assertEqual(self.host.toml_text(), text)
            self.assert_enrolled_once()
            self.run_command("verify")
        self.each(0, check)

    def test_register(self):
        def check(rule, code):
            self.gitlab.fault(operation="register", **rule)
            self.run_command("register", code=code)
            self.assertEqual((self.gitlab.runners(), self.host.entries()), ([], []))
            self.assertEqual(self.gitlab.count(operation="register"), 1)
            self.run_command("register")
            self.assert_enrolled_once()
        self.each(1, check)

    def test_rotate(self):
        def check(rule, code):
            self.run_command("register")
            token = self.host.entry()["token"]
            self.gitlab.fault(operation="reset", **rule)
            self.run_command("rotate", code=code)
            self.assertEqual(self.host.entry()["token"], token)
            self.assertEqual(self.gitlab.count(operation="reset"), 1)
            self.run_command("verify")
            self.run_command("rotate")
            self.assert_enrolled_once()
        self.each(2, check)

    def test_deregister(self):
        def check(rule, code):
            self.run_command("register")
            self.gitlab.fault(operation="delete", count=None, **rule)
            self.run_command("deregister", "--timeout", "20s", code=code)
            self.assertEqual(len(self.gitlab.runners()), 1)
            self.assertEqual(self.host.entries(), [])
            self.gitlab.clear_faults()
            self.run_command("deregister")
            self.assert_nothing_left()
        self.each(3, check, DELETES)

    def test_created_but_unreadable(self):
        """GitLab acted, and its answer is no use: the runner is lost, and said to be."""
        for kind in ("garble", "cut", "act_then_drop", "act_then_reset"):
            with self.subTest(kind=kind):
                self.gitlab.reset()
                with Host(self.gitlab) as self.host:
                    self.host.configure(registration_token="instance")
                    self.gitlab.fault(operation="register", kind=kind)
                    self.run_command("register", code=AGAIN)
                    self.assertEqual(len(self.gitlab.runners()), 1)
                    self.assertEqual([debt["kind"] for debt in self.host.state()["debts"]], ["orphan"])
                    self.run_command("register")
                    self.assertEqual(len(self.gitlab.runners()), 2)
                    self.assertTrue(self.works(self.host.entry()["token"]))


class Storm(Case):
    """Errors of all calls, however many, create and delete nothing."""

    def test_of_every_kind(self):
        agent = self.enrolled_agent(agent=FAST)
        text = self.host.toml_text()
        for name in ("read-only instance", "401", "404, no route", "500", "a login page", "redirect", "nothing"):
            self.gitlab.fault(operation="verify", **ANSWERS[name][0])
        # They are answered one after the other, as each is used up.
        self.gitlab.wait_faults(timeout=60)
        self.gitlab.wait_requests(operation="verify", status=200, since=self.gitlab.mark())
        agent.wait_status(lambda r: quiet(r) and r["last_verdict"] == "alive")
        self.assert_enrolled_once()
        self.assertEqual(self.host.toml_text(), text)
        self.assertEqual(set(self.gitlab.operations()), {"register", "verify"})

    def test_of_connections(self):
        agent = self.enrolled_agent(agent=FAST)
        self.gitlab.down()
        status = agent.wait_status(lambda r: r["state"] == "doubtful" and r["attempt"] > 2)
        self.assertIn("could not", str(status["reason"]).lower() + "could not connect")
        self.gitlab.up()
        agent.wait_quiet()
        self.assert_enrolled_once()

    def test_while_not_enrolled(self):
        self.gitlab.settings(read_only=True)
        self.host.configure(agent=FAST, registration_token="instance")
        agent = self.start_agent()
        agent.wait_status(lambda r: r["attempt"] > 2)
        self.gitlab.settings(read_only=False)
        agent.wait_quiet()
        self.assert_enrolled_once()


class Waits(Case):
    def gap(self, agent_settings, **rule):
        """Seconds from the answer to the next try, by the server's clock; how long at the most, the wait below says."""
        self.host.configure(agent={**FAST, **agent_settings}, registration_token="instance")
        self.gitlab.fault(operation="register", **rule)
        agent = self.start_agent()
        first, second = self.gitlab.wait_requests(operation="register", count=2, timeout=20)
        agent.wait_quiet()
        return second["time"] - first["time"]

    def test_retry_after_is_obeyed(self):
        gap = self.gap({}, **status(429, "Retry later\n", headers={"Content-Type": "text/plain", "Retry-After": "3"}))
        self.assertGreaterEqual(gap, 2.9)

    def test_reset_time_is_obeyed(self):
        moment = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3))
        gap = self.gap({}, **status(429, "Retry later\n", headers={"Content-Type": "text/plain", "RateLimit-ResetTime": moment}))
        self.assertGreaterEqual(gap, 1.9)

    def test_rule_is_told(self):
        self.gitlab.fault(operation="register", **status(429, "Retry later\n", headers={"Retry-After": "3600"}))
        self.host.configure(agent=FAST, registration_token="instance")
        agent = self.start_agent()
        agent.wait_status(lambda r: "Retry-After" in str(r["next_action"]))
        self.assertIn("Retry-After", self.run_command("status"))

    def test_refused_is_retried_slowly(self):
        self.host.configure(agent={**FAST, "refused_retry": "1h"}, registration_token="GR1348941nonsense")
        agent = self.start_agent()
        status_ = agent.wait_state("refused")
        self.assertIn("403 Forbidden", status_["reason"])
        self.assertEqual(self.gitlab.count(operation="register"), 1)
        # A person sees to it, and the agent looks at once.
        self.host.secret("build-1-registration_token", self.gitlab.registration_tokens["instance"])
        self.run_command("register")
        self.assert_enrolled_once()

    def test_throttled_by_gitlab_itself(self):
        self.gitlab.settings(throttle_unauthenticated={"requests": 1, "period": 60})
        self.host.configure(agent=FAST, registration_token="instance")
        self.host.configure(name="build-2", append=True, registration_token="group")
        self.start_agent()
        self.gitlab.wait_requests(operation="register", count=2)
        # One came through; the other spreads its next try as the headers say, and the rule is told.
        self.gitlab.wait_requests(operation="register", status=429)
        self.assertIn("throttle", self.run_command("status"))
        self.assertEqual(len(self.gitlab.runners()), 1)


class LostCreate(Case):
    def test_is_asked_again_once_gitlab_is_well(self):
        self.gitlab.fault(operation="register", kind="act_then_drop")
        # Not well yet: the probe is refused as by a read-only instance, then by a proxy.
        self.gitlab.fault(operation="verify", **ANSWERS["read-only instance"][0])
        self.gitlab.fault(operation="verify", kind="html", status=502)
        self.host.configure(agent=FAST, registration_token="instance")
        agent = self.start_agent()
        status_ = agent.wait_quiet()
        self.assertEqual(self.gitlab.operations()[:5], ["register", "verify", "verify", "verify", "register"])
        self.assertEqual([debt["kind"] for debt in status_["debts"]], ["orphan"])
        # What may be an orphan, and can't be proven to be, is only shown.
        self.assertEqual(len(self.gitlab.runners()), 2)
        self.assertEqual(self.gitlab.count(operation="delete"), 0)

    def test_orphan_is_found_by_its_marker_and_deleted(self):
        self.gitlab.fault(operation="create", kind="act_then_drop")
        self.gitlab.seed_runner(runner_type="group_type", group_id=self.gitlab.ids["group"], description="build-1")
        self.host.configure(agent=FAST, **self.by_access_token())
        agent = self.start_agent()
        agent.wait_status(lambda r: quiet(r) and not r["debts"])
        self.assertEqual(self.gitlab.count(operation="delete_by_id"), 1)
        # The likeness in name and kind is left alone.
        self.assertEqual([runner["id"] for runner in self.gitlab.runners()], [1, self.host.entry()["id"]])

    def test_nothing_was_made(self):
        self.gitlab.fault(operation="create", kind="drop")
        self.host.configure(agent=FAST, **self.by_access_token())
        agent = self.start_agent()
        status_ = agent.wait_quiet()
        # For a while a late one is looked for.
        self.assertEqual([debt["kind"] for debt in status_["debts"]], ["orphan"])
        self.assert_enrolled_once()

    def test_after_two_in_a_row_it_waits(self):
        self.gitlab.fault(operation="register", kind="act_then_drop", count=2)
        self.host.configure(agent={**FAST, "refused_retry": "1h"}, registration_token="instance")
        agent = self.start_agent()
        agent.wait_status(lambda r: "refused_retry" in str(r["next_action"]))
        self.assertEqual(self.gitlab.count(operation="register"), 2)


class Redirect(Case):
    def test_is_never_followed_and_names_the_url(self):
        with GitLab() as other:
            for number in (301, 302, 303, 307, 308):
                for operation, command in (("register", "register"), ("verify", "verify"), ("delete", "deregister")):
                    with self.subTest(status=number, operation=operation):
                        self.gitlab.reset()
                        with Host(self.gitlab) as self.host:
                            self.host.configure(registration_token="instance")
                            if operation != "register":
                                self.run_command("register")
                            self.gitlab.fault(operation=operation, kind="redirect", status=number, count=None,
                                              location=other.api + "/runners")
                            said = self.run_command(command, code=FAILED)
                            self.assertIn(f"set url to '{other.url}'", said)
            self.assertEqual(other.log(), [])


class Network(Case):
    def test_refused(self):
        self.host.configure(registration_token="instance")
        self.gitlab.down()
        self.run_command("register", code=AGAIN)
        self.assertEqual(self.host.entries(), [])

    def test_name_that_does_not_resolve(self):
        self.host.configure(registration_token="instance", url="https://gitlab.invalid", tls_ca_file=None)
        said = self.run_command("register", code=AGAIN, timeout=60)
        self.assertIn("gitlab.invalid", said)

    def test_nobody_answers(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            self.host.configure(registration_token="instance", url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout="1s")
            begin = time.monotonic()
            self.run_command("register", code=AGAIN)
            self.assertLess(time.monotonic() - begin, 5)

    def test_slow_answers_are_waited_for(self):
        self.gitlab.fault(operation="register", kind="slow", rate=100)
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.assert_enrolled_once()

    def test_large_answers_have_a_bound(self):
        for rule in ({"kind": "endless"}, {"kind": "huge_headers"}, {"kind": "big_body", "bytes": 50_000_000}):
            with self.subTest(**rule):
                self.gitlab.reset()
                with Host(self.gitlab) as self.host:
                    self.host.configure(registration_token="instance")
                    self.run_command("register")
                    self.gitlab.fault(operation="verify", **rule)
                    # A bound on memory that such an answer would break.
                    if "ASAN_OPTIONS" not in os.environ:
                        self.host.wrapper = ["prlimit", "--as=400000000"]
                    self.run_command("verify", code=AGAIN)
                    self.run_command("verify")

    def test_padded_answers_are_read(self):
        self.gitlab.fault(operation="register", kind="big_body", bytes=8192)
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.assert_enrolled_once()

    def test_under_a_relative_root(self):
        with GitLab(relative_root="/gitlab") as gitlab, Host(gitlab) as host:
            host.configure(registration_token="instance")
            self.run_command("register", host=host)
            self.assertEqual(host.entry()["url"], gitlab.url)
            self.run_command("deregister", host=host)
            self.assertEqual(gitlab.runners(), [])


class Tls(Case):
    """A certificate that does not prove GitLab ends every call before a token is sent."""

    def gitlab_with(self, **options):
        folder = os.path.join(self.host.path, "tls")
        return self.enterContext(GitLab(tls=folder, **options))

    def configure(self, gitlab, **runner):
        self.host.configure(**{"url": gitlab.url, "tls_ca_file": gitlab.ca_file,
                               "registration_token": gitlab.registration_tokens["instance"], **runner})

    def assert_refused(self, gitlab, *words):
        said = self.run_command("register", code=FAILED)
        self.assertTrue(any(word in said for word in words), said)
        self.assertEqual(gitlab.log(), [])
        self.assertEqual(self.host.entries(), [])
        self.run_command("check", "--online", code=FAILED)

    def test_good(self):
        gitlab = self.gitlab_with()
        self.configure(gitlab)
        self.run_command("check", "--online")
        self.run_command("register")
        self.assertEqual(gitlab.log()[0]["http"], "2")

    def test_expired(self):
        gitlab = self.gitlab_with(cert="expired")
        self.configure(gitlab)
        self.assert_refused(gitlab, "expired")

    def test_wrong_name(self):
        gitlab = self.gitlab_with(cert="wrong-name")
        self.configure(gitlab)
        self.assert_refused(gitlab, "name", "127.0.0.1", "subject")

    def test_untrusted(self):
        gitlab = self.gitlab_with(cert="untrusted")
        self.configure(gitlab)
        self.assert_refused(gitlab, "certificate", "issuer")

    def test_authority_is_not_configured(self):
        gitlab = self.gitlab_with()
        self.configure(gitlab, tls_ca_file=None)
        self.assert_refused(gitlab, "tls_ca_file", "certificate", "issuer")

    def test_client_certificate(self):
        gitlab = self.gitlab_with(client_cert=True)
        self.configure(gitlab)
        self.assertIn(self.host.command("register").returncode, (FAILED, AGAIN))
        self.assertEqual(gitlab.runners(), [])
        self.configure(gitlab, tls_cert_file=gitlab.info["client_cert_file"], tls_key_file=gitlab.info["client_key_file"])
        self.run_command("register")
        self.assertEqual(self.host.entry()["tls-key-file"], gitlab.info["client_key_file"])

    def test_agent_lives_on_and_recovers(self):
        gitlab = self.gitlab_with()
        wrong = os.path.join(self.host.path, "wrong.pem")
        shutil.copy(os.path.join(self.host.path, "tls", "untrusted.pem"), wrong)
        self.host.configure(agent=FAST, url=gitlab.url, tls_ca_file=wrong, registration_token=gitlab.registration_tokens["instance"])
        agent = self.start_agent()
        agent.wait_status(lambda r: r["attempt"] > 1)
        shutil.copy(gitlab.ca_file, wrong)
        agent.wait_quiet()
        self.assertEqual(len(gitlab.runners()), 1)


if __name__ == "__main__":
    main("errors/")
