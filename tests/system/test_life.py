#!/usr/bin/python3
# tests: timeout=900
"""The life of a host on a real systemd: it starts, is restarted, stopped, rebooted, switched off; §8 row by row."""

import subprocess
import time

import machine as machines

machines.enter("system ")

from boots import CREATING, DELETING, FAST, REPLACING, Boots, main  # noqa: E402


class Start(Boots):
    def test_boot_enrols_and_says_so(self):
        machine = self.enrolled(gitlab_runner=True)
        self.assert_one_runner(machine)
        self.assertEqual(machine.show("StatusText"), "1 registered")
        self.assertEqual(machine.show("ActiveState"), "active")
        self.assertEqual(machine.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip(), "running")

    def test_gitlab_runner_starts_after_the_agent(self):
        machine = self.enrolled(gitlab_runner=True)
        ready = int(machine.show("ActiveEnterTimestampMonotonic"))
        started = int(machine.show("ExecMainStartTimestampMonotonic", "gitlab-runner.service"))
        self.assertLessEqual(ready, started)

    def test_gitlab_hears_of_the_gitlab_runner_that_is_installed(self):
        machine = self.machine()
        machine.write("/usr/bin/gitlab-runner", machine.read("/usr/bin/gitlab-runner").replace("19.4.0", "17.5.3"), 0o755)
        machine.boot()
        self.assertIn("answers as a GitLab", machine.run("runner-registrar", "check", "--online").stdout)
        machine.wait_enrolled()
        agents = {value.split(" (")[0] for request in self.gitlab.log() for name, value in request["headers"]
                  if name.lower() == "user-agent"}
        self.assertEqual(agents, {"gitlab-runner 17.5.3"})

    def test_folder_is_made_before_the_sandbox_needs_it(self):
        machine = self.enrolled()
        self.assertEqual(machine.run("stat", "-c", "%a %U", "/etc/gitlab-runner").stdout.split(), ["700", "root"])
        self.assertEqual(machine.run("stat", "-c", "%a %U", "/etc/gitlab-runner/config.toml").stdout.split(), ["600", "root"])

    def test_boot_goes_on_without_gitlab_and_enrols_later_by_itself(self):
        machine = self.machine(gitlab_runner=True, agent=FAST)
        self.gitlab.down()
        machine.boot()
        self.assertEqual(machine.run("systemctl", "is-active", "multi-user.target").stdout.strip(), "active")
        self.assertEqual(machine.run("systemctl", "is-active", "gitlab-runner.service").stdout.strip(), "active")
        self.assertEqual(machine.run("runner-registrar", "wait", "--timeout", "1s", check=False).returncode, 75)
        self.assertEqual(machine.entries(), [])
        self.gitlab.up()
        machine.wait_enrolled()
        self.assert_one_runner(machine)

    def test_gitlab_that_does_not_answer_holds_up_no_boot(self):
        self.gitlab.fault(operation="register", kind="hang")
        machine = self.machine()
        machine.boot()
        self.assertEqual(machine.run("systemctl", "is-active", "multi-user.target").stdout.strip(), "active")
        self.gitlab.wait_requests(operation="register", arrived=1)
        self.assertEqual(machine.status()["state"], "registering")

    def test_wait_ends_with_77_once_gitlab_has_refused(self):
        machine = self.machine(registration_token=f"credential:{machines.SECRET}")
        machine.write(f"/etc/credstore/{machines.SECRET}", "not-a-token", 0o600)
        machine.boot()
        self.assertEqual(machine.run("runner-registrar", "wait", check=False).returncode, 77)
        self.assertEqual(machine.show("ActiveState"), "active")

    def test_wrong_configuration_is_said_once_and_not_tried_again(self):
        machine = self.machine(regstration_token="x", registration_token="instance")
        machine.boot()
        self.assertEqual(machine.show("Result"), "exit-code")
        self.assertEqual(machine.show("ExecMainStatus"), "78")
        self.assertEqual(machine.show("NRestarts"), "0")
        self.assertIn("registration_token", machine.said())
        machine.configure(registration_token="instance")
        machine.run("systemctl", "restart", "runner-registrar")
        machine.wait_enrolled()

    def test_gitlab_runner_never_starts_on_the_token_of_before(self):
        """Switched off, the token is dead: the next start has no entry with it, even while GitLab is away."""
        machine = self.enrolled(gitlab_runner=True)
        machine.end("poweroff")
        self.gitlab.down()
        machine.boot()
        self.assertEqual(machine.entries(), [])
        machine.wait_said("Configuration loaded, 0 runners", "gitlab-runner.service")
        self.assertNotIn("1 runners", machine.said("gitlab-runner.service", boot="0"))

    def test_token_that_died_meanwhile_is_replaced_and_gitlab_runner_told(self):
        machine = self.enrolled(gitlab_runner=True, agent=FAST)
        machine.cut_power()
        dead = self.gitlab.runners()[0]
        self.gitlab.delete_runner(dead["id"])
        machine.boot()
        self.gitlab.wait_runners(1, timeout=30)
        machine.wait_enrolled()
        self.assertNotEqual(self.assert_one_runner(machine)["token"], dead["token"])


