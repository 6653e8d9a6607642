#!/usr/bin/python3
# tests: timeout=900
"""The sandbox of the unit: it denies what it promises to, the agent can do all of its work in it, and where it is in the
way the message says what to write into which unit. And the credentials, which arrive only there."""

import json
import os

import machine as machines

machines.enter("system ")

from boots import CREATING, DELETING, Boots, main  # noqa: E402

DROP_IN = "/etc/systemd/system/runner-registrar.service.d/test.conf"

# Tries things, writes what came of them where it may, and prints a token: an `exec:` source lives in the sandbox, too.
PROBE = r'''#!/usr/bin/python3
import ctypes, errno, json, mmap, os, socket
libc = ctypes.CDLL(None, use_errno=True)
found = {}

def attempt(name, what):
    try:
        found[name] = what() or "done"
    except OSError as error:
        found[name] = errno.errorcode[error.errno]

def call(name, *arguments):
    def run():
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)
    return run

def write(path):
    def run():
        with open(path, "w") as f:
            f.write("x")
    return run

for path in ("/etc/probe", "/etc/runner-registrar/probe", "/usr/bin/probe", "/var/log/probe", "/boot/probe", "/root/probe",
             "/home/probe", "/srv/probe", "/proc/sys/kernel/hostname", "/sys/power/state", "/tmp/probe",
             "/etc/gitlab-runner/probe", "/var/lib/runner-registrar/probe", "/run/runner-registrar/probe"):
    attempt("write " + path, write(path))
for path in ("/etc/gitlab-runner/probe", "/var/lib/runner-registrar/probe", "/run/runner-registrar/probe"):
    if os.path.exists(path):
        os.unlink(path)
attempt("list /tmp", lambda: sorted(os.listdir("/tmp")))
attempt("list /home", lambda: sorted(os.listdir("/home")))
attempt("list /dev/disk", lambda: sorted(os.listdir("/dev/mapper")))
attempt("mount", call("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None))
attempt("unshare", call("unshare", 0x10000000))
attempt("chroot", call("chroot", b"/tmp"))
attempt("ptrace", call("ptrace", 16, 1, 0, 0))
attempt("setuid", lambda: os.setuid(1))
attempt("chown", lambda: os.chown("/var/lib/runner-registrar", 1, 1))
attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close())
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close())
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close())
attempt("inet", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close())
attempt("memory", lambda: mmap.mmap(-1, 4096, prot=7).close())
attempt("setuid bit", lambda: (os.close(os.open("/run/runner-registrar/s", os.O_CREAT | os.O_WRONLY, 0o700)),
                               os.chmod("/run/runner-registrar/s", 0o4755)) and None)
attempt("kill", lambda: os.kill(1, 0))
attempt("processes", lambda: sorted(p for p in os.listdir("/proc") if p.isdigit() and p == "1"))
attempt("identity", lambda: [os.getuid(), os.umask(0)])
attempt("credentials", lambda: "CREDENTIALS_DIRECTORY" in os.environ)
attempt("environment", lambda: sorted(os.environ))
with open("/var/lib/runner-registrar/found", "w") as f:
    json.dump(found, f)
print(open("/etc/runner-registrar/token").read())
'''


