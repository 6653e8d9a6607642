#!/usr/bin/python3
"""Talking to the agent: the control socket, status, wait, signals, and what systemd hears."""
# tests: valgrind

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
from datetime import datetime, timedelta

from case import AGAIN, DONE, FAILED, FAST, REFUSED, USAGE, Case
from host import PATIENCE, PROGRAM

from report import main

# Design §5: the fields and what they may hold.
FIELDS = {
    "name": str, "url": str, "runner_id": (int, type(None)), "system_id": (str, type(None)), "state": str, "flow": str,
    "registered_at": (str, type(None)), "token_obtained_at": (str, type(None)), "token_expires_at": (str, type(None)),
    "last_verified_at": (str, type(None)), "last_verdict": (str, type(None)), "next_action": (str, type(None)),
    "next_action_at": (str, type(None)), "reason": (str, type(None)), "attempt": int, "debts": list,
}
DEBT_FIELDS = {"kind": str, "runner_id": (int, type(None)), "system_id": (str, type(None)), "since": str, "reason": (str, type(None))}
STATES = {"unregistered", "registering", "registered", "rotating", "doubtful", "recovering", "refused", "withdrawing", "withdrawn"}
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


class Status(Case):
    def check(self, status, pid):
        self.assertEqual(set(status), {"version", "pid", "runners"})
        self.assertEqual(status["pid"], pid)
        self.assertIn(status["version"], self.run_command("--version"))
        for runner in status["runners"]:
            self.assertEqual(list(runner), list(FIELDS))
            for key, kind in FIELDS.items():
                self.assertIsInstance(runner[key], kind, key)
                if key.endswith("_at") and runner[key]:
                    self.assertRegex(runner[key], TIME)
            self.assertIn(runner["state"], STATES)
            for debt in runner["debts"]:
                self.assertEqual(set(debt), set(DEBT_FIELDS))
                for key, kind in DEBT_FIELDS.items():
                    self.assertIsInstance(debt[key], kind, key)

    def test_of_the_agent(self):
        self.gitlab.settings(runner_token_expiration_interval=86400)
        agent = self.enrolled_agent()
        said = self.run_command("status", "--json")
        self.check(json.loads(said), agent.process.pid)
        runner = json.loads(said)["runners"][0]
        self.assertEqual((runner["state"], runner["flow"], runner["runner_id"]), ("registered", "registration_token", 1))
        self.assertTrue(runner["token_expires_at"] and runner["next_action"] and runner["next_action_at"])

    def test_file_says_the_same_to_everyone(self):
        agent = self.enrolled_agent()
        path = os.path.join(self.host.runtime_dir, "status.json")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o644)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.check(json.loads(text), agent.process.pid)
        asked, written = json.loads(self.run_command("status", "--json")), json.loads(text)
        # What is due by one clock is said by another, each time it is asked.
        times = [datetime.fromisoformat(said["runners"][0].pop("next_action_at")) for said in (asked, written)]
        self.assertLess(abs(times[0] - times[1]), timedelta(seconds=1))
        self.assertEqual(written, asked)
        self.assertNotIn(self.host.entry()["token"], text)

    def test_without_an_agent(self):
        self.host.configure(registration_token="instance")
        self.check(json.loads(self.run_command("status", "--json")), None)
        self.run_command("register")
        self.gitlab.down()
        self.run_command("deregister", code=AGAIN)
        status = json.loads(self.run_command("status", "--json"))
        self.check(status, None)
        self.assertEqual(len(status["runners"][0]["debts"]), 1)
        self.assertIn("build-1", self.run_command("status"))

    def test_in_every_state(self):
        self.host.configure(agent=FAST, registration_token="GR1348941nonsense")
        self.host.configure(name="build-2", append=True, registration_token="group")
        agent = self.start_agent()
        agent.wait_state("refused")
        agent.wait_quiet("build-2")
        self.check(json.loads(self.run_command("status", "--json")), agent.process.pid)
        table = self.run_command("status")
        self.assertIn("refused", table)
        self.assertIn("403 Forbidden", table)


