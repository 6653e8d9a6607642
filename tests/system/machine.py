"""Machines that really boot: an overlay over a shared Debian root, started by systemd-nspawn.

    with Lab() as lab:
        lab.gitlab.up()
        machine = lab.machine("build1")
        machine.configure(registration_token="instance")
        machine.boot()                        # returns once systemd has started everything
        machine.run("runner-registrar", "wait")
        machine.end("poweroff")               # returns once the machine is off

A test script calls enter() first: it starts itself again in namespaces of its own. The stand-in GitLab and all machines
share one loopback there, nothing of the host's network can be reached, two scripts never meet, and what a script that was
killed has started and mounted ends with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from typing import Any

from root import HERE, INSIDE, TOP, Unavailable, base_root, build_tree, install_tree

sys.path.insert(0, os.path.join(TOP, "tests", "gitlab"))
sys.path.insert(1, os.path.join(TOP, "tests", "integration"))

from client import GitLab  # noqa: E402
from host import Watch  # noqa: E402

# Far beyond what anything here takes.
PATIENCE = 30.0
SECRET = "gitlab-registration-token"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# As gitlab-runner's packages install it.
GITLAB_RUNNER_UNIT = """\
[Unit]
Description=GitLab Runner
ConditionFileIsExecutable=/usr/bin/gitlab-runner
After=network.target
StartLimitInterval=5
StartLimitBurst=10

[Service]
ExecStart=/usr/bin/gitlab-runner "run" "--config" "/etc/gitlab-runner/config.toml"
Restart=always
RestartSec=120
EnvironmentFile=-/etc/sysconfig/gitlab-runner

[Install]
WantedBy=multi-user.target
"""


def why_not() -> str | None:
    """Why no machine can be booted here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("systemd-nspawn", "mmdebstrap", "unshare", "nsenter", "ip", "meson"):
        if not shutil.which(program):
            return f"there is no {program} here"
    if not os.environ.get("BUILD_DIR"):
        return "BUILD_DIR names no build"
    if not control_groups():
        return "there are no control groups here"
    return None


def control_groups() -> list[str]:
    """The folders of this process's groups in the hierarchies that systemd uses: one, two, or one of version 1."""
    folders = []
    with open("/proc/self/cgroup", encoding="utf-8") as f:
        for line in f:
            _, controllers, path = line.strip().split(":", 2)
            roots = {"name=systemd": ["systemd"], "": ["unified", "."]}.get(controllers, [])
            for root in roots:
                folder = os.path.normpath(f"/sys/fs/cgroup/{root}/{path}")
                # A folder without the file is no group: the tmpfs that holds the hierarchies.
                if os.path.exists(os.path.join(folder, "cgroup.procs")):
                    folders.append(folder)
                    break
    return folders


def enter(prefix: str, *more_releases: str) -> None:
    """Into namespaces of the script's own, by starting it once more; or out, with a SKIP line. Roots are made on the way,
    while there is a network; base_root() says inside which of MORE_RELEASES could not be."""
    reason = why_not()
    if reason is None and os.environ.get(INSIDE) != "1":
        for release in ("bookworm", *more_releases):
            try:
                base_root(release)
            except Unavailable as error:
                os.environ[INSIDE + "_WITHOUT_" + release] = str(error)
        os.environ[INSIDE] = "1"
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                   "--propagation", "private", sys.executable, "-B", *sys.argv]
        if os.path.isdir("/run/systemd/system"):
            # Or the host's systemd would take offence at groups that somebody makes in its tree.
            command = ["systemd-run", "--scope", "--quiet", "--collect", "--property=Delegate=yes", *command]
        os.execvp(command[0], command)
    if reason is None:
        _leave_first_process_behind()
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True, capture_output=True)
            # Where systemd-nspawn keeps what it has to remove at the end, which it does only on a tmpfs.
            os.makedirs("/run/systemd/nspawn", exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run/systemd/nspawn"], check=True,
                           capture_output=True)
            base_root()
        except Unavailable as error:
            reason = str(error)
        except subprocess.CalledProcessError as error:
            reason = f"no namespaces of its own can be furnished: {error.stderr!r}"
    if reason is not None:
        print(f"SKIP {prefix}boots: {reason}", flush=True)
        sys.exit(0)


