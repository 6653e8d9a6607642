#!/usr/bin/python3
"""Leaving: nothing of a host stays behind, nothing of another host is touched, and what GitLab can't hear is a debt."""
# tests: valgrind

import json
import os
import shutil
import signal
import subprocess
import time

from case import AGAIN, DONE, FAILED, FAST, Case, quiet
from host import SLOWER, Host

from report import main


class Stop(Case):
    def test_by_every_signal_that_stops(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                self.gitlab.reset()
                agent = self.enrolled_agent()
                self.assertEqual(agent.stop(number), DONE)
                self.assert_nothing_left()

    def test_created_runner_goes(self):
        agent = self.enrolled_agent(**self.by_access_token())
        self.assertEqual(agent.stop(), DONE)
        self.assert_nothing_left()

    def test_of_a_shared_token_only_this_machine_goes(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True, managers=[{"system_id": "s_000000000000"}])
        agent = self.enrolled_agent(authentication_token=runner["token"])
        self.assertEqual(agent.stop(), DONE)
        self.assertEqual([m["system_id"] for m in self.gitlab.runner(runner["id"])["managers"]], ["s_000000000000"])
        self.assertEqual(self.gitlab.count(operation="delete"), 0)
        self.assertEqual(self.host.entries(), [])

    def test_where_there_are_no_managers_a_shared_runner_is_left_alone(self):
        self.gitlab.reset("15")
        runner = self.gitlab.seed_runner(runner_type="instance_type")
        agent = self.enrolled_agent(authentication_token=runner["token"])
        self.assertEqual(agent.stop(), DONE)
        self.assertEqual([r["id"] for r in self.gitlab.runners()], [runner["id"]])
        self.assertEqual(self.host.entries(), [])

    def test_never(self):
        agent = self.enrolled_agent(agent={"deregister_on": "never"})
        mark = self.gitlab.mark()
        self.assertEqual(agent.stop(), DONE)
        self.assert_enrolled_once()
        self.assertEqual(self.gitlab.operations(mark), [])

    def test_started_by_systemd_that_can_not_be_asked_nothing_is_withdrawn(self):
        with open("/proc/self/cgroup", encoding="utf-8") as f:
            if ".scope" in (cgroups := f.read()) or ".service" in cgroups:
                # In a namespace of its own the control group has no name, as in some containers.
                self.host.wrapper = ["unshare", "-C"]
        if self.host.command("--version").returncode != 0:
            self.skipTest("needs a namespace for control groups")
        self.host.environment["NOTIFY_SOCKET"] = os.path.join(self.host.path, "nobody-listens")
        agent = self.enrolled_agent()
        self.assertEqual(agent.stop(), DONE)
        self.assert_enrolled_once()

    def test_agent_without_a_finished_enrolment(self):
        self.gitlab.fault(operation="register", kind="status", status=500, count=None,
                          body={"message": "500 Internal Server Error"})
        self.host.configure(registration_token="instance")
        agent = self.start_agent()
        agent.wait_status(lambda r: r["attempt"] > 0)
        self.assertEqual(agent.stop(), DONE)
        self.assert_nothing_left()


class Order(Case):
    """The entry goes, gitlab-runner is told, and only then GitLab is asked to delete."""

    def test_entry_goes_before_the_delete(self):
        self.host.systemd.active = True
        agent = self.enrolled_agent()
        told = len(self.host.systemd.killed)
        self.gitlab.fault(operation="delete", kind="hang")
        agent.send(signal.SIGTERM)
        self.gitlab.wait_requests(operation="delete", arrived=1)
        self.assertEqual(self.host.entries(), [])
        self.assertGreater(len(self.host.systemd.killed), told)
        # The debt was on the disk before.
        self.assertEqual([debt["kind"] for debt in self.host.state()["debts"]], ["runner"])

    def test_manager_made_again_by_a_late_poll_is_deleted_again(self):
        self.host.systemd.active = True
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        agent = self.enrolled_agent(authentication_token=runner["token"])
        agent.send(signal.SIGTERM)
        self.gitlab.wait_requests(operation="delete_manager")
        self.assertEqual(agent.process.wait(30), DONE)
        self.assertEqual([entry["status"] for entry in self.gitlab.log(operation="delete_manager")][-1], 404)
        self.assertEqual(self.gitlab.runner(runner["id"])["managers"], [])

    def test_where_gitlab_runner_can_not_be_told_one_poll_is_waited_for(self):
        self.host.environment["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/nonexistent"
        if os.path.exists("/run/systemd/private"):
            self.skipTest("this machine's own systemd would be asked")
        # Started from a shell or a container: it is seen, but can't be told.
        program = shutil.copy(shutil.which("sleep"), os.path.join(self.host.secrets, "gitlab-runner"))
        neighbour = subprocess.Popen([program, "600"])
        self.addCleanup(neighbour.wait)
        self.addCleanup(neighbour.kill)
        agent = self.enrolled_agent()
        begin = time.monotonic()
        self.assertEqual(agent.stop(), DONE)
        self.assertGreater(time.monotonic() - begin, 3)
        self.assert_nothing_left()


class Debts(Case):
    def debts(self):
        return json.loads(self.run_command("status", "--json"))["runners"][0]["debts"]

    def down(self):
        agent = self.enrolled_agent(agent={"stop_timeout": "2s"})
        self.gitlab.down()
        self.assertEqual(agent.stop(), DONE)
        self.assertEqual(self.host.entries(), [])
        return agent

    def test_gitlab_down_is_a_debt_in_state_and_status(self):
        self.down()
        debt, = self.debts()
        self.assertEqual((debt["kind"], debt["runner_id"]), ("runner", 1))
        self.assertTrue(debt["since"] and debt["reason"])
        self.assertEqual(len(self.gitlab.runners()), 1)

    def test_host_that_comes_back_adopts_its_debt(self):
        self.down()
        self.gitlab.up()
        agent = self.start_agent()
        status = agent.wait_quiet()
        self.assertEqual(status["debts"], [])
        self.assertEqual(self.assert_enrolled_once()["id"], 1)
        self.assertEqual(self.gitlab.count(operation="register"), 1)

    def test_paid_as_soon_as_gitlab_answers(self):
        agent = self.enrolled_agent(agent=FAST)
        self.gitlab.down()
        self.run_command("deregister", code=AGAIN)
        self.assertEqual(len(self.debts()), 1)
        self.gitlab.up()
        agent.wait_status(lambda r: not r["debts"])
        self.assert_nothing_left()
        agent.wait_state("withdrawn")

    def test_and_by_the_command_again(self):
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.gitlab.down()
        self.run_command("deregister", code=AGAIN)
        self.gitlab.up()
        self.run_command("deregister")
        self.assert_nothing_left()
        self.assertEqual(self.debts(), [])

    def test_failing_gitlab_is_a_debt_as_well(self):
        agent = self.enrolled_agent(agent={"stop_timeout": "2s"})
        self.gitlab.settings(read_only=True)
        self.assertEqual(agent.stop(), DONE)
        self.assertEqual(len(self.debts()), 1)
        self.assertEqual(len(self.gitlab.runners()), 1)

    def test_runner_that_a_person_deleted_is_no_debt(self):
        agent = self.enrolled_agent()
        self.gitlab.delete_runner(1)
        self.assertEqual(agent.stop(), DONE)
        self.assertEqual(self.debts(), [])

    def test_unanswered_delete_ends_with_stop_timeout(self):
        agent = self.enrolled_agent(agent={"stop_timeout": "1s"})
        self.gitlab.fault(operation="delete", kind="hang", count=None)
        begin = time.monotonic()
        self.assertEqual(agent.stop(), DONE)
        self.assertLess(time.monotonic() - begin, 2.5 * SLOWER)
        self.assertEqual(len(self.debts()), 1)


class Command(Case):
    def test_stays_withdrawn_until_registered(self):
        agent = self.enrolled_agent(agent=FAST)
        self.run_command("deregister")
        self.assert_nothing_left()
        agent.wait_state("withdrawn")
        agent.send(signal.SIGHUP)
        agent.wait_said("read again")
        self.run_command("verify", code=FAILED)
        self.assert_nothing_left()
        self.run_command("register")
        self.assert_enrolled_once()

    def test_start_of_the_service_enrols_again(self):
        agent = self.enrolled_agent()
        self.run_command("deregister")
        agent.stop()
        self.enrolled_agent()
        self.assert_enrolled_once()

    def test_time_out(self):
        self.enrolled_agent()
        self.gitlab.fault(operation="delete", kind="hang", count=None)
        self.run_command("deregister", "--timeout", "1s", code=AGAIN)

    def test_twice(self):
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.run_command("deregister")
        self.run_command("deregister")
        self.assertEqual(self.gitlab.count(operation="delete"), 1)

    def test_one_of_several(self):
        self.host.configure(registration_token="instance")
        self.host.configure(name="build-2", append=True, registration_token="group")
        self.run_command("register")
        self.run_command("deregister", "build-1")
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["build-2"])
        self.assertEqual(len(self.gitlab.runners()), 1)


class Quick(Case):
    """Where nothing is withdrawn, stop takes less than a second, whatever is under way."""

    def stop_quickly(self, agent):
        begin = time.monotonic()
        self.assertEqual(agent.stop(), DONE)
        self.assertLess(time.monotonic() - begin, 1.0 * SLOWER)

    def test_while_a_call_hangs(self):
        for operation in ("register", "verify", "reset"):
            with self.subTest(operation=operation):
                self.gitlab.reset()
                with Host(self.gitlab) as self.host:
                    agent = {"deregister_on": "never"}
                    self.host.configure(agent=agent, registration_token="instance")
                    if operation != "register":
                        self.run_command("register")
                    self.gitlab.fault(operation=operation, kind="hang", count=None)
                    if operation == "reset":
                        self.host.configure(agent={**agent, "rotate_after": "1s"}, registration_token="instance")
                    with self.host.agent() as running:
                        self.gitlab.wait_requests(operation=operation, arrived=1)
                        self.stop_quickly(running)

    def test_while_gitlab_is_down(self):
        self.host.configure(agent={**FAST, "deregister_on": "never"}, registration_token="instance")
        self.gitlab.down()
        agent = self.start_agent()
        agent.wait_status(lambda r: r["attempt"] > 1)
        self.stop_quickly(agent)

    def test_while_refused_doubtful_or_withdrawn(self):
        self.host.configure(agent={"deregister_on": "never"}, registration_token="GR1348941nonsense")
        agent = self.start_agent()
        agent.wait_state("refused")
        self.stop_quickly(agent)
        agent = self.enrolled_agent(agent={"deregister_on": "never", "removed_after": "1h"})
        self.gitlab.delete_runner(1)
        agent.send(signal.SIGUSR1)
        agent.wait_state("doubtful")
        self.stop_quickly(agent)
        agent = self.start_agent()
        agent.wait_state("doubtful")
        self.run_command("deregister")
        self.stop_quickly(agent)

    def test_while_a_secret_program_hangs(self):
        program = os.path.join(self.host.path, "slow")
        with open(os.open(program, os.O_CREAT | os.O_WRONLY, 0o700), "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nexec cat /proc/self/fd/9\n" if False else "#!/bin/sh\nexec tail -f /dev/null\n")
        self.host.configure(agent={"deregister_on": "never"}, registration_token="exec:" + program)
        agent = self.start_agent()
        agent.wait_state("registering")
        self.stop_quickly(agent)

    def test_while_a_name_server_is_silent(self):
        done = subprocess.run(["unshare", "-mn", "true"], check=False, capture_output=True)
        if done.returncode != 0:
            self.skipTest("no namespaces here")
        conf = os.path.join(self.host.path, "resolv.conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write("nameserver 127.0.0.1\noptions timeout:30\n")
        # Somebody has the port and never answers.
        server = ("import socket, os, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('127.0.0.1', 53))\n"
                  "os.set_inheritable(s.fileno(), True)\nos.execvp(sys.argv[1], sys.argv[1:])")
        self.host.wrapper = ["unshare", "-mn", "sh", "-c",
                             f"ip link set lo up && mount --bind {conf} /etc/resolv.conf && exec /usr/bin/python3 -c \"$0\" \"$@\"",
                             server]
        self.host.configure(agent={"deregister_on": "never"}, registration_token="instance", url="https://gitlab.example.com",
                            tls_ca_file=None)
        agent = self.start_agent()
        agent.wait_status(lambda r: "register" in str(r["next_action"]))
        begin = time.monotonic()
        agent.send(signal.SIGHUP)
        agent.wait_said("read again")
        self.assertLess(time.monotonic() - begin, 1.0 * SLOWER)
        self.stop_quickly(agent)


class Reload(Case):
    def test_runner_that_is_configured_no_more_is_withdrawn(self):
        self.host.configure(agent={"verify_interval": "1h"}, registration_token="instance")
        self.host.configure(name="build-2", append=True, registration_token="group")
        agent = self.start_agent()
        agent.wait_quiet()
        agent.wait_quiet("build-2")
        self.host.configure(agent={"verify_interval": "1h"}, name="build-2", registration_token="group")
        agent.send(signal.SIGHUP)
        self.gitlab.wait_runners(1)
        agent.wait_status(lambda r: agent.runner("build-1") is None, "build-2")
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["build-2"])
        self.assertFalse(os.path.exists(os.path.join(self.host.state_dir, "build-1.json")))

    def test_its_debt_is_listed_until_it_is_paid(self):
        agent_settings = {**FAST, "stop_timeout": "1s", "verify_interval": "1h"}
        self.host.configure(agent=agent_settings, registration_token="instance")
        self.host.configure(name="build-2", append=True, registration_token="group")
        agent = self.start_agent()
        agent.wait_quiet()
        agent.wait_quiet("build-2")
        self.gitlab.down()
        self.host.configure(agent=agent_settings, name="build-2", registration_token="group")
        agent.send(signal.SIGHUP)
        agent.wait_status(lambda r: len(r["debts"]) == 1)
        self.gitlab.up()
        agent.wait_status(lambda r: agent.runner("build-1") is None, "build-2")
        self.assertEqual(len(self.gitlab.runners()), 1)

    def test_new_runner_is_enrolled(self):
        agent = self.enrolled_agent()
        self.host.configure(name="build-2", append=True, registration_token="group")
        agent.send(signal.SIGHUP)
        agent.wait_quiet("build-2")
        self.assertEqual(len(self.gitlab.runners()), 2)

    def test_at_start_it_is_only_reported(self):
        agent = self.enrolled_agent(agent={"deregister_on": "never"})
        agent.stop()
        self.host.configure(agent={"deregister_on": "never"}, name="build-2", registration_token="group")
        agent = self.start_agent()
        agent.wait_quiet("build-2")
        self.assertIn("deregister build-1", agent.output())
        self.assertEqual(len(self.gitlab.runners()), 2)
        self.run_command("deregister", "build-1")
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["build-2"])
        self.assertEqual(len(self.gitlab.runners()), 1)

    def test_new_url_is_a_new_runner(self):
        from client import GitLab
        agent = self.enrolled_agent(agent=FAST)
        with GitLab() as other:
            self.host.configure(agent=FAST, url=other.url, registration_token=other.registration_tokens["instance"])
            agent.send(signal.SIGHUP)
            other.wait_runners(1)
            self.gitlab.wait_runners(0)
            agent.wait_status(lambda r: r["url"] == other.url and quiet(r) and not r["debts"])
            self.assertEqual([entry["url"] for entry in self.host.entries()], [other.url])
            self.assertEqual(self.host.entry()["token"], other.runners()[0]["token"])

    def test_reload_that_would_leave_nothing_is_refused(self):
        agent = self.enrolled_agent()
        with open(self.host.config, "w", encoding="utf-8") as f:
            f.write(f"[agent]\nconfig_toml = {self.host.config_toml}\nstate_dir = {self.host.state_dir}\n")
        agent.send(signal.SIGHUP)
        agent.wait_said("keeping the old")
        self.run_command("verify", code=78)
        self.assert_enrolled_once()


