#!/usr/bin/python3
"""The units as systemd reads them: free of mistakes, the sandbox as tight as promised, every message id explained."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXPOSURE_MAX = 1.4
DRAIN_TIMEOUT_DEFAULT_MINUTES = 10

failed = False


def result(name, complaint):
    global failed
    print("PASS %s" % name if not complaint else "FAIL %s: %s" % (name, " | ".join(complaint.split("\n"))))
    failed = failed or bool(complaint)


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def lay_out(folder):
    """The units as installed, with a program in the agent's place that systemd can find."""
    program = os.path.join(folder, "runner-registrar")
    os.symlink("/bin/true", program)
    unit_text = read("units/runner-registrar.service.in").replace("@bindir@", folder).replace("@docdir@", folder)
    with open(os.path.join(folder, "runner-registrar.service"), "w", encoding="utf-8") as f:
        f.write(unit_text)
    with open(os.path.join(folder, "gitlab-runner.service"), "w", encoding="utf-8") as f:
        f.write("[Unit]\nDescription=a stand-in\n[Service]\nExecStart=/bin/true\n")
    shutil.copy(os.path.join(TOP, "units/runner-registrar-jobs.target"), folder)
    for unit, drop_in in (("gitlab-runner.service", "gitlab-runner.conf"), ("session-.scope", "session.conf")):
        os.mkdir(os.path.join(folder, unit + ".d"))
        shutil.copy(os.path.join(TOP, "units", drop_in), os.path.join(folder, unit + ".d"))
    # The example, as a unit of its own to be judged.
    other = os.path.join(folder, "other-owner.service")
    with open(other, "w", encoding="utf-8") as f:
        f.write(unit_text + read("units/other-owner.conf").replace("=gitlab-runner\n", "=daemon\n"))


def analyze(folder, *arguments):
    done = subprocess.run(["systemd-analyze", *arguments], cwd=folder, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout.strip()


def test_analyze():
    if not shutil.which("systemd-analyze"):
        print("SKIP units: there is no systemd-analyze here")
        return
    with tempfile.TemporaryDirectory() as folder:
        lay_out(folder)
        for unit in ("runner-registrar.service", "gitlab-runner.service", "runner-registrar-jobs.target",
                     "other-owner.service"):
            code, output = analyze(folder, "verify", os.path.join(folder, unit))
            # Other units of the machine are not ours to judge.
            lines = [line for line in output.splitlines() if folder in line or unit in line]
            result("systemd-analyze verify %s" % unit, "\n".join(lines) or ("exit %d" % code if code else ""))
        for unit in ("runner-registrar.service", "other-owner.service"):
            code, output = analyze(folder, "security", "--offline=yes", os.path.join(folder, unit))
            score = re.search(r"exposure level for \S+: ([0-9.]+)", output)
            if not score:
                print("SKIP sandbox of %s: this systemd-analyze can't judge a unit that is not loaded" % unit)
                continue
            complaint = "exposure %s" % score.group(1) if float(score.group(1)) > EXPOSURE_MAX else ""
            result("sandbox of %s is at %s or below" % (unit, EXPOSURE_MAX), complaint)


def test_reasons():
    """Every sandbox line stands in a paragraph that begins with its reason."""
    bare = []
    reason = False
    for line in read("units/runner-registrar.service.in").splitlines():
        if line.startswith("#"):
            reason = True
        elif not line or line.startswith("["):
            reason = False
        elif not reason and not line.startswith(("Description=", "Documentation=", "ExecStart=", "WantedBy=")):
            bare.append(line)
    result("every setting of the unit has its reason", "\n".join(bare))


def test_timeouts():
    found = re.search(r"^TimeoutStopSec=(\d+)min$", read("units/gitlab-runner.conf"), re.MULTILINE)
    complaint = ""
    if not found or int(found.group(1)) <= DRAIN_TIMEOUT_DEFAULT_MINUTES:
        complaint = "TimeoutStopSec must be finite and above drain_timeout's default"
    result("gitlab-runner's drain fits into its stop timeout", complaint)


def test_catalog():
    ids = dict(re.findall(r'#define MESSAGE_ID_(\w+) "([0-9a-f]{32})"', read("agent/base/message-id.h")))
    explained = re.findall(r"^-- ([0-9a-f]{32})$", read("units/runner-registrar.catalog"), re.MULTILINE)
    complaints = ["%s is not explained" % name for name, value in ids.items() if value not in explained]
    complaints += ["%s is nobody's" % value for value in explained if value not in ids.values()]
    complaints += ["%s is there twice" % value for value in set(explained) if explained.count(value) > 1]
    result("the catalog explains every message id", "\n".join(complaints))
    # Header lines, what happened, what the reader can do: at least three paragraphs.
    entries = re.split(r"^-- [0-9a-f]{32}$", read("units/runner-registrar.catalog"), flags=re.MULTILINE)[1:]
    short = [entry.strip().splitlines()[0] for entry in entries if len(entry.strip().split("\n\n")) < 3]
    result("every entry of the catalog says what to do", "\n".join(short))
    if shutil.which("journalctl"):
        with tempfile.TemporaryDirectory() as folder:
            catalog = os.path.join(folder, "usr/lib/systemd/catalog")
            os.makedirs(catalog)
            shutil.copy(os.path.join(TOP, "units/runner-registrar.catalog"), catalog)
            done = subprocess.run(["journalctl", "--update-catalog", "--root", folder], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            result("journalctl takes the catalog", done.stdout.strip() if done.returncode else "")


test_analyze()
test_reasons()
test_timeouts()
test_catalog()
sys.exit(failed)
