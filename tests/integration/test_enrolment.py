#!/usr/bin/python3
"""Enrolling: by all three flows, at every age of GitLab, exactly once, and as gitlab-runner itself would."""
# tests: valgrind

import hmac
import json
import os
import shutil
import stat
import subprocess

from case import AGAIN, CONFIG, DONE, FAST, REFUSED, Case, quiet
from host import PROGRAM, Host

from report import main

VERSIONS = ["13", "15", "16", "17", "18", "newest"]
ZERO = "0001-01-01T00:00:00+00:00"

# The tables of gitlab-runner's own features, newest release: for an entry without executor, for shell and for docker.
FEATURES = {"none": 7, "shell": 24, "docker": 29}


def read_machine_id():
    """As gitlab-runner reads it: the second file only where the first can't be read."""
    for path in ("/var/lib/dbus/machine-id", "/etc/machine-id"):
        try:
            with open(path, "rb") as f:
                return f.read().strip()
        except OSError:
            pass
    return b""


def body_of(entry):
    return json.loads(entry["body"])


def headers_of(entry):
    return {name.lower(): value for name, value in entry["headers"]}


class Flows(Case):
    def each_version(self, versions):
        for version in versions:
            with self.subTest(version=version):
                self.gitlab.reset(version)
                with Host(self.gitlab) as self.host:
                    yield version

    def test_by_registration_token(self):
        for _ in self.each_version(VERSIONS):
            self.host.configure(registration_token="instance")
            self.run_command("register")
            self.assert_enrolled_once()
            self.assertEqual(self.gitlab.operations(), ["register"])

    def test_by_access_token(self):
        for _ in self.each_version(["16", "17", "18", "newest"]):
            self.host.configure(**self.by_access_token(access_token="create"))
            self.run_command("register")
            runner = self.assert_enrolled_once()
            self.assertEqual(self.gitlab.operations(), ["create", "verify"])
            self.assertEqual([m["system_id"] for m in runner["managers"]], [self.host.system_id()])

    def test_access_token_where_gitlab_is_too_old(self):
        for _ in self.each_version(["13", "15"]):
            self.host.configure(**self.by_access_token())
            self.run_command("register", code=REFUSED)
            self.assertEqual(self.gitlab.runners(), [])
            self.assertEqual(self.host.entries(), [])

    def test_by_authentication_token(self):
        for version in self.each_version(VERSIONS):
            runner = self.gitlab.seed_runner(runner_type="instance_type", created=version >= "16")
            self.host.configure(authentication_token=runner["token"])
            self.run_command("register")
            self.assertEqual(self.host.entry()["token"], runner["token"])
            self.assertEqual(self.gitlab.operations(), ["verify"])
            if version >= "16":
                self.assertEqual(self.host.entry()["id"], runner["id"])

    def test_tokens_are_opaque(self):
        for token in ("glrt-" + "x" * 295, "acme-glrt-t1_abc.def-ghi_jkl", "0123456789abcdef0123456789abcd", "t3_ABCDEFGHIJKLMNOPQRST"):
            with self.subTest(token=token[:20]):
                self.gitlab.reset()
                self.gitlab.seed_runner(runner_type="instance_type", token=token)
                with Host(self.gitlab) as self.host:
                    self.host.configure(authentication_token=token)
                    self.run_command("register")
                    self.assertEqual(self.host.entry()["token"], token)

    def test_instance_prefix(self):
        self.gitlab.settings(instance_token_prefix="acme", routable_tokens=True)
        self.host.configure(**self.by_access_token())
        self.run_command("register")
        self.assertTrue(self.assert_enrolled_once()["token"].startswith("acme-glrt-"))