class Service(Boots):
    def test_restart_keeps_the_runner(self):
        machine = self.enrolled()
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        machine.run("systemctl", "restart", "runner-registrar")
        machine.wait_enrolled()
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), [])
        self.assertIn("Stopping (service restart)", machine.said())

    def test_restart_by_stop_and_start_in_one_transaction(self):
        """As a unit that ours is bound to is restarted."""
        machine = self.machine()
        machine.write("/etc/systemd/system/above.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n")
        machine.write("/etc/systemd/system/runner-registrar.service.d/above.conf",
                      "[Unit]\nRequires=above.service\nAfter=above.service\n")
        machine.boot()
        machine.wait_enrolled()
        mark = self.gitlab.mark()
        machine.run("systemctl", "restart", "above.service")
        machine.wait_enrolled()
        self.assert_one_runner(machine)
        self.assertEqual(self.done(CREATING + DELETING, mark), [])

    def test_stop_withdraws_and_start_enrols_anew(self):
        machine = self.enrolled(gitlab_runner=True)
        first = self.assert_one_runner(machine)
        machine.run("systemctl", "stop", "runner-registrar")
        self.assert_nothing_left(machine)
        self.assertIn("Stopping (service stop)", machine.said())
        machine.run("systemctl", "start", "runner-registrar")
        machine.wait_enrolled()
        self.assertNotEqual(self.assert_one_runner(machine)["id"], first["id"])

    def test_stop_deletes_after_gitlab_runner_has_heard_of_it(self):
        """A poll after the deletion would make the manager again, or be an error in gitlab-runner's eyes."""
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        machine = self.machine(gitlab_runner=True, authentication_token="file:/etc/runner-registrar/token")
        machine.write("/etc/runner-registrar/token", runner["token"], 0o600)
        machine.boot()
        self.gitlab.wait_requests(operation="request_job", timeout=30)
        machine.run("systemctl", "stop", "runner-registrar")
        mark = self.gitlab.mark()
        self.assertEqual(self.gitlab.runner(runner["id"])["managers"], [])
        self.assertIn("Configuration loaded, 0 runners", machine.said("gitlab-runner.service"))
        # Longer than its interval: none of its polls is still on its way. It ends by SIGQUIT, so it has said goodbye.
        machine.run("systemctl", "stop", "gitlab-runner")
        self.assertEqual(self.done(("request_job",), mark), [])
        self.assertEqual(self.gitlab.runner(runner["id"])["managers"], [])

    def test_stop_without_gitlab_leaves_a_debt_that_the_next_start_settles(self):
        machine = self.enrolled(agent={"stop_timeout": "2s"})
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        self.gitlab.down()
        machine.run("systemctl", "stop", "runner-registrar")
        self.assertEqual([debt["runner_id"] for debt in self.debts(machine)], [runner["id"]])
        self.gitlab.up()
        machine.run("systemctl", "start", "runner-registrar")
        machine.wait_enrolled()
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(machine.status()["debts"], [])
        self.assertEqual(self.done(CREATING, mark), [])

    def test_stop_timeout_may_be_longer_than_the_units(self):
        """The agent asks systemd for the time that it needs."""
        machine = self.machine(agent={"stop_timeout": "4s"})
        machine.write("/etc/systemd/system/runner-registrar.service.d/short.conf", "[Service]\nTimeoutStopSec=1s\n")
        machine.boot()
        machine.wait_enrolled()
        self.gitlab.down()
        machine.run("systemctl", "stop", "runner-registrar")
        self.assertEqual(machine.show("Result"), "success")
        self.assertEqual(len(self.debts(machine)), 1)

    def test_stop_hands_back_where_only_a_poweroff_withdraws(self):
        for when in ("poweroff", "never"):
            with self.subTest(deregister_on=when):
                self.gitlab.reset()
                self.gitlab.settings(runner_token_expiration_interval=30 * 86400)
                machine = self.enrolled(name=when, agent={"deregister_on": when})
                self.assertEqual(machine.entries()[0]["token_expires_at"].year, 1)
                machine.run("systemctl", "stop", "runner-registrar")
                self.assert_one_runner(machine)
                self.assertGreater(machine.entries()[0]["token_expires_at"].year, 2000)
                machine.run("systemctl", "start", "runner-registrar")
                machine.wait_entries(lambda entries: entries[0]["token_expires_at"].year == 1)

    def test_reload_takes_the_new_configuration(self):
        machine = self.enrolled()
        self.assert_one_runner(machine)
        machine.configure(name="build-2", registration_token="instance")
        machine.run("systemctl", "reload", "runner-registrar")
        machine.wait_enrolled()
        self.gitlab.wait_runners(1)
        self.assertEqual([entry["name"] for entry in machine.entries()], ["build-2"])
        machine.configure(name="build-2", registration_token="instance", nonsense="1")
        machine.run("systemctl", "reload", "runner-registrar")
        self.assertEqual(machine.show("ActiveState"), "active")
        self.assertIn("keeping the old one", machine.said())

    def test_without_a_system_bus_systemd_is_asked_directly(self):
        machine = self.machine(gitlab_runner=True)
        for unit in ("dbus.service", "dbus.socket", "systemd-logind.service"):
            machine.mask(unit)
        machine.boot()
        machine.wait_enrolled()
        runner = self.assert_one_runner(machine)
        machine.run("systemctl", "restart", "runner-registrar")
        machine.wait_enrolled()
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        machine.end("poweroff")
        self.assertIn("Stopping (poweroff)", machine.said())
        self.assert_nothing_left(machine)

    def test_killed_it_comes_back_and_nothing_is_duplicated(self):
        machine = self.machine()
        machine.write("/etc/systemd/system/runner-registrar.service.d/fast.conf", "[Service]\nRestartSec=100ms\n")
        machine.boot()
        machine.wait_enrolled()
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        machine.wait_said("Started runner-registrar.service",
                          after=lambda: machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "runner-registrar"))
        machine.wait_enrolled()
        self.assertEqual(machine.show("NRestarts"), "1")
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), [])

    def test_killed_in_the_middle_of_an_enrolment(self):
        machine = self.machine(agent=FAST)
        machine.write("/etc/systemd/system/runner-registrar.service.d/fast.conf", "[Service]\nRestartSec=100ms\n")
        self.gitlab.fault(operation="register", kind="hang")
        machine.boot()
        self.gitlab.wait_requests(operation="register", arrived=1)
        machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "runner-registrar")
        machine.wait_enrolled()
        self.assert_one_runner(machine)

    def test_watchdog_ends_a_loop_that_does_not_turn(self):
        machine = self.machine()
        machine.write("/etc/systemd/system/runner-registrar.service.d/fast.conf",
                      "[Service]\nRestartSec=100ms\nWatchdogSec=2s\n")
        machine.boot()
        machine.wait_enrolled()
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        machine.wait_said("Watchdog timeout", after=lambda: machine.run(
            "systemctl", "kill", "--kill-who=main", "--signal=STOP", "runner-registrar"))
        machine.wait_enrolled()
        self.assertEqual(machine.show("NRestarts"), "1")
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), [])


