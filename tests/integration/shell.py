"""`runner-registrar runners …` against the stand-in GitLab: what the test_runners_* scripts share."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
import unittest
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "gitlab"))

from client import GitLab                                                                        # noqa: E402

PROGRAM = os.environ.get("RUNNER_REGISTRAR") or str(HERE.parents[1] / "build" / "agent" / "runner-registrar")
DONE, FAILED, USAGE, AGAIN, REFUSED, CONFIG = 0, 1, 2, 75, 77, 78
PROFILES = ("8.5", "13", "15", "16", "17", "18", "newest")
SYSTEM_ID = "s_0123456789ab"


def has(profile: str, major: float) -> bool:
    return profile == "newest" or float(profile) >= major


@dataclass
class Result:
    code: int
    out: str
    err: str
    peak: int = 0                        # KiB

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.split("\n") if line]


class Shell(unittest.TestCase):
    """One stand-in for all tests of a class, a new world for each."""

    options: dict[str, Any] = {}
    server: GitLab

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = GitLab(**cls.options).start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def setUp(self) -> None:
        self.server.reset("newest")
        self.folder = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR")))
        self.v3 = False

    def profile(self, name: str) -> None:
        self.server.reset(name)
        self.v3 = name == "8.5"

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def write(self, name: str, text: str, mode: int = 0o600) -> str:
        with open(os.open(self.path(name), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def environment(self, token: str | None, more: dict[str, str]) -> dict[str, str]:
        env = {key: value for key, value in os.environ.items() if "proxy" not in key.lower() and key != "CI_SERVER_URL"}
        env.pop("GITLAB_TOKEN", None)
        env.pop("NO_COLOR", None)
        if token is not None:
            env["GITLAB_TOKEN"] = self.server.tokens.get(token, token)
        return env | more

    def words(self, words: tuple[object, ...], url: str | None) -> list[str]:
        command = [PROGRAM, "runners", *map(str, words), "--url", url or self.server.url]
        if self.server.info["tls"]:
            command += ["--tls-ca-file", str(self.server.ca_file)]
        return command + (["--api-version", "v3"] if self.v3 else [])

    def secrets(self) -> list[str]:
        return [*self.server.tokens.values(), *self.server.registration_tokens.values()]

    def run_words(self, *words: object, token: str | None = "root", code: int | None = DONE, env: dict[str, str] = {},
                  url: str | None = None, raw: bool = False, shows: bool = False) -> Result:
        """Runs a command; whatever it is, no token that it knows stands in its arguments or its output."""
        command = [PROGRAM, "runners", *map(str, words)] if raw else self.words(words, url)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=self.environment(token, env))
        out, err, peak = self.drain(process)
        process.wait()
        result = Result(process.returncode, out, err, peak)
        for secret in self.secrets():
            self.assertNotIn(secret, " ".join(command))
            if not shows:
                self.assertNotIn(secret, out + err)
        if code is not None:
            self.assertEqual(result.code, code, f"{words}: {err.strip()} {out[:300]}")
        return result

    @staticmethod
    def peak_of(pid: int) -> int:
        """KiB so far. What wait4() tells counts ourselves too, whose memory the child had until its exec."""
        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                return next((int(line.split()[1]) for line in f if line.startswith("VmHWM:")), 0)
        except OSError:
            return 0

    def drain(self, process: subprocess.Popen[str]) -> tuple[str, str, int]:
        streams = {process.stdout: b"", process.stderr: b""}
        open_ones, peak = set(streams), 0
        while open_ones:
            for stream in select.select(list(open_ones), [], [], 60)[0]:
                peak = max(peak, self.peak_of(process.pid))
                data = os.read(stream.fileno(), 1 << 16)
                streams[stream] += data
                if not data:
                    open_ones.discard(stream)
        for stream in streams:
            stream.close()
        out, err = (data.decode() for data in streams.values())
        return out, err, peak

    def on_terminal(self, *words: object, answer: str = "", columns: int = 80, env: dict[str, str] = {},
                    stdout_too: bool = True, code: int | None = DONE) -> str:
        """Runs a command on a terminal of its own, and gives what that shows."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(self.words(words, None), stdin=theirs, stderr=theirs,
                                   stdout=theirs if stdout_too else subprocess.DEVNULL, start_new_session=True,
                                   env=self.environment("root", {"COLUMNS": str(columns), "TERM": "xterm"} | env))
        os.close(theirs)
        shown, asked, until = b"", False, time.monotonic() + 60
        while time.monotonic() < until:
            if select.select([ours], [], [], 1)[0]:
                try:
                    data = os.read(ours, 1 << 16)
                except OSError:          # Linux says so where others give nothing
                    break
                if not data:
                    break
                shown += data
            if answer and not asked and b"[y/N]" in shown:
                asked = True
                os.write(ours, answer.encode())
        os.close(ours)
        process.wait()
        if code is not None:
            self.assertEqual(process.returncode, code, shown.decode())
        return shown.decode().replace("\r\n", "\n")
