#!/usr/bin/python3
# tests: timeout=600
"""Jobs finish before the host goes, on a real systemd: gitlab-runner's unit as its packages make it, with our drop-in."""

import time

import machine as machines

machines.enter("system ")

from boots import Boots, main  # noqa: E402

RUNNER = "gitlab-runner.service"


class Drain(Boots):
    def busy(self, seconds: int, **options):
        """An enrolled machine on which a job of so many seconds has begun."""
        machine = self.enrolled(gitlab_runner=True, **options)
        machine.wait_said("Job started", RUNNER, after=lambda: machine.run("tee", "/run/job", stdin=str(seconds)))
        return machine

    def test_by_command(self):
        machine = self.busy(5)
        done = machine.run("runner-registrar", "deregister", "--drain")
        self.assertEqual(done.stderr, "")
        said = machine.said(RUNNER)
        self.assertIn("SIGQUIT received", said)
        self.assertIn("Job succeeded", said)
        self.assertEqual(machine.show("ActiveState", RUNNER), "inactive")
        self.assert_nothing_left(machine)

    def test_by_command_cut_at_the_bound(self):
        machine = self.busy(600, agent={"drain_timeout": "2s"})
        done = machine.run("runner-registrar", "deregister", "--drain")
        self.assertIn("gitlab-runner.service did not finish its jobs in time", done.stderr)
        self.assertIn("Job failed: aborted", machine.said(RUNNER))
        self.assert_nothing_left(machine)

    def test_poweroff_waits_for_jobs(self):
        for verb in ("poweroff", "reboot"):
            with self.subTest(verb):
                machine = self.busy(5)
                machine.end(verb)
                self.assertIn("Job succeeded", machine.said(RUNNER))
                if verb == "poweroff":
                    self.assert_nothing_left(machine)
                else:
                    self.assert_one_runner(machine)

    def test_poweroff_is_bounded(self):
        machine = self.busy(600, agent={"drain_timeout": "3s"})
        begin = time.monotonic()
        machine.end("poweroff")
        self.assertLess(time.monotonic() - begin, 20)
        self.assertIn("Job failed: aborted", machine.said(RUNNER))
        self.assertIn("time is up, gitlab-runner.service aborts", machine.said())
        self.assert_nothing_left(machine)

    def test_plain_stop_of_gitlab_runner_is_not_cut(self):
        machine = self.busy(6, agent={"drain_timeout": "1s"})
        machine.run("systemctl", "stop", RUNNER)
        self.assertIn("Job succeeded", machine.said(RUNNER))
        self.assert_one_runner(machine)


if __name__ == "__main__":
    main("system ")
