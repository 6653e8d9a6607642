#!/usr/bin/python3
"""The walk of packaging/demo, once the agent is built: each step says what it does, does it, and shows what came of it.

    demo.py PROGRAM [--keep]

Every step waits for an event (a request that arrived, a command that ended), so it takes as long as it must and no longer.
"""

import difflib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "gitlab"))
sys.dont_write_bytecode = True
from client import GitLab  # noqa: E402  (it lies beside the stand-in)

CONFIG_TOML = """\
# This host's runners. Ask the platform team before you change anything.
concurrent = 4
check_interval = 0

[session_server]
  session_timeout = 1800

[[runners]]
  name = "legacy"                    # by hand, until the old GitLab is gone
  url = "https://old.example.com/"
  token = "0123456789abcdef0123"
  executor = "shell"
"""

CONFIG = """\
[agent]
config_toml = {folder}/gitlab-runner/config.toml
state_dir = {folder}/state
runtime_dir = {folder}/run
# Minutes and hours on a real host; here nobody wants to wait.
verify_interval = 2s
removed_after = 3s
retry_min = 1s
# No gitlab-runner of this machine is to be told.
reload_unit = runner-registrar-demo.service

[runner build-1]
url = {url}
tls_ca_file = {ca_file}
access_token = file:{folder}/access-token
runner_type = group_type
group_id = {group}
description = demo runner on %H
tag_list = linux, demo
executor = shell
"""


class DemoError(Exception):
    """Something did not go as it should: the demonstration ends, and shows the agent's log."""


def shorten(text):
    """Tokens as people may see them: enough to tell one from another."""
    text = re.sub(r"\b(gl(?:rt|pat)-(?:t\d_)?[\w-]{4})[\w.-]+", r"\1…", text)
    return re.sub(r'(token = "(?!gl)\w{4})\w+', r"\1…", text)


def say(text=""):
    print(text, flush=True)


def block(text, prefix="    "):
    for line in shorten(text).rstrip("\n").split("\n"):
        say((prefix + line).rstrip())


def make_folder():
    # As root the agent refuses folders that others can write to, /tmp among them: CI jobs could own what is inside.
    return tempfile.mkdtemp(prefix="runner-registrar-demo-", dir="/run" if os.geteuid() == 0 else None)