class Sandbox(Boots):
    def test_process_has_no_rights_but_its_own(self):
        machine = self.enrolled()
        pid = machine.main_process()
        status = dict(line.split(":\t", 1) for line in machine.run("cat", f"/proc/{pid}/status").stdout.splitlines()
                      if ":\t" in line)
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual(status["Uid"].split(), ["0"] * 4)
        # Other users do not exist in there.
        self.assertEqual(machine.run("cat", f"/proc/{pid}/uid_map").stdout.split(), ["0", "0", "1"])
        self.assertIn("Max core file size        0 ", machine.run("cat", f"/proc/{pid}/limits").stdout)

    def test_what_it_denies(self):
        machine = self.machine(registration_token="exec:/usr/local/bin/probe")
        machine.write("/usr/local/bin/probe", PROBE, 0o755)
        machine.write("/etc/runner-registrar/token", self.gitlab.registration_tokens["instance"], 0o600)
        machine.write("/home/someone/secret", "x")
        machine.boot()
        machine.wait_enrolled()
        found = json.loads(machine.read("/var/lib/runner-registrar/found"))
        for path in ("/etc/probe", "/etc/runner-registrar/probe", "/usr/bin/probe", "/var/log/probe", "/boot/probe",
                     "/srv/probe"):
            self.assertEqual(found.pop("write " + path), "EROFS", path)
        for path in ("/root/probe", "/home/probe", "/proc/sys/kernel/hostname", "/sys/power/state"):
            self.assertIn(found.pop("write " + path), ("EROFS", "EACCES", "ENOENT"), path)
        for path in ("/tmp/probe", "/etc/gitlab-runner/probe", "/var/lib/runner-registrar/probe", "/run/runner-registrar/probe"):
            self.assertEqual(found.pop("write " + path), "done", path)
        self.assertFalse(machine.exists("/tmp/probe"))
        self.assertEqual(found.pop("list /tmp"), ["probe"])
        self.assertIn(found.pop("list /home"), ("done", "EACCES"))
        self.assertIn(found.pop("list /dev/disk"), ("ENOENT", "EACCES"))
        for name in ("mount", "unshare", "chroot", "setuid", "chown", "nice", "packet", "raw", "memory", "setuid bit"):
            self.assertIn(found.pop(name), ("EPERM", "EACCES", "EAFNOSUPPORT", "EINVAL"), name)
        self.assertEqual(found.pop("netlink"), "EAFNOSUPPORT")
        self.assertEqual(found.pop("ptrace"), "EPERM")
        # What is root's own it may signal: uid 0 is what it has kept of root.
        self.assertEqual(found.pop("kill"), "done")
        self.assertEqual(found.pop("processes"), "done")
        self.assertEqual(found.pop("inet"), "done")
        self.assertEqual(found.pop("identity")[0], 0)
        for name in found.pop("environment"):
            self.assertNotRegex(name, "TOKEN|SECRET")

    def test_score_and_verdict_of_the_machines_own_systemd(self):
        machine = self.enrolled(gitlab_runner=True)
        done = machine.run("systemd-analyze", "security", "--no-pager", "--threshold=14", "runner-registrar.service", check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-200:])
        done = machine.run("systemd-analyze", "verify", "runner-registrar.service", "gitlab-runner.service")
        self.assertEqual(done.stdout + done.stderr, "")

    def test_nothing_is_denied_to_the_agents_own_work(self):
        """Every call that the filter stops would show as an audit record or a failure in the log."""
        machine = self.enrolled(gitlab_runner=True)
        machine.run("runner-registrar", "verify")
        machine.run("runner-registrar", "rotate")
        machine.run("systemctl", "reload", "runner-registrar")
        machine.run("runner-registrar", "deregister")
        machine.run("runner-registrar", "register")
        machine.wait_enrolled()
        self.assert_one_runner(machine)
        loud = [entry for entry in machine.journal("_SYSTEMD_UNIT=runner-registrar.service") if int(entry["PRIORITY"]) <= 4]
        self.assertEqual([entry["MESSAGE"] for entry in loud], [])

    def test_gitlab_runner_is_told_from_inside(self):
        """As uid 0 of a user namespace of its own it may still ask systemd to send a signal."""
        machine = self.enrolled(gitlab_runner=True)
        # It spares a process younger than this.
        machine.wait_said("Checking for jobs... 204", "gitlab-runner.service")
        started = int(machine.show("ExecMainStartTimestampMonotonic", "gitlab-runner.service"))
        self.gitlab.wait_requests(operation="request_job", count=2, timeout=20)
        self.assertGreater(started, 0)
        machine.wait_said("SIGHUP received", "gitlab-runner.service", after=lambda: machine.run("runner-registrar", "rotate"))


