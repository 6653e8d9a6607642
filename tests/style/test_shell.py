#!/usr/bin/python3
"""Shell scripts of the tree, by shellcheck; and the Terraform examples by Terraform's own formatter, where there is one,
which reads them as a whole but knows nothing of what the clouds' providers take."""

import os
import re
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = (".ci", "agent", "config", "packaging", "tests", "units")
SHELL = re.compile(rb"#!.*\b(ba|da)?sh\b")


def files():
    for folder in FOLDERS:
        for path, folders, names in os.walk(os.path.join(TOP, folder)):
            folders[:] = sorted(name for name in folders if name != "corpus")
            for name in sorted(names):
                yield os.path.relpath(os.path.join(path, name), TOP)


def is_script(path):
    if os.path.islink(os.path.join(TOP, path)):
        return False
    with open(os.path.join(TOP, path), "rb") as f:
        return SHELL.match(f.readline(128)) is not None


def check(name, program, arguments, paths):
    if not shutil.which(program):
        print("SKIP %s: there is no %s here" % (name, program))
        return False
    done = subprocess.run([program, *arguments, *paths], cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, env={**os.environ, "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull})
    complaints = done.stdout.strip().splitlines()
    if done.returncode == 0 and not complaints:
        print("PASS %s: %d files" % (name, len(paths)))
        return False
    for complaint in complaints or ["exit %d" % done.returncode]:
        print("FAIL %s: %s" % (name, complaint))
    return True


def main():
    every = list(files())
    scripts = [path for path in every if is_script(path)]
    failed = check("shellcheck", "shellcheck", ["--format=gcc"], scripts)
    examples = [path for path in every if path.endswith(".tf")]
    return check("terraform fmt", "terraform", ["fmt", "-check", "-write=false"], examples) or failed


if __name__ == "__main__":
    sys.exit(main())