class Wire(Case):
    """What GitLab sees is what gitlab-runner would send."""

    def registered(self, **settings):
        self.host.configure(**settings)
        self.run_command("register")
        return self.gitlab.log()

    def assert_info(self, info, kind):
        self.assertEqual([key for key in info if key not in ("executor", "shell")],
                         ["name", "version", "revision", "platform", "architecture", "features", "config"])
        self.assertEqual(info["name"], "gitlab-runner")
        self.assertEqual(info["platform"], "linux")
        self.assertEqual(len(info["features"]), 31)
        self.assertEqual(sum(info["features"].values()), FEATURES[kind])
        self.assertEqual("executor" in info, kind != "none")
        self.assertEqual(list(info["config"]), ["gpus"])

    def test_registration(self):
        entry = self.registered(registration_token="instance", executor="docker", template=self.docker_template())[0]
        body = body_of(entry)
        self.assertEqual(body["token"], self.gitlab.registration_tokens["instance"])
        self.assert_info(body["info"], "none")
        headers = headers_of(entry)
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual(headers["accept"], "application/json")
        self.assertRegex(headers["x-request-id"], "^[0-9a-f]{32}$")
        self.assertRegex(headers["user-agent"], r"^gitlab-runner \S+ \(\S+; go\S+; linux/\w+\)$")
        self.assertEqual(headers["runner-token"], self.gitlab.registration_tokens["instance"])
        self.assertNotIn("private-token", headers)

    def docker_template(self):
        path = os.path.join(self.host.path, "docker.toml")
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as f:
            f.write('[[runners]]\n  [runners.docker]\n    image = "debian:12"\n')
        return path

    def test_verify(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        entry = self.registered(authentication_token=runner["token"], executor="docker", template=self.docker_template())[0]
        self.assertEqual(list(body_of(entry)), ["info", "token", "system_id"])
        self.assertEqual(body_of(entry)["system_id"], self.host.system_id())
        self.assert_info(body_of(entry)["info"], "docker")
        self.assertEqual(headers_of(entry)["runner-token"], runner["token"])

    def test_creation(self):
        create, verify = self.registered(**self.by_access_token())
        self.assertEqual(headers_of(create)["private-token"], self.gitlab.tokens["owner"])
        self.assertNotIn("runner-token", headers_of(create))
        self.assertNotIn("private-token", headers_of(verify))
        self.assertNotEqual(headers_of(create)["x-request-id"], headers_of(verify)["x-request-id"])
        self.assertNotIn(self.gitlab.tokens["owner"], create["body"])

    def test_every_call_by_runner_token_names_this_machine(self):
        self.host.configure(agent={"verify_interval": "1h"}, registration_token="instance")
        with self.host.agent() as agent:
            agent.wait_quiet()
            self.run_command("verify")
            self.run_command("rotate")
            self.assertEqual(agent.stop(), 0)
        for entry in self.gitlab.log():
            if entry["operation"] in ("verify", "reset", "delete"):
                self.assertEqual(entry["params"].get("system_id"), self.host.system_id(), entry["operation"])
        self.assertEqual(set(self.gitlab.operations()), {"register", "verify", "reset", "delete"})
        for runner in self.gitlab.runners():
            self.assertNotIn("<legacy>", [m["system_id"] for m in runner["managers"]])

    def test_only_configured_attributes_are_sent(self):
        body = body_of(self.registered(registration_token="instance")[0])
        self.assertEqual(set(body), {"token", "info", "description"})
        self.assertEqual(body["description"], "build-1")

    def test_all_attributes(self):
        self.registered(registration_token="project", description="host %H", tag_list="docker, linux", run_untagged="false",
                        locked="true", paused="true", access_level="ref_protected", maximum_timeout="3600",
                        maintenance_note="100 %% ours")
        runner = self.gitlab.runners()[0]
        self.assertEqual(runner["description"], "host " + os.uname().nodename)
        self.assertEqual(sorted(runner["tag_list"]), ["docker", "linux"])
        self.assertEqual((runner["run_untagged"], runner["locked"], runner["paused"]), (False, True, True))
        self.assertEqual((runner["access_level"], runner["maximum_timeout"]), ("ref_protected", 3600))
        self.assertEqual(runner["maintenance_note"], "100 % ours")

    def test_project_runner_by_access_token(self):
        self.registered(access_token="maintainer", runner_type="project_type", project_id=self.gitlab.ids["project"],
                        tag_list="a,b", maintenance_note="by the platform team")
        runner = self.gitlab.runners()[0]
        self.assertEqual(runner["runner_type"], "project_type")
        self.assertEqual(sorted(runner["tag_list"]), ["a", "b"])
        # The marker that finds a lost answer's runner again stands at the end.
        self.assertRegex(runner["maintenance_note"], "^by the platform team.*rr-[0-9a-f]{16}")


FOREIGN = """\
# Ask the platform team.
concurrent = 4   # enough

[[runners]]
  name = "other"\r
  url = "https://other.example.com"
  token = 'glrt-other'
  executor = "shell"
"""


class ConfigToml(Case):
    def test_every_other_byte_stays(self):
        self.host.write_toml(FOREIGN)
        os.chmod(self.host.config_toml, 0o640)
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.assertTrue(self.host.toml_text().startswith(FOREIGN))
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["other", "build-1"])
        self.assertEqual(stat.S_IMODE(os.stat(self.host.config_toml).st_mode), 0o640)
        self.run_command("deregister")
        self.assertEqual(self.host.toml_text(), FOREIGN)

    def test_what_was_not_there_is_made_as_gitlab_runner_makes_it(self):
        shutil.rmtree(os.path.dirname(self.host.config_toml))
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.assertEqual(stat.S_IMODE(os.stat(self.host.config_toml).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(self.host.config_toml)).st_mode), 0o700)
        self.assertTrue(self.host.toml_text().startswith(
            "concurrent = 1\ncheck_interval = 0\nshutdown_timeout = 0\n\n[session_server]\n  session_timeout = 1800\n\n[[runners]]\n"))

    def test_files_are_for_us_alone(self):
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.host.state_dir, "build-1.json")).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.host.state_dir).st_mode) & 0o022, 0)

    def test_system_id_as_gitlab_runner_makes_it(self):
        self.host.configure(registration_token="instance")
        self.run_command("register")
        path = os.path.join(os.path.dirname(self.host.config_toml), ".runner_system_id")
        self.assertRegex(self.host.system_id(), "^[sr]_[0-9a-zA-Z]{12}$")
        machine_id = read_machine_id()
        if machine_id:
            digest = hmac.new(machine_id, b"gitlab-runner", "sha256").hexdigest()
            self.assertEqual(self.host.system_id(), "s_" + digest[:12])
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)

    def test_system_id_that_is_there_is_kept(self):
        with open(os.path.join(os.path.dirname(self.host.config_toml), ".runner_system_id"), "w", encoding="utf-8") as f:
            f.write("r_ABCDEFGHIJKL")
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        self.host.configure(authentication_token=runner["token"])
        self.run_command("register")
        self.assertEqual(self.host.system_id(), "r_ABCDEFGHIJKL")
        self.assertEqual([m["system_id"] for m in self.gitlab.runner(runner["id"])["managers"]], ["r_ABCDEFGHIJKL"])

    def test_zero_time_while_the_agent_runs_and_real_times_after_one_pass(self):
        self.gitlab.settings(runner_token_expiration_interval=86400)
        self.host.configure(registration_token="instance")
        self.run_command("register")
        expiry = self.host.entry()["token_expires_at"]
        self.assertEqual(round((expiry - self.host.entry()["token_obtained_at"]).total_seconds() / 60), 1440)
        with self.host.agent() as agent:
            agent.wait_quiet()
            self.assertEqual(self.host.entry()["token_expires_at"].isoformat(), ZERO)
            # Nothing is forgotten by that: our own state knows.
            self.assertTrue(agent.runner()["token_expires_at"].startswith(expiry.isoformat()[:16]))

    def test_real_times_of_a_shared_token_are_never_written(self):
        self.gitlab.settings(runner_token_expiration_interval=86400)
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True, token_expires_at=self.gitlab.now() + 86400)
        self.host.configure(authentication_token=runner["token"])
        self.run_command("register")
        self.assertEqual(self.host.entry()["token_expires_at"].isoformat(), ZERO)

    def test_template_and_executor(self):
        path = os.path.join(self.host.path, "template.toml")
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as f:
            f.write('[[runners]]\n  name = "mine"\n  token = "no"\n  limit = 3\n  environment = ["A=1"]\n'
                    '  [runners.docker]\n    image = "debian:12"\n  [runners.kubernetes]\n    namespace = "x"\n')
        self.host.configure(registration_token="instance", executor="docker", template=path, agent={"concurrent": 7})
        self.run_command("register")
        entry = self.host.entry()
        self.assertEqual((entry["limit"], entry["environment"], entry["docker"]["image"]), (3, ["A=1"], "debian:12"))
        self.assertEqual(entry["docker"]["volumes"], ["/cache"])
        self.assertNotIn("kubernetes", entry)
        self.assertIn("concurrent = 7", self.host.toml_text())

    def test_docker_without_an_image_is_a_mistake_and_nothing_is_sent(self):
        self.host.configure(registration_token="instance", executor="docker")
        said = self.run_command("register", code=CONFIG)
        self.assertIn("image", said)
        self.assertEqual(self.gitlab.log(), [])

    def test_tls_files_are_handed_to_gitlab_runner(self):
        path = os.path.join(self.host.path, "ca.pem")
        shutil.copy(os.path.join(os.path.dirname(__file__), "..", "README.md"), path)
        self.host.configure(registration_token="instance", tls_ca_file=path)
        self.run_command("register")
        self.assertEqual(self.host.entry()["tls-ca-file"], path)


