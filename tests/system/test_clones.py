#!/usr/bin/python3
# tests: timeout=900
"""Images and their clones: each machine gets an identity of its own, and none touches what is its sibling's."""

import os

import machine as machines

machines.enter("system ")

from boots import CREATING, DELETING, REPLACING, Boots, main  # noqa: E402

SYSTEM_ID = "/etc/gitlab-runner/.runner_system_id"
A, B = "a" * 31 + "1", "b" * 31 + "2"


class Clones(Boots):
    def tokens_used(self, since):
        """Every token that GitLab has been shown."""
        return {str(entry["params"].get("token")) for entry in self.gitlab.log(since) if entry["params"]}

    def test_two_clones_of_a_running_machine_get_identities_of_their_own(self):
        """An image was taken of a machine that was registered and never sealed."""
        image = self.enrolled(name="image", gitlab_runner=True)
        image.cut_power()
        original, original_id = self.assert_one_runner(image), image.read(SYSTEM_ID)
        mark = self.gitlab.mark()
        ids = {original_id}
        runners = {original["id"]}
        for name, machine_id in (("a", A), ("b", B)):
            clone = image.clone_of_disk(name, machine_id)
            clone.boot()
            clone.wait_enrolled()
            clone.wait_said("This disk was another machine's")
            entries = clone.entries()
            self.assertEqual(len(entries), 1)
            self.assertNotEqual(entries[0]["token"], original["token"])
            ids.add(clone.read(SYSTEM_ID))
            runners.add(entries[0]["id"])
            # gitlab-runner started after that: it never saw the other's token.
            clone.wait_said("Checking for jobs... 204", "gitlab-runner.service")
            clone.end("reboot")
        self.assertEqual((len(ids), len(runners)), (3, 3))
        self.assertEqual({runner["id"] for runner in self.gitlab.runners()}, runners)
        self.assertNotIn(original["token"], self.tokens_used(mark))
        self.assertEqual(self.done(DELETING + REPLACING, mark), [])

    def test_clone_that_can_not_enrol_yet_does_not_work_as_its_sibling(self):
        """gitlab-runner starts without waiting for GitLab, and its poll with that token would make a manager."""
        image = self.enrolled(name="image", gitlab_runner=True)
        image.cut_power()
        original = self.assert_one_runner(image)
        place = image.path("/etc/gitlab-runner/config.toml")
        with open(place, "a", encoding="utf-8") as f:
            f.write("  environment = [\"KEPT=1\"]\n")
        self.gitlab.fault(operation="register", kind="status", status=502, count=None)
        mark = self.gitlab.mark()
        clone = image.clone_of_disk("a", A)
        clone.boot()
        self.gitlab.wait_requests(operation="register", since=mark)
        clone.wait_said("Configuration loaded, 1 runners", "gitlab-runner.service")
        self.assertEqual([entry["token"] for entry in clone.entries()], [""])
        self.gitlab.clear_faults()
        clone.run("runner-registrar", "register")
        self.assertEqual([entry["environment"] for entry in clone.entries()], [["KEPT=1"]])
        self.assertNotIn(original["token"], self.tokens_used(mark))

    def test_clone_with_another_configuration_does_not_work_as_its_sibling_either(self):
        """The runner of the sibling's is in config.toml, but no runner of the clone's."""
        image = self.enrolled(name="image", gitlab_runner=True)
        image.cut_power()
        original, mark = self.assert_one_runner(image), self.gitlab.mark()
        clone = image.clone_of_disk("a", A)
        clone.configure(name="other", registration_token="instance")
        clone.boot()
        clone.wait_enrolled()
        clone.wait_said("Checking for jobs... 204 runner=other", "gitlab-runner.service")
        self.assertEqual({entry["name"]: entry["token"] == "" for entry in clone.entries()}, {"build-1": True, "other": False})
        self.assertNotIn(original["token"], self.tokens_used(mark))
        self.assertEqual(self.done(DELETING + REPLACING, mark), [])

    def test_clone_goes_and_leaves_its_sibling_alone(self):
        image = self.enrolled(name="image")
        image.cut_power()
        original = self.assert_one_runner(image)
        clone = image.clone_of_disk("a", A)
        clone.boot()
        clone.wait_enrolled()
        clone.end("poweroff")
        self.assertEqual([runner["id"] for runner in self.gitlab.runners()], [original["id"]])

    def test_clones_of_a_shared_token_are_managers_of_their_own(self):
        runner = self.gitlab.seed_runner(runner_type="instance_type", created=True)
        image = self.machine(name="image", authentication_token="file:/etc/runner-registrar/token")
        image.write("/etc/runner-registrar/token", runner["token"], 0o600)
        image.boot()
        image.wait_enrolled()
        image.cut_power()
        original = image.read(SYSTEM_ID)
        clone = image.clone_of_disk("a", A)
        clone.boot()
        clone.wait_enrolled()
        managers = {manager["system_id"] for manager in self.gitlab.runner(runner["id"])["managers"]}
        self.assertEqual(managers, {original, clone.read(SYSTEM_ID)})
        clone.end("poweroff")
        managers = {manager["system_id"] for manager in self.gitlab.runner(runner["id"])["managers"]}
        self.assertEqual(managers, {original})

    def test_clone_with_the_same_machine_id_is_known_by_its_instance(self):
        """Some clouds copy the disk as it is: cloud-init's instance id is all that differs."""
        image = self.machine(name="image")
        image.write("/var/lib/cloud/data/instance-id", "i-0001\n")
        image.boot()
        image.wait_enrolled()
        image.cut_power()
        original, mark = self.assert_one_runner(image), self.gitlab.mark()
        clone = image.clone_of_disk("a")
        clone.write("/var/lib/cloud/data/instance-id", "i-0002\n")
        clone.boot()
        clone.wait_enrolled()
        self.assertTrue(clone.read(SYSTEM_ID).startswith("r_"))
        self.assertEqual(len(self.gitlab.runners()), 2)
        self.assertNotIn(original["token"], self.tokens_used(mark))

    def test_debt_is_not_paid_by_a_clone(self):
        image = self.enrolled(name="image", agent={"stop_timeout": "1s"})
        original = self.assert_one_runner(image)
        self.gitlab.down()
        image.end("poweroff")
        self.assertEqual(len(self.debts(image)), 1)
        self.gitlab.up()
        mark = self.gitlab.mark()
        clone = image.clone_of_disk("a", A)
        clone.boot()
        clone.wait_enrolled()
        self.assertEqual(len(self.gitlab.runners()), 2)
        self.assertNotIn(original["token"], self.tokens_used(mark))
        self.assertEqual(clone.status()["debts"], [])