class Socket(Case):
    def connect(self):
        client = self.enterContext(socket.socket(socket.AF_UNIX))
        client.settimeout(20)
        client.connect(os.path.join(self.host.runtime_dir, "control"))
        return client

    def ask(self, line):
        client = self.connect()
        client.sendall(line)
        data = b""
        while not data.endswith(b"\n"):
            part = client.recv(65536)
            if not part:
                break
            data += part
        return json.loads(data) if data else None

    def test_is_for_us_alone(self):
        self.enrolled_agent()
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.host.runtime_dir, "control")).st_mode), 0o600)

    def test_every_command_through_it(self):
        agent = self.enrolled_agent()
        token = self.host.entry()["token"]
        self.run_command("register")
        self.run_command("verify")
        self.run_command("rotate")
        self.assertNotEqual(self.host.entry()["token"], token)
        self.run_command("wait", "--timeout", "5s")
        self.run_command("deregister")
        self.assert_nothing_left()
        self.assertIsNone(agent.process.poll())

    def test_names(self):
        self.host.configure(agent=FAST, registration_token="instance")
        self.host.configure(name="build-2", append=True, registration_token="group")
        agent = self.start_agent()
        agent.wait_quiet()
        agent.wait_quiet("build-2")
        self.run_command("deregister", "build-2")
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["build-1"])
        self.run_command("verify", "build-9", code=USAGE)
        self.run_command("verify", "build-1")

    def test_a_name_that_is_none_is_not_all_names(self):
        self.enrolled_agent()
        for name in (b"\xff", b"b\xfcild-1", b"", b"../build-1", b"build-1\n"):
            with self.subTest(name=name):
                self.run_command("deregister", os.fsdecode(name), code=USAGE)
        self.assert_enrolled_once()

    def test_worst_code_of_several(self):
        self.host.configure(agent=FAST, registration_token="instance")
        self.host.configure(name="build-2", append=True, registration_token="GR1348941nonsense")
        self.run_command("register", code=REFUSED)
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["build-1"])
        agent = self.start_agent()
        agent.wait_state("refused", "build-2")
        self.run_command("register", code=REFUSED)

    def test_garbage(self):
        agent = self.enrolled_agent()
        for line in (b"\n", b"{}\n", b"[]\n", b"nonsense\n", b"\x00\xff\xfe\n", b'{"command": 5}\n', b'{"command": "dance"}\n',
                     b'{"command": "verify", "names": "build-1"}\n', b'{"command": "verify", "names": [5]}\n',
                     b'{"command": "verify", "names": ["../x"]}\n', b"[" * 5000 + b"\n"):
            with self.subTest(line=line[:30]):
                self.assertEqual(self.ask(line)["code"], USAGE)
        # Longer than any request: dropped, not kept.
        client = self.connect()
        try:
            client.sendall(b"x" * 200_000)
            self.assertEqual(client.recv(10), b"")
        except OSError:
            pass
        self.run_command("verify")
        self.assertIsNone(agent.process.poll())

    def test_clients_that_hang(self):
        self.enrolled_agent()
        for _ in range(5):
            self.connect()                                    # says nothing
            self.connect().sendall(b'{"command": "sta')       # half a word
            self.connect().sendall(b'{"command": "wait"}\n')  # and does not listen
            self.connect().close()
        client = self.connect()
        client.sendall(b'{"command": "verify"}\n')
        client.close()
        self.run_command("verify")
        self.run_command("status")

    def test_many_clients(self):
        self.enrolled_agent()
        commands = [subprocess.Popen([PROGRAM, "-c", self.host.config, "verify"],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.host.environment)
                    for _ in range(30)]
        self.assertEqual({command.wait(PATIENCE) for command in commands}, {DONE})

    def test_more_clients_than_there_is_room_for(self):
        agent = self.enrolled_agent()
        crowd = []
        with contextlib.suppress(BlockingIOError):
            for _ in range(200):
                crowd.append(self.connect())
        for client in crowd:
            client.close()
        self.run_command("verify")
        self.assertIsNone(agent.process.poll())

    def test_left_by_an_agent_that_was_killed(self):
        agent = self.enrolled_agent()
        agent.kill()
        self.assertTrue(os.path.exists(os.path.join(self.host.runtime_dir, "control")))
        self.run_command("verify")
        self.enrolled_agent()
        self.run_command("verify")
        self.assert_enrolled_once()

    def test_a_strange_answer_is_no_success(self):
        """Another version's, say: what does not tell how it went, did not go well."""
        self.host.configure(agent=FAST, registration_token="instance")
        os.makedirs(self.host.runtime_dir, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.join(self.host.runtime_dir, "control"))
            listener.listen()
            for answer in (b"{}\n", b"[]\n", b'{"code": "0"}\n', b"nonsense\n"):
                with self.subTest(answer=answer):
                    asking = subprocess.Popen([PROGRAM, "-c", self.host.config, "verify"], env=self.host.environment,
                                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                    client = listener.accept()[0]
                    client.recv(1000)
                    client.sendall(answer)
                    client.close()
                    out, err = asking.communicate(timeout=PATIENCE)
                    self.assertEqual((asking.returncode, out), (FAILED, ""))
                    self.assertIn("the agent does not answer", err)


class Wait(Case):
    def start_waiting(self, *words):
        process = subprocess.Popen([PROGRAM, "-c", self.host.config, "wait", *words],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.host.environment)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_until_enrolled(self):
        self.gitlab.settings(read_only=True)
        self.host.configure(agent=FAST, registration_token="instance")
        agent = self.start_agent()
        process = self.start_waiting()
        agent.wait_status(lambda r: r["attempt"] > 0)
        self.assertIsNone(process.poll())
        self.gitlab.settings(read_only=False)
        self.assertEqual(process.wait(20), DONE)
        self.assert_enrolled_once()

    def test_for_an_agent_that_comes_later(self):
        self.host.configure(agent=FAST, registration_token="instance")
        process = self.start_waiting()
        self.run_command("wait", "--timeout", "1s", code=AGAIN)
        self.assertIsNone(process.poll())
        self.assertEqual(self.gitlab.log(), [])
        self.start_agent()
        self.assertEqual(process.wait(20), DONE)

    def test_refused(self):
        self.host.configure(agent={"refused_retry": "1h"}, registration_token="GR1348941nonsense")
        self.start_agent()
        self.run_command("wait", "--timeout", "10s", code=REFUSED)

    def test_time_runs_out(self):
        self.gitlab.down()
        self.host.configure(agent=FAST, registration_token="instance")
        self.start_agent()
        self.run_command("wait", "--timeout", "1s", code=AGAIN)

    def test_names(self):
        self.host.configure(agent={"refused_retry": "1h"}, registration_token="GR1348941nonsense")
        self.host.configure(name="build-2", append=True, registration_token="group")
        self.start_agent()
        self.run_command("wait", "--timeout", "10s", "build-2")
        self.run_command("wait", "--timeout", "10s", code=REFUSED)
        self.run_command("wait", "build-9", code=USAGE)


class Systemd(Case):
    """NOTIFY_SOCKET, as systemd gives it."""

    def setUp(self):
        super().setUp()
        path = os.path.join(self.host.path, "notify")
        self.notify = self.enterContext(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.notify.bind(path)
        self.notify.settimeout(20)
        self.host.environment["NOTIFY_SOCKET"] = path
        self.heard = ""

    def hear(self, pattern):
        """Reads until it was said."""
        while not re.search(pattern, self.heard, re.M):
            self.heard += self.notify.recv(65536).decode() + "\n"
        return self.heard

    def test_life(self):
        agent = self.enrolled_agent()
        self.hear("^READY=1$")
        self.hear("^STATUS=.*1 registered")
        self.heard = ""
        agent.send(signal.SIGHUP)
        self.hear("^RELOADING=1$")
        self.assertRegex(self.heard, r"(?m)^MONOTONIC_USEC=\d+$")
        self.hear("^READY=1$")
        agent.send(signal.SIGTERM)
        self.hear("^STOPPING=1$")
        self.assertEqual(agent.process.wait(20), DONE)

    def test_ready_does_not_wait_for_gitlab(self):
        self.gitlab.down()
        self.host.configure(agent=FAST, registration_token="instance")
        self.start_agent()
        self.hear("^READY=1$")

    def test_reload_that_is_refused_ends_ready_all_the_same(self):
        agent = self.enrolled_agent()
        self.hear("^READY=1$")
        self.heard = ""
        with open(self.host.config, "w", encoding="utf-8") as f:
            f.write("nonsense\n")
        agent.send(signal.SIGHUP)
        self.hear("^RELOADING=1$")
        self.hear("^READY=1$")

    def test_watchdog(self):
        self.host.environment["WATCHDOG_USEC"] = "400000"
        self.host.configure(agent=FAST, registration_token="instance")
        self.start_agent()
        for _ in range(3):
            self.heard = ""
            self.hear("^WATCHDOG=1$")

    def test_watchdog_while_gitlab_hangs(self):
        self.host.environment["WATCHDOG_USEC"] = "400000"
        self.gitlab.fault(operation="register", kind="hang")
        self.host.configure(agent=FAST, registration_token="instance")
        self.start_agent()
        self.gitlab.wait_requests(operation="register", arrived=1)
        for _ in range(3):
            self.heard = ""
            self.hear("^WATCHDOG=1$")


class Files(Case):
    def test_metrics(self):
        path = os.path.join(self.host.path, "metrics.prom")
        agent = self.enrolled_agent(agent={"metrics_file": path})
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.assertIn('build-1', text)
        self.assertNotIn(self.host.entry()["token"], text)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o644)
        self.assertIsNone(agent.process.poll())

    def test_stop_removes_the_socket(self):
        agent = self.enrolled_agent()
        self.assertEqual(agent.stop(), DONE)
        self.assertFalse(os.path.exists(os.path.join(self.host.runtime_dir, "control")))


if __name__ == "__main__":
    main("control/")