class ByHand(Boots):
    def test_signal_where_systemd_did_not_start_it(self):
        for name in ("TERM", "INT"):
            with self.subTest(signal=name):
                self.gitlab.reset()
                machine = self.lab.machine("hand" + name.lower())
                machine.configure(registration_token="file:/etc/runner-registrar/token")
                machine.write("/etc/runner-registrar/token", self.gitlab.registration_tokens["instance"], 0o600)
                machine.boot()
                process = machine.start("runner-registrar", "run")
                machine.wait_enrolled()
                self.assert_one_runner(machine)
                machine.run("sh", "-c", f"for p in /proc/[0-9]*; do grep -qs ^runner-reg $p/comm && kill -{name} ${{p#/proc/}}; "
                            "done; true")
                said = process.communicate(timeout=machines.PATIENCE)[1]
                self.assertEqual(process.returncode, 0, said)
                self.assertIn("Stopping (signal): the runners are withdrawn", said)
                self.assert_nothing_left(machine)


class WaysDown(Boots):
    def down_and_up(self, verb, **options):
        """Goes down by VERB, comes up again; what happened at GitLab on the way down."""
        machine = self.enrolled(gitlab_runner=True, **options)
        self.before, mark = self.assert_one_runner(machine), self.gitlab.mark()
        machine.end(verb)
        operations = self.done(CREATING + DELETING + REPLACING, mark)
        self.assertIn("Stopped runner-registrar.service", machine.said())
        return machine, operations

    def assert_kept(self, machine, operations):
        self.assertEqual(operations, [])
        mark = self.gitlab.mark()
        machine.boot()
        machine.wait_enrolled()
        self.assertEqual(self.assert_one_runner(machine)["id"], self.before["id"])
        self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), [])

    def test_reboot_keeps_the_runner(self):
        machine, operations = self.down_and_up("reboot")
        self.assertIn("Stopping (reboot)", machine.said())
        self.assert_kept(machine, operations)

    def test_kexec_keeps_the_runner(self):
        machine, operations = self.down_and_up("kexec.target")
        self.assertIn("Stopping (kexec)", machine.said())
        self.assert_kept(machine, operations)

    def test_poweroff_withdraws(self):
        machine, operations = self.down_and_up("poweroff")
        self.assertIn("Stopping (poweroff)", machine.said())
        self.assertEqual(operations, ["delete"])
        self.assert_nothing_left(machine)

    def test_halt_withdraws(self):
        machine, operations = self.down_and_up("halt")
        self.assertIn("Stopping (halt)", machine.said())
        self.assertEqual(operations, ["delete"])
        self.assert_nothing_left(machine)

    def test_shutdown_by_the_host_of_a_virtual_machine_withdraws(self):
        """A power button, or what a container's manager sends."""
        machine = self.enrolled()
        machine.process.terminate()
        machine.wait_end()
        self.assert_nothing_left(machine)

    def test_always_withdraws_at_a_reboot(self):
        machine, operations = self.down_and_up("reboot", agent={"deregister_on": "always"})
        self.assertEqual(operations, ["delete"])
        self.assert_nothing_left(machine)

    def test_never_keeps_the_runner_at_a_poweroff(self):
        machine, operations = self.down_and_up("poweroff", agent={"deregister_on": "never"})
        self.assert_kept(machine, operations)

    def test_poweroff_without_gitlab_is_settled_at_the_next_boot(self):
        machine = self.enrolled(agent={"stop_timeout": "2s"})
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        self.gitlab.down()
        machine.end("poweroff")
        self.assertEqual(machine.entries(), [])
        self.assertEqual([debt["runner_id"] for debt in self.debts(machine)], [runner["id"]])
        self.gitlab.up()
        machine.boot()
        machine.wait_enrolled()
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.debts(machine), [])
        self.assertEqual(self.done(CREATING + DELETING, mark), [])

    def test_power_cut_keeps_the_runner(self):
        machine = self.enrolled()
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        machine.cut_power()
        machine.boot()
        machine.wait_enrolled()
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING + REPLACING, mark), [])

    def test_rescue_mode_is_a_stop(self):
        """Nothing says that the host comes back from it, and switched off from there nobody would withdraw."""
        machine = self.enrolled(gitlab_runner=True)
        first = self.assert_one_runner(machine)
        machine.write("/etc/systemd/system/rescue.service.d/no-shell.conf",
                      "[Service]\nExecStart=\nExecStart=/bin/sleep infinity\n")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "isolate", "rescue.target")
        machine.wait_said("Stopped runner-registrar.service")
        self.assertIn("Stopping (service stop)", machine.said())
        self.assert_nothing_left(machine)
        machine.run("systemctl", "isolate", "multi-user.target")
        machine.wait_enrolled()
        self.assertNotEqual(self.assert_one_runner(machine)["id"], first["id"])

    def test_network_that_is_gone_at_the_shutdown_leaves_a_debt_in_time(self):
        machine = self.enrolled(agent={"stop_timeout": "3s"})
        runner, mark = self.assert_one_runner(machine), self.gitlab.mark()
        # The machines' loopback is that of this test; and so is its kernel, which would still deliver on a connection
        # that was open what a machine that is off no longer can.
        self.gitlab.down()
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
        try:
            begin = time.monotonic()
            machine.end("poweroff")
            self.assertLess(time.monotonic() - begin, 10)
        finally:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        self.gitlab.up()
        self.assertIn("Stopping (poweroff)", machine.said())
        self.assertIn("GitLab still knows it", machine.said())
        self.assertEqual(machine.entries(), [])
        self.assertEqual([debt["runner_id"] for debt in self.debts(machine)], [runner["id"]])
        machine.boot()
        machine.wait_enrolled()
        self.assertEqual(self.assert_one_runner(machine)["id"], runner["id"])
        self.assertEqual(self.done(CREATING + DELETING, mark), [])

    def test_gitlab_runner_has_ended_before_the_withdrawal(self):
        """On the way down the order of the start is kept backwards: jobs end, the agent withdraws, the network goes."""
        machine = self.enrolled(gitlab_runner=True)
        self.gitlab.wait_requests(operation="request_job", timeout=30)
        machine.end("poweroff")
        said = machine.journal()
        moment = {}
        for entry in said:
            for what in ("Stopped gitlab-runner.service", "Stopping runner-registrar.service",
                         "Stopped runner-registrar.service", "Stopped target network-online.target", "Stopping dbus.service"):
                if str(entry.get("MESSAGE")).startswith(what):
                    moment[what] = int(entry["__MONOTONIC_TIMESTAMP"])
        self.assertLess(moment["Stopped gitlab-runner.service"], moment["Stopping runner-registrar.service"])
        self.assertLess(moment["Stopped runner-registrar.service"], moment["Stopping dbus.service"])
        log = self.gitlab.operations()
        self.assertNotIn("request_job", log[log.index("delete"):])


if __name__ == "__main__":
    main("system ")
