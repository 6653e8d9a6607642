#!/usr/bin/python3
# tests: timeout=300
"""Jobs are let finish before the host goes, within bounds; and the withdrawal comes all the same."""

import signal
import threading
import time

from case import DONE, FAST, USAGE, Case
from gitlab_runner import GitLabRunner

from report import main


class Drain(Case):
    def gitlab_runner(self, **options):
        return self.enterContext(GitLabRunner(self.host.systemd, **options))

    def signals(self):
        """What was sent besides the SIGHUPs of changes."""
        return [what if what.endswith("Unit") else number
                for _, what, number in self.host.systemd.killed if number != signal.SIGHUP]


class ByCommand(Drain):
    def test_jobs_finish_then_the_runner_goes(self):
        runner = self.gitlab_runner(jobs=True)
        self.enrolled_agent()
        answer = []
        thread = threading.Thread(target=lambda: answer.append(self.host.command("deregister", "--drain")))
        thread.start()
        runner.wait_said("no new jobs")
        self.assertEqual(len(self.gitlab.runners()), 1)
        self.assertEqual(len(self.host.entries()), 1)
        runner.finish_jobs()
        thread.join()
        self.assertEqual(answer[0].returncode, DONE, answer[0].stderr)
        self.assertEqual(answer[0].stderr, "")
        self.assertEqual(self.signals(), [signal.SIGQUIT, "StopUnit"])
        self.assertEqual(runner.state, "inactive")
        self.assert_nothing_left()

    def test_without_an_agent(self):
        runner = self.gitlab_runner()
        self.host.configure(agent=FAST, registration_token="instance")
        self.run_command("register")
        self.run_command("deregister", "--drain")
        self.assertEqual(self.signals(), [signal.SIGQUIT, "StopUnit"])
        self.assertEqual(runner.state, "inactive")
        self.assert_nothing_left()

    def test_cut_at_the_bound(self):
        for running in (True, False):
            with self.subTest(agent=running):
                self.gitlab.reset()
                self.host.systemd.killed.clear()
                runner = self.gitlab_runner(jobs=True)
                if running:
                    agent = self.enrolled_agent(agent={"drain_timeout": "1s"})
                else:
                    self.host.configure(agent={**FAST, "drain_timeout": "1s"}, registration_token="instance")
                    self.run_command("register")
                said = self.run_command("deregister", "--drain")
                self.assertIn("gitlab-runner.service did not finish its jobs in time", said)
                self.assertEqual(self.signals(), [signal.SIGQUIT, signal.SIGTERM, "StopUnit"])
                self.assertIn("jobs aborted", runner.said)
                self.assert_nothing_left()
                if running:
                    agent.stop()

    def test_timeout_bounds_the_whole(self):
        runner = self.gitlab_runner(jobs=True, hangs=True)
        self.enrolled_agent()
        begin = time.monotonic()
        said = self.run_command("deregister", "--drain", "--timeout", "6s")
        self.assertLess(time.monotonic() - begin, 6.5)
        self.assertIn("did not end in time", said)
        self.assertTrue(runner.pid)
        self.assert_nothing_left()

    def test_nothing_runs(self):
        self.enrolled_agent()
        said = self.run_command("deregister", "--drain")
        self.assertNotIn("drain", said)
        self.assertEqual(self.signals(), [])
        self.assert_nothing_left()

    def test_nobody_to_ask(self):
        self.host.environment["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/nonexistent"
        self.enrolled_agent()
        self.run_command("deregister", "--drain", "--timeout", "20s")
        self.assert_nothing_left()

    def test_what_stays_gets_its_gitlab_runner_back(self):
        runner = self.gitlab_runner()
        self.host.configure(agent=FAST, registration_token="instance")
        self.host.configure(append=True, name="build-2", registration_token="instance")
        agent = self.start_agent()
        agent.wait_quiet("build-1")
        agent.wait_quiet("build-2")
        self.run_command("deregister", "--drain", "build-1")
        self.host.systemd.wait_killed(len(self.host.systemd.killed))
        until = time.monotonic() + 10
        while runner.state != "active" and time.monotonic() < until:
            self.host.systemd.wait_killed(1)
        self.assertEqual(runner.state, "active")
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["build-2"])

    def test_only_deregister_drains(self):
        self.host.configure(registration_token="instance")
        self.assertIn("--drain belongs to deregister", self.run_command("verify", "--drain", code=USAGE))


class ByStop(Drain):
    def test_service_stop_does_not_drain(self):
        self.gitlab_runner(jobs=True)
        agent = self.enrolled_agent()
        self.assertEqual(agent.stop(), DONE)
        self.assertEqual(self.signals(), [])
        self.assert_nothing_left()

    def test_stopped_by_systemd_first_nobody_cuts_a_plain_stop(self):
        runner = self.gitlab_runner(jobs=True)
        self.enrolled_agent(agent={"drain_timeout": "1s"})
        runner.stop()
        runner.wait_said("no new jobs")
        time.sleep(2)
        self.assertTrue(runner.pid)
        self.assertEqual(self.signals(), [])


if __name__ == "__main__":
    main("drain/")
