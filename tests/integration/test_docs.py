#!/usr/bin/python3
"""The examples in the docs are the first thing that people copy: each is tried as it stands.

- Every ```ini and ```yaml block of a *.md file, and every file of config/examples, passes `check`. Files that they name
  below /etc/runner-registrar are made for them in a folder of the test's own.
- A block marked ```sh test is run.
- Relative links lead somewhere.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.environ.get("SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("RUNNER_REGISTRAR", "runner-registrar")
HOME = "/etc/runner-registrar"

failed = False


def result(name, complaint=""):
    global failed
    print("PASS %s" % name if not complaint else "FAIL %s: %s" % (name, " | ".join(complaint.strip().split("\n"))))
    failed = failed or bool(complaint)


def documents():
    for path, folders, names in os.walk(TOP):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "build")))
        for name in sorted(names):
            if name.endswith(".md"):
                yield os.path.relpath(os.path.join(path, name), TOP)


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def blocks(text):
    """Language line, line number and content of each fenced block."""
    for found in re.finditer(r"^```([^\n]*)\n(.*?)^```\s*$", text, re.MULTILINE | re.DOTALL):
        yield found.group(1).strip(), text.count("\n", 0, found.start()) + 1, found.group(2)


def examples():
    for path in documents():
        for language, line, text in blocks(read(path)):
            if language in ("ini", "yaml"):
                yield "%s:%d" % (path, line), language, text
    folder = os.path.join(TOP, "config", "examples")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if name.endswith((".ini", ".yaml", ".yml")):
            yield "config/examples/" + name, name.rpartition(".")[2], read("config/examples/" + name)


def first_template():
    for language, _, text in blocks(read("README.md")):
        if language == "toml":
            return text
    return "[[runners]]\n"


def make_file(path, program):
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    if os.path.exists(path):
        return
    if path.endswith((".pem", ".crt", ".key")):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=example", "-keyout", path + ".tmp", "-out", path], check=True,
                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if path.endswith(".key"):
            os.replace(path + ".tmp", path)
        else:
            os.unlink(path + ".tmp")
        os.chmod(path, 0o600)
        return
    text = "#!/bin/sh\necho token\n" if program else first_template() if path.endswith(".toml") else "a-token-of-20-bytes.\n"
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o700 if program else 0o600), "w", encoding="utf-8") as f:
        f.write(text)


def check(folder, language, text):
    """Runs `check` on the example as if HOME were in FOLDER; returns its exit code and output."""
    home = folder + HOME
    text = text.replace(HOME, home)
    for kind, path in re.findall(r"(exec:|hook\s*[=:]\s*)?(%s/[\w./-]+)" % re.escape(home), text):
        make_file(path, bool(kind))
    environment = dict(os.environ)
    for name in re.findall(r"\benv:(\w+)", text):
        environment[name] = "a-token-of-20-bytes."
    path = os.path.join(folder, "config." + language)
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
        f.write(text)
    done = subprocess.run([PROGRAM, "-c", path, "check"], env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.replace(folder, "")


def test_examples():
    count = 0
    for name, language, text in examples():
        with tempfile.TemporaryDirectory() as folder:
            code, output = check(folder, language, text)
        result("example %s" % name, "" if code == 0 else "check ended with %d: %s" % (code, output))
        count += 1
    result("there are examples", "" if count >= 3 else "found only %d" % count)


def test_check_is_not_blind():
    """If `check` took anything, the examples would prove nothing."""
    _, language, text = next(examples())
    with tempfile.TemporaryDirectory() as folder:
        code, output = check(folder, language, text.replace("url", "ulr"))
    complaint = "" if code == 78 and "ulr" in output and "url" in output else "%d: %s" % (code, output)
    result("a misspelt example is found out", complaint)


def test_shell():
    for path in documents():
        for language, line, text in blocks(read(path)):
            if language != "sh test":
                continue
            with tempfile.TemporaryDirectory() as folder:
                environment = dict(os.environ, PATH=os.path.dirname(PROGRAM) + ":" + os.environ["PATH"])
                done = subprocess.run(["bash", "-eu", "-c", text], cwd=folder, env=environment, text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      timeout=60, check=False)
            result("commands %s:%d" % (path, line), "" if done.returncode == 0 else done.stdout or "failed")


def test_links():
    broken = []
    for path in documents():
        text = re.sub(r"^```.*?^```\s*$", "", read(path), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not os.path.exists(os.path.join(TOP, os.path.dirname(path), target)):
                broken.append("%s links to %s" % (path, target))
    result("links lead somewhere", "\n".join(broken))


def test_command_names():
    """What the README names exists: options and commands change, sentences stay behind."""
    if not shutil.which(PROGRAM):
        result("commands in the README exist", "%s is not there" % PROGRAM)
        return
    usage = subprocess.run([PROGRAM, "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                           check=False).stdout
    named = set(re.findall(r"`(?:sudo )?runner-registrar ([a-z]+)", read("README.md")))
    result("commands in the README exist",
           "\n".join("--help does not know '%s'" % name for name in sorted(named) if name not in usage))


test_links()
test_examples()
test_check_is_not_blind()
test_shell()
test_command_names()
sys.exit(failed)
