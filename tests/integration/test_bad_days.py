#!/usr/bin/python3
# tests: timeout=600
"""Bad days: what the cloud, the clock or systemd can do wrong. Each ends as the stop table says, in time, and with a line
that says so; tests/README.md lists them."""

import email.utils
import os
import signal
import sys
import time
import unittest

from case import DONE
from clouds import Cloud, rfc3339

from aws import Aws
from azure import Azure
from gcp import Gcp

from report import main


CLOCK_JUMP = os.path.join(os.environ["BUILD_DIR"], "tests", "integration", "clock-jump.so")


class Metadata(Cloud):
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

    def test_404_is_no_noise(self):
        for cloud, path in ((Aws, "latest/"), (Gcp, "computeMetadata/"), (Azure, "metadata/")):
            with self.subTest(cloud=cloud.__name__):
                self.gitlab.reset()
                self.begin(cloud, jobs=False, before={"status": 404})
                self.cloud.wait_asked(path, 6)
                self.assert_polite("metadata/" if cloud is Azure else "instance/preempted" if cloud is Gcp else "api/token")
                self.assertNotRegex(self.agent.output(), "404|metadata service")
                self.assertEqual(self.agent.runner()["state"], "registered")
                self.assertEqual(self.agent.stop(), DONE)

    def test_401_is_said_once_by_every_cloud(self):
        for cloud, path in ((Gcp, "instance/preempted"), (Azure, "metadata/")):
            with self.subTest(cloud=cloud.__name__):
                self.gitlab.reset()
                self.begin(cloud, jobs=False, before={"status": 401})
                self.agent.wait_said("answers 401")
                self.cloud.wait_asked(path, len(self.cloud.asked(path)) + 2)
                self.assertEqual(self.agent.output().count("answers 401"), 1)
                self.assertEqual(self.agent.runner()["state"], "registered")
                self.assertEqual(self.agent.stop(), DONE)

    def test_hop_limit(self):
        """From a container behind a bridge: the answer with the token, and nothing else, is lost on its way."""
        aws = self.begin(Aws, before={"lost": "api/token"})
        self.agent.wait_said("the hop limit of the metadata service may be too low")
        self.assertEqual(self.agent.runner()["state"], "registered")
        at = aws.set(lost="", action={"action": "terminate", "time": rfc3339(30)})
        self.agent.wait_said("answers again")
        self.wait_withdrawn(at + 30)

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


class Deadlines(Cloud):
    def jumping(self):
        """The file that says how far the agent's wall clock has jumped."""
        if not os.path.exists(CLOCK_JUMP):
            self.skipTest("nothing here lets a clock jump")
        path = os.path.join(self.host.path, "jump")
        with open(path, "wb") as f:
            f.write(bytes(8))
        self.host.environment.update(LD_PRELOAD=CLOCK_JUMP, CLOCK_JUMP=path)
        return path

    @staticmethod
    def jump(path, seconds):
        with open(path, "r+b") as f:
            f.write(seconds.to_bytes(8, sys.byteorder, signed=True))

    def test_clock_jumps_in_the_middle_of_a_notice(self):
        for seconds in (7200, -7200):
            with self.subTest(jump=seconds):
                self.gitlab.reset()
                path = self.jumping()
                aws = self.begin(Aws)
                at = aws.set(action={"action": "terminate", "time": rfc3339(20)})
                self.runner.wait_said("no new jobs")
                self.jump(path, seconds)
                self.wait_withdrawn(at + 20)
                # There was time for jobs, too.
                self.assertGreater(time.monotonic() - at, 8)
                self.assertIn("jobs aborted", self.runner.said)
                # The log has both agents' lines.
                said = self.agent.output().rpartition("are watched for")[2]
                self.assertEqual(said.count("The cloud announces"), 1, said)
                self.assertEqual(self.agent.stop(), DONE)

    def test_clock_jumps_in_the_middle_of_a_stop(self):
        for seconds in (7200, -7200):
            with self.subTest(jump=seconds):
                self.gitlab.reset()
                path = self.jumping()
                agent = self.enrolled_agent(agent={"stop_timeout": "3s"})
                # What the jump before left behind is settled.
                agent.wait_status(lambda runner: not runner["debts"])
                self.gitlab.fault(operation="delete", kind="hang")
                agent.send(signal.SIGTERM)
                self.gitlab.wait_requests(operation="delete", arrived=1)
                begin = time.monotonic()
                self.jump(path, seconds)
                self.assertEqual(agent.process.wait(20), DONE)
                self.assertLess(time.monotonic() - begin, 5)
                self.assertGreater(time.monotonic() - begin, 1)
                self.assertEqual(len(self.host.state()["debts"]), 1)
                self.assertIn("GitLab still knows it", agent.output())

    def test_deadline_that_is_past(self):
        for cloud, values in ((Aws, {"action": {"action": "terminate", "time": rfc3339(-3600)}}),
                              (Azure, {"events": [Azure.event("Preempt", not_before="")]})):
            with self.subTest(cloud=cloud.__name__):
                self.gitlab.reset()
                self.begin(cloud)
                at = self.cloud.set(**values)
                self.wait_withdrawn(at + 8)
                self.assertIn("jobs that still run are left", self.agent.output())
                self.assertIn("(instance preemption): the runners are withdrawn", self.agent.output())
                self.assertEqual(self.agent.stop(), DONE)

    def test_two_notices_at_once_the_nearer_counts(self):
        azure = self.begin(Azure)
        late, soon = (email.utils.formatdate(time.time() + seconds, usegmt=True) for seconds in (600, 15))
        at = azure.set(events=[Azure.event("Terminate", id="LATE", not_before=late), Azure.event("Preempt", id="SOON", not_before=soon)])
        self.runner.wait_said("no new jobs")
        self.wait_withdrawn(at + 15)
        self.agent.wait_said("Azure was told")
        self.assertEqual(sorted(azure.acknowledged), ["LATE", "SOON"])
        self.assertIn("(instance preemption): the runners are withdrawn", self.agent.output())


class Systemd(Cloud):
    def test_none_at_all(self):
        """As in most containers: nobody can be asked to drain, and the rest goes its way."""
        self.host.environment["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/nonexistent"
        aws = self.begin(Aws, jobs=False)
        at = aws.set(action={"action": "terminate", "time": rfc3339(20)})
        self.wait_withdrawn(at + 20)
        self.assertRegex(self.agent.output(), "can't be drained: systemd can't be asked|gitlab-runner does not run")
        self.assertEqual(self.agent.stop(), DONE)

    def test_bus_goes_while_gitlab_runner_drains(self):
        aws = self.begin(Aws)
        at = aws.set(action={"action": "terminate", "time": rfc3339(15)})
        self.runner.wait_said("no new jobs")
        self.host.systemd.hang_up()
        self.wait_withdrawn(at + 15)
        self.assertIn("jobs that still run are left", self.agent.output())
        self.assertEqual(self.agent.stop(), DONE)


if __name__ == "__main__":
    main("bad days/")
