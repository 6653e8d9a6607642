#!/usr/bin/python3
# tests: timeout=600
"""The three clouds announce the end of an instance: no more jobs at once, nothing left at GitLab before the deadline."""

import email.utils
import signal
import time

from case import DONE
from clouds import Cloud, rfc3339

from aws import Aws, hooks
from azure import Azure
from gcp import Gcp

from report import main


class AtAws(Cloud):
    def test_spot(self):
        aws = self.begin(Aws)
        aws.wait_asked("spot/instance-action", 3)
        at = aws.set(action={"action": "terminate", "time": rfc3339(20)})
        self.runner.wait_said("no new jobs")
        self.assertLess(time.monotonic() - at, 1.5)
        self.wait_withdrawn(at + 20)
        self.assertIn("jobs aborted", self.runner.said)
        self.assertIn("preemption spot terminate", self.hooked())
        self.assertEqual(aws.tokens, 1)
        for path in ("spot/instance-action", "target-lifecycle-state", "recommendations/rebalance"):
            self.assert_polite(path)
        self.assertEqual(self.agent.stop(), DONE)
        # 404 is how it says that all is well.
        self.assertNotIn("404", self.agent.output())

    def test_jobs_that_end_are_not_cut(self):
        aws = self.begin(Aws)
        at = aws.set(action={"action": "stop", "time": rfc3339(60)})
        self.runner.wait_said("no new jobs")
        self.runner.finish_jobs()
        self.wait_withdrawn(at + 20)
        self.assertEqual(self.signals(), [signal.SIGQUIT, "StopUnit"])

    def test_gitlab_down(self):
        aws = self.begin(Aws, jobs=False)
        self.gitlab.down()
        at = aws.set(action={"action": "terminate", "time": rfc3339(20)})
        self.agent.wait_status(lambda r: r["state"] == "withdrawn" and r["debts"])
        self.assertLess(time.monotonic(), at + 20)
        self.assertEqual(self.host.entries(), [])
        self.assertEqual(self.agent.stop(), DONE)

    def test_rebalance_is_only_told(self):
        aws = self.begin(Aws)
        aws.set(rebalance={"noticeTime": rfc3339(0)})
        self.agent.wait_said("The cloud announces: rebalance")
        aws.wait_asked("rebalance", len(aws.asked("rebalance")) + 2)
        self.assertEqual(self.signals(), [])
        self.assertEqual(self.agent.runner()["state"], "registered")
        self.assertEqual(len([line for line in self.hooked() if line.startswith("rebalance")]), 1)

    def test_lifecycle_action(self):
        aws = self.begin(Aws)
        aws.set(lifecycle="InService", hooks=hooks("runner-registrar", heartbeat=15))
        aws.wait_asked("target-lifecycle-state", 2)
        at = aws.set(lifecycle="Terminated")
        self.runner.wait_said("no new jobs")
        self.assertLess(time.monotonic() - at, 1.5)
        # Two heartbeats, and nothing of ours ends the wait.
        aws.wait_asked("RecordLifecycleActionHeartbeat", 2)
        self.assertEqual(self.signals(), [signal.SIGQUIT])
        self.assertEqual(len(self.gitlab.runners()), 1)
        self.runner.finish_jobs()
        aws.wait_asked("CompleteLifecycleAction")
        self.assertEqual(aws.bad_signatures, [])
        self.assert_nothing_left()
        self.assertEqual(aws.actions().count("CompleteLifecycleAction"), 1)
        self.assertEqual(self.agent.stop(), DONE)

    def test_others_hooks_are_left_alone(self):
        aws = self.begin(Aws)
        aws.set(lifecycle="Terminated", hooks=hooks("copy-logs", "my-runner-registrar-hook", "x") + hooks("y", transition="LAUNCHING"))
        self.runner.wait_said("no new jobs")
        aws.wait_asked("RecordLifecycleActionHeartbeat")
        self.runner.finish_jobs()
        aws.wait_asked("CompleteLifecycleAction")
        self.assertEqual({r.body.split(b"LifecycleHookName=")[1].split(b"&")[0] for r in aws.asked("LifecycleHookName")},
                         {b"my-runner-registrar-hook"})

    def test_hook_times_out(self):
        aws = self.begin(Aws)
        at = aws.set(lifecycle="Terminated", over=True)
        self.agent.wait_said("Auto Scaling waits no longer")
        self.wait_withdrawn(at + 15)

    def test_without_the_right_to_ask_the_drain_is_bounded(self):
        aws = self.begin(Aws, drain_timeout="2s")
        at = aws.set(lifecycle="Terminated", role=None)
        self.wait_withdrawn(at + 15)
        self.assertIn("jobs aborted", self.runner.said)
        self.assertIn("lifecycle action can't be kept alive", self.agent.output())

    def test_two_notices_at_once(self):
        aws = self.begin(Aws)
        at = aws.set(lifecycle="Terminated")
        aws.wait_asked("RecordLifecycleActionHeartbeat")
        aws.set(action={"action": "terminate", "time": rfc3339(15)})
        self.wait_withdrawn(at + 20)
        aws.wait_asked("CompleteLifecycleAction")

    def test_stopped_in_the_middle(self):
        aws = self.begin(Aws)
        aws.set(action={"action": "terminate", "time": rfc3339(12)})
        self.runner.wait_said("no new jobs")
        self.assertEqual(self.agent.stop(), DONE)
        self.assert_nothing_left()


