#!/usr/bin/python3
"""Builds the project and runs its tests: what tests/run starts once everything needed is installed.

Every test counts: each case of a cmocka program (read from its TAP), each `PASS`, `FAIL` or `SKIP` line of a script,
each build. A program that dies, hangs, says nothing, or fails without saying what, is a failure of its own. Nothing is
listed here by name: C tests come from meson, scripts are found by where they lie.
"""

import argparse
import fcntl
import fnmatch
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEFAULT_TIMEOUT = 300
# A Unix socket's path holds 107 bytes, and tests put theirs some folders below TMPDIR.
TMP_PATH_MAX = 50

SANITIZERS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


class Variant:
    """One way to build: compiler, options, environment of the tests."""

    def __init__(self, name, compiler, options, environment=None, wrapper=(), long=False, builds=None, coverage=False):
        self.name = name
        self.compiler = compiler
        self.options = options
        self.environment = environment or {}
        self.wrapper = list(wrapper)
        self.long = long
        self.builds = builds  # the variant whose build is used; None: its own
        self.coverage = coverage  # counts what is run


VARIANTS = [
    Variant("gcc", "gcc", []),
    Variant("sanitized", "clang", ["-Db_sanitize=address,undefined", "-Dc_args=-fno-sanitize-recover=all"],
            SANITIZERS),
    Variant("clang-o3", "clang", ["-Dbuildtype=release", "-Db_ndebug=true"], long=True),
    Variant("gcc-o0", "gcc", ["-Doptimization=0"], long=True),
    Variant("valgrind", "gcc", [], long=True, builds="gcc", wrapper=[
        "valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,possible",
        "--suppressions=" + os.path.join(TOP, "tests", "valgrind.supp")]),
    Variant("coverage", "gcc", ["-Db_coverage=true", "-Doptimization=0", "-Db_ndebug=true"], long=True, coverage=True),
]
MAIN = VARIANTS[0]

# How much slower a program is under valgrind, and how much longer its tests may take.
WRAPPED_SLOWER = 8


class Job:
    def __init__(self, name, command, cwd, variant, timeout, serial=False, protocol="lines"):
        self.name = name
        self.command = command
        self.cwd = cwd
        self.variant = variant
        self.timeout = timeout
        self.serial = serial
        self.protocol = protocol


class Results:
    """What has been counted so far; jobs on several threads report here."""

    def __init__(self):
        self.passed = 0
        self.failures = []
        self.skips = []
        self.lock = threading.Lock()

    def add(self, where, passed, failures, skips, seconds, output=""):
        with self.lock:
            self.passed += passed
            self.failures += ["%s: %s" % (where, f) for f in failures]
            self.skips += ["%s: %s" % (where, s) for s in skips]
            mark = "FAIL" if failures else "ok" if passed else "skip"
            print("%-5s%s: %d passed, %d failed, %d skipped (%.1f s)"
                  % (mark, where, passed, len(failures), len(skips), seconds))
            if failures:
                for line in output.splitlines()[-60:]:
                    print("    | " + line)
            sys.stdout.flush()


def parse_tap(output):
    """Counts TAP as cmocka writes it; returns passed, failures, skips and whether the plan was kept."""
    passed, failures, skips, planned, seen, said = 0, [], [], 0, 0, ""
    for line in output.splitlines():
        # Not anchored: what the code under test prints without a newline stands before it on the same line.
        plan = re.search(r"\b1\.\.(\d+)\s*$", line)
        if plan:
            planned += int(plan.group(1))
            continue
        case = re.search(r"(not )?ok \d+ (- |# SKIP )(.*)$", line)
        if not case:
            said = line.strip() or said
            continue
        seen += 1
        name = case.group(3).strip()
        if case.group(2).startswith("#"):
            # cmocka has no place for the reason: a case prints it before it skips.
            skips.append("%s: %s" % (name, said or "no reason given"))
        elif case.group(1):
            failures.append(name)
        else:
            passed += 1
        said = ""
    return passed, failures, skips, planned > 0 and planned == seen


