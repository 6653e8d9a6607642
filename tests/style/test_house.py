#!/usr/bin/python3
"""The house rules that a compiler doesn't hold: includes follow the arrows, and the formatter has nothing to say.

The linker holds the arrows too (a ring's executable links it with only what it may stand on), but it can't see a type
or a constant that crosses them the wrong way."""

import os
import re
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A ring, and the rings whose headers it may include. What is not listed is the shell, which may include all.
MAY_INCLUDE = {
    "agent/base": ("agent/base",),
    "agent/core": ("agent/base", "agent/core"),
    "config": ("agent/base", "config"),
}
# System headers that bring effects into a ring that has none.
EFFECTS = re.compile(r"^(unistd|fcntl|sys/(socket|stat|epoll|file)|systemd/.*|curl/.*|poll|netdb|dirent)\.h$")


def sources():
    for folder in ("agent", "config", "tests"):
        for path, folders, names in os.walk(os.path.join(TOP, folder)):
            folders.sort()
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(path, name), TOP)


def complaints_of(path):
    ring = next((r for r in MAY_INCLUDE if path.startswith(r + "/")), None)
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            found = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if not found:
                continue
            kind, header = found.groups()
            where = "%s:%d: " % (path, number)
            if kind == '"':
                # Some are made by the build from what lies beside them.
                if not any(os.path.exists(os.path.join(TOP, header + end)) for end in ("", ".in")):
                    yield where + "'%s' is not named from the root" % header
                elif ring and os.path.dirname(header) not in MAY_INCLUDE[ring]:
                    yield where + "%s must not know '%s'" % (ring, header)
            elif ring == "agent/core" and EFFECTS.match(header):
                yield where + "core has no effects, so no <%s>" % header


def main():
    failed = False
    every = list(sources())
    complaints = [c for path in every for c in complaints_of(path)]
    for complaint in complaints:
        print("FAIL includes: " + complaint)
        failed = True
    if not complaints:
        print("PASS includes of %d files follow the arrows" % len(every))

    if not shutil.which("clang-format"):
        print("SKIP format: there is no clang-format here")
        return failed
    version = subprocess.run(["clang-format", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    if "version 14." not in version:
        print("SKIP format: other releases than clang-format 14 format otherwise")
        return failed
    done = subprocess.run(["clang-format", "--dry-run", "--Werror"] + every, cwd=TOP, stderr=subprocess.PIPE,
                          text=True, check=False)
    bad = sorted({line.split(":")[0] for line in done.stderr.splitlines() if ": error: " in line})
    for path in bad:
        print("FAIL format: clang-format would change %s" % path)
    if not bad and done.returncode == 0:
        print("PASS format of %d files" % len(every))
    elif not bad:
        print("FAIL format: clang-format said %s" % done.stderr.strip()[:200])
    return failed or done.returncode != 0


if __name__ == "__main__":
    sys.exit(main())
