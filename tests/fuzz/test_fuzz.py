#!/usr/bin/python3
# tests: long timeout=3600
"""Builds the fuzzers and lets each search for TESTS_FUZZ_SECONDS (20), beginning with its corpus.

What a search finds is kept in TESTS_FUZZ_KEEP, a folder, where that is set. The corpora themselves are ordinary tests
of every build; see meson.build."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(TOP, "tests", "fuzz")
SECONDS = int(os.environ.get("TESTS_FUZZ_SECONDS", "20"))
OPTIONS = ["-Dfuzzers=true", "-Db_sanitize=address,undefined", "-Dc_args=-fno-sanitize-recover=all"]


def build(folder):
    """Returns what went wrong, or nothing."""
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        done = subprocess.run(["meson", "setup", folder, TOP, *OPTIONS], env=dict(os.environ, CC="clang"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            return done.stdout.decode(errors="replace")
    names = ["tests/fuzz/fuzz-" + name for name in sorted(os.listdir(os.path.join(HERE, "corpus")))]
    done = subprocess.run(["ninja", "-C", folder, *names], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode(errors="replace") if done.returncode != 0 else None


def search(folder, name, scratch):
    """Runs one fuzzer; returns how often it ran, what it wrote, and whether it found nothing."""
    found = os.path.join(scratch, name)
    os.mkdir(found)
    keep = os.environ.get("TESTS_FUZZ_KEEP")
    failures = os.path.join(keep, name + "-") if keep else os.path.join(found, "failure-")
    # Stacks that outlive their function make every call dear.
    environment = dict(os.environ, ASAN_OPTIONS="detect_stack_use_after_return=0", UBSAN_OPTIONS="print_stacktrace=1")
    done = subprocess.run(
        [os.path.join(folder, "tests/fuzz/fuzz-" + name), f"-max_total_time={SECONDS}", "-timeout=20", "-rss_limit_mb=2048",
         "-artifact_prefix=" + failures, found, os.path.join(HERE, "corpus", name)],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = done.stdout.decode(errors="replace")
    runs = re.search(r"^Done (\d+) runs", output, re.MULTILINE)
    return int(runs.group(1)) if runs else 0, output, done.returncode == 0 and runs


def main():
    if not shutil.which("clang"):
        print("SKIP fuzz: there is no clang here")
        return 0
    with open(os.environ.get("RUNNER_REGISTRAR", os.devnull), "rb") as program:
        if b"__asan_init" in program.read():
            print("SKIP fuzz: the fuzzers are built with sanitizers of their own")
            return 0
    folder = os.path.join(os.environ.get("BUILD_DIR", tempfile.gettempdir()), "fuzzers")
    wrong = build(folder)
    if wrong:
        print(wrong)
        print("FAIL fuzz: the fuzzers can't be built")
        return 1
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in sorted(os.listdir(os.path.join(HERE, "corpus"))):
            runs, output, good = search(folder, name, scratch)
            print(f"# {name}: {runs} runs in {SECONDS} s")
            if good:
                print("PASS fuzz/" + name, flush=True)
            else:
                failed += 1
                print("\n".join(output.splitlines()[-60:]))
                said = re.search(r"does not hold: .*|runtime error: .*|ERROR: \w+: .*", output)
                print(f"FAIL fuzz/{name}: {said.group(0) if said else 'ended early'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