def parse_lines(output):
    """Counts lines that begin with PASS, FAIL or SKIP."""
    passed, failures, skips = 0, [], []
    for line in output.splitlines():
        word, _, rest = line.partition(" ")
        if word == "PASS":
            passed += 1
        elif word == "FAIL":
            failures.append(rest.strip())
        elif word == "SKIP":
            skips.append(rest.strip())
    return passed, failures, skips


def judge(protocol, status, output):
    """From what a test program printed, and how it ended, to passed, failures, skips."""
    if protocol == "tap":
        passed, failures, skips, kept = parse_tap(output)
        if not kept:
            failures.append("ended before its last case (%s)" % status)
        elif status != "exit 0" and not failures:
            failures.append("all cases passed, yet %s" % status)
        return passed, failures, skips
    if protocol == "exitcode":
        passed, failures, skips = parse_lines(output)
        if passed or failures or skips:
            protocol = "lines"
        elif status == "exit 0":
            return 1, [], []
        elif status == "exit 77":
            return 0, [], ["it skipped itself"]
        else:
            return 0, [status], []
    passed, failures, skips = parse_lines(output)
    if status != "exit 0" and not failures:
        failures.append("%s without a FAIL line" % status)
    elif not passed and not failures and not skips:
        failures.append("printed no result")
    return passed, failures, skips