class Adoption(Case):
    def entry_text(self, token, name="build-1", url=None):
        return f'[[runners]]\n  name = "{name}"\n  url = "{url or self.gitlab.url}"\n  token = "{token}"\n  executor = "shell"\n'

    def test_twice_is_once(self):
        self.host.configure(registration_token="instance")
        self.run_command("register")
        before = self.host.toml_text()
        self.run_command("register")
        self.assertEqual(self.gitlab.count(operation="register"), 1)
        self.assertEqual(self.host.toml_text(), before)

    def test_agent_after_agent_creates_nothing(self):
        for _ in range(3):
            agent = self.enrolled_agent(agent={"deregister_on": "never"})
            self.assertEqual(agent.stop(), 0)
        self.assert_enrolled_once()
        self.assertEqual(self.gitlab.count(operation="register"), 1)

    def test_reinstalled_host_finds_its_runner(self):
        self.host.configure(registration_token="instance")
        self.run_command("register")
        shutil.rmtree(self.host.state_dir)
        self.run_command("register")
        self.assert_enrolled_once()
        # .runner_system_id was ours, so is the runner: it is deleted as a whole.
        self.run_command("deregister")
        self.assert_nothing_left()
        self.assertEqual(self.gitlab.operations()[-1], "delete")

    def test_by_hand_and_other_spellings_of_the_url(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", token_format="glrtr")
        for url in (self.gitlab.url + "/", self.gitlab.url + "/ci", self.gitlab.url + "//"):
            with self.subTest(url=url), Host(self.gitlab) as host:
                host.write_toml(self.entry_text(runner["token"], url=url))
                host.configure(registration_token="instance")
                self.run_command("register", host=host)
                self.assertEqual(host.entry()["token"], runner["token"])
                self.assertEqual(len(host.entries()), 1)
        self.assertEqual(self.gitlab.count(operation="register"), 0)

    def test_adopted_by_hand_is_shared(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        self.host.write_toml(self.entry_text(runner["token"]))
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.run_command("deregister")
        # Not ours by any proof: the runner stays, only this machine leaves it.
        self.assertEqual([r["id"] for r in self.gitlab.runners()], [runner["id"]])
        self.assertEqual(self.gitlab.runners()[0]["managers"], [])
        self.assertEqual(self.gitlab.count(operation="delete"), 0)

    def test_of_several_entries_the_first_that_works(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type")
        self.host.write_toml(self.entry_text("glrt-dead") + self.entry_text(runner["token"]))
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.assertEqual(self.gitlab.count(operation="register"), 0)
        self.assertIn(runner["token"], [entry["token"] for entry in self.host.entries()])
        self.assertEqual(json.loads(self.run_command("status", "--json"))["runners"][0]["runner_id"], runner["id"])

    def test_an_entry_whose_token_is_unknown_is_not_given_up_at_once(self):
        self.host.write_toml(self.entry_text("glrt-dead"))
        self.host.configure(registration_token="instance")
        self.run_command("register", code=REFUSED)
        self.assertEqual(self.gitlab.runners(), [])
        self.assertIn("glrt-dead", self.host.toml_text())

    def test_and_enrolled_anew_by_the_agent_once_proven(self):
        self.host.write_toml(self.entry_text("glrt-dead"))
        self.host.configure(agent=FAST, registration_token="instance")
        self.start_agent().wait_status(lambda r: quiet(r) and r["runner_id"])
        self.assert_enrolled_once()

    def test_same_name_at_another_gitlab_is_somebody_elses(self):
        other = self.entry_text("glrt-other", url="https://other.example.com")
        self.host.write_toml(other)
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.assertTrue(self.host.toml_text().startswith(other))
        self.assertEqual(len(self.host.entries()), 2)

    def test_gitlab_down_creates_nothing_and_adopts_later(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type")
        self.host.write_toml(self.entry_text(runner["token"]))
        self.host.configure(registration_token="instance")
        self.gitlab.down()
        self.run_command("register", code=AGAIN)
        self.gitlab.up()
        self.run_command("register")
        self.assertEqual(self.gitlab.count(operation="register"), 0)

    def test_deregistered_stays_so_until_registered_again(self):
        self.host.configure(registration_token="instance")
        self.run_command("register")
        self.run_command("deregister")
        self.assert_nothing_left()
        self.run_command("verify", code=1)
        self.assert_nothing_left()
        self.run_command("register")
        self.assert_enrolled_once()


class Files(Case):
    def write(self, name, text):
        path = os.path.join(self.host.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def test_yaml_says_the_same(self):
        source = self.host.secret("token", self.gitlab.registration_tokens["instance"])
        self.host.config = self.write("config.yaml", f"""\
agent:
  config_toml: {self.host.config_toml}
  state_dir: {self.host.state_dir}
  runtime_dir: {self.host.runtime_dir}
runners:
  - name: build-1
    url: {self.gitlab.url}
    registration_token: {source}
    tag_list: [docker, linux]
    executor: shell
""")
        self.run_command("register")
        self.assertEqual(sorted(self.assert_enrolled_once()["tag_list"]), ["docker", "linux"])

    def test_several_files_are_one_configuration(self):
        self.host.configure(registration_token="instance")
        source = self.host.secret("group", self.gitlab.registration_tokens["group"])
        more = self.write("more.ini", f"[runner build-2]\nurl = {self.gitlab.url}\nregistration_token = {source}\nexecutor = shell\n")
        done = self.host.command("-c", more, "register")
        self.assertEqual(done.returncode, DONE, done.stderr)
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["build-1", "build-2"])
        self.assertEqual(len(self.gitlab.runners()), 2)

    def test_configuration_folder_and_what_is_dropped_into_it(self):
        done = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
        if os.geteuid() != 0 or done.returncode != 0:
            self.skipTest("needs root and a mount namespace")
        self.host.configure(registration_token="instance")
        source = self.host.secret("group", self.gitlab.registration_tokens["group"])
        for name in ("b.ini", "a.ini"):
            self.write("etc/conf.d/" + name, f"[runner {name[0]}]\nurl = {self.gitlab.url}\nregistration_token = {source}\n"
                                             "executor = shell\n")
        shutil.copy(self.host.config, os.path.join(self.host.path, "etc/config.ini"))
        os.chmod(os.path.join(self.host.path, "etc/config.ini"), 0o600)
        # /etc/runner-registrar may not exist here: a layer over /etc holds it.
        upper = os.path.join(self.host.path, "upper")
        os.mkdir(upper)
        script = (f"mount -t tmpfs none {upper} && mkdir {upper}/u {upper}/w && cp -a {self.host.path}/etc {upper}/u/runner-registrar && "
                  f"mount -t overlay overlay -o lowerdir=/etc,upperdir={upper}/u,workdir={upper}/w /etc && exec \"$@\"")
        wrapper = ["unshare", "-m", "sh", "-c", script, "sh", PROGRAM]
        if subprocess.run([*wrapper, "--version"], check=False, capture_output=True).returncode != 0:
            self.skipTest("no overlay over /etc here")
        done = subprocess.run([*wrapper, "register"], check=False, capture_output=True, text=True, env=self.host.environment)
        self.assertEqual(done.returncode, DONE, done.stderr)
        self.assertEqual(sorted(entry["name"] for entry in self.host.entries()), ["a", "b", "build-1"])

    def test_names_select(self):
        self.host.configure(registration_token="instance")
        self.host.configure(name="build-2", append=True, registration_token="group")
        self.run_command("register", "build-2")
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["build-2"])
        self.assertIn("build-9", self.run_command("register", "build-9", code=2))

    def test_many_runners_in_one_write(self):
        self.host.configure(registration_token="instance")
        for n in range(2, 40):
            self.host.configure(name=f"build-{n}", append=True, registration_token="instance")
        self.run_command("register")
        self.assertEqual(len(self.host.entries()), 39)
        self.assertEqual({e["token"] for e in self.host.entries()}, {r["token"] for r in self.gitlab.runners()})
        self.run_command("deregister")
        self.assert_nothing_left()


if __name__ == "__main__":
    main("enrolment/")
