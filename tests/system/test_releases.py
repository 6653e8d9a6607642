#!/usr/bin/python3
# tests: long timeout=1200
"""One unit set from Debian 11 to Debian 13: what the oldest systemd says to it, and what the newest does with it. Only
here a soft-reboot can be seen."""

import os
import subprocess

import machine as machines

machines.enter("system ", "bullseye", "trixie")

from boots import CREATING, DELETING, REPLACING, Boots, main  # noqa: E402
from root import Unavailable, base_root, install_tree  # noqa: E402

# LoadCredential= without a path came with systemd 249; before, the line is passed over.
KNOWN_COMPLAINTS = ("Unknown key name", "Unknown lvalue", "Invalid syntax, ignoring: gitlab-registration-token")


class Oldest(Boots):
    @classmethod
    def setUpClass(cls):
        try:
            cls.base = base_root("bullseye")
        except Unavailable as error:
            raise cls.skipTest(cls(), str(error))
        super().setUpClass()

    def test_units_are_understood(self):
        """systemd 247. The program itself is built for newer libraries."""
        root = self.lab.folder + "/bullseye"
        for folder in ("upper", "work", "root"):
            os.makedirs(f"{root}/{folder}")
        root_folder = root + "/root"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                        f"lowerdir={self.base},upperdir={root}/upper,workdir={root}/work", root_folder], check=True)
        self.addCleanup(subprocess.run, ["umount", "--recursive", "--lazy", root_folder], check=False)
        for folder in ("proc", "sys", "dev"):
            subprocess.run(["mount", "--rbind", f"/{folder}", f"{root_folder}/{folder}"], check=True)
        install_tree(root_folder)
        # That systemd makes itself at home in the control group that it is started in, and moves others about.
        group = machines.ControlGroup("runner-registrar-" + os.path.basename(self.lab.folder) + "-verify")
        self.addCleanup(group.remove)
        done = subprocess.run(
            ["chroot", root_folder, "systemd-analyze", "verify", self.lab.unit_dir + "/runner-registrar.service"],
            capture_output=True, text=True, env={"PATH": machines.PATH}, check=False,
            preexec_fn=group.join)
        # What that systemd thinks of the host that it finds itself on is not about us.
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "runner-registrar" in line]
        self.assertEqual(done.returncode, 0, lines)
        self.assertEqual([line for line in lines if not any(known in line for known in KNOWN_COMPLAINTS)], [])


class Newest(Boots):
    release = "trixie"

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
        done = machine.run("systemd-analyze", "security", "--no-pager", "--threshold=14", "runner-registrar.service", check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-200:])
        self.assert_one_runner(machine)

    def test_soft_reboot_keeps_the_runner(self):
        machine = self.enrolled(gitlab_runner=True)
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        machine.soft_reboot()
        machine.wait_enrolled()
        self.assertIn("Stopping (soft-reboot)", machine.said())
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), [])

    def test_ways_down(self):
        for verb, reason, gone in (("reboot", "reboot", False), ("kexec.target", "kexec", False),
                                   ("poweroff", "poweroff", True), ("halt", "halt", True)):
            with self.subTest(verb=verb):
                self.gitlab.reset()
                machine = self.enrolled(name=verb.partition(".")[0], gitlab_runner=True)
                mark = self.gitlab.mark()
                machine.end(verb)
                self.assertIn(f"Stopping ({reason})", machine.said())
                self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), ["delete"] if gone else [])

    def test_restart_and_stop(self):
        machine = self.enrolled(gitlab_runner=True)
        runner = self.assert_one_runner(machine)
        machine.run("systemctl", "restart", "runner-registrar")
        machine.wait_enrolled()
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        machine.run("systemctl", "stop", "runner-registrar")
        self.assert_nothing_left(machine)


if __name__ == "__main__":
    main("system ")
