#!/usr/bin/python3
# tests: long timeout=1200
"""One unit set from Debian 11 to Debian 13, and one source: built and booted with the oldest systemd, booted with the
newest. Only there a soft-reboot can be seen."""

import re

import machine as machines

machines.enter("system ", "bullseye", "trixie")

from boots import CREATING, DELETING, REPLACING, Boots, main  # noqa: E402
from root import Unavailable, base_root  # noqa: E402

EXPOSURE_MAX = 1.4


class Release(Boots):
    @classmethod
    def setUpClass(cls):
        try:
            base_root(cls.release)
        except Unavailable as error:
            raise cls.skipTest(cls(), str(error))
        super().setUpClass()

    def test_units_are_understood_and_as_tight(self):
        machine = self.enrolled(gitlab_runner=True)
        done = machine.run("systemd-analyze", "verify", "runner-registrar.service", "gitlab-runner.service")
        self.assertEqual(done.stdout + done.stderr, "")
        # As it read them at the boot.
        said = [str(entry.get("MESSAGE")) for entry in machine.journal("_PID=1")]
        self.assertEqual([line for line in said if "/system/" in line and "runner" in line], [])
        table = machine.run("systemd-analyze", "security", "--no-pager", "runner-registrar.service").stdout
        score = re.search(r"exposure level for runner-registrar.service: ([0-9.]+)", table)
        self.assertIsNotNone(score, table[-200:])
        self.assertLessEqual(float(score[1]), EXPOSURE_MAX)

    def test_start_restart_and_stop(self):
        machine = self.enrolled(gitlab_runner=True)
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        machine.wait_said("Checking for jobs... 204", "gitlab-runner.service")
        # It is told a moment after `wait` has come back.
        self.assertEqual(machine.show("StatusText"), "1 registered")
        machine.run("systemctl", "restart", "runner-registrar")
        machine.wait_enrolled()
        self.assertIn("Stopping (service restart)", machine.said())
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), [])
        machine.run("systemctl", "stop", "runner-registrar")
        self.assertIn("Stopping (service stop)", machine.said())
        self.assert_nothing_left(machine)

    def test_ways_down(self):
        for verb, reason, gone in (("reboot", "reboot", False), ("kexec.target", "kexec", False),
                                   ("poweroff", "poweroff", True), ("halt", "halt", True)):
            with self.subTest(verb=verb):
                self.gitlab.reset()
                machine = self.enrolled(name=verb.partition(".")[0], gitlab_runner=True)
                runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
                machine.end(verb)
                self.assertIn(f"Stopping ({reason})", machine.said())
                self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), ["delete"] if gone else [])
                if gone:
                    self.assert_nothing_left(machine)
                    continue
                machine.boot()
                machine.wait_enrolled()
                self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
                self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), [])

    def test_poweroff_waits_for_a_job(self):
        machine = self.enrolled(gitlab_runner=True)
        machine.wait_said("Job started", "gitlab-runner.service", after=lambda: machine.run("tee", "/run/job", stdin="2"))
        machine.end("poweroff")
        self.assertIn("Job succeeded", machine.said("gitlab-runner.service"))
        self.assert_nothing_left(machine)

    def test_credential_from_the_host_of_the_machine(self):
        machine = self.machine(registration_token=f"credential:{machines.SECRET}")
        machine.credentials[machines.SECRET] = self.gitlab.registration_tokens["instance"]
        machine.boot()
        machine.wait_enrolled()

    def test_missing_credential_keeps_nothing_down(self):
        machine = self.machine(registration_token=f"credential:{machines.SECRET}")
        machine.boot()
        machine.wait_said(f"credential:{machines.SECRET} is not there")
        self.assertEqual(machine.show("ActiveState"), "active")
        self.assertEqual(self.done(CREATING), [])


class Oldest(Release):
    release = "bullseye"


class Newest(Release):
    release = "trixie"

    def test_soft_reboot_keeps_the_runner(self):
        machine = self.enrolled(gitlab_runner=True)
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        machine.soft_reboot()
        machine.wait_enrolled()
        self.assertIn("Stopping (soft-reboot)", machine.said())
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), [])


del Release

if __name__ == "__main__":
    main("system ")
