#!/usr/bin/python3
# tests: timeout=900
"""From nothing to a registered host: cloud-init and packages, on machines that have never seen us."""

import hashlib
import os
import shutil
import subprocess

import machine as machines

machines.enter("system ")

from boots import CREATING, DELETING, FAST, REPLACING, Boots, main  # noqa: E402
from machine import GITLAB_RUNNER_UNIT, HERE, TOP, put, read  # noqa: E402

CLOUD_INIT = os.path.join(TOP, "packaging", "cloud-init")
DEB_BUILD = os.path.join(TOP, "packaging", "deb", "build")
LINES_MAX = 12


class Packages(Boots):
    """Packages in a folder, which apt takes for an archive."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.archive = os.path.join(cls.lab.folder, "archive")
        os.mkdir(cls.archive)
        build = os.environ["BUILD_DIR"]
        for version in ("1.0", "1.1"):
            subprocess.run([DEB_BUILD, build, cls.deb("runner-registrar", version), version], check=True)
        cls.make_gitlab_runner()

    @classmethod
    def deb(cls, name, version):
        return os.path.join(cls.archive, f"{name}_{version}.deb")

    @classmethod
    def make_gitlab_runner(cls):
        """Installs what the real package does, and starts it."""
        root = os.path.join(cls.lab.folder, "gitlab-runner")
        put(root, "/usr/bin/gitlab-runner", read(os.path.join(HERE, "gitlab-runner")), 0o755)
        put(root, "/etc/systemd/system/gitlab-runner.service", GITLAB_RUNNER_UNIT)
        put(root, "/DEBIAN/control", "Package: gitlab-runner\nVersion: 19.4.0\nArchitecture: all\nDescription: a stand-in\n"
            "Maintainer: nobody <nobody@example.com>\n")
        put(root, "/DEBIAN/postinst", "#!/bin/sh\nset -e\nmkdir -p -m 700 /etc/gitlab-runner\n"
            "systemctl enable gitlab-runner\n[ ! -d /run/systemd/system ] || systemctl start gitlab-runner\n", 0o755)
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, cls.deb("gitlab-runner", "19.4.0")], check=True,
                       stdout=subprocess.DEVNULL)

    def bare(self, name="build1", machine_id=""):
        """A machine that has neither program, and whose apt knows of both."""
        machine = self.lab.machine(name, machine_id, bare=True)
        shutil.copytree(self.archive, machine.path("/srv/apt"))
        index = ""
        for file in sorted(os.listdir(self.archive)):
            path = os.path.join(self.archive, file)
            control = subprocess.run(["dpkg-deb", "--field", path], check=True, capture_output=True, text=True).stdout
            with open(path, "rb") as f:
                digest = hashlib.sha256(f.read()).hexdigest()
            index += f"{control}Filename: ./{file}\nSize: {os.path.getsize(path)}\nSHA256: {digest}\n\n"
        machine.write("/srv/apt/Packages", index)
        shutil.rmtree(machine.path("/etc/apt/sources.list.d"))
        machine.write("/etc/apt/sources.list", "deb [trusted=yes] file:/srv/apt ./\n")
        # Where the fetched files of other releases lie is nobody's business here.
        machine.write("/etc/apt/apt.conf.d/sandbox", 'APT::Sandbox::User "root";\n')
        return machine


class CloudInit(Packages):
    def user_data(self, name):
        text = read(os.path.join(CLOUD_INIT, name))
        self.assertIn("https://gitlab.example.com", text)
        return text.replace("https://gitlab.example.com", self.gitlab.url)

    def cloud_machine(self, user_data, name="build1", instance="i-0001"):
        machine = self.bare(name)
        os.unlink(machine.path("/etc/cloud/cloud-init.disabled"))
        machine.write("/etc/cloud/cloud.cfg.d/99-test.cfg",
                      "datasource_list: [NoCloud, None]\nnetwork: {config: disabled}\nlocale: false\n")
        machine.write("/var/lib/cloud/seed/nocloud/meta-data", f"instance-id: {instance}\nlocal-hostname: {name}\n")
        machine.write("/var/lib/cloud/seed/nocloud/user-data", user_data)
        return machine

    def test_examples_are_short_and_valid(self):
        machine = self.lab.machine("checker")
        for name in ("ini.yaml", "yaml.yaml"):
            with self.subTest(file=name):
                text = read(os.path.join(CLOUD_INIT, name))
                self.assertLessEqual(len(text.splitlines()), LINES_MAX)
                machine.write("/root/user-data", text)
                done = subprocess.run(["chroot", machine.root, "cloud-init", "schema", "--config-file", "/root/user-data"],
                                      capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertNotRegex(text, r"GR1348941|glrt-|glpat-")

    def assert_came_up(self, machine):
        done = machine.run("cloud-init", "status", "--wait", "--long", check=False)
        self.assertIn("status: done", done.stdout, machine.run("cat", "/var/log/cloud-init-output.log").stdout[-1500:])
        runner = self.assert_one_runner(machine)
        self.assertEqual(machine.run("systemctl", "is-enabled", "runner-registrar").stdout.strip(), "enabled")
        return runner

    def test_ini_with_the_secret_in_the_image(self):
        machine = self.cloud_machine(self.user_data("ini.yaml"))
        machine.write(f"/etc/credstore/{machines.SECRET}", self.gitlab.registration_tokens["instance"], 0o600)
        machine.boot()
        runner = self.assert_came_up(machine)
        self.assertEqual(runner["description"], "build-1")
        # gitlab-runner was started before us, by its package; it has been told.
        machine.wait_said("Checking for jobs... 204", "gitlab-runner.service")
        mark = self.gitlab.mark()
        machine.end("reboot")
        machine.boot()
        machine.run("cloud-init", "status", "--wait")
        self.assertEqual(self.assert_came_up(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), [])

    def test_yaml_with_the_secret_from_the_host_of_the_machine(self):
        machine = self.cloud_machine(self.user_data("yaml.yaml"))
        machine.credentials[machines.SECRET] = self.gitlab.registration_tokens["instance"]
        machine.boot()
        self.assert_came_up(machine)
        machine.end("poweroff")
        self.assert_nothing_left(machine)

    def test_boot_that_could_not_enrol_says_so(self):
        text = self.user_data("ini.yaml").replace("5min", "1s")
        machine = self.cloud_machine(text)
        machine.write(f"/etc/credstore/{machines.SECRET}", self.gitlab.registration_tokens["instance"], 0o600)
        self.gitlab.down()
        machine.boot()
        self.assertIn("status: error", machine.run("cloud-init", "status", "--wait", check=False).stdout)
        self.gitlab.up()
        machine.wait_enrolled()
        self.assert_one_runner(machine)

    def test_image_with_the_packages_starts_with_the_configuration(self):
        """cloud-init writes it while the machine boots, and the agent starts after that."""
        machine = self.cloud_machine(self.user_data("ini.yaml"))
        machine.write(f"/etc/credstore/{machines.SECRET}", self.gitlab.registration_tokens["instance"], 0o600)
        done = subprocess.run(["chroot", machine.root, "dpkg", "--install", "/srv/apt/gitlab-runner_19.4.0.deb",
                               "/srv/apt/runner-registrar_1.1.deb"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.gitlab.operations(), [])
        machine.boot()
        self.assert_came_up(machine)
        self.assertEqual(machine.show("NRestarts"), "0")
        self.assertEqual(machine.show("Result"), "success")


class Deb(Packages):
    def installed(self, version="1.0", agent=None, gitlab_runner=False):
        machine = self.bare()
        machine.configure(agent, registration_token="instance")
        machine.boot()
        machine.run("apt-get", "-q", "update")
        if gitlab_runner:
            machine.run("apt-get", "-qy", "install", "gitlab-runner")
        machine.run("apt-get", "-qy", "install", f"runner-registrar={version}")
        machine.wait_enrolled()
        return machine

    def test_installed_it_runs_and_is_enabled(self):
        machine = self.installed()
        self.assert_one_runner(machine)
        self.assertEqual(machine.run("systemctl", "is-enabled", "runner-registrar").stdout.strip(), "enabled")
        entry = next(e for e in machine.journal() if "is registered" in str(e.get("MESSAGE")))
        self.assertRegex(machine.run("journalctl", "-x", f"MESSAGE_ID={entry['MESSAGE_ID']}").stdout, "Nothing to do")

    def test_installed_without_a_configuration_it_waits_for_one(self):
        machine = self.bare()
        machine.boot()
        machine.run("apt-get", "-q", "update")
        machine.run("apt-get", "-qy", "install", "runner-registrar")
        self.assertEqual(machine.show("ActiveState"), "inactive")
        machine.configure(registration_token="instance")
        machine.run("systemctl", "start", "runner-registrar")
        machine.wait_enrolled()

    def test_upgrade_is_a_restart(self):
        machine = self.installed()
        runner, mark, before = self.assert_one_runner(machine), self.gitlab.mark(), machine.main_process()
        machine.run("apt-get", "-qy", "install", "runner-registrar")
        self.assertIn("1.1", machine.run("dpkg-query", "-W", "runner-registrar").stdout)
        machine.wait_enrolled()
        self.assertNotEqual(machine.main_process(), before)
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), [])
        self.assertIn("Stopping (service restart)", machine.said())

    def test_upgrade_starts_nothing_that_was_stopped(self):
        machine = self.installed()
        machine.run("systemctl", "disable", "--now", "runner-registrar")
        machine.run("apt-get", "-qy", "install", "runner-registrar")
        self.assertEqual(machine.show("ActiveState"), "inactive")
        self.assertEqual(machine.run("systemctl", "is-enabled", "runner-registrar", check=False).stdout.strip(), "disabled")
        self.assert_nothing_left(machine)

    def test_removal_withdraws_and_purge_leaves_no_trace_but_the_configuration(self):
        machine = self.installed(gitlab_runner=True)
        machine.run("apt-get", "-qy", "remove", "runner-registrar")
        self.assert_nothing_left(machine)
        self.assertEqual(machine.run("systemctl", "is-active", "gitlab-runner").stdout.strip(), "active")
        machine.run("apt-get", "-qy", "purge", "runner-registrar")
        self.assertFalse(machine.exists("/var/lib/runner-registrar"))
        self.assertTrue(machine.exists("/etc/runner-registrar/config.ini"))
        self.assertEqual(machine.run("systemctl", "is-active", "gitlab-runner").stdout.strip(), "active")

    def test_removal_hands_back_where_only_a_poweroff_withdraws(self):
        self.gitlab.settings(runner_token_expiration_interval=30 * 86400)
        machine = self.installed(agent={"deregister_on": "poweroff"})
        machine.run("apt-get", "-qy", "remove", "runner-registrar")
        runner = self.assert_one_runner(machine)
        expires = machine.entries()[0]["token_expires_at"].timestamp()
        self.assertAlmostEqual(expires, runner["token_expires_at"], delta=1)

    def test_removed_without_gitlab_and_installed_again_it_adopts(self):
        machine = self.installed(agent={"stop_timeout": "2s", **FAST})
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        self.gitlab.down()
        machine.run("apt-get", "-qy", "remove", "runner-registrar")
        self.gitlab.up()
        machine.run("apt-get", "-qy", "install", "runner-registrar")
        machine.wait_enrolled()
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING, mark), [])


del Packages

if __name__ == "__main__":
    main("system ")
