#!/usr/bin/python3
"""Keeping it working: verify, doubt, recovery, rotation, and what others do to config.toml meanwhile."""
# tests: valgrind

import os
import signal

from case import AGAIN, CONFIG, FAILED, FAST, REFUSED, Case, quiet

from report import main

ZERO = "0001-01-01T00:00:00+00:00"
DEAD = {"kind": "status", "status": 403, "body": {"message": "403 Forbidden"}}


class Verify(Case):
    def test_again_and_again(self):
        agent = self.enrolled_agent(agent=FAST)
        self.gitlab.wait_requests(operation="verify", count=2)
        status = agent.wait_status(lambda r: r["last_verified_at"] and r["next_action_at"])
        self.assertEqual(status["last_verdict"], "alive")
        self.assertTrue(status["next_action"].startswith("verify"))
        self.assertIn("verify_interval", self.run_command("status"))

    def test_at_once_on_signal(self):
        agent = self.enrolled_agent()
        mark = self.gitlab.mark()
        agent.send(signal.SIGUSR1)
        self.gitlab.wait_requests(operation="verify", since=mark)

    def test_removed_runner_is_enrolled_anew_after_three_proofs(self):
        agent = self.enrolled_agent(agent=FAST)
        first = self.host.entry()["id"]
        mark = self.gitlab.mark()
        self.gitlab.delete_runner(first)
        agent.wait_status(lambda r: quiet(r) and r["runner_id"] not in (None, first))
        self.assert_enrolled_once()
        asked = self.gitlab.operations(mark)
        self.assertGreaterEqual(asked[:asked.index("register")].count("verify"), 3)
        self.assertEqual(asked.count("register"), 1)

    def test_one_good_answer_clears_all_doubt(self):
        self.enrolled_agent(agent=FAST)
        for _ in range(2):
            self.gitlab.fault(operation="verify", count=2, **DEAD)
            self.gitlab.wait_faults()
            self.gitlab.wait_requests(operation="verify", status=200, since=self.gitlab.mark())
        self.assert_enrolled_once()
        self.assertEqual(self.gitlab.count(operation="register"), 1)

    def test_proofs_survive_a_restart_and_are_spread(self):
        agent = self.enrolled_agent(agent={"removed_after": "1h", "deregister_on": "never"})
        self.gitlab.delete_runner(self.host.entry()["id"])
        for _ in range(4):
            agent.send(signal.SIGUSR1)
            agent.wait_status(lambda r: r["state"] == "doubtful" and r["next_action_at"])
            agent.kill()
            agent = self.start_agent()
            agent.wait_status(lambda r: r["state"] == "doubtful" and r["next_action_at"])
        self.assertEqual(self.gitlab.count(operation="register"), 1)

    def test_on_removed_disable(self):
        agent = self.enrolled_agent(agent=FAST, on_removed="disable")
        self.gitlab.delete_runner(self.host.entry()["id"])
        agent.wait_state("refused")
        self.run_command("wait", "--timeout", "10s", code=REFUSED)
        self.assertEqual(self.gitlab.runners(), [])
        # A person decides otherwise.
        self.run_command("register")
        self.assert_enrolled_once()

    def test_expired_token_is_replaced_by_the_access_token_and_the_runner_stays(self):
        agent = self.enrolled_agent(agent=FAST, **self.by_access_token())
        entry = self.host.entry()
        self.gitlab.change_runner(entry["id"], token_expires_at=self.gitlab.now() - 60)
        agent.wait_status(lambda r: quiet(r) and self.host.entry()["token"] != entry["token"])
        self.assertEqual(self.assert_enrolled_once()["id"], entry["id"])
        self.assertEqual(self.gitlab.count(operation="reset_by_id"), 1)
        self.assertEqual(self.gitlab.count(operation="create"), 1)

    def test_dead_authentication_token_waits_for_a_new_one(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        agent = self.enrolled_agent(agent=FAST, authentication_token=runner["token"])
        self.gitlab.delete_runner(runner["id"])
        status = agent.wait_state("refused")
        self.assertIn("refused_retry", str(status["next_action"]) + str(status["reason"]) + self.run_command("status"))
        new = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        self.host.secret("build-1-authentication_token", new["token"])
        agent.wait_status(lambda r: quiet(r) and r["runner_id"] == new["id"])
        self.assertEqual(self.host.entry()["token"], new["token"])

    def test_command_tells_the_verdict(self):
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.run_command("verify")
        self.gitlab.down()
        self.run_command("verify", code=AGAIN)
        self.gitlab.up()
        self.gitlab.delete_runner(self.host.entry()["id"])
        self.run_command("verify", code=REFUSED)
        self.assertEqual(len(self.host.entries()), 1)


class Rotation(Case):
    def test_at_its_part_of_the_life(self):
        self.gitlab.settings(runner_token_expiration_interval=3)
        self.host.systemd.active = True
        agent = self.enrolled_agent(agent={"rotate_at": "50%", "deregister_on": "never"})
        first = self.host.entry()["token"]
        told = len(self.host.systemd.killed)
        self.gitlab.wait_requests(operation="reset")
        agent.wait_status(lambda r: quiet(r) and self.host.entry()["token"] != first)
        self.assert_enrolled_once()
        self.assertFalse(self.works(first))
        self.assertEqual(self.host.entry()["token_expires_at"].isoformat(), ZERO)
        # gitlab-runner hears of it at once.
        self.assertEqual(self.host.systemd.wait_killed(told + 1)[-1], ("gitlab-runner.service", "main", signal.SIGHUP))

    def test_by_age_where_tokens_do_not_expire(self):
        self.enrolled_agent(agent={"rotate_after": "1s"})
        self.gitlab.wait_requests(operation="reset", count=2)
        self.assertEqual(len(self.gitlab.runners()), 1)

    def test_once_where_the_expiry_can_not_be_learnt(self):
        self.gitlab.reset("15")
        self.host.configure(registration_token="instance")
        self.run_command("register")
        # State and times are lost; old servers do not tell the expiry when they verify.
        os.unlink(os.path.join(self.host.state_dir, "build-1.json"))
        self.enrolled_agent(agent=FAST)
        self.gitlab.wait_requests(operation="reset")
        mark = self.gitlab.mark()
        self.gitlab.wait_requests(operation="verify", since=mark, count=2)
        self.assertEqual(self.gitlab.count(operation="reset"), 1)
        self.assert_enrolled_once()

    def test_by_hand(self):
        self.host.configure(registration_token="instance")
        self.run_command("register")
        first = self.host.entry()["token"]
        self.run_command("rotate")
        self.assertNotEqual(self.host.entry()["token"], first)
        self.assert_enrolled_once()

    def test_by_hand_through_the_agent(self):
        self.enrolled_agent()
        first = self.host.entry()["token"]
        self.run_command("rotate")
        self.assertNotEqual(self.host.entry()["token"], first)
        self.assert_enrolled_once()

    def test_shared_token_is_not_touched(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        self.host.configure(authentication_token=runner["token"])
        self.run_command("register")
        self.assertIn("rotation = always", self.run_command("rotate", code=FAILED))
        self.assertEqual(self.gitlab.count(operation="reset"), 0)

    def test_shared_token_with_rotation_always(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        self.host.configure(authentication_token=runner["token"], rotation="always")
        self.run_command("register")
        self.run_command("rotate")
        self.assertNotEqual(self.host.entry()["token"], runner["token"])
        self.assert_enrolled_once()
        # The source still holds the old token, which is no newer one.
        self.run_command("register")
        self.assert_enrolled_once()

    def test_left_to_gitlab_runner(self):
        self.gitlab.settings(runner_token_expiration_interval=86400)
        self.enrolled_agent(rotation="gitlab-runner")
        self.assertNotEqual(self.host.entry()["token_expires_at"].isoformat(), ZERO)

    def test_lost_answer_is_not_asked_for_again(self):
        agent = self.enrolled_agent(agent=FAST)
        first = self.host.entry()["token"]
        self.gitlab.fault(operation="reset", kind="act_then_drop")
        mark = self.gitlab.mark()
        # The old token is asked about, and is dead: by our own doing, and so nothing was refused.
        self.run_command("rotate", code=AGAIN)
        agent.wait_status(lambda r: quiet(r) and self.host.entry()["token"] != first)
        asked = self.gitlab.operations(mark)
        # A verify that was due anyway may have come first.
        self.assertEqual(asked[asked.index("reset"):][:2], ["reset", "verify"])
        self.assertEqual(asked.count("reset"), 1)
        self.assertTrue(self.works(self.host.entry()["token"]))

    def test_lost_answer_is_mended_by_the_access_token(self):
        agent = self.enrolled_agent(agent=FAST, **self.by_access_token())
        entry = self.host.entry()
        self.gitlab.fault(operation="reset", kind="act_then_drop")
        self.run_command("rotate", code=AGAIN)
        agent.wait_status(lambda r: quiet(r) and self.host.entry()["token"] != entry["token"])
        self.assertEqual(self.assert_enrolled_once()["id"], entry["id"])

    def test_request_that_did_not_arrive_costs_nothing(self):
        agent = self.enrolled_agent(agent=FAST)
        first = self.host.entry()
        self.gitlab.fault(operation="reset", kind="drop")
        self.run_command("rotate", code=AGAIN)
        agent.wait_status(lambda r: quiet(r) and r["last_verdict"] == "alive")
        self.assertEqual(self.host.entry()["token"], first["token"])
        self.run_command("rotate")
        self.assertEqual(self.assert_enrolled_once()["id"], first["id"])

    def test_refused(self):
        for body, status in (({"error": "Runner needs to be assigned to at least one project"}, 422),
                             ({"error": "Token rotation deadline has passed"}, 403)):
            with self.subTest(status=status):
                self.gitlab.reset()
                agent = self.enrolled_agent()
                first = self.host.entry()["token"]
                self.gitlab.fault(operation="reset", kind="status", status=status, body=body)
                self.assertIn(body["error"], self.run_command("rotate", code=REFUSED))
                self.run_command("verify")
                self.assertEqual(self.host.entry()["token"], first)
                self.assertEqual(agent.stop(), 0)
                self.assert_nothing_left()

    def test_handed_back_at_the_end_and_taken_again(self):
        self.gitlab.settings(runner_token_expiration_interval=86400)
        agent = self.enrolled_agent(agent={"deregister_on": "never"})
        self.assertEqual(self.host.entry()["token_expires_at"].isoformat(), ZERO)
        self.assertEqual(agent.stop(), 0)
        self.assertNotEqual(self.host.entry()["token_expires_at"].isoformat(), ZERO)
        # gitlab-runner rotates meanwhile; whatever token stands there is adopted.
        entry = self.host.entry()
        self.gitlab.change_runner(entry["id"], token="glrtr-rotatedmeanwhile1")
        self.host.write_toml(self.host.toml_text().replace(entry["token"], "glrtr-rotatedmeanwhile1"))
        agent = self.start_agent()
        agent.wait_quiet()
        self.assert_enrolled_once()
        self.assertEqual(self.host.entry()["token_expires_at"].isoformat(), ZERO)


class Others(Case):
    """config.toml has other writers."""

    def test_newer_token_is_adopted(self):
        agent = self.enrolled_agent()
        entry = self.host.entry()
        new = "glrtr-rotatedbygitlabrunner"
        self.gitlab.change_runner(entry["id"], token=new)
        self.host.write_toml(self.host.toml_text().replace(entry["token"], new)
                             .replace("0001-01-01T00:00:00Z", "2030-01-01T00:00:00Z"))
        agent.wait_status(lambda r: quiet(r) and self.host.state()["token"] == new
                          and self.host.entry()["token_expires_at"].isoformat() == ZERO)
        self.assert_enrolled_once()
        self.assertEqual(self.gitlab.count(operation="register"), 1)

    def test_token_that_does_not_work_is_put_right(self):
        agent = self.enrolled_agent()
        entry = self.host.entry()
        mark = self.gitlab.mark()
        self.host.write_toml(self.host.toml_text().replace(entry["token"], "glrtr-nonsense"))
        self.gitlab.wait_requests(operation="verify", since=mark, count=2)
        agent.wait_status(lambda r: self.host.entry()["token"] == entry["token"])
        self.assert_enrolled_once()

    def test_removed_entry_is_written_back(self):
        agent = self.enrolled_agent()
        text = self.host.toml_text()
        before, _, _ = text.partition("\n[[runners]]")
        other = before + '\n[[runners]]\n  name = "other"\n  url = "https://other.example.com"\n  token = "x"\n  executor = "shell"\n'
        self.host.write_toml(other)
        agent.wait_status(lambda r: len(self.host.entries()) == 2)
        self.assertTrue(self.host.toml_text().startswith(other))
        self.assert_enrolled_once()

    def test_removed_entry_of_a_removed_runner_is_not_written_back(self):
        agent = self.enrolled_agent(agent={"removed_after": "1h"})
        self.gitlab.delete_runner(self.host.entry()["id"])
        self.host.write_toml('[[runners]]\n  name = "other"\n  url = "https://other.example.com"\n  token = "x"\n  executor = "shell"\n')
        agent.wait_state("doubtful")
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["other"])


class Source(Case):
    """The configured authentication token."""

    def setUp(self):
        super().setUp()
        self.old, self.new = (self.gitlab.seed_runner(runner_type="instance_type", created=True) for _ in range(2))

    def managers(self, runner):
        return [m["system_id"] for m in self.gitlab.runner(runner["id"])["managers"]]

    def test_new_value_takes_over_at_reload(self):
        agent = self.enrolled_agent(authentication_token=self.old["token"])
        self.assertEqual(self.managers(self.old), [self.host.system_id()])
        self.host.secret("build-1-authentication_token", self.new["token"])
        agent.send(signal.SIGHUP)
        agent.wait_status(lambda r: r["runner_id"] == self.new["id"] and quiet(r) and not r["debts"])
        self.assertEqual(self.host.entry()["token"], self.new["token"])
        self.assertEqual(self.managers(self.new), [self.host.system_id()])
        self.assertEqual(self.managers(self.old), [])
        self.assertEqual(self.gitlab.count(operation="delete"), 0)

    def test_and_at_start(self):
        agent = self.enrolled_agent(agent={"deregister_on": "never"}, authentication_token=self.old["token"])
        agent.stop()
        self.host.secret("build-1-authentication_token", self.new["token"])
        agent = self.start_agent()
        agent.wait_status(lambda r: r["runner_id"] == self.new["id"] and not r["debts"] and r["next_action_at"])
        self.assertEqual((self.managers(self.old), self.managers(self.new)), ([], [self.host.system_id()]))

    def test_value_that_gitlab_does_not_take_changes_nothing(self):
        agent = self.enrolled_agent(authentication_token=self.old["token"])
        self.host.secret("build-1-authentication_token", "glrt-unknown")
        mark = self.gitlab.mark()
        agent.send(signal.SIGHUP)
        self.gitlab.wait_requests(operation="verify", status=403, since=mark)
        self.run_command("verify")
        self.assertEqual(self.host.entry()["token"], self.old["token"])
        self.assertEqual(self.managers(self.old), [self.host.system_id()])

    def test_source_that_can_not_be_read(self):
        self.host.configure(authentication_token=self.old["token"])
        os.unlink(os.path.join(self.host.secrets, "build-1-authentication_token"))
        self.run_command("register", code=CONFIG)
        self.assertEqual(self.gitlab.log(), [])


if __name__ == "__main__":
    main("verify-rotate/")
