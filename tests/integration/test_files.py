#!/usr/bin/python3
"""Bad days of the disk: whatever happens to config.toml or to our state, no token, byte or process is lost."""
# tests: valgrind

import json
import os
import shutil
import signal
import subprocess
import time
import unittest

from case import FAILED, FAST, Case, quiet
from host import PROGRAM, Host, Watch

from report import main

OTHER = '[[runners]]\n  name = "other"\n  url = "https://other.example.com"\n  token = "x"\n  executor = "shell"\n'


def have_namespaces():
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0


needs_namespaces = unittest.skipUnless(have_namespaces(), "needs root and a mount namespace")


def in_namespace(script):
    return ["unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "sh"]


class ConfigToml(Case):
    def setUp(self):
        super().setUp()
        self.host.configure(agent=FAST, registration_token="instance")

    def assert_refused_before_anything_is_sent(self, *words):
        said = self.run_command("register", code=FAILED)
        for word in words:
            self.assertIn(word, said)
        self.assertEqual(self.gitlab.runners(), [])
        self.assertEqual(self.gitlab.count(operation="register"), 0)

    def agent_waits_and_recovers(self, mend):
        """The agent goes on, says what is wrong, and enrols once it is mended."""
        agent = self.start_agent()
        status = agent.wait_status(lambda r: r["reason"])
        self.assertEqual(self.gitlab.count(operation="register"), 0)
        mend()
        agent.wait_quiet()
        self.assert_enrolled_once()
        return status

    def test_not_toml(self):
        text = "concurrent = = 4\n"
        self.host.write_toml(text)
        self.assert_refused_before_anything_is_sent("config.toml", ":1:")
        self.assertEqual(self.host.toml_text(), text)

    def test_not_toml_under_the_agent(self):
        self.host.write_toml("concurrent = = 4\n")
        status = self.agent_waits_and_recovers(lambda: self.host.write_toml(OTHER))
        self.assertIn("config.toml", status["reason"])
        self.assertTrue(self.host.toml_text().startswith(OTHER))

    def test_spoiled_while_enrolled(self):
        agent = self.start_agent()
        agent.wait_quiet()
        good = self.host.toml_text()
        self.host.write_toml("spoiled =\n")
        agent.wait_said("not a config.toml")
        # Verifying goes on, and nobody overwrites what a person may be mending.
        self.gitlab.wait_requests(operation="verify", since=self.gitlab.mark())
        self.assertEqual(self.host.toml_text(), "spoiled =\n")
        self.host.write_toml(OTHER)
        agent.wait_status(lambda r: len(self.host.entries()) == 2)
        self.assertEqual(self.host.entry()["token"], self.gitlab.runners()[0]["token"])
        self.assertIn(self.host.entry()["token"], good)
        self.assert_enrolled_once()

    def test_reload_while_it_is_spoiled(self):
        """Refused, as the entries of who comes and who goes can't be told; once it is mended, a reload does both."""
        self.host.configure(append=True, name="build-2", registration_token="instance")
        agent = self.start_agent()
        agent.wait_quiet()
        agent.wait_quiet("build-2")
        going = self.host.entry("build-2")["token"]
        self.host.write_toml("spoiled =\n")
        agent.wait_said("not a config.toml")
        self.host.configure(agent=FAST, registration_token="instance")
        self.host.configure(append=True, name="build-3", registration_token="instance")
        agent.send(signal.SIGHUP)
        agent.wait_said("keeping the old configuration")
        self.assertEqual(self.host.toml_text(), "spoiled =\n")
        self.assertEqual(len(self.gitlab.runners()), 2)
        self.host.write_toml(OTHER)
        agent.wait_status(lambda r: len(self.host.entries()) == 3)
        agent.send(signal.SIGHUP)
        agent.wait_quiet("build-3")
        self.gitlab.wait_requests(operation="delete")
        agent.wait_status(lambda r: len(self.host.entries()) == 3 and "build-2" not in {e["name"] for e in self.host.entries()})
        self.assertEqual({entry["name"] for entry in self.host.entries()}, {"other", "build-1", "build-3"})
        tokens = {runner["token"] for runner in self.gitlab.runners()}
        self.assertEqual(tokens, {self.host.entry(name)["token"] for name in ("build-1", "build-3")})
        self.assertNotIn(going, tokens)

    def test_a_folder(self):
        os.mkdir(self.host.config_toml)
        self.assert_refused_before_anything_is_sent("config.toml")
        self.agent_waits_and_recovers(lambda: os.rmdir(self.host.config_toml))

    def test_symlink_keeps_pointing(self):
        real = os.path.join(self.host.path, "real.toml")
        with open(real, "w", encoding="utf-8") as f:
            f.write(OTHER)
        os.symlink(real, self.host.config_toml)
        self.run_command("register")
        self.assertEqual(os.readlink(self.host.config_toml), real)
        self.assertEqual(len(self.host.entries()), 2)
        # Beside the path as configured, not beside the target.
        self.host.system_id()
        self.run_command("deregister")
        with open(real, encoding="utf-8") as f:
            self.assertEqual(f.read(), OTHER)

    def test_dangling_symlink(self):
        target = os.path.join(self.host.path, "missing", "real.toml")
        os.symlink(target, self.host.config_toml)
        done = self.host.command("register")
        self.assertTrue(os.path.islink(self.host.config_toml))
        if done.returncode == 0:
            self.assert_enrolled_once()
        else:
            self.assertIn("missing", done.stderr)
            self.assertEqual(self.gitlab.runners(), [])

    @unittest.skipUnless(os.geteuid() == 0, "only root need not trust others")
    def test_folder_that_others_can_write(self):
        os.chmod(os.path.dirname(self.host.config_toml), 0o777)
        self.assert_refused_before_anything_is_sent("gitlab-runner", "chmod go-w")
        # Nor does an agent start: without this folder it does not know who it is.
        self.assertIn("chmod go-w", self.run_command("run", code=FAILED))

    @needs_namespaces
    def test_bind_mount_is_written_in_place(self):
        real = os.path.join(self.host.path, "real.toml")
        with open(real, "w", encoding="utf-8") as f:
            f.write(OTHER)
        self.host.write_toml("")
        inode = os.stat(real).st_ino
        self.host.wrapper = in_namespace(f"mount --bind {real} {self.host.config_toml}")
        self.run_command("register")
        with open(real, encoding="utf-8") as f:
            text = f.read()
        self.assertTrue(text.startswith(OTHER) and self.gitlab.runners()[0]["token"] in text)
        self.assertEqual(os.stat(real).st_ino, inode)
        self.run_command("deregister")
        with open(real, encoding="utf-8") as f:
            self.assertEqual(f.read(), OTHER)

    def fill_while_registering(self, folder):
        """The disk of FOLDER fills up while GitLab makes the runner, and has room again later."""
        self.host.wrapper = in_namespace(f"mount -t tmpfs -o size=256k,mode=700 none {folder}")
        self.gitlab.fault(operation="register", kind="delay", seconds=1)
        agent = self.start_agent()
        self.gitlab.wait_requests(operation="register", arrived=1)
        inside = f"/proc/{agent.process.pid}/root"
        fill = os.open(f"{inside}{folder}/fill", os.O_CREAT | os.O_WRONLY)
        size = 65536
        while size:
            try:
                os.write(fill, b"x" * size)
            except OSError:
                size //= 2
        os.close(fill)
        self.gitlab.wait_requests(operation="register")
        return agent, inside

    @needs_namespaces
    def test_disk_of_config_toml_fills_up_after_the_request(self):
        folder = os.path.dirname(self.host.config_toml)
        agent, inside = self.fill_while_registering(folder)
        status = agent.wait_status(lambda r: r["runner_id"] and r["reason"])
        self.assertIn("config.toml", status["reason"])
        self.assertEqual(self.host.state()["token"], self.gitlab.runners()[0]["token"])
        os.unlink(f"{inside}{folder}/fill")
        agent.wait_status(lambda r: os.path.exists(inside + self.host.config_toml))
        with open(inside + self.host.config_toml, encoding="utf-8") as f:
            self.assertIn(self.gitlab.runners()[0]["token"], f.read())
        self.assertEqual(len(self.gitlab.runners()), 1)

    @needs_namespaces
    def test_disk_of_the_state_fills_up_after_the_request(self):
        os.mkdir(self.host.state_dir, 0o700)
        agent, inside = self.fill_while_registering(self.host.state_dir)
        agent.wait_status(lambda r: r["runner_id"] and self.host.entries())
        token = self.gitlab.runners()[0]["token"]
        self.assertEqual(self.host.entry()["token"], token)
        # And were the power to go now, the journal has it.
        with open(f"{inside}{self.host.state_dir}/build-1.journal", encoding="utf-8", errors="replace") as f:
            self.assertIn(token, f.read())
        os.unlink(f"{inside}{self.host.state_dir}/fill")

        def saved(_):
            with open(f"{inside}{self.host.state_dir}/build-1.json", encoding="utf-8") as f:
                return json.load(f)["token"] == token
        agent.wait_status(saved)
        self.assertEqual(agent.stop(), 0)
        self.assert_nothing_left()

    def test_changed_between_our_read_and_our_write(self):
        if not shutil.which("strace"):
            self.skipTest("no strace here")
        self.host.write_toml(OTHER)
        self.run_command("register")
        self.host.write_toml("# one\n" + self.host.toml_text())
        watch = Watch(os.path.dirname(self.host.config_toml), 0x100)
        self.addCleanup(watch.close)
        # The new file's fsync is held up: there is time to write between.
        self.host.wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e",
                             "inject=fsync,fdatasync:delay_enter=500000"]
        # A search for leaks can't be done under strace.
        environment = {**self.host.environment, "ASAN_OPTIONS": "detect_leaks=0"}
        process = subprocess.Popen([*self.host.wrapper, PROGRAM, "-c", self.host.config, "deregister"],
                                   env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        watch.wait(20)
        self.host.write_toml("# two\n" + self.host.toml_text())
        self.assertEqual(process.wait(30), 0)
        self.assertEqual(self.host.toml_text(), "# two\n# one\n" + OTHER)

    def test_truncated_for_a_moment(self):
        """gitlab-runner truncates before it writes."""
        agent = self.start_agent()
        agent.wait_quiet()
        text = self.host.toml_text()
        before = os.stat(self.host.config_toml)
        self.host.write_toml("")
        self.host.write_toml(text[:40])
        mark = self.gitlab.mark()
        self.gitlab.wait_requests(operation="verify", since=mark)
        self.host.write_toml(text)
        self.gitlab.wait_requests(operation="verify", since=mark, count=2)
        self.assertEqual(self.host.toml_text(), text)
        self.assertEqual(os.stat(self.host.config_toml).st_ino, before.st_ino)

    def test_empty_for_good(self):
        agent = self.start_agent()
        agent.wait_quiet()
        begin = time.monotonic()
        self.host.write_toml("")
        agent.wait_status(lambda r: self.host.entries())
        self.assertGreater(time.monotonic() - begin, 0.9)
        self.assert_enrolled_once()

    def test_removed(self):
        agent = self.start_agent()
        agent.wait_quiet()
        os.unlink(self.host.config_toml)
        agent.wait_status(lambda r: self.host.entries())
        self.assert_enrolled_once()


class State(Case):
    def path(self):
        return os.path.join(self.host.state_dir, "build-1.json")

    def spoil(self, change):
        """Stops an enrolled agent, changes its state file, and starts it again."""
        agent = self.enrolled_agent(agent={**FAST, "deregister_on": "never"})
        self.assertEqual(agent.stop(), 0)
        with open(self.path(), "rb+") as f:
            text = change(f.read())
            f.seek(0)
            f.truncate()
            f.write(text)
        mark = self.gitlab.mark()
        agent = self.start_agent()
        status = agent.wait_state("refused")
        with open(self.path(), "rb") as f:
            self.assertEqual(f.read(), text)
        self.assertIn("build-1.json", status["reason"])
        self.assertEqual(self.gitlab.operations(mark), [])
        # gitlab-runner goes on with what it has.
        self.assert_enrolled_once()
        self.assertEqual(agent.stop(), 0)
        self.assert_enrolled_once()
        return status

    def test_of_a_newer_version(self):
        status = self.spoil(lambda text: json.dumps({**json.loads(text), "version": 99}).encode())
        self.assertIn("version", status["reason"])

    def test_truncated(self):
        self.spoil(lambda text: text[:len(text) // 2])

    def test_empty(self):
        self.spoil(lambda text: b"")

    def test_of_a_new_runner_that_can_not_be_read(self):
        """A reload is as a whole or not at all: the new runner would be missing, and nobody try it again."""
        agent = self.enrolled_agent()
        in_the_way = os.path.join(self.host.state_dir, "build-2.json")
        os.mkdir(in_the_way)
        self.host.configure(name="build-2", append=True, registration_token="instance")
        agent.send(signal.SIGHUP)
        agent.wait_said("keeping the old configuration")
        self.assertIn("build-2.json", agent.output())
        os.rmdir(in_the_way)
        agent.send(signal.SIGHUP)
        agent.wait_quiet("build-2")
        self.assertEqual(len(self.gitlab.runners()), 2)

    def test_a_second_agent_says_so_and_ends(self):
        agent = self.enrolled_agent()
        done = self.host.command("run")
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(str(agent.process.pid), done.stderr)
        self.run_command("verify")
        self.assert_enrolled_once()

    def test_command_beside_a_command(self):
        """No socket, but the lock."""
        self.gitlab.fault(operation="register", kind="hang", count=None)
        self.host.configure(registration_token="instance")
        process = subprocess.Popen([PROGRAM, "-c", self.host.config, "register"],
                                   env=self.host.environment, stderr=subprocess.DEVNULL)
        self.gitlab.wait_requests(operation="register", arrived=1)
        self.run_command("register", code=FAILED)
        process.kill()
        process.wait()

    def become_another_machine(self):
        machine_id = os.path.join(self.host.path, "machine-id")
        with open(machine_id, "w", encoding="utf-8") as f:
            f.write("0123456789abcdef0123456789abcdef\n")
        mounts = " && ".join(f"mount --bind {machine_id} {path}" for path in ("/etc/machine-id", "/var/lib/dbus/machine-id")
                             if os.path.exists(path) and not os.path.islink(path))
        self.host.wrapper = in_namespace(mounts)

    @needs_namespaces
    def test_of_another_machine(self):
        """A clone enrols as itself; its sibling is left alone."""
        self.host.configure(agent={**FAST, "deregister_on": "never"}, registration_token="instance")
        self.run_command("register")
        sibling, system_id = self.host.entry(), self.host.system_id()
        self.become_another_machine()
        agent = self.start_agent()
        agent.wait_status(lambda r: quiet(r) and r["runner_id"] != sibling["id"])
        self.assertEqual(self.host.system_id(), "s_ee3af03959fe")
        self.assertNotEqual(self.host.system_id(), system_id)
        self.assertEqual(len(self.host.entries()), 1)
        self.assertNotEqual(self.host.entry()["token"], sibling["token"])
        self.assertEqual(agent.stop(), 0)
        self.run_command("deregister")
        self.assertEqual([runner["token"] for runner in self.gitlab.runners()], [sibling["token"]])
        self.assertEqual(self.gitlab.count(operation="verify", status=403), 0)

    @needs_namespaces
    def test_clone_of_a_host_with_a_shared_token(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        self.host.configure(authentication_token=runner["token"])
        self.run_command("register")
        system_id = self.host.system_id()
        self.become_another_machine()
        self.run_command("register")
        managers = {m["system_id"] for m in self.gitlab.runner(runner["id"])["managers"]}
        self.assertEqual(managers, {system_id, "s_ee3af03959fe"})
        self.run_command("deregister")
        self.assertEqual({m["system_id"] for m in self.gitlab.runner(runner["id"])["managers"]}, {system_id})

    @needs_namespaces
    def test_clone_whose_runner_has_another_name(self):
        """The image's entry under the old name would bring its manager back after each withdrawal."""
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        self.host.configure(authentication_token=runner["token"])
        self.run_command("register")
        self.become_another_machine()
        self.host.configure(name="build-2", authentication_token=runner["token"])
        self.run_command("register")
        self.assertEqual({entry["name"]: entry["token"] for entry in self.host.entries()},
                         {"build-1": "", "build-2": runner["token"]})


class Kill(Case):
    """kill -9 while each of the calls is under way; the next start puts everything right."""

    def kill_during(self, operation, kind, provoke=None, **runner):
        self.gitlab.reset()
        with Host(self.gitlab) as self.host:
            self.host.configure(agent=FAST, **runner)
            if provoke:
                with self.host.agent() as agent:
                    agent.wait_quiet()
                    self.gitlab.fault(operation=operation, kind=kind)
                    provoke(agent)
                    self.gitlab.wait_requests(operation=operation, arrived=1, since=0)
                    self.gitlab.wait_faults()
                    agent.kill()
            else:
                self.gitlab.fault(operation=operation, kind=kind)
                with self.host.agent() as agent:
                    self.gitlab.wait_faults()
                    agent.kill()
            with self.host.agent() as agent:
                agent.wait_status(lambda r: quiet(r) and r["last_verdict"] == "alive"
                                  and all(debt["kind"] == "orphan" for debt in r["debts"])
                                  and r["next_action_at"] and self.works(self.host.entry()["token"]))
                yield agent

    def each(self, check, provoke=None, operations=(), **runner):
        for operation in operations:
            for kind in ("hang", "act_then_hang"):
                with self.subTest(operation=operation, kind=kind):
                    for agent in self.kill_during(operation, kind, provoke, **runner):
                        check(agent)

    def test_while_enrolling_by_access_token(self):
        def check(agent):
            # What was made and not heard of is found by its marker, and goes.
            self.gitlab.wait_runners(1)
            self.assert_enrolled_once()
        self.each(check, operations=("create", "verify"), **self.by_access_token())

    def test_while_enrolling_by_registration_token(self):
        def check(agent):
            # What GitLab made for the dead can't be found without an access token: it is told, not guessed.
            runners = self.gitlab.runners()
            lost = [debt for debt in agent.runner()["debts"] if debt["kind"] == "orphan"]
            self.assertEqual(len(lost), 1)
            self.assertLessEqual(len(runners), 2)
        self.each(check, operations=("register",), registration_token="instance")

    def test_while_rotating(self):
        def check(agent):
            agent.wait_status(lambda r: not r["debts"])
            self.assertEqual(self.assert_enrolled_once()["id"], 1)
        def provoke(agent):
            self.host.configure(agent={**FAST, "rotate_after": "1s"}, **self.by_access_token())
            agent.send(signal.SIGHUP)
            self.gitlab.wait_requests(operation="reset", arrived=1)
            self.host.configure(agent=FAST, **self.by_access_token())
        self.each(check, provoke, operations=("reset",), **self.by_access_token())

    def test_while_withdrawing(self):
        def check(agent):
            agent.wait_status(lambda r: not r["debts"])
            self.assert_enrolled_once()
        self.each(check, lambda agent: agent.send(signal.SIGTERM), operations=("delete",), **self.by_access_token())


if __name__ == "__main__":
    main("files/")
