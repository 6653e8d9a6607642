#!/usr/bin/python3
"""Configurations that are wrong: every mistake at once, where it stands and what was expected; exit 78; nobody is called."""

import os
import signal
import subprocess

from case import CONFIG, DONE, FAST, USAGE, Case
from host import PROGRAM

from report import main


class Check(Case):
    def write(self, text, name="config.ini", mode=0o600):
        path = os.path.join(self.host.path, name)
        data = text.encode() if isinstance(text, str) else text
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as f:
            f.write(data)
        os.chmod(path, mode)
        self.host.config = path
        return path

    def runner(self, url=None, token=None, more="", agent=""):
        token = token or self.host.secret("token", "GR1348941abc")
        return (f"[agent]\nconfig_toml = {self.host.config_toml}\nstate_dir = {self.host.state_dir}\n"
                f"runtime_dir = {self.host.runtime_dir}\n{agent}\n[runner build-1]\nurl = {url or self.gitlab.url}\n"
                f"registration_token = {token}\nexecutor = shell\n{more}\n")

    def assert_mistakes(self, *words, commands=("check", "register", "run")):
        """Said by `check` to stdout; every other command refuses as well; nothing is sent."""
        for command in commands:
            done = self.host.command(command)
            self.assertEqual(done.returncode, CONFIG, f"{command}: {done.stdout}{done.stderr}")
            said = done.stdout if command == "check" else done.stderr
            self.assertTrue(said.strip())
            for word in words:
                self.assertIn(word, said, command)
        self.assertEqual(self.gitlab.log(), [])
        self.assertFalse(os.path.exists(self.host.state_dir))

    def test_valid(self):
        self.write(self.runner())
        self.assertIn("valid", self.run_command("check"))

    def test_every_mistake_at_once(self):
        self.write("[agent]\nverify_intervall = 15min\nremoved_after = soon\n\n[runner build 1]\nurl = gitlab.example.com\n"
                   "[runner b]\nurl = https://x.example.com\ntag_lists = a\nexecutor = shel\n")
        path = self.host.config
        self.assert_mistakes(f"{path}:2: ", "verify_interval", f"{path}:3: ", "removed_after",
                             f"{path}:5: ", f"{path}:9: ", "tag_list", f"{path}:10: ")

    def test_missing(self):
        self.host.config = os.path.join(self.host.path, "nothing.ini")
        self.assert_mistakes("nothing.ini")

    def test_empty(self):
        self.write("")
        self.assert_mistakes()

    def test_binary(self):
        self.write(b"\x7fELF\x00\x01\x02" + bytes(range(256)))
        self.assert_mistakes("config.ini")

    def test_huge(self):
        self.write("# " + "x" * 1000 + "\n")
        with open(self.host.config, "ab") as f:
            f.truncate(1 << 32)
        self.assert_mistakes("config.ini")

    def test_a_folder(self):
        self.host.config = os.path.join(self.host.path, "folder.ini")
        os.mkdir(self.host.config)
        self.assert_mistakes("folder.ini")

    def test_cyclic_symlink(self):
        self.host.config = os.path.join(self.host.path, "config.ini")
        os.symlink("config.ini", self.host.config)
        self.assert_mistakes("config.ini")

    def test_cyclic_alias_in_yaml(self):
        self.write("runners: &a\n  - *a\n", "config.yaml")
        self.assert_mistakes("config.yaml")
        self.write("a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
                   "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nrunners: [*c, *c, *c, *c, *c, *c, *c, *c, *c]\n", "config.yaml")
        self.assert_mistakes("config.yaml")

    def test_unreadable(self):
        if os.geteuid() != 0 or subprocess.run(["setpriv", "--reuid=65534", "true"], check=False).returncode != 0:
            self.skipTest("needs root")
        self.write(self.runner())
        os.chmod(self.host.path, 0o755)
        self.host.wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = self.host.command("check")
        self.assertEqual(done.returncode, CONFIG)
        self.assertIn("config.ini", done.stdout)

    def test_that_others_can_write(self):
        self.write(self.runner(), mode=0o666)
        self.assert_mistakes("config.ini")

    def test_secret_that_others_can_read(self):
        self.write(self.runner())
        os.chmod(os.path.join(self.host.secrets, "token"), 0o644)
        self.assertIn("token", self.run_command("check", code=CONFIG))
        self.assertEqual(self.gitlab.log(), [])

    def test_token_in_a_file_that_others_can_read(self):
        self.write(self.runner(token="GR1348941verysecret"), mode=0o644)
        said = self.run_command("check", code=CONFIG)
        self.assertIn("registration_token", said)
        self.assertNotIn("verysecret", said)

    def test_urls(self):
        for url, word in (("gitlab.example.com", "url"), ("https://user:hunter2@gitlab.example.com", "url"),
                          ("https://gitlab.example.com/?a=b", "url"), ("ftp://gitlab.example.com", "url"),
                          ("http://gitlab.example.com", "allow_http"), ("https://", "url"), ("https://gitlab.example.com:0x1", "url")):
            with self.subTest(url=url):
                self.write(self.runner(url=url))
                said = self.run_command("check", code=CONFIG)
                self.assertIn(word, said)
                self.assertNotIn("hunter2", said)

    def test_urls_that_are_fine(self):
        for url in ("https://gitlab.example.com/", "https://gitlab.example.com/gitlab", "https://gitlab.example.com/ci",
                    "https://[::1]:8443/x"):
            with self.subTest(url=url):
                self.write(self.runner(url=url))
                self.run_command("check")

    def test_url_with_ci_reaches_the_api(self):
        self.write(self.runner(url=self.gitlab.url + "/ci/",
                               token=self.host.secret("token", self.gitlab.registration_tokens["instance"])))
        self.run_command("register")
        self.assertEqual(self.gitlab.log()[0]["path"], "/api/v4/runners")

    def test_tokens(self):
        good = "glrt-" + "x" * 295
        for value, fine in (("one\ntwo", False), ("with blanks", False), ("", False), ("a\tb", False), ("a\0b", False),
                            (good, True), ("  " + good + "  \n", True)):
            with self.subTest(value=value[:12]):
                self.write(self.runner(token=self.host.secret("token", value)))
                said = self.run_command("check", code=DONE if fine else CONFIG)
                if not fine:
                    self.assertIn("registration_token", said)
                    self.assertNotIn("two", said)

    def test_source_that_can_not_be_read(self):
        for source in ("file:/nonexistent/token", "env:NOT_SET_HERE", "exec:/nonexistent/program"):
            with self.subTest(source=source):
                self.write(self.runner(token=source))
                self.run_command("register", code=CONFIG)
        self.assertEqual(self.gitlab.log(), [])

    def test_two_runners_with_one_name(self):
        self.write(self.runner() + f"[runner build-1]\nurl = {self.gitlab.url}\nregistration_token = env:X\nexecutor = shell\n")
        self.assert_mistakes("build-1")

    def test_attributes_that_the_server_owns(self):
        self.write(self.runner(more="").replace("registration_token", "authentication_token") + "tag_list = a\npaused = true\n")
        self.assert_mistakes("tag_list", "paused")

    def test_unknown_command_and_options(self):
        self.write(self.runner())
        self.assertIn("deregistr", self.run_command("deregistr", code=USAGE))
        self.run_command("register", "--token=x", code=USAGE)
        self.run_command(code=USAGE)

    def test_help_and_version_need_no_configuration(self):
        self.host.config = "/nonexistent"
        for words in (["--help"], ["--version"], ["run", "--help"], ["check", "--help"], ["register", "--help"],
                      ["verify", "--help"], ["rotate", "--help"], ["deregister", "--help"], ["wait", "--help"], ["status", "--help"],
                      ["seal", "--help"]):
            with self.subTest(words=words):
                self.assertTrue(self.run_command(*words))

    def test_output_that_can_not_be_written(self):
        self.write(self.runner())
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([PROGRAM, "-c", self.host.config, "check"], stdout=full,
                                  stderr=subprocess.PIPE, env=self.host.environment, check=False)
        self.assertNotEqual(done.returncode, DONE)


