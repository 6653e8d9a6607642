"""A runner host of a test's own: folders, a configuration, the real program, and no waiting by the clock.

    with GitLab(tls=True) as gitlab, Host(gitlab) as host:
        host.configure(registration_token="instance")
        assert host.command("register").returncode == 0
        with host.agent() as agent:
            agent.wait_status(lambda runner: runner["state"] == "registered")
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from typing import Any

TOP = os.environ.get("SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "gitlab"))

from systemd import Systemd  # noqa: E402

PROGRAM = os.environ.get("RUNNER_REGISTRAR", "runner-registrar")

# How many times slower than usual the program may be, as under valgrind: what a test asks of its speed is scaled by it.
SLOWER = float(os.environ.get("TESTS_SLOWER", "1"))

# Far beyond what anything here takes, so that a test fails by its assertion and not by a busy machine.
PATIENCE = 30.0 * SLOWER

_libc = ctypes.CDLL(None, use_errno=True)
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_MODIFY = 0x2


class Watch:
    """Wakes up whenever a file of a folder is replaced (inotify): the status file is, at each change."""

    def __init__(self, folder: str, mask: int = _IN_MOVED_TO | _IN_CREATE):
        self.fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0 or _libc.inotify_add_watch(self.fd, folder.encode(), mask) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def wait(self, seconds: float, *others: int) -> None:
        if self.fd in select.select([self.fd, *others], [], [], max(seconds, 0))[0]:
            os.read(self.fd, 65536)

    def close(self) -> None:
        os.close(self.fd)


def quiet(runner: dict[str, Any]) -> bool:
    """Whether a runner of the status is enrolled, heard of since the start, and nothing is under way."""
    return runner["state"] == "registered" and runner["next_action_at"] is not None and runner["last_verdict"] is not None


class Agent:
    """A running `run`."""

    def __init__(self, host: Host, arguments: list[str]):
        self.host = host
        self.log_path = os.path.join(host.path, "agent.log")
        self.log = open(self.log_path, "ab")
        os.makedirs(host.runtime_dir, exist_ok=True)
        self.watch = Watch(host.runtime_dir)
        for name in ("status.json", "control"):
            if os.path.exists(os.path.join(host.runtime_dir, name)):
                os.unlink(os.path.join(host.runtime_dir, name))
        self.process = subprocess.Popen(
            [*host.wrapper, PROGRAM, *arguments, "run"], stderr=self.log, stdout=self.log, env=host.environment,
            stdin=subprocess.DEVNULL,
        )
        self.pidfd = os.pidfd_open(self.process.pid)

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.watch.close()
        self.log.close()
        os.close(self.pidfd)

    def output(self) -> str:
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def runner(self, name: str = "build-1") -> dict[str, Any] | None:
        try:
            with open(os.path.join(self.host.runtime_dir, "status.json"), encoding="utf-8") as f:
                runners = json.load(f)["runners"]
        except FileNotFoundError:
            return None
        return next((runner for runner in runners if runner["name"] == name), None)

    def wait_status(self, condition: Callable[[dict[str, Any]], bool], name: str = "build-1") -> dict[str, Any]:
        """Until the runner's status fulfils the condition."""
        until = time.monotonic() + PATIENCE
        while True:
            runner = self.runner(name)
            if runner is not None and condition(runner):
                return runner
            if self.process.poll() is not None:
                raise AssertionError(f"the agent ended with {self.process.returncode}: {self.output()[-2000:]}")
            if time.monotonic() >= until:
                raise AssertionError(f"never happened; last status {runner}: {self.output()[-2000:]}")
            self.watch.wait(until - time.monotonic(), self.pidfd)

    def wait_state(self, state: str, name: str = "build-1") -> dict[str, Any]:
        return self.wait_status(lambda runner: runner["state"] == state, name)

    def wait_quiet(self, name: str = "build-1") -> dict[str, Any]:
        """Until it is enrolled and nothing is under way."""
        return self.wait_status(quiet, name)

    def wait_said(self, text: str) -> None:
        """Until the log holds the text."""
        self.wait_said_again(text, 0)

    def wait_said_again(self, text: str, before: int) -> None:
        """Until the log holds the text more than BEFORE times."""
        until = time.monotonic() + PATIENCE
        watch = Watch(self.host.path, _IN_MODIFY)
        try:
            while self.output().count(text) <= before:
                if time.monotonic() >= until or self.process.poll() is not None:
                    raise AssertionError(f"never said '{text}': {self.output()[-2000:]}")
                watch.wait(until - time.monotonic(), self.pidfd)
        finally:
            watch.close()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, within: float = PATIENCE) -> int:
        """Asks it to stop and returns its exit code."""
        self.process.send_signal(number)
        return self.wait_end(within)

    def wait_end(self, within: float = PATIENCE) -> int:
        """Waits for its end and returns its exit code; subprocess.TimeoutExpired where it does not end by itself."""
        if not select.select([self.pidfd], [], [], within)[0]:
            raise subprocess.TimeoutExpired(self.process.args, within)
        return self.process.wait()

    def kill(self) -> None:
        """As a power cut that loses no disk block would."""
        self.process.kill()
        self.process.wait()