def put(root: str, path: str, text: str, mode: int = 0o644) -> None:
    """Writes a file below ROOT, with MODE whatever the umask."""
    place = root + path
    os.makedirs(os.path.dirname(place), exist_ok=True)
    # Not written through: it may be a link out of ROOT, and one in the layers below is to be replaced.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place)
    with open(place, "w", encoding="utf-8") as f:
        os.fchmod(f.fileno(), mode)
        f.write(text)


def read(path: str) -> str:
    with open(path, encoding="utf-8") as f:
        return f.read()


def remove_group(folder: str) -> None:
    for path, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def make_folder(place: str) -> tuple[str, int]:
    """A folder of a script's own, and the lock that says so; beside the roots, as an overlay can't lie on an overlay.
    Those of scripts that were killed are removed."""
    with open(os.path.join(place, "labs.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in os.listdir(place):
            if not name.startswith("lab-"):
                continue
            claim = os.open(os.path.join(place, name), os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(os.path.join(place, name), ignore_errors=True)
                for group in control_groups():
                    for left in glob.glob(f"{group}/runner-registrar-{name}-*"):
                        remove_group(left)
            except BlockingIOError:
                pass
            finally:
                os.close(claim)
        folder = tempfile.mkdtemp(prefix="lab-", dir=place)
        os.chmod(folder, 0o755)
        claim = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(claim, fcntl.LOCK_EX)
        return folder, claim


def _leave_first_process_behind() -> None:
    """The namespace's first process inherits all orphans, and has to bury them: a machine whose first process was killed
    ends only once everybody in it is buried."""
    child = os.fork()
    if child == 0:
        return
    while True:
        pid, status = os.wait()
        if pid == child:
            # Not the interpreter's own end: what is to be cleaned up is the child's.
            os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


class ControlGroup:
    """One for each machine: two in one group would both make a system.slice in it."""

    def __init__(self, name: str):
        self.folders = [os.path.join(folder, name) for folder in control_groups()]
        for folder in self.folders:
            os.makedirs(folder, exist_ok=True)

    def join(self) -> None:
        for folder in self.folders:
            with open(os.path.join(folder, "cgroup.procs"), "w", encoding="utf-8") as f:
                f.write("0")

    def remove(self) -> None:
        for folder in self.folders:
            remove_group(folder)


class Machine:
    def __init__(self, lab: Lab, name: str, machine_id: str | None, layers: list[str]):
        self.lab = lab
        self.name = name
        lab.made += 1
        self.folder = os.path.join(lab.folder, f"{name}-{lab.made}")
        self.root = os.path.join(self.folder, "root")
        self.upper = os.path.join(self.folder, "upper")
        self.layers = layers
        for path in (self.folder, self.root, self.upper, os.path.join(self.folder, "work")):
            os.mkdir(path)
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                        f"lowerdir={':'.join(layers)},upperdir={self.upper},workdir={self.folder}/work", self.root],
                       check=True)
        self.group = ControlGroup("runner-registrar-" + os.path.basename(lab.folder) + "-" + os.path.basename(self.folder))
        self.process: subprocess.Popen[str] | None = None
        self.leader = 0
        self.console = open(os.path.join(self.folder, "console"), "ab")
        # What the host of a virtual machine would hand it.
        self.credentials: dict[str, str] = {}
        self.write("/etc/hostname", name + "\n")
        if machine_id is not None:
            self.write("/etc/machine-id", machine_id + "\n", 0o444)

    # Its disk; also while it is off

    def path(self, path: str) -> str:
        return self.root + path

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        put(self.root, path, text, mode)

    def read(self, path: str) -> str:
        return read(self.path(path))

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.path(path))

    def configure(self, agent: dict[str, Any] | None = None, name: str = "build-1", **runner: Any) -> None:
        """One runner in config.ini. registration_token="instance" puts the stand-in's token into the credential store,
        where the unit finds it."""
        settings: dict[str, Any] = {"url": self.lab.gitlab.url, "executor": "shell", **runner}
        if settings.get("registration_token") == "instance":
            self.write(f"/etc/credstore/{SECRET}", self.lab.gitlab.registration_tokens["instance"], 0o600)
            settings["registration_token"] = f"credential:{SECRET}"
        lines = ["[agent]", *(f"{key} = {value}" for key, value in (agent or {}).items()), f"[runner {name}]",
                 *(f"{key} = {value}" for key, value in settings.items())]
        self.write("/etc/runner-registrar/config.ini", "\n".join(lines) + "\n", 0o600)

    def enable(self, unit: str = "runner-registrar.service") -> None:
        folder = next(folder for folder in ("/etc/systemd/system", self.lab.unit_dir) if self.exists(f"{folder}/{unit}"))
        place = self.path(f"/etc/systemd/system/multi-user.target.wants/{unit}")
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if not os.path.lexists(place):
            os.symlink(f"{folder}/{unit}", place)

    def mask(self, unit: str) -> None:
        os.makedirs(self.path("/etc/systemd/system"), exist_ok=True)
        os.symlink("/dev/null", self.path(f"/etc/systemd/system/{unit}"))

    def entries(self) -> list[dict[str, Any]]:
        try:
            return tomllib.loads(self.read("/etc/gitlab-runner/config.toml")).get("runners", [])
        except FileNotFoundError:
            return []

    def wait_entries(self, condition: Callable[[list[dict[str, Any]]], bool], timeout: float = PATIENCE) -> None:
        """Until config.toml's entries are as CONDITION says; woken by each change of its folder."""
        until = time.monotonic() + timeout
        watch = Watch(self.path("/etc/gitlab-runner"))
        try:
            while not condition(self.entries()):
                if time.monotonic() >= until:
                    raise AssertionError(f"config.toml never came to be so: {self.entries()}")
                watch.wait(until - time.monotonic())
        finally:
            watch.close()

    # Its life

    def boot(self, timeout: float = PATIENCE) -> None:
        """Starts it; returns once systemd says that everything it was to start is started."""
        assert self.process is None
        place = os.path.join(self.folder, "notify")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
        command = ["systemd-nspawn", "--boot", "--quiet", "--register=no", "--keep-unit", "--notify-ready=yes",
                   "--console=pipe", "--link-journal=no", "--resolv-conf=off", "--timezone=off", f"--directory={self.root}",
                   f"--machine={os.path.basename(self.folder)}", f"--hostname={self.name}"]
        command += [f"--set-credential={name}:{value}" for name, value in self.credentials.items()]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(place)
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console,
                                            preexec_fn=self.group.join, env={"PATH": PATH, "NOTIFY_SOCKET": place})
            self._wait_ready(listener, time.monotonic() + timeout)

    def _wait_ready(self, listener: socket.socket, until: float) -> None:
        assert self.process
        ended = os.pidfd_open(self.process.pid)
        try:
            while True:
                readable = select.select([listener, ended], [], [], max(until - time.monotonic(), 0))[0]
                if not readable:
                    raise AssertionError(f"the machine is not up in time: {self._last_words()}")
                if listener not in readable:
                    raise AssertionError(f"the machine ended while it started: {self._last_words()}")
                for line in listener.recv(65536).decode(errors="replace").splitlines():
                    if line.startswith("X_NSPAWN_LEADER_PID="):
                        self.leader = int(line.partition("=")[2])
                    elif line == "READY=1":
                        return
        finally:
            os.close(ended)

    def _last_words(self) -> str:
        with open(self.console.name, encoding="utf-8", errors="replace") as f:
            return " | ".join(f.read().splitlines()[-15:])

    def wait_end(self, timeout: float = PATIENCE) -> int:
        """Until it is off, or asks to be started again; the exit code of systemd-nspawn."""
        assert self.process
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the machine does not end: {self._last_words()}") from None
        self.process = None
        return code

    def end(self, verb: str = "poweroff", timeout: float = PATIENCE) -> int:
        """`systemctl VERB`, or, for a target, its start as the verb would do it; until the machine is off."""
        words = [verb]
        if verb.endswith(".target"):
            words = ["start", verb, "--job-mode=replace-irreversibly"]
        self.run("systemctl", "--no-block", *words, check=False)
        return self.wait_end(timeout)

    def soft_reboot(self) -> None:
        """Everything but the kernel begins anew (systemd 254); until systemd has."""
        process = self.run("systemctl", "show", "--property=UserspaceTimestampMonotonic", "--value").stdout
        self.run("systemctl", "--no-block", "soft-reboot", check=False)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            done = self.run("systemctl", "show", "--property=UserspaceTimestampMonotonic", "--value", check=False)
            if done.returncode == 0 and done.stdout != process:
                return
        raise AssertionError("no soft-reboot was made")

    def cut_power(self) -> None:
        """Nothing of it has a chance to say goodbye."""
        if self.process:
            # With its first process all of it ends; without systemd-nspawn it would go on.
            os.kill(self.leader or self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def clone_of_disk(self, name: str, machine_id: str | None = None) -> Machine:
        """Another machine with the same disk. This one must be off, and stay off."""
        assert self.process is None
        if os.path.ismount(self.root):
            subprocess.run(["umount", self.root], check=True)
        clone = Machine(self.lab, name, machine_id, [self.upper, *self.layers])
        self.lab.machines.append(clone)
        return clone

    def close(self) -> None:
        self.cut_power()
        self.console.close()
        if os.path.ismount(self.root):
            subprocess.run(["umount", self.root], check=False)
        self.group.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Inside

    def run(self, *command: str, check: bool = True, timeout: float = PATIENCE, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command of root's in the running machine."""
        done = subprocess.run(self._inside(command), capture_output=True, text=True, input=stdin, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command that goes on."""
        return subprocess.Popen(self._inside(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def _inside(self, command: tuple[str, ...]) -> list[str]:
        return ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd",
                "/usr/bin/env", "-i", f"PATH={PATH}", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER=", *command]

    def show(self, prop: str, unit: str = "runner-registrar.service") -> str:
        return self.run("systemctl", "show", "--value", f"--property={prop}", unit).stdout.strip()

    def status(self, name: str = "build-1") -> dict[str, Any]:
        runners = json.loads(self.run("runner-registrar", "status", "--json").stdout)["runners"]
        return next(runner for runner in runners if runner["name"] == name)

    def wait_enrolled(self) -> None:
        self.run("runner-registrar", "wait", "--timeout", "20s")

    def wait_session(self) -> None:
        """Until somebody's first session has begun in this boot."""
        self.wait_said("Started session-c1.scope", "session-c1.scope")

    def main_process(self, unit: str = "runner-registrar.service") -> int:
        """As the machine numbers it."""
        return int(self.show("MainPID", unit))

    # Its journal, also when it is off

    def journal(self, *matches: str, boot: str | None = None) -> list[dict[str, Any]]:
        words = ["journalctl", f"--directory={self.root}/var/log/journal", "--output=json", "--no-pager", "--quiet", *matches]
        if boot is not None:
            words.append(f"--boot={boot}")
        lines = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def said(self, unit: str = "runner-registrar.service", boot: str | None = None) -> str:
        """All that a unit has said, and systemd about it."""
        messages = [entry for entry in self.journal(boot=boot) if unit in (entry.get("_SYSTEMD_UNIT"), entry.get("UNIT"))]
        return "\n".join(str(entry.get("MESSAGE")) for entry in messages)

    def wait_said(self, text: str, unit: str = "runner-registrar.service", after: Callable[[], Any] | None = None,
                  timeout: float = PATIENCE) -> str:
        """Until the unit says a line with TEXT in it, or has said one since the boot; with AFTER, which makes it say so,
        only lines from then on are counted."""
        process = subprocess.Popen(
            ["journalctl", f"--directory={self.root}/var/log/journal", "--output=json", "--follow",
             *(["--lines=0"] if after else ["--boot", "--no-tail"])], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        # Once it waits for changes it has seen where the journal ends.
        try:
            if after:
                self._wait_blocked(process)
                after()
            return self._read_until(process, unit, text, time.monotonic() + timeout)
        finally:
            process.kill()
            process.wait()

    @staticmethod
    def _wait_blocked(process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with open(f"/proc/{process.pid}/wchan", encoding="utf-8") as f:
                if "poll" in f.read():
                    return
            if process.poll() is not None:
                break
            os.sched_yield()
        raise AssertionError("journalctl does not follow")

    @staticmethod
    def _read_until(process: subprocess.Popen[bytes], unit: str, text: str, until: float) -> str:
        assert process.stdout
        descriptor, rest = process.stdout.fileno(), b""
        while select.select([descriptor], [], [], max(until - time.monotonic(), 0))[0]:
            data = os.read(descriptor, 65536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                entry = json.loads(line)
                if unit in (entry.get("_SYSTEMD_UNIT"), entry.get("UNIT")) and text in str(entry.get("MESSAGE")):
                    return str(entry["MESSAGE"])
        raise AssertionError(f"{unit} never said '{text}'")


class Lab:
    """The stand-in GitLab, the machines, and what all of them have in common. GITLAB_OPTIONS are GitLab()'s."""

    def __init__(self, release: str = "bookworm", **gitlab_options: Any):
        self.base = base_root(release)
        self.folder, self.claim = make_folder(os.path.dirname(self.base))
        # What boots in a test can do without, and see better with; the neighbour; and we.
        self.furniture = os.path.join(self.folder, "furniture")
        self.neighbour = os.path.join(self.folder, "neighbour")
        self.tree = os.path.join(self.folder, "tree")
        self._furnish()
        put(self.neighbour, "/usr/bin/gitlab-runner", read(os.path.join(HERE, "gitlab-runner")), 0o755)
        put(self.neighbour, "/etc/systemd/system/gitlab-runner.service", GITLAB_RUNNER_UNIT)
        if release == "bullseye":
            # What is built here stands on libraries that are newer than its own.
            build_tree(self.base, os.path.join(self.folder, "builder"), self.tree)
        else:
            install_tree(self.tree)
        self.unit_dir = next(path.removeprefix(self.tree) for path, _, names in os.walk(self.tree)
                             if "runner-registrar.service" in names)
        self.machines: list[Machine] = []
        self.made = 0
        self.gitlab = GitLab(**gitlab_options)

    def _furnish(self) -> None:
        os.makedirs(self.furniture + "/var/log/journal")
        # Every entry, also of a storm.
        put(self.furniture, "/etc/systemd/journald.conf.d/test.conf",
            "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\n")
        os.makedirs(self.furniture + "/etc/systemd/system")
        for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service",
                     "dpkg-db-backup.timer", "systemd-tmpfiles-clean.timer", "console-getty.service"):
            os.symlink("/dev/null", f"{self.furniture}/etc/systemd/system/{unit}")
        # Only machines that are to have it have cloud-init.
        put(self.furniture, "/etc/cloud/cloud-init.disabled", "")

    def __enter__(self) -> Lab:
        self.gitlab.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for machine in reversed(self.machines):
            machine.close()
        self.gitlab.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self.claim)

    def machine(self, name: str, machine_id: str | None = "", bare: bool = False) -> Machine:
        """A machine that is off; MACHINE_ID "": one made from its name; None: as the root has it. BARE: neither the
        program nor gitlab-runner is installed."""
        if machine_id == "":
            machine_id = (name.encode().hex() + "0123456789abcdef" * 2)[:32]
        layers = [self.furniture, self.base] if bare else [self.tree, self.neighbour, self.furniture, self.base]
        machine = Machine(self, name, machine_id, layers)
        self.machines.append(machine)
        return machine
