"""What the tests of notices share: an enrolled agent on a machine of a cloud's, beside a gitlab-runner with jobs."""

from __future__ import annotations

import os
import signal
import sys
import time

from case import Case
from gitlab_runner import GitLabRunner
from host import TOP

sys.path.insert(0, os.path.join(TOP, "tests", "cloud"))


def rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


class Cloud(Case):
    def begin(self, cloud, jobs: bool = True, before: dict | None = None, **agent):
        """BEFORE: what the cloud says from the start."""
        self.cloud = self.enterContext(cloud())
        self.cloud.set(**(before or {}))
        name = cloud.__name__.lower()
        self.host.environment.update({
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.cloud.url, "AWS_ENDPOINT_URL_AUTO_SCALING": self.cloud.url,
            "GCE_METADATA_HOST": self.cloud.place, "AZURE_METADATA_ENDPOINT": self.cloud.url,
        })
        self.runner = self.enterContext(GitLabRunner(self.host.systemd, jobs=jobs))
        self.hook = os.path.join(self.host.path, "hook")
        with open(self.hook, "w", encoding="utf-8") as f:
            f.write(f'#!/bin/sh\necho "$* $RUNNER_REGISTRAR_REFERENCE" >>{self.hook}.said\n')
        os.chmod(self.hook, 0o700)
        self.agent = self.enrolled_agent(agent={"termination": name, "hook": self.hook, **agent})
        return self.cloud

    def signals(self):
        return [what if what.endswith("Unit") else number
                for _, what, number in self.host.systemd.killed if number != signal.SIGHUP]

    def hooked(self):
        with open(self.hook + ".said", encoding="utf-8") as f:
            return f.read().splitlines()

    def wait_withdrawn(self, before: float):
        """All of it, before the deadline; then the agent waits to be told to go."""
        self.agent.wait_state("withdrawn")
        self.assertLess(time.monotonic(), before)
        self.assert_nothing_left()
        self.assertIsNone(self.agent.process.poll())

    def assert_polite(self, path: str, wait: bool = False):
        """At most once a second; at least every five where nothing is waited for."""
        times = [request.at for request in self.cloud.asked(path) if request.method != "POST"]
        gaps = [later - earlier for earlier, later in zip(times, times[1:])]
        self.assertGreater(len(gaps), 0)
        self.assertGreater(min(gaps), 0.9, path)
        if not wait:
            self.assertLess(max(gaps), 5.5, path)
