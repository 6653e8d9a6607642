#!/usr/bin/python3
"""No token stays in an agent's memory once its runner is withdrawn, in none of the copies that libraries make."""

import os
import re
import shutil
import subprocess
import time

from case import FAST, REFUSED, Case

from report import main

# free() writes over the first bytes of what it gets: a copy is looked for by its end, which is random in every token.
TAIL = 12

PATIENCE = 10.0


def memory_of(pid):
    """Every readable mapping of a process: (its line, its bytes)."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            start, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            # A sanitizer's shadow is terabytes of nothing; the rest of a library's mappings is its file.
            if "r" not in mode or "w" not in mode or int(end, 16) - int(start, 16) > 1 << 30:
                continue
            memory.seek(int(start, 16))
            try:
                yield line.strip(), memory.read(int(end, 16) - int(start, 16))
            except OSError:
                continue


class Memory(Case):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("needs root")
        with open(os.environ["RUNNER_REGISTRAR"], "rb") as program:
            if b"__asan_init" in program.read():
                self.skipTest("a sanitizer keeps what was freed")
        self.tokens = {}

    def note(self, name, token):
        self.tokens[name] = token

    def found(self, agent):
        """Where which token is, with what stands around it, for those who look for its origin."""
        places = []
        wanted = {name: token[-TAIL:].encode() for name, token in self.tokens.items()}
        for line, data in memory_of(agent.process.pid):
            for name, tail in wanted.items():
                for match in re.finditer(re.escape(tail), data):
                    around = data[max(match.start() - 100, 0):match.end() + 40]
                    places.append(f"the {name} token at {match.start():#x} of {line}: {around}")
        return places

    def assert_forgotten(self, agent):
        # Connections remember what went over them: they are closed after some idle seconds, and nobody tells when.
        until, places = time.monotonic() + PATIENCE, self.found(agent)
        while places and time.monotonic() < until:
            time.sleep(0.5)
            places = self.found(agent)
        self.assertEqual(places, [], "\n".join(places))

    def live(self, agent, rotations=2):
        """What happens to an enrolled runner: rotations, questions, answers that are wrong."""
        self.note("first authentication", self.host.entry()["token"])
        for i in range(rotations):
            self.run_command("rotate")
            self.note(f"rotated {i}", self.host.entry()["token"])
        for rule in ({"kind": "html", "status": 502}, {"kind": "garble"},
                     {"kind": "status", "status": 400, "body": {"error": "no " + self.host.entry()["token"]}}):
            self.gitlab.fault(operation="verify", **rule)
            self.host.command("verify")
        self.run_command("verify")
        self.run_command("status", "--json")
        self.assertIsNone(agent.process.poll())

    def withdraw(self, agent):
        self.run_command("deregister")
        agent.wait_state("withdrawn")

    def test_the_search_finds_a_token_that_is_there(self):
        agent = self.enrolled_agent()
        self.note("authentication", self.host.entry()["token"])
        self.assertNotEqual(self.found(agent), [])

    def test_after_withdrawal_by_registration_token(self):
        agent = self.enrolled_agent()
        self.note("registration", self.gitlab.registration_tokens["instance"])
        self.live(agent)
        self.withdraw(agent)
        self.assert_forgotten(agent)

    def test_after_withdrawal_by_access_token(self):
        agent = self.enrolled_agent(**self.by_access_token())
        self.note("access", self.gitlab.tokens["owner"])
        self.live(agent)
        self.withdraw(agent)
        self.assert_forgotten(agent)

    def test_after_withdrawal_by_authentication_token(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        self.note("configured", runner["token"])
        agent = self.enrolled_agent(authentication_token=runner["token"], rotation="always")
        self.live(agent)
        self.withdraw(agent)
        self.assert_forgotten(agent)

    def test_of_two_runners_only_the_one_that_is_left_has_a_token(self):
        self.host.configure(agent={**FAST, "verify_interval": "1h"}, registration_token="instance")
        self.host.configure(name="build-2", append=True, registration_token="instance")
        agent = self.start_agent()
        agent.wait_quiet()
        agent.wait_quiet("build-2")
        self.note("authentication", self.host.entry()["token"])
        self.note("registration", self.gitlab.registration_tokens["instance"])
        self.run_command("deregister", "build-1")
        agent.wait_state("withdrawn")
        self.assert_forgotten(agent)

    def test_a_refused_token_is_not_kept(self):
        self.note("refused", "GR1348941canaryCanaryCanary")
        self.host.configure(agent={**FAST, "refused_retry": "1h"}, registration_token=self.tokens["refused"])
        agent = self.start_agent()
        agent.wait_state("refused")
        self.run_command("wait", code=REFUSED)
        self.assert_forgotten(agent)

    def test_a_token_that_ran_out_is_not_kept(self):
        self.note("registration", self.gitlab.registration_tokens["instance"])
        agent = self.enrolled_agent(agent=FAST)
        self.note("dead", self.host.entry()["token"])
        runner = self.gitlab.runners()[0]
        self.gitlab.delete_runner(runner["id"])
        agent.wait_status(lambda status: status["state"] == "registered" and status["runner_id"] != runner["id"])
        agent.wait_quiet()
        self.note("new", self.host.entry()["token"])
        self.withdraw(agent)
        self.assert_forgotten(agent)

    def test_core_file(self):
        if not shutil.which("gcore"):
            self.skipTest("there is no gcore here")
        agent = self.enrolled_agent()
        self.note("registration", self.gitlab.registration_tokens["instance"])
        self.live(agent)
        self.withdraw(agent)
        self.assert_forgotten(agent)
        core = os.path.join(self.host.path, "core")
        done = subprocess.run(["gcore", "-o", core, str(agent.process.pid)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        path = f"{core}.{agent.process.pid}"
        if not os.path.exists(path):
            self.skipTest("gcore made no core file: " + done.stderr.strip().splitlines()[-1])
        with open(path, "rb") as f:
            data = f.read()
        self.assertEqual([name for name, token in self.tokens.items() if token[-TAIL:].encode() in data], [])


class MemoryWithTLS(Memory):
    options = {"tls": True}


if __name__ == "__main__":
    main("memory/")