class Cancelled(Cloud):
    def assert_stays(self, runner):
        """The runner was never touched, and gitlab-runner is up again."""
        self.agent.wait_said("this host stays as it is")
        self.host.systemd.wait_killed(2)
        self.agent.wait_said("is started again, runners")
        self.assertEqual(self.agent.runner()["state"], "registered")
        self.assertEqual([r["id"] for r in self.gitlab.runners()], [runner["id"]])
        self.assertIn("RestartUnit", self.signals())
        self.assertEqual(self.runner.state, "active")
        self.hook_said("cancelled")
        self.run_command("verify")

    def hook_said(self, word):
        self.agent.wait_status(lambda r: any(line.startswith(word) for line in self.hooked()))

    def test_azure_while_jobs_run(self):
        azure = self.begin(Azure)
        runner = self.gitlab.runners()[0]
        not_before = email.utils.formatdate(time.time() + 600, usegmt=True)
        azure.set(events=[Azure.event("Terminate", not_before=not_before)])
        self.runner.wait_said("no new jobs")
        azure.set(events=[])
        self.agent.wait_said("The cloud announces no more: termination (602D9444)")
        # Its jobs end first, and only then it is started again.
        self.assertEqual(self.signals(), [signal.SIGQUIT])
        self.assertTrue(self.runner.pid)
        self.runner.finish_jobs()
        self.assert_stays(runner)
        self.assertEqual(azure.acknowledged, [])
        # Announced once more it is as new.
        azure.set(events=[Azure.event("Terminate", not_before=not_before)])
        self.runner.wait_said("no new jobs", times=2)
        self.runner.finish_jobs()
        self.agent.wait_state("withdrawn")
        self.agent.wait_said("Azure was told")
        self.assert_nothing_left()

    def test_auto_scaling_takes_another_instance(self):
        aws = self.begin(Aws)
        runner = self.gitlab.runners()[0]
        aws.set(lifecycle="Terminated", hooks=hooks("runner-registrar", heartbeat=15))
        aws.wait_asked("RecordLifecycleActionHeartbeat")
        aws.set(lifecycle="InService")
        self.agent.wait_said("The cloud announces no more: termination")
        self.runner.finish_jobs()
        self.assert_stays(runner)
        heartbeats = len(aws.asked("RecordLifecycleActionHeartbeat"))
        aws.wait_asked("target-lifecycle-state", len(aws.asked("target-lifecycle-state")) + 6)
        self.assertEqual(len(aws.asked("RecordLifecycleActionHeartbeat")), heartbeats)
        self.assertEqual(aws.asked("CompleteLifecycleAction"), [])

    def test_one_of_two_leaves_the_other(self):
        aws = self.begin(Aws)
        aws.set(lifecycle="Terminated", action={"action": "terminate", "time": rfc3339(25)})
        self.runner.wait_said("no new jobs")
        aws.wait_asked("RecordLifecycleActionHeartbeat")
        at = aws.set(action=None)
        self.agent.wait_said("announces no more: preemption (spot terminate); another notice stands")
        self.wait_withdrawn(at + 25)
        aws.wait_asked("CompleteLifecycleAction")

    def test_after_all_is_withdrawn_the_host_enrols_anew(self):
        """As a hibernated instance does that comes back."""
        aws = self.begin(Aws, jobs=False)
        first = self.gitlab.runners()[0]
        at = aws.set(action={"action": "hibernate", "time": rfc3339(20)})
        self.wait_withdrawn(at + 20)
        aws.set(action=None)
        self.agent.wait_said("this host enrols anew")
        self.gitlab.wait_runners(1, timeout=30)
        self.agent.wait_state("registered")
        self.assertNotEqual(self.gitlab.runners()[0]["id"], first["id"])
        self.assertEqual([entry["token"] for entry in self.host.entries()], [self.gitlab.runners()[0]["token"]])
        self.assertEqual(self.runner.state, "active")
        # It hears what comes next as it did before.
        at = aws.set(action={"action": "terminate", "time": rfc3339(20)})
        self.wait_withdrawn(at + 20)
        self.assertEqual(self.agent.stop(), DONE)

    def test_metadata_that_fails_cancels_nothing(self):
        aws = self.begin(Aws)
        at = aws.set(action={"action": "terminate", "time": rfc3339(15)})
        self.runner.wait_said("no new jobs")
        aws.set(status=500)
        self.wait_withdrawn(at + 15)
        self.assertNotIn("announces no more", self.agent.output())


