#!/usr/bin/python3
"""No token in argv, in a child's environment, in logs, core files, metrics, status or error messages."""

import os
import resource
import signal
import subprocess

from case import FAST, Case
from host import PROGRAM, Host

from report import main


class Secrets(Case):
    def setUp(self):
        super().setUp()
        self.said = []
        self.metrics = os.path.join(self.host.path, "metrics.prom")

    def tell(self, *words):
        """Runs a command at the most talkative level, however it ends."""
        done = self.host.command("--log-level", "debug", *words)
        self.said.append(done.stdout + done.stderr)

    def program(self, name, text):
        path = os.path.join(self.host.path, name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o700), "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def process_words(self, agent):
        words = b""
        # What is no core file's is no other user's either: the environment shows itself to root only.
        for name in ("cmdline", "environ") if os.geteuid() == 0 else ("cmdline",):
            with open(f"/proc/{agent.process.pid}/{name}", "rb") as f:
                words += f.read()
        return words.decode(errors="replace")

    def assert_unsaid(self, *tokens):
        text = "\n".join(self.said)
        for token in tokens:
            self.assertNotIn(token, text)
        return text

    def live(self, **runner):
        """A whole life, with every fault that might make somebody talkative; gives all tokens that were in play."""
        self.host.configure(agent={**FAST, "metrics_file": self.metrics}, **runner)
        tokens = {value for key, value in self.gitlab.registration_tokens.items()} | set(self.gitlab.tokens.values())
        self.tell("check")
        self.tell("check", "--online")
        agent = self.start_agent("--log-level", "debug")
        agent.wait_quiet()
        tokens.add(self.host.entry()["token"])
        self.said.append(self.process_words(agent))
        for rule in ({"kind": "garble"}, {"kind": "html", "status": 502}, {"kind": "redirect", "location": self.gitlab.api + "/runners"},
                     # A server, or what stands before it, that sends back what it got.
                     {"kind": "status", "status": 400, "body": {"error": "bad token " + self.host.entry()["token"]}},
                     {"kind": "status", "status": 500, "body": self.host.entry()["token"], "headers": {"Content-Type": "text/plain"}}):
            self.gitlab.fault(operation="verify", **rule)
            self.tell("verify")
        self.tell("rotate")
        tokens.add(self.host.entry()["token"])
        self.tell("status")
        self.tell("status", "--json")
        for path in (os.path.join(self.host.runtime_dir, "status.json"), self.metrics):
            with open(path, encoding="utf-8") as f:
                self.said.append(f.read())
        self.gitlab.fault(operation="delete", kind="html", status=502)
        self.tell("deregister")
        agent.stop()
        self.said.append(agent.output())
        return tokens

    def test_by_registration_token(self):
        self.assert_unsaid(*self.live(registration_token="instance"))

    def test_by_access_token(self):
        self.assert_unsaid(*self.live(**self.by_access_token()))

    def test_by_authentication_token(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        self.assert_unsaid(*self.live(authentication_token=runner["token"], rotation="always"), runner["token"])

    def test_children_do_not_get_what_is_not_theirs(self):
        """A secret's program, and the hook, see neither our environment's secrets nor a token."""
        seen = os.path.join(self.host.path, "seen")
        source = self.program("source", f"#!/bin/sh\ncat /proc/$$/cmdline /proc/$$/environ >>{seen}\n"
                                        f"echo {self.gitlab.registration_tokens['instance']}\n")
        hook = self.program("hook", f"#!/bin/sh\ncat /proc/$$/cmdline /proc/$$/environ >>{seen}\ncat >>{seen}\n")
        self.host.environment["GITLAB_SECRET"] = "canary-of-the-environment"
        self.host.configure(agent={**FAST, "hook": hook}, registration_token="exec:" + source)
        self.host.secret("other", "GR1348941canary")
        self.host.configure(name="build-2", append=True, registration_token="env:GITLAB_SECRET")
        agent = self.start_agent("--log-level", "debug")
        agent.wait_quiet()
        agent.wait_state("refused", "build-2")
        token = self.host.entry()["token"]
        agent.stop()
        with open(seen, encoding="utf-8", errors="replace") as f:
            self.said.append(f.read())
        self.said.append(agent.output())
        text = self.assert_unsaid(token, self.gitlab.registration_tokens["instance"], "canary-of-the-environment")
        self.assertIn("source", text)
        self.assertIn(hook, text)

    def test_program_that_fails_tells_no_secret(self):
        source = self.program("source", "#!/bin/sh\necho GR1348941canary\necho GR1348941canary >&2\nexit 3\n")
        self.host.configure(registration_token="exec:" + source)
        self.tell("register")
        self.assertIn("3", self.assert_unsaid("GR1348941canary"))

    def test_state_and_config_toml_are_for_us_alone(self):
        self.host.configure(registration_token="instance")
        self.run_command("register")
        token = self.host.entry()["token"]
        for folder, _, names in os.walk(self.host.path):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and os.stat(path).st_mode & 0o077 and not os.path.islink(path):
                    with open(path, "rb") as f:
                        self.assertNotIn(token.encode(), f.read(), path)

    def test_no_core_file(self):
        def ends_with_core(command, ready=None):
            process = subprocess.Popen(command, env=self.host.environment, cwd=self.host.path, stderr=subprocess.DEVNULL,
                                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)))
            if ready:
                ready()
            process.send_signal(signal.SIGSEGV)
            return os.WCOREDUMP(os.waitpid(process.pid, 0)[1])

        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        if not ends_with_core(["sleep", "600"]):
            self.skipTest("this machine keeps no core files")
        self.gitlab.fault(operation="register", kind="hang")
        self.host.configure(registration_token="instance")
        self.assertFalse(ends_with_core([PROGRAM, "-c", self.host.config, "run"],
                                        lambda: self.gitlab.wait_requests(operation="register", arrived=1)))

    def test_memory_is_not_for_others(self):
        if os.geteuid() != 0 or subprocess.run(["setpriv", "--reuid=65534", "true"], check=False).returncode != 0:
            self.skipTest("needs root")
        # CI jobs may run as the agent's own user.
        with Host(self.gitlab) as self.host:
            agent_path = self.host.path
            os.chmod(agent_path, 0o755)
            self.host.configure(agent=FAST, registration_token="instance")
            for folder, _, names in os.walk(agent_path):
                os.chown(folder, 65534, 65534)
                for name in names:
                    os.chown(os.path.join(folder, name), 65534, 65534)
            self.host.wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            os.makedirs(self.host.runtime_dir, exist_ok=True)
            os.chown(self.host.runtime_dir, 65534, 65534)
            with self.host.agent() as agent:
                agent.wait_quiet()
                done = subprocess.run([*self.host.wrapper, "cat", f"/proc/{agent.process.pid}/environ"], capture_output=True,
                                      check=False)
                self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    main("secrets/")