class Host:
    def __init__(self, gitlab: Any = None):
        self.gitlab = gitlab
        # As root nothing below a folder that others can write is trusted, and /tmp is one.
        self.path = tempfile.mkdtemp(prefix="rr-host-", dir="/run" if os.geteuid() == 0 else None)
        self.config = os.path.join(self.path, "config.ini")
        self.config_toml = os.path.join(self.path, "gitlab-runner", "config.toml")
        self.state_dir = os.path.join(self.path, "state")
        self.runtime_dir = os.path.join(self.path, "run")
        self.secrets = os.path.join(self.path, "secrets")
        # Put before the program: strace, unshare and the like.
        self.wrapper: list[str] = []
        self.environment = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS") if key in os.environ}
        self.environment["HOME"] = self.path
        self.systemd = Systemd(os.path.join(self.path, "bus"))
        self.environment["DBUS_SYSTEM_BUS_ADDRESS"] = self.systemd.address
        os.mkdir(self.secrets, 0o700)
        os.mkdir(os.path.dirname(self.config_toml), 0o700)

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: Any) -> None:
        self.systemd.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def secret(self, name: str, value: str) -> str:
        """Writes a secret file and returns its SOURCE."""
        path = os.path.join(self.secrets, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            f.write(value + "\n")
        return "file:" + path

    def configure(self, agent: dict[str, Any] | None = None, name: str = "build-1", append: bool = False, **runner: Any) -> None:
        """Writes the configuration. `registration_token="instance"` and the like take the stand-in's tokens."""
        settings: dict[str, Any] = {"executor": "shell", "url": self.gitlab.url if self.gitlab else "https://127.0.0.1:1"}
        if self.gitlab and self.gitlab.info.get("ca_file"):
            settings["tls_ca_file"] = self.gitlab.info["ca_file"]
        settings.update(runner)
        known = {"registration_token": "registration_tokens", "access_token": "tokens"}
        for key in ("registration_token", "access_token", "authentication_token"):
            value = settings.get(key)
            if value is None or ":" in str(value):
                continue
            if key in known and self.gitlab:
                value = self.gitlab.info[known[key]].get(value, value)
            settings[key] = self.secret(f"{name}-{key}", value)
        lines = []
        if not append:
            lines += ["[agent]", f"config_toml = {self.config_toml}", f"state_dir = {self.state_dir}",
                      f"runtime_dir = {self.runtime_dir}"]
            lines += [f"{key} = {value}" for key, value in (agent or {}).items()]
        lines += ["", f"[runner {name}]"] + [f"{key} = {value}" for key, value in settings.items() if value is not None]
        with open(self.config, "a" if append else "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
        os.chmod(self.config, 0o600)

    def command(self, *arguments: str, timeout: float = PATIENCE, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.wrapper, PROGRAM, "-c", self.config, *arguments], capture_output=True, text=True, timeout=timeout,
            env=self.environment, stdin=subprocess.DEVNULL, check=False, **options,
        )

    def agent(self, *options: str) -> Agent:
        return Agent(self, ["-c", self.config, *options])

    def toml_text(self) -> str:
        with open(self.config_toml, encoding="utf-8", newline="") as f:
            return f.read()

    def entries(self) -> list[dict[str, Any]]:
        """gitlab-runner's view of config.toml, by a reader that is not ours."""
        try:
            return tomllib.loads(self.toml_text().removeprefix("\ufeff")).get("runners", [])
        except FileNotFoundError:
            return []

    def entry(self, name: str = "build-1") -> dict[str, Any]:
        return next(entry for entry in self.entries() if entry["name"] == name)

    def write_toml(self, text: str) -> None:
        """As gitlab-runner writes: truncated and written in place."""
        with open(self.config_toml, "w", encoding="utf-8", newline="") as f:
            f.write(text)

    def state(self, name: str = "build-1") -> dict[str, Any]:
        with open(os.path.join(self.state_dir, name + ".json"), encoding="utf-8") as f:
            return json.load(f)

    def system_id(self) -> str:
        with open(os.path.join(os.path.dirname(self.config_toml), ".runner_system_id"), encoding="utf-8") as f:
            return f.read()