class AtGoogle(Cloud):
    def test_preempted(self):
        gcp = self.begin(Gcp)
        gcp.wait_asked("preempted?wait_for_change")
        at = gcp.set(preempted="TRUE")
        self.runner.wait_said("no new jobs")
        self.assertLess(time.monotonic() - at, 1)
        self.wait_withdrawn(at + 29)
        self.assertIn("jobs aborted", self.runner.said)
        self.assert_polite("instance/preempted", wait=True)
        self.assertEqual(len([line for line in self.hooked() if line.startswith("preemption")]), 1)

    def test_host_maintenance(self):
        gcp = self.begin(Gcp, jobs=False)
        gcp.wait_asked("maintenance-event?wait_for_change")
        gcp.set(maintenance_event="MIGRATE_ON_HOST_MAINTENANCE")
        self.agent.wait_said("live migration")
        self.assertEqual(self.agent.runner()["state"], "registered")
        at = gcp.set(maintenance_event="TERMINATE_ON_HOST_MAINTENANCE")
        self.wait_withdrawn(at + 59)
        self.assertIn("maintenance live migration", self.hooked())
        self.assertIn("termination host maintenance", self.hooked())


class AtAzure(Cloud):
    def test_preempt_of_this_machine_only(self):
        azure = self.begin(Azure, jobs=False)
        azure.set(events=[Azure.event("Preempt", resource="build_1", id="OTHER")])
        azure.wait_asked("scheduledevents", len(azure.asked("scheduledevents")) + 2)
        self.assertEqual(self.agent.runner()["state"], "registered")
        deadline = email.utils.formatdate(time.time() + 30, usegmt=True)
        at = azure.set(events=[Azure.event("Preempt", resource="build_1", id="OTHER"), Azure.event("Preempt", not_before=deadline)])
        self.wait_withdrawn(at + 30)
        self.agent.wait_said("Azure was told")
        self.assertEqual(azure.acknowledged, ["602D9444"])
        self.assert_polite("scheduledevents")

    def test_terminate_waits_for_jobs_and_is_acknowledged(self):
        azure = self.begin(Azure)
        azure.set(events=[Azure.event("Terminate", not_before=email.utils.formatdate(time.time() + 600, usegmt=True))])
        self.runner.wait_said("no new jobs")
        self.assertEqual(azure.acknowledged, [])
        self.runner.finish_jobs()
        self.agent.wait_said("Azure was told")
        self.assert_nothing_left()
        self.assertEqual(azure.acknowledged, ["602D9444"])

    def test_told_that_we_are_gone_nothing_is_taken_back(self):
        azure = self.begin(Azure, jobs=False)
        azure.set(events=[Azure.event("Preempt", not_before=email.utils.formatdate(time.time() + 20, usegmt=True))])
        self.agent.wait_said("Azure was told")
        azure.set(events=[])
        self.agent.wait_said("it was told already that this host may go")
        self.assert_nothing_left()
        self.assertEqual(self.agent.runner()["state"], "withdrawn")

    def test_other_events_are_only_told(self):
        azure = self.begin(Azure)
        azure.set(events=[Azure.event(kind, id=kind) for kind in ("Freeze", "Reboot", "Redeploy")])
        self.agent.wait_said("(Redeploy)")
        self.assertEqual(self.signals(), [])
        self.assertEqual(self.agent.runner()["state"], "registered")


if __name__ == "__main__":
    main("notices/")
