#!/usr/bin/python3
"""packaging/autoscaling: each script withdraws, says the exit code, and lets the cloud go on whatever that was."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from host import TOP

sys.path.insert(0, os.path.join(TOP, "tests", "cloud"))

from aws import Aws  # noqa: E402
from azure import Azure  # noqa: E402
from gcp import Gcp  # noqa: E402

from report import main  # noqa: E402

SCRIPTS = os.path.join(TOP, "packaging", "autoscaling")


class Scripts(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.environment = {"PATH": self.folder + ":/usr/bin:/bin"}
        for name, body in (("runner-registrar", 'echo "$*"; exit ${CODE:-0}'), ("aws", 'echo "aws $2 $*"')):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as f:
                f.write(f"#!/bin/sh\n{body}\n")
            os.chmod(os.path.join(self.folder, name), 0o755)

    def run_script(self, name, *arguments, code=0, **environment):
        if missing := [tool for tool in ("curl", "jq") if not shutil.which(tool, path="/usr/bin:/bin")]:
            self.skipTest(f"needs {missing}")
        done = subprocess.run([os.path.join(SCRIPTS, name), *arguments], capture_output=True, text=True, timeout=30, check=False,
                              env={**self.environment, **environment, "CODE": str(code)})
        self.assertEqual(done.returncode, code, done.stderr)
        if code:
            self.assertIn(f"deregister ended with {code}", done.stderr)
        return done.stdout.splitlines()

    def test_aws(self):
        for code in (0, 75, 77):
            with Aws() as aws:
                aws.set(lifecycle="Terminated")
                said = self.run_script("aws/lifecycle-hook", "group", "hook", code=code,
                                       AWS_EC2_METADATA_SERVICE_ENDPOINT=aws.url)
            self.assertIn("deregister --drain --timeout 50min", said)
            completed = [line for line in said if line.startswith("aws complete-lifecycle-action")]
            self.assertEqual(len(completed), 1, said)
            self.assertIn("--auto-scaling-group-name group --lifecycle-hook-name hook --instance-id i-0123456789abcdef0", completed[0])

    def test_gcp(self):
        for preempted, timeout in (("FALSE", "80s"), ("TRUE", "25s")):
            with Gcp() as gcp:
                gcp.set(preempted=preempted)
                self.assertEqual(self.run_script("gcp/shutdown-script", code=75, GCE_METADATA_HOST=gcp.place),
                                 [f"deregister --drain --timeout {timeout}"])

    def test_azure(self):
        for kind, timeout in (("Preempt", "25s"), ("Terminate", "14min")):
            with Azure() as azure:
                azure.set(events=[Azure.event("Freeze", id="F"), Azure.event(kind, resource="other", id="X"), Azure.event(kind)])
                self.assertEqual(self.run_script("azure/scheduled-events", code=75, AZURE_METADATA_ENDPOINT=azure.url),
                                 [f"deregister --drain --timeout {timeout}"])
                self.assertEqual(azure.acknowledged, ["602D9444"])


if __name__ == "__main__":
    main("autoscaling/")
