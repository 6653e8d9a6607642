#!/usr/bin/python3
# tests: timeout=600
"""The three clouds announce the end of an instance: no more jobs at once, nothing left at GitLab before the deadline."""

import email.utils
import os
import signal
import sys
import time
import unittest

from case import DONE, Case
from gitlab_runner import GitLabRunner
from host import TOP

sys.path.insert(0, os.path.join(TOP, "tests", "cloud"))

from aws import Aws, hooks  # noqa: E402
from azure import Azure  # noqa: E402
from gcp import Gcp  # noqa: E402

from report import main  # noqa: E402


def rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


class Cloud(Case):
    def begin(self, cloud, jobs: bool = True, **agent):
        self.cloud = self.enterContext(cloud())
        name = cloud.__name__.lower()
        self.host.environment.update({
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.cloud.url, "AWS_ENDPOINT_URL_AUTO_SCALING": self.cloud.url,
            "GCE_METADATA_HOST": self.cloud.place, "AZURE_METADATA_ENDPOINT": self.cloud.url,
        })
        self.runner = self.enterContext(GitLabRunner(self.host.systemd, jobs=jobs))
        self.hook = os.path.join(self.host.path, "hook")
        with open(self.hook, "w", encoding="utf-8") as f:
            f.write(f'#!/bin/sh\necho "$* $RUNNER_REGISTRAR_REFERENCE" >>{self.hook}.said\n')
        os.chmod(self.hook, 0o700)
        self.agent = self.enrolled_agent(agent={"termination": name, "hook": self.hook, **agent})
        return self.cloud

    def signals(self):
        return [what if what.endswith("Unit") else number
                for _, what, number in self.host.systemd.killed if number != signal.SIGHUP]

    def hooked(self):
        with open(self.hook + ".said", encoding="utf-8") as f:
            return f.read().splitlines()

    def wait_withdrawn(self, before: float):
        """All of it, before the deadline; then the agent waits to be told to go."""
        self.agent.wait_state("withdrawn")
        self.assertLess(time.monotonic(), before)
        self.assert_nothing_left()
        self.assertIsNone(self.agent.process.poll())

    def assert_polite(self, path: str, wait: bool = False):
        """At most once a second; at least every five where nothing is waited for."""
        times = [request.at for request in self.cloud.asked(path) if request.method != "POST"]
        gaps = [later - earlier for earlier, later in zip(times, times[1:])]
        self.assertGreater(len(gaps), 0)
        self.assertGreater(min(gaps), 0.9, path)
        if not wait:
            self.assertLess(max(gaps), 5.5, path)


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

    def test_deadline_that_is_past(self):
        aws = self.begin(Aws)
        at = aws.set(action={"action": "terminate", "time": rfc3339(-3600)})
        self.wait_withdrawn(at + 8)

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


class BadDays(Cloud):
    def test_token_is_renewed_when_it_is_refused(self):
        aws = self.begin(Aws, jobs=False)
        aws.wait_asked("spot/instance-action", 2)
        aws.set(valid="something else")
        aws.wait_asked("latest/api/token", 2)
        at = aws.set(action={"action": "terminate", "time": rfc3339(20)})
        self.wait_withdrawn(at + 20)

    def test_clock_of_this_host_is_wrong(self):
        for off in (7200, -7200):
            with self.subTest(off=off):
                self.gitlab.reset()
                aws = self.begin(Aws)
                aws.set(clock=off)
                at = aws.set(action={"action": "terminate", "time": rfc3339(20 + off)})
                self.runner.wait_said("no new jobs")
                self.assertLess(time.monotonic() - at, 1.5)
                self.wait_withdrawn(at + 20)
                # There was time for jobs, too.
                self.assertGreater(time.monotonic() - at, 8)
                self.agent.stop()

    def test_401_for_ever(self):
        aws = self.begin(Aws)
        aws.set(status=401)
        aws.wait_asked("latest/api/token", 7, timeout=60)
        self.agent.wait_said("answers 401")
        self.assert_polite("latest/api/token")
        self.assertEqual(self.agent.output().count("answers 401"), 1)
        self.assertEqual(self.agent.runner()["state"], "registered")

    def test_hangs(self):
        for cloud, path in ((Aws, "latest/api/token"), (Azure, "metadata/")):
            with self.subTest(cloud=cloud.__name__):
                self.gitlab.reset()
                self.begin(cloud)
                mark = len(self.cloud.requests)
                self.cloud.set(hang=True)
                # As long as it hangs, everything else goes on.
                self.run_command("verify")
                self.cloud.wait_asked("", mark + 4, timeout=60)
                at = self.cloud.set(hang=False)
                self.cloud.set(**({"action": {"action": "terminate", "time": rfc3339(30)}} if cloud is Aws else
                                  {"events": [Azure.event("Preempt", not_before=email.utils.formatdate(time.time() + 30, usegmt=True))]}))
                self.wait_withdrawn(at + 30)
                self.agent.stop()

    def test_none_asks_nobody(self):
        aws = self.begin(Aws, termination="none")
        self.run_command("verify")
        self.assertEqual(aws.requests, [])

    @unittest.skipIf(any(os.path.exists(p) and v in open(p, encoding="utf-8").read() for p, v in (
        ("/sys/class/dmi/id/sys_vendor", "Amazon"), ("/sys/class/dmi/id/product_name", "Google Compute"),
        ("/sys/class/dmi/id/chassis_asset_tag", "7783-7084"))), "this machine is one of a cloud")
    def test_auto_asks_nobody_on_bare_metal(self):
        aws = self.begin(Aws, termination="auto")
        self.run_command("verify")
        self.assertEqual(aws.requests, [])


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

    def test_other_events_are_only_told(self):
        azure = self.begin(Azure)
        azure.set(events=[Azure.event(kind, id=kind) for kind in ("Freeze", "Reboot", "Redeploy")])
        self.agent.wait_said("(Redeploy)")
        self.assertEqual(self.signals(), [])
        self.assertEqual(self.agent.runner()["state"], "registered")


if __name__ == "__main__":
    main("notices/")