class Demo:
    def __init__(self, program, keep):
        self.program = program
        self.keep = keep
        self.folder = make_folder()
        self.config = self.path("config.ini")
        self.toml = self.path("gitlab-runner/config.toml")
        self.gitlab = GitLab(tls=self.path("tls"))
        self.agent = None
        self.shown = 0
        self.begin = time.monotonic()
        if keep:
            # It is to outlive us, and the terminal's Ctrl-C that may come later.
            self.gitlab.words = ["setsid"] + [word for word in self.gitlab.words if word != "--until-eof"]

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(os.open(self.path(name), os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as f:
            f.write(text)

    def read_toml(self):
        with open(self.toml, encoding="utf-8") as f:
            return f.read()

    def step(self, text):
        say()
        say("[%4.1f s] %s" % (time.monotonic() - self.begin, text))

    def show_log(self):
        """What the agent said since the last time."""
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            f.seek(self.shown)
            text = f.read()
            self.shown = f.tell()
        if text:
            block(text, "    agent: ")

    def command(self, *arguments, expect=0):
        words = [self.program, "-c", self.config, *arguments]
        say("    $ runner-registrar %s" % " ".join(arguments))
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60, check=False)
        self.show_log()
        if done.stdout.strip():
            block(done.stdout)
        if done.returncode != expect:
            raise DemoError("'%s' ended with %d instead of %d" % (arguments[0], done.returncode, expect))

    def status(self):
        done = subprocess.run([self.program, "-c", self.config, "status", "--json"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, timeout=60, check=True)
        return json.loads(done.stdout)["runners"][0]

    def show_gitlab(self):
        runners = self.gitlab.runners()
        if not runners:
            say("    GitLab knows: no runner at all")
        for runner in runners:
            block("GitLab knows: runner %d, '%s', tags %s, token %s, managers %s" % (
                runner["id"], runner["description"], ",".join(runner["tag_list"]), runner["token"],
                ", ".join(m["system_id"] for m in runner["managers"]) or "none"))
        return runners

    def show_change(self, before):
        after = self.read_toml()
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "config.toml", "config.toml", "before",
                                     "after", n=1, lineterm="")
        block("\n".join(lines) or "config.toml did not change")
        return after

    def verdict(self, token):
        return self.gitlab.request("POST", "/runners/verify", {"token": token}).status

    # The steps

    def start_gitlab(self):
        self.gitlab.start()
        self.step("A GitLab stands in at %s (version %s, TLS by a CA of its own)"
                  % (self.gitlab.url, self.gitlab.info["version"]))
        os.mkdir(self.path("gitlab-runner"), 0o700)
        self.write("gitlab-runner/config.toml", CONFIG_TOML)
        self.write("access-token", self.gitlab.tokens["create"])
        self.write("config.ini", CONFIG.format(folder=self.folder, url=self.gitlab.url, ca_file=self.gitlab.ca_file,
                                               group=self.gitlab.ids["group"]))
        self.write("log", "")
        say("  The host's configuration, %s:" % self.config)
        with open(self.config, encoding="utf-8") as f:
            block(f.read())
        say("  gitlab-runner's config.toml as somebody left it:")
        block(CONFIG_TOML)
        self.command("check", "--online")
        self.show_gitlab()

    def enrol(self):
        self.step("Enrol: the agent starts, creates its runner and writes the token down")
        before = self.read_toml()
        with open(self.path("log"), "a", encoding="utf-8") as log:
            self.agent = subprocess.Popen([self.program, "-c", self.config, "run"], stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log, start_new_session=True)
        self.command("wait", "--timeout", "20s")
        self.show_gitlab()
        self.show_change(before)

    def verify(self):
        self.step("Verify: is the token still good?")
        self.command("verify")
        self.command("status")

    def outage(self):
        self.step("A bad moment: a proxy answers 502 in GitLab's place, with a page for people")
        fault = self.gitlab.fault(path=".*", kind="html", status=502, count=None)
        self.command("verify", expect=75)
        self.gitlab.clear_faults()
        say("  Nothing is concluded from that: nothing created, nothing deleted (rule %d is lifted again)." % fault)
        self.command("verify")

    def remove(self):
        runner = self.gitlab.runners()[0]
        self.step("Removed: somebody deletes runner %d in the browser" % runner["id"])
        before, mark = self.read_toml(), self.gitlab.mark()
        self.gitlab.delete_runner(runner["id"])
        self.show_gitlab()
        self.gitlab.wait_requests(operation="verify", status=403, since=mark, count=1, timeout=20)
        say("  GitLab answers 403 to the token; once is no proof. The agent asks again, over removed_after ...")
        self.command("status")
        created = self.gitlab.wait_requests(operation="create", since=mark, count=1, timeout=30)[0]
        self.command("wait", "--timeout", "20s")
        proofs = [entry for entry in self.gitlab.log(since=mark, operation="verify")
                  if entry["status"] == 403 and entry["index"] < created["index"]]
        say("  %d times 403, then a new runner:" % len(proofs))
        self.show_gitlab()
        self.show_change(before)

    def rotate(self):
        old = self.gitlab.runners()[0]["token"]
        self.step("Rotate: a new token for the same runner, before the old one gets old")
        before = self.read_toml()
        self.command("rotate")
        new = self.gitlab.runners()[0]["token"]
        self.show_change(before)
        answers = self.verdict(old), self.verdict(new)
        block("GitLab answers %d to %s, and %d to %s" % (answers[0], old, answers[1], new))
        if answers != (403, 200):
            raise DemoError("the old token should be dead and the new one alive")

    def stop(self):
        self.step("Stop: the host goes, and takes its runner with it")
        say("  First the entry goes. The runner is deleted once gitlab-runner can't poll with the token any more, because a")
        say("  poll after the deletion would be a stranger's: at once where it can be told, else after its next poll.")
        before = self.read_toml()
        self.agent.send_signal(signal.SIGTERM)
        code = self.agent.wait(timeout=60)
        self.show_log()
        if code != 0:
            raise DemoError("the agent ended with %d" % code)
        self.show_change(before)
        if self.read_toml() != CONFIG_TOML:
            raise DemoError("config.toml is not what it was")
        say("  config.toml is what it was before, byte for byte.")
        self.step("And GitLab?")
        if self.show_gitlab():
            raise DemoError("GitLab still knows a runner")

    def leave_running(self):
        self.step("Both stay up")
        say("""
  The agent is process {agent}, the stand-in GitLab is process {gitlab}. Try:

    {program} -c {config} status
    tail -f {folder}/log
    curl -s {control}/state?brief=1               # what GitLab has
    curl -s -X DELETE {control}/runners           # somebody deletes every runner
    curl -s {control}/listen -d '{{"open": false}}'     # GitLab is down; "true" brings it back

  The rest of what the stand-in can do is in tests/gitlab/README.md. To end both and clean up:

    kill {agent}; tail --pid={agent} -f /dev/null; kill {gitlab}; rm -r {folder}
""".format(agent=self.agent.pid, gitlab=self.gitlab.info["pid"], program=self.program, config=self.config,
           folder=self.folder, control=self.gitlab.info["control"]))

    def run(self):
        self.start_gitlab()
        self.enrol()
        self.verify()
        self.outage()
        self.remove()
        self.rotate()
        if self.keep:
            self.leave_running()
            return
        self.stop()
        say()
        say("That was its life, in %.1f s." % (time.monotonic() - self.begin))

    def end(self):
        if self.agent and self.agent.poll() is None:
            self.agent.send_signal(signal.SIGTERM)
            try:
                self.agent.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.agent.kill()
                self.agent.wait()
        if self.gitlab.process:
            if self.keep:
                self.gitlab.process.terminate()
            self.gitlab.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    program, keep = os.path.abspath(sys.argv[1]), "--keep" in sys.argv[2:]
    # Debian's users share a group with themselves only, yet the agent can't know: nothing for the group.
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    demo = Demo(program, keep)
    done = False
    try:
        demo.run()
        done = True
    except (DemoError, AssertionError, subprocess.SubprocessError, OSError) as error:
        say()
        say("demo: this did not go as it should: %s" % error)
        demo.show_log()
    except KeyboardInterrupt:
        say("demo: interrupted, cleaning up")
    finally:
        if not (done and keep):
            demo.end()
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