class Reload(Case):
    def test_mistakes_keep_the_old_one(self):
        agent = self.enrolled_agent()
        with open(self.host.config, encoding="utf-8") as f:
            good = f.read()
        for bad in (good.replace("executor = shell", "executor = shel"), "", "\x00\x01"):
            with open(self.host.config, "w", encoding="utf-8") as f:
                f.write(bad)
            before = agent.output().count("keeping the old")
            agent.send(signal.SIGHUP)
            agent.wait_said_again("keeping the old", before)
        self.assertIn("executor", agent.output())
        self.assert_enrolled_once()
        with open(self.host.config, "w", encoding="utf-8") as f:
            f.write(good)
        mark = self.gitlab.mark()
        agent.send(signal.SIGHUP)
        agent.wait_said("read again")
        self.run_command("verify")
        self.assertEqual(set(self.gitlab.operations(mark)), {"verify"})
        self.assert_enrolled_once()

    def test_new_settings_count_at_once(self):
        agent = self.enrolled_agent()
        self.host.configure(agent=FAST, registration_token="instance")
        mark = self.gitlab.mark()
        agent.send(signal.SIGHUP)
        agent.wait_said("read again")
        self.run_command("verify")
        self.gitlab.wait_requests(operation="verify", since=mark, count=3)

    def test_refused_token_is_read_again(self):
        self.host.configure(agent={"refused_retry": "1h"}, registration_token="GR1348941nonsense")
        agent = self.start_agent()
        agent.wait_state("refused")
        self.host.secret("build-1-registration_token", self.gitlab.registration_tokens["instance"])
        agent.send(signal.SIGHUP)
        agent.wait_quiet()
        self.assert_enrolled_once()


if __name__ == "__main__":
    main("config/")