class Runner:
    def __init__(self, options, build, scratch):
        self.options = options
        self.build = build
        self.scratch = scratch
        self.results = Results()
        self.running = set()
        self.logs = os.path.join(build, "logs")
        os.makedirs(self.logs, exist_ok=True)

    def wanted(self, name):
        pattern = self.options.only
        return pattern is None or pattern in name or fnmatch.fnmatch(name, pattern)

    def folder(self, variant):
        return os.path.join(self.build, variant.builds or variant.name)

    def environment(self, variant):
        environment = dict(os.environ)
        environment.update(variant.environment)
        environment.update({
            "SOURCE_DIR": TOP,
            "BUILD_DIR": self.folder(variant),
            "RUNNER_REGISTRAR": os.path.join(self.folder(variant), "agent", "runner-registrar"),
            "CMOCKA_MESSAGE_OUTPUT": "TAP",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "LC_ALL": "C.UTF-8",
        })
        if self.options.long:
            environment["TESTS_LONG"] = "1"
        # The tests talk to loopback only, wherever this machine's proxy may point.
        environment["no_proxy"] = environment["NO_PROXY"] = "localhost,127.0.0.1,::1"
        # What a build or a person's shell sets for make-like tools is no business of the programs under test.
        for name in ("NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "MAKEFLAGS"):
            environment.pop(name, None)
        return environment

    # --- building

    def compile(self, variant):
        """Configures and builds; counts as one test. Returns whether there is something to test."""
        where, begin = "build " + variant.name, time.monotonic()
        if not shutil.which(variant.compiler):
            self.results.add(where, 0, [], ["there is no %s here" % variant.compiler], 0)
            return False
        folder = self.folder(variant)
        # Below /usr as packages do: a unit, say, is looked for in fewer places than files can be installed to.
        arguments = ["meson", "setup", folder, TOP, "-Dwerror=true", "--prefix=/usr"] + variant.options
        stamp = os.path.join(folder, "configured-as")
        log = os.path.join(self.logs, where.replace(" ", "-") + ".log")
        environment = dict(os.environ, CC=variant.compiler, LC_ALL="C.UTF-8")
        steps = [["ninja", "-C", folder]]
        if not self.configured(folder, stamp, arguments):
            shutil.rmtree(folder, ignore_errors=True)
            steps.insert(0, arguments)
        with open(log, "w") as out:
            for step in steps:
                done = subprocess.run(step, cwd=TOP, env=environment, stdin=subprocess.DEVNULL, stdout=out,
                                      stderr=subprocess.STDOUT, check=False)
                if done.returncode != 0:
                    break
                if step is arguments:
                    with open(stamp, "w") as f:
                        f.write("\n".join(arguments))
        with open(log, errors="replace") as f:
            output = f.read()
        seconds = time.monotonic() - begin
        if done.returncode != 0:
            self.results.add(where, 0, ["%s failed" % step[0]], [], seconds, output)
            return False
        self.results.add(where, 1, [], [], seconds)
        return True

    @staticmethod
    def configured(folder, stamp, arguments):
        try:
            with open(stamp) as f:
                return f.read() == "\n".join(arguments) and os.path.exists(os.path.join(folder, "build.ninja"))
        except OSError:
            return False

    # --- finding

    def unit_jobs(self, variant):
        listing = subprocess.run(["meson", "introspect", "--tests", self.folder(variant)], check=True,
                                 stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        jobs = []
        for test in json.loads(listing.stdout):
            suite = test["suite"][0].split(":")[-1]
            # cmocka speaks TAP when its environment asks for it; whatever else meson runs speaks by its exit code.
            protocol = "tap" if suite == "unit" else "exitcode"
            timeout = max(test["timeout"], 60) * (10 if variant.wrapper else 2)
            job = Job("%s %s %s" % (suite, variant.name, test["name"]), variant.wrapper + test["cmd"],
                      test["workdir"] or self.folder(variant), variant, timeout, not test["is_parallel"], protocol)
            job.extra = test["env"]
            jobs.append(job)
        return jobs

    def script_jobs(self, variant, built):
        jobs = []
        tests = os.path.join(TOP, "tests")
        for folder in sorted(os.listdir(tests)):
            path = os.path.join(tests, folder)
            if not os.path.isdir(path) or folder == "bench":
                continue
            needs_build = folder in ("integration", "simulation", "toml", "fuzz", "system", "faults")
            if needs_build and not built or not needs_build and variant is not MAIN:
                continue
            # A root to boot has none of the sanitizers' libraries.
            if folder == "system" and variant is not MAIN:
                continue
            for name in sorted(os.listdir(path)):
                script = os.path.join(path, name)
                if not is_script_test(folder, name, script):
                    continue
                marks = read_marks(script)
                if "long" in marks and not self.options.long:
                    continue
                # Some want the sanitizers' eyes, and have them in every run; the others have them in the long one.
                if "sanitized" in marks and variant.name != "sanitized":
                    continue
                if "sanitized" not in marks and variant.name == "sanitized" and not self.options.long:
                    continue
                timeout = int(marks.get("timeout", DEFAULT_TIMEOUT)) * (1 if variant is MAIN else 3)
                if variant.wrapper:
                    if "valgrind" not in marks:
                        continue
                    timeout *= 4
                label = "%s/%s" % (folder, name.removesuffix(".py"))
                if variant is not MAIN:
                    label += " " + variant.name
                jobs.append(Job(label, [script], TOP, variant, timeout, "serial" in marks))
        return jobs

    # --- running

    def run_job(self, job):
        begin = time.monotonic()
        log = os.path.join(self.logs, re.sub(r"[^A-Za-z0-9._-]+", "-", job.name) + ".log")
        scratch = tempfile.mkdtemp(dir=self.scratch)
        environment = self.environment(job.variant)
        environment.update(getattr(job, "extra", {}))
        environment["TMPDIR"] = scratch
        wrapped = job.variant.wrapper and job.protocol == "lines"
        if wrapped:
            complaints = tempfile.mkdtemp(dir=self.scratch)
            environment["RUNNER_REGISTRAR"] = wrap(job.variant.wrapper, environment["RUNNER_REGISTRAR"], complaints)
            environment["TESTS_SLOWER"] = str(WRAPPED_SLOWER)
        with open(log, "wb") as out:
            try:
                process = subprocess.Popen(job.command, cwd=job.cwd, env=environment, stdin=subprocess.DEVNULL,
                                           stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
            except OSError as error:
                self.results.add(job.name, 0, ["can't be started: %s" % error.strerror], [], 0)
                return
            self.running.add(process.pid)
            try:
                code = process.wait(job.timeout)
                status = "exit %d" % code if code >= 0 else "killed by %s" % signal.Signals(-code).name
            except subprocess.TimeoutExpired:
                status = "still running after %d s" % job.timeout
            # What a test leaves running would disturb the next one.
            end_group(process.pid)
            self.running.discard(process.pid)
            process.wait()
        with open(log, errors="replace") as f:
            output = f.read()
        remove_tree(scratch)
        passed, failures, skips = judge(job.protocol, status, output)
        if wrapped:
            said = read_complaints(complaints)
            failures += ["valgrind has something to say"] if said else []
            output += said
        self.results.add(job.name, passed, failures, skips, time.monotonic() - begin, output)

    def run_jobs(self, jobs):
        # The slow ones first would be best; integration tests are, and unit tests fill the gaps behind them.
        queue = [job for job in jobs if not job.serial]
        queue.sort(key=lambda job: not job.name.startswith(("integration/", "system/")))
        lock = threading.Lock()

        def work():
            while True:
                with lock:
                    if not queue:
                        return
                    job = queue.pop(0)
                self.run_job(job)

        workers = [threading.Thread(target=work, daemon=True) for _ in range(max(1, self.options.jobs))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for job in jobs:
            if job.serial:
                self.run_job(job)

    def take(self, jobs):
        jobs = [job for job in jobs if self.wanted(job.name)]
        self.run_jobs(jobs)
        return len(jobs)

    def run_coverage(self, variant):
        """First the decisions, by the unit tests alone; then the table of what all tests together run."""
        if not self.compile(variant):
            return 0
        folder = self.folder(variant)
        for path, _, names in os.walk(folder):
            for name in names:
                if name.endswith(".gcda"):
                    os.unlink(os.path.join(path, name))
        report = os.path.join(TOP, "tests", "coverage", "report")
        simulate = [os.path.join(folder, "tests", "simulation", "simulate"), "--scenario"]
        lives = [["life", "--seed", str(seed), "--days", "120"] for seed in range(1, 7)]
        lives += [["lives", "--seed", "1", "--hosts", "2000"]]
        taken = self.take(self.unit_jobs(variant))
        taken += self.take([Job("coverage of agent-core", [report, "--core", folder], TOP, variant, 600)])
        jobs = [Job("simulation coverage " + " ".join(life), simulate + life, TOP, variant, 600, protocol="exitcode")
                for life in lives]
        jobs += [job for job in self.script_jobs(variant, True) if job.name.startswith(("integration/", "toml/"))]
        taken += self.take(jobs)
        if taken:
            done = subprocess.run([report, folder], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
            print(done.stdout.decode(), flush=True)
            with open(os.path.join(self.build, "coverage.txt"), "wb") as f:
                f.write(done.stdout)
        return taken

    def run(self):
        jobs, built = [], {}
        if self.options.coverage:
            if not self.run_coverage(next(v for v in VARIANTS if v.coverage)) and self.options.only:
                self.results.add("--only", 0, ["no test has '%s' in its name" % self.options.only], [], 0)
            return self.results
        for variant in VARIANTS:
            if variant.long and not self.options.long or variant.coverage:
                continue
            owner = variant.builds or variant.name
            if owner not in built:
                built[owner] = self.compile(variant)
            if built[owner]:
                jobs += self.unit_jobs(variant)
            if variant is MAIN or variant.name == "sanitized" or (self.options.long and variant.wrapper):
                jobs += self.script_jobs(variant, built[owner])
        taken = self.take(jobs)
        if self.options.long:
            taken += sum(self.run_coverage(variant) for variant in VARIANTS if variant.coverage)
        if self.options.only and not taken:
            self.results.add("--only", 0, ["no test has '%s' in its name" % self.options.only], [], 0)
        return self.results


def end_group(group):
    """Each test has a process group of its own, so this ends nothing else."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def wrap(wrapper, program, complaints):
    """A program that runs PROGRAM below the wrapper; what that says of each process lies in the folder COMPLAINTS."""
    path = os.path.join(complaints, "runner-registrar")
    with open(path, "w") as f:
        f.write("#!/bin/sh\nexec %s --log-file='%s/%%p' '%s' \"$@\"\n" % (" ".join(wrapper), complaints, program))
    os.chmod(path, 0o755)
    return path


def read_complaints(folder):
    said = ""
    for name in sorted(os.listdir(folder)):
        if name.isdigit():
            with open(os.path.join(folder, name), errors="replace") as f:
                # Between dashes it speaks of itself, as of system calls that it does not know.
                said += "".join(line for line in f if line.startswith("=="))
    return said


def is_script_test(folder, name, path):
    if not (re.fullmatch(r"test_\w+(\.py)?", name) or (folder == "toml" and name in ("suite", "readers"))):
        return False
    return os.path.isfile(path)


def read_marks(path):
    """A script says `# tests: serial`, `# tests: long`, `# tests: timeout=600` in a comment near its top."""
    marks = {}
    with open(path, errors="replace") as f:
        for line, _ in zip(f, range(20)):
            found = re.match(r"#\s*tests:\s*(.*)$", line)
            for word in found.group(1).split() if found else []:
                key, _, value = word.partition("=")
                marks[key] = value
    return marks


def is_trusted(path):
    """Whether nobody but root and us can write to a folder on the way: as root, the agent refuses others."""
    while True:
        info = os.stat(path)
        if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or info.st_uid not in (0, os.geteuid()):
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


def make_scratch(build):
    """A folder for the tests' own files, on a path short enough for sockets and fit for the agent as root."""
    for base in (build, "/var/lib", "/run", tempfile.gettempdir()):
        if len(base) <= TMP_PATH_MAX and os.access(base, os.W_OK) and is_trusted(base):
            return tempfile.mkdtemp(prefix="t", dir=base)
    return tempfile.mkdtemp(prefix="t")


def remove_tree(path):
    def retry(function, name, _):
        # A test may have left a folder that its owner can't write.
        try:
            os.chmod(os.path.dirname(name), 0o700)
            os.chmod(name, 0o700)
            function(name)
        except OSError:
            pass

    shutil.rmtree(path, onerror=retry)


def report(results):
    print()
    for skip in results.skips:
        print("skipped  " + skip)
    for failure in results.failures:
        print("failed   " + failure)
    failed = len(results.failures)
    if results.passed + failed == 0:
        print("no test ran")
    print("%d passed, %d failed, %d skipped" % (results.passed, failed, len(results.skips)))
    sys.stdout.flush()
    return 1 if failed or not results.passed else 0


def main():
    parser = argparse.ArgumentParser(prog="tests/run", description="Sets up, builds and runs the tests.")
    parser.add_argument("--long", action="store_true",
                        help="also what takes long: more compilers, valgrind, scripts on the sanitized build, coverage")
    parser.add_argument("--coverage", action="store_true", help="only count what the tests run, and show it as a table")
    parser.add_argument("--only", metavar="PATTERN", help="only tests whose name has this in it, or matches it")
    parser.add_argument("--build", metavar="DIR", default=os.path.join(TOP, "build"), help="where to build (build)")
    # Most of them wait for something most of the time.
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1),
                        help="how many at a time (two for each processor)")
    parser.add_argument("--no-setup", action="store_true", help="install nothing")
    options = parser.parse_args()

    build = os.path.abspath(options.build)
    os.makedirs(build, exist_ok=True)
    with open(os.path.join(build, "lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another run in %s" % build, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        scratch = make_scratch(build)
        runner = Runner(options, build, scratch)
        try:
            results = runner.run()
        finally:
            for group in list(runner.running):
                end_group(group)
            remove_tree(scratch)
    return report(results)


if __name__ == "__main__":
    # Ended from outside, the tests in their own sessions must go too: SystemExit unwinds through the clean-up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