class Images(Boots):
    def test_sealed_image_gives_machines_that_enrol(self):
        image = self.enrolled(name="image")
        image.run("systemctl", "stop", "runner-registrar")
        mark = self.gitlab.mark()
        image.run("runner-registrar", "seal")
        self.assertEqual(self.gitlab.operations(mark), [])
        self.assertFalse(image.exists(SYSTEM_ID))
        self.assertEqual([name for name in os.listdir(image.path("/var/lib/runner-registrar")) if name.endswith(".json")], [])
        self.assertEqual(image.entries(), [])
        image.cut_power()
        seen = set()
        for name, machine_id in (("a", A), ("b", B)):
            clone = image.clone_of_disk(name, machine_id)
            clone.boot()
            clone.wait_enrolled()
            self.assertNotIn("another machine", clone.said())
            seen.add(clone.read(SYSTEM_ID))
            clone.cut_power()
        self.assertEqual(len(seen), 2)
        self.assertEqual(len(self.gitlab.runners()), 2)

    def test_seal_refuses_while_the_agent_runs(self):
        image = self.enrolled(name="image")
        done = image.run("runner-registrar", "seal", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("stop it first", done.stderr)
        self.assert_one_runner(image)

    def test_image_under_construction_calls_nobody(self):
        image = self.machine(name="image")
        image.write("/etc/runner-registrar/image-build", "")
        image.boot()
        self.assertEqual(image.show("ConditionResult"), "no")
        self.assertEqual(image.show("ActiveState"), "inactive")
        for command in (["register"], ["wait"], ["run"]):
            done = image.run("runner-registrar", *command)
            self.assertEqual(len((done.stdout + done.stderr).splitlines()), 1, done)
        self.assertEqual(self.gitlab.operations(), [])
        os.unlink(image.path("/etc/runner-registrar/image-build"))
        image.end("reboot")
        image.boot()
        image.wait_enrolled()
        self.assertEqual(self.done(CREATING), ["register"])


if __name__ == "__main__":
    main("system ")