class Image(Case):
    def test_seal_leaves_nothing_of_this_machine(self):
        other = '[[runners]]\n  name = "other"\n  url = "https://other.example.com"\n  token = "x"\n  executor = "shell"\n'
        self.host.write_toml(other)
        self.host.configure(registration_token="instance")
        self.run_command("register")
        mark = self.gitlab.mark()
        self.run_command("seal")
        self.assertEqual(self.gitlab.operations(mark), [])
        self.assertEqual(self.host.toml_text(), other)
        self.assertEqual([name for name in os.listdir(self.host.state_dir) if name.endswith(".json")], [])
        self.assertFalse(os.path.exists(os.path.join(os.path.dirname(self.host.config_toml), ".runner_system_id")))

    def test_not_under_a_running_agent(self):
        self.enrolled_agent()
        self.run_command("seal", code=FAILED)
        self.assert_enrolled_once()

    def test_while_an_image_is_built_nobody_is_called(self):
        done = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
        if os.geteuid() != 0 or done.returncode != 0:
            self.skipTest("needs root and a mount namespace")
        etc = os.path.join(self.host.path, "etc")
        os.mkdir(etc)
        with open(os.path.join(etc, "image-build"), "w", encoding="utf-8"):
            pass
        # /etc/runner-registrar may not exist here, so an upper layer over /etc holds it.
        over = os.path.join(self.host.path, "over")
        for name in ("upper/runner-registrar", "work"):
            os.makedirs(os.path.join(over, name))
        shutil.copy(os.path.join(etc, "image-build"), os.path.join(over, "upper/runner-registrar/image-build"))
        self.host.wrapper = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none " + over + " && mkdir -p " + over + "/upper/runner-registrar "
                             + over + "/work && touch " + over + "/upper/runner-registrar/image-build && mount -t overlay overlay -o "
                             f"lowerdir=/etc,upperdir={over}/upper,workdir={over}/work /etc && exec \"$@\"", "sh"]
        self.host.configure(registration_token="instance")
        if self.host.command("--version").returncode != 0:
            self.skipTest("no overlay over /etc here")
        for words in (["register"], ["verify"], ["rotate"], ["deregister"], ["wait"], ["run"], ["check", "--online"]):
            said = self.run_command(*words)
            self.assertIn("image", said)
        self.assertEqual(self.gitlab.log(), [])
        self.assertEqual(self.host.entries(), [])


if __name__ == "__main__":
    main("withdraw/")
