"""A gitlab-runner of a test's own: a process that obeys its signals, and a unit around it as systemd would keep it.

SIGQUIT: no new jobs, ends after the last one; SIGTERM: aborts jobs and ends; SIGHUP is only noted, by the systemd.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from typing import Any

# Jobs are lines on stdin: a line ends them all. What it does, it says.
PROGRAM = r"""
import os, signal, sys
def quit(*_):
    print("no new jobs", flush=True)
    if not os.environ["JOBS"]:
        sys.exit(0)
def term(*_):
    if os.environ["HANGS"]:
        return
    print("jobs aborted", flush=True)
    sys.exit(0)
with open("/proc/self/comm", "w") as f:
    f.write("gitlab-runner")
signal.signal(signal.SIGQUIT, quit)
signal.signal(signal.SIGTERM, term)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
print("up", flush=True)
sys.stdin.readline()
print("jobs done", flush=True)
sys.exit(0)
"""


class GitLabRunner:
    def __init__(self, systemd: Any, unit: str = "gitlab-runner.service", jobs: bool = False, hangs: bool = False):
        self.systemd = systemd
        self.unit = unit
        self.environment = {"JOBS": "yes" if jobs else "", "HANGS": "yes" if hangs else ""}
        self.said: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self.stopping = False
        self.starts = 0
        self.changed = threading.Condition()
        self.start()
        systemd.service = self

    def __enter__(self) -> GitLabRunner:
        return self

    def __exit__(self, *_: Any) -> None:
        self.stopping = True
        if self.process:
            self.process.kill()
            self.process.wait()

    @property
    def pid(self) -> int:
        return self.process.pid if self.process and self.process.poll() is None else 0

    @property
    def state(self) -> str:
        if self.pid:
            return "deactivating" if self.stopping else "active"
        # The pause of Restart=always.
        return "inactive" if self.stopping else "activating"

    def start(self) -> None:
        self.stopping = False
        if self.pid:
            return
        self.starts += 1
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=self.environment,
        )
        assert self.process.stdout and self.process.stdout.readline() == "up\n"
        threading.Thread(target=self.watch, args=(self.process,), daemon=True).start()
        self.systemd.signal(self.unit)

    def watch(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            with self.changed:
                self.said.append(line.strip())
                self.changed.notify_all()
        process.wait()
        self.systemd.signal(self.unit)

    def wait_said(self, text: str, timeout: float = 30, times: int = 1) -> None:
        with self.changed:
            if not self.changed.wait_for(lambda: self.said.count(text) >= times, timeout):
                raise AssertionError(f"gitlab-runner never said '{text}': {self.said}")

    def kill(self, number: int) -> None:
        if self.pid and self.process:
            self.process.send_signal(number)

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """As systemd stops it, with the drop-in's KillSignal=."""
        self.stopping = True
        self.kill(number)
        self.systemd.signal(self.unit)

    def finish_jobs(self) -> None:
        assert self.process and self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
