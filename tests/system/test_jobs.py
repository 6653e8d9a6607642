#!/usr/bin/python3
# tests: timeout=900
"""gitlab-runner's jobs on the way down, whichever control group they live in."""

import machine as machines

machines.enter("system ")

from boots import Boots, main  # noqa: E402


class Jobs(Boots):
    def working(self, job, **options):
        """An enrolled machine whose gitlab-runner has just begun a job."""
        machine = self.enrolled(gitlab_runner=True, **options)
        machine.wait_said("Job started", "gitlab-runner.service",
                          after=lambda: machine.run("sh", "-c", f"echo '{job}' >/run/job"))
        return machine

    def test_poweroff_waits_for_a_job_and_then_withdraws(self):
        machine = self.working("2")
        machine.end("poweroff")
        self.assertIn("Job succeeded", machine.said("gitlab-runner.service"))
        self.assert_nothing_left(machine)

    def test_poweroff_waits_for_a_job_in_a_session_of_its_own(self):
        machine = self.working("2 daemon")
        machine.wait_session()
        machine.end("poweroff")
        self.assertIn("Job succeeded", machine.said("gitlab-runner.service"))
        self.assert_nothing_left(machine)

    def test_stop_of_gitlab_runner_lets_a_job_begin_its_next_step(self):
        """The order that saves sessions at a poweroff must not keep them from starting while gitlab-runner stops."""
        machine = self.working("2 daemon")
        machine.wait_session()
        machine.run("systemctl", "stop", "gitlab-runner.service", timeout=20)
        self.assertIn("Job succeeded", machine.said("gitlab-runner.service"))

    def test_reboot_waits_for_a_job_and_keeps_the_runner(self):
        machine = self.working("2")
        runner = self.assert_one_runner(machine)
        machine.end("reboot")
        self.assertIn("Job succeeded", machine.said("gitlab-runner.service"))
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])

    def test_restart_of_the_agent_touches_no_job(self):
        machine = self.working("3")
        before = machine.main_process("gitlab-runner.service")
        machine.run("systemctl", "restart", "runner-registrar")
        machine.wait_said("Job succeeded", "gitlab-runner.service")
        self.assertEqual(machine.main_process("gitlab-runner.service"), before)


if __name__ == "__main__":
    main("system ")