class OtherPlaces(Boots):
    def test_config_toml_elsewhere_names_the_line_that_is_missing(self):
        machine = self.machine(agent={"config_toml": "/opt/runner/config.toml"})
        os.makedirs(machine.path("/opt/runner"))
        machine.boot()
        machine.wait_said("ReadWritePaths=/opt/runner")
        self.assertEqual(self.done(CREATING), [])
        machine.write(DROP_IN, "[Service]\nReadWritePaths=/opt/runner\n")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "runner-registrar")
        machine.wait_enrolled()
        self.assertIn(self.gitlab.runners()[0]["token"], machine.read("/opt/runner/config.toml"))

    def test_metrics_file_elsewhere_names_the_line_that_is_missing(self):
        machine = self.machine(agent={"metrics_file": "/srv/metrics/runner.prom"})
        os.makedirs(machine.path("/srv/metrics"))
        machine.boot()
        machine.wait_said("ReadWritePaths=/srv/metrics")
        machine.wait_enrolled()

    def test_drop_in_for_a_config_toml_of_another_owner(self):
        """gitlab-runner installed for a user: the file, its folder and the service are that user's."""
        machine = self.machine(agent={"config_toml": "/home/gitlab-runner/.gitlab-runner/config.toml"})
        machine.write("/etc/passwd", machine.read("/etc/passwd") + "gitlab-runner:x:990:990::/home/gitlab-runner:/bin/sh\n")
        machine.write("/etc/group", machine.read("/etc/group") + "gitlab-runner:x:990:\n")
        os.makedirs(machine.path("/home/gitlab-runner/.gitlab-runner"), 0o700)
        for path in ("/home/gitlab-runner", "/home/gitlab-runner/.gitlab-runner"):
            os.chown(machine.path(path), 990, 990)
        os.chown(machine.path("/etc/runner-registrar/config.ini"), 0, 990)
        os.chmod(machine.path("/etc/runner-registrar/config.ini"), 0o640)
        example = next(os.path.join(path, "other-owner.conf") for path, _, names in os.walk(machine.root + "/usr/share/doc")
                       if "other-owner.conf" in names)
        with open(example, encoding="utf-8") as f:
            machine.write(DROP_IN, f.read())
        machine.boot()
        machine.wait_enrolled()
        place = "/home/gitlab-runner/.gitlab-runner/config.toml"
        self.assertIn(self.gitlab.runners()[0]["token"], machine.read(place))
        self.assertEqual(machine.run("stat", "-c", "%U %a", place).stdout.split(), ["gitlab-runner", "600"])
        done = machine.run("systemd-analyze", "security", "--no-pager", "--threshold=14", "runner-registrar.service", check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-200:])
        machine.run("systemctl", "stop", "runner-registrar")
        self.assertEqual(self.gitlab.runners(), [])


class Credentials(Boots):
    def test_from_the_credential_store(self):
        machine = self.enrolled()
        self.assert_one_runner(machine)
        self.assertNotIn(self.gitlab.registration_tokens["instance"], machine.run("sh", "-c", "cat /proc/*/environ").stdout)

    def test_from_the_host_of_the_machine(self):
        machine = self.machine(registration_token=f"credential:{machines.SECRET}")
        machine.credentials[machines.SECRET] = self.gitlab.registration_tokens["instance"]
        machine.boot()
        machine.wait_enrolled()

    def test_encrypted(self):
        machine = self.machine(registration_token=f"credential:{machines.SECRET}")
        machine.boot()
        machine.run("systemd-creds", "setup")
        machine.run("mkdir", "-p", "-m", "700", "/etc/credstore.encrypted")
        machine.run("systemd-creds", "encrypt", f"--name={machines.SECRET}", "--with-key=host", "-",
                    f"/etc/credstore.encrypted/{machines.SECRET}", stdin=self.gitlab.registration_tokens["instance"])
        machine.write(DROP_IN, f"[Service]\nLoadCredentialEncrypted={machines.SECRET}\n")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "runner-registrar")
        machine.wait_enrolled()
        self.assertNotIn(self.gitlab.registration_tokens["instance"],
                         machine.run("sh", "-c", "cat /etc/credstore.encrypted/*").stdout)

    def test_missing_one_keeps_nothing_down(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        machine = self.machine(authentication_token="file:/etc/runner-registrar/token")
        machine.write("/etc/runner-registrar/token", runner["token"], 0o600)
        machine.boot()
        machine.wait_enrolled()
        self.assertFalse(machine.exists("/etc/credstore"))

    def test_missing_one_that_is_needed_is_said_and_read_again(self):
        machine = self.machine(registration_token=f"credential:{machines.SECRET}", agent={"refused_retry": "1s"})
        machine.boot()
        self.assertEqual(machine.show("ActiveState"), "active")
        machine.wait_said(machines.SECRET)
        machine.write(f"/etc/credstore/{machines.SECRET}", self.gitlab.registration_tokens["instance"], 0o600)
        machine.run("systemctl", "restart", "runner-registrar")
        machine.wait_enrolled()
        self.assertEqual(self.done(DELETING), [])


if __name__ == "__main__":
    main("system ")
