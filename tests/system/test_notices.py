#!/usr/bin/python3
# tests: timeout=600
"""The cloud takes the host, on a real systemd: gitlab-runner drained through its unit, or its jobs cut, and nothing left
at GitLab before the deadline."""

import email.utils
import os
import sys
import time

import machine as machines

machines.enter("system ")

sys.path.insert(0, os.path.join(machines.TOP, "tests", "cloud"))

from aws import Aws, hooks  # noqa: E402
from azure import Azure  # noqa: E402
from gcp import Gcp  # noqa: E402

from boots import CREATING, DELETING, Boots, main  # noqa: E402

RUNNER = "gitlab-runner.service"
VARIABLES = {
    Aws: lambda cloud: {"AWS_EC2_METADATA_SERVICE_ENDPOINT": cloud.url, "AWS_ENDPOINT_URL_AUTO_SCALING": cloud.url},
    Gcp: lambda cloud: {"GCE_METADATA_HOST": cloud.place},
    Azure: lambda cloud: {"AZURE_METADATA_ENDPOINT": cloud.url},
}
# Google's 30 s from the preemption to the power cut.
GCP_SECONDS = 30
LONG_JOB = 600


class Notices(Boots):
    def on(self, kind, job: int, **agent):
        """A machine of that cloud, enrolled, on which a job of so many seconds has begun."""
        self.cloud = self.enterContext(kind())
        machine = self.machine(gitlab_runner=True, agent={"termination": kind.__name__.lower(), **agent})
        lines = "".join(f"Environment={name}={value}\n" for name, value in VARIABLES[kind](self.cloud).items())
        machine.write("/etc/systemd/system/runner-registrar.service.d/cloud.conf", "[Service]\n" + lines)
        machine.boot()
        machine.wait_enrolled()
        machine.wait_said("Job started", RUNNER, after=lambda: machine.run("tee", "/run/job", stdin=str(job)))
        return machine

    def notice(self, machine, seconds: float, **values):
        """From now on the cloud says so; the moment when SECONDS are over. No job is taken any more at once."""
        at = self.cloud.set(**values)
        machine.wait_said("SIGQUIT received", RUNNER)
        self.assertLess(time.monotonic() - at, 2)
        return at + seconds

    def assert_left(self, machine, deadline: float, job: str):
        self.gitlab.wait_runners(0, timeout=30)
        self.assertLess(time.monotonic(), deadline)
        machine.wait_said("withdrawing → withdrawn")
        self.assertIn(job, machine.said(RUNNER))
        self.assert_nothing_left(machine)
        # It stays, or Restart= would enrol it anew; and so does gitlab-runner's end.
        self.assertEqual(machine.show("ActiveState"), "active")
        self.assertEqual(machine.show("ActiveState", RUNNER), "inactive")

    def test_aws_spot_cuts_what_is_too_long(self):
        machine = self.on(Aws, LONG_JOB)
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 12))
        deadline = self.notice(machine, 12, action={"action": "terminate", "time": end})
        self.assert_left(machine, deadline, "Job failed: aborted")
        mark = self.gitlab.mark()
        machine.end("poweroff")
        self.assertNotIn("register", self.gitlab.operations(mark))

    def test_aws_auto_scaling_waits_for_the_job(self):
        machine = self.on(Aws, 7)
        self.cloud.set(lifecycle="InService", hooks=hooks("runner-registrar", heartbeat=15))
        self.cloud.wait_asked("target-lifecycle-state", 2)
        deadline = self.notice(machine, 30, lifecycle="Terminated")
        self.cloud.wait_asked("RecordLifecycleActionHeartbeat", 2)
        self.assertEqual(len(self.gitlab.runners()), 1)
        self.assertEqual(self.cloud.asked("CompleteLifecycleAction"), [])
        self.assert_left(machine, deadline, "Job succeeded")
        machine.wait_said("lifecycle action is completed")
        self.assertEqual(self.cloud.actions().count("CompleteLifecycleAction"), 1)
        self.assertEqual(self.cloud.bad_signatures, [])
        machine.end("poweroff")
        self.assertEqual(self.gitlab.runners(), [])

    def test_gcp_preempts_and_presses_the_power_button(self):
        """Both come at once there: systemd and the agent drain gitlab-runner together."""
        machine = self.on(Gcp, 3)
        self.cloud.wait_asked("preempted?wait_for_change")
        deadline = self.notice(machine, GCP_SECONDS, preempted="TRUE")
        machine.end("poweroff")
        self.assertLess(time.monotonic(), deadline)
        self.assertIn("Job succeeded", machine.said(RUNNER))
        self.assertIn("(instance preemption): the runners are withdrawn", machine.said())
        self.assert_nothing_left(machine)

    def test_gcp_preempts_a_host_with_a_long_job(self):
        machine = self.on(Gcp, LONG_JOB)
        self.cloud.wait_asked("preempted?wait_for_change")
        deadline = self.notice(machine, GCP_SECONDS, preempted="TRUE")
        self.assert_left(machine, deadline, "Job failed: aborted")

    def test_azure_preempts(self):
        machine = self.on(Azure, LONG_JOB)
        not_before = email.utils.formatdate(time.time() + 12, usegmt=True)
        deadline = self.notice(machine, 12, events=[Azure.event("Preempt", not_before=not_before)])
        self.assert_left(machine, deadline, "Job failed: aborted")
        machine.wait_said("Azure was told")
        self.assertEqual(self.cloud.acknowledged, ["602D9444"])

    def test_azure_cancels_while_the_job_runs(self):
        machine = self.on(Azure, 6)
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        before = machine.main_process(RUNNER)
        not_before = email.utils.formatdate(time.time() + 300, usegmt=True)
        self.notice(machine, 300, events=[Azure.event("Terminate", not_before=not_before)])
        machine.wait_said("this host stays as it is", after=lambda: self.cloud.set(events=[]))
        self.assertEqual(machine.show("StatusText"), "1 registered")
        machine.wait_said("Job succeeded", RUNNER)
        # Long before its RestartSec.
        self.gitlab.wait_requests(operation="request_job", since=self.gitlab.mark(), timeout=15)
        self.assertNotIn(machine.main_process(RUNNER), (0, before))
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING, mark), [])
        self.assertEqual(self.cloud.acknowledged, [])

    def test_aws_comes_back_from_hibernation(self):
        machine = self.on(Aws, 2)
        first = self.assert_one_runner(machine)
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 20))
        deadline = self.notice(machine, 20, action={"action": "hibernate", "time": end})
        self.assert_left(machine, deadline, "Job succeeded")
        before = machine.main_process()
        self.cloud.set(action=None)
        self.gitlab.wait_runners(1, timeout=20)
        machine.wait_enrolled()
        self.assertNotEqual(self.assert_one_runner(machine)["id"], first["id"])
        self.gitlab.wait_requests(operation="request_job", since=self.gitlab.mark(), timeout=15)
        self.assertEqual((machine.main_process(), machine.show("NRestarts")), (before, "0"))
        machine.run("systemctl", "stop", "runner-registrar")
        self.assert_nothing_left(machine)

    def test_azure_terminates_and_is_told_once_the_job_is_done(self):
        machine = self.on(Azure, 4)
        not_before = email.utils.formatdate(time.time() + 300, usegmt=True)
        deadline = self.notice(machine, 30, events=[Azure.event("Terminate", not_before=not_before)])
        self.assertEqual(self.cloud.acknowledged, [])
        self.assert_left(machine, deadline, "Job succeeded")
        machine.wait_said("Azure was told")
        self.assertEqual(self.cloud.acknowledged, ["602D9444"])


if __name__ == "__main__":
    main("system ")
