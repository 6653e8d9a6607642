#!/usr/bin/python3
"""A runner gets another NAME in the configuration: GitLab still knows this host exactly once."""
# tests: valgrind

import os
import signal

from case import DONE, FAST, Case
from host import PATIENCE

from report import main

SLOW = {**FAST, "verify_interval": "1h"}


class SharedToken(Case):
    """Under one authentication token both names are one manager, which must not go with the old one."""

    def setUp(self):
        super().setUp()
        self.runner = self.gitlab.seed_runner(
            runner_type="instance_type", created=True, managers=[{"system_id": "s_000000000000"}])

    def configure(self, name, **agent):
        self.host.configure(agent={**SLOW, **agent}, name=name, authentication_token=self.runner["token"])

    def settle(self, agent):
        """Until the new name is enrolled and the old one forgotten."""
        agent.wait_quiet("new")
        agent.wait_status(lambda _: agent.runner("old") is None, "new")

    def check(self, mark):
        managers = [m["system_id"] for m in self.gitlab.runner(self.runner["id"])["managers"]]
        self.assertEqual(sorted(managers), sorted(["s_000000000000", self.host.system_id()]))
        self.assertEqual([o for o in self.gitlab.operations(mark) if o.startswith("delete")], [])
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["new"])
        self.assertEqual(self.host.entry("new")["token"], self.runner["token"])
        self.assertFalse(os.path.exists(os.path.join(self.host.state_dir, "old.json")))

    def test_by_reload(self):
        for policy in ("stop", "never"):
            with self.subTest(deregister_on=policy):
                self.configure("old", deregister_on=policy)
                agent = self.start_agent()
                agent.wait_quiet("old")
                mark = self.gitlab.mark()
                self.configure("new", deregister_on=policy)
                agent.send(signal.SIGHUP)
                self.settle(agent)
                self.check(mark)
                # The new name has taken over all of it: when it goes, nothing stays.
                self.configure("new", deregister_on="stop")
                agent.send(signal.SIGHUP)
                agent.wait_said_again("read again", 1)
                self.assertEqual(agent.stop(), DONE)
                self.assertEqual([m["system_id"] for m in self.gitlab.runner(self.runner["id"])["managers"]], ["s_000000000000"])
                self.assertEqual(self.host.entries(), [])

    def test_and_back(self):
        self.configure("new")
        agent = self.start_agent()
        agent.wait_quiet("new")
        mark = self.gitlab.mark()
        self.configure("old")
        agent.send(signal.SIGHUP)
        agent.wait_quiet("old")
        self.configure("new")
        agent.send(signal.SIGHUP)
        self.settle(agent)
        self.check(mark)

    def live_as_old_and_stop(self) -> int:
        """Leaves the entry and the state of the old name behind; gives the stand-in's mark of that moment."""
        self.configure("old", deregister_on="never")
        agent = self.start_agent()
        agent.wait_quiet("old")
        self.assertEqual(agent.stop(), DONE)
        return self.gitlab.mark()

    def test_across_a_restart(self):
        """Not withdrawn, as after a restart of the service: the old name makes room by itself."""
        mark = self.live_as_old_and_stop()
        self.configure("new", deregister_on="never")
        agent = self.start_agent()
        self.settle(agent)
        self.check(mark)

    def test_new_name_is_enrolled_later(self):
        """Nobody lived under its token when the old name looked first; it looks again."""
        mark = self.live_as_old_and_stop()
        self.configure("new", deregister_on="never", verify_interval="1s")
        source = os.path.join(self.host.secrets, "new-authentication_token")
        os.rename(source, source + ".away")
        agent = self.start_agent()
        agent.wait_status(lambda r: r["reason"], "new")
        self.run_command("deregister", "new")
        before = agent.runner("old")["next_action_at"]
        agent.wait_status(lambda r: r["next_action_at"] != before, "old")
        os.rename(source + ".away", source)
        self.run_command("register", "new")
        self.settle(agent)
        self.check(mark)

    def test_across_an_outage(self):
        """The debt of the old name is the new one's manager."""
        self.configure("old", stop_timeout="1s")
        agent = self.start_agent()
        agent.wait_quiet("old")
        self.gitlab.down()
        self.assertEqual(agent.stop(within=PATIENCE), DONE)
        self.assertEqual(len(self.host.state("old")["debts"]), 1)
        mark = self.gitlab.mark()
        self.configure("new")
        agent = self.start_agent()
        agent.wait_status(lambda r: r["attempt"] > 0, "new")
        self.gitlab.up()
        self.settle(agent)
        self.check(mark)

    def test_deregister_of_the_old_name_without_an_agent(self):
        mark = self.live_as_old_and_stop()
        self.configure("new", deregister_on="never")
        self.run_command("register", "new")
        self.run_command("deregister", "old")
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["new"])
        self.assertEqual([o for o in self.gitlab.operations(mark) if o.startswith("delete")], [])

    def test_tokens_change_places(self):
        other = self.gitlab.seed_runner(runner_type="instance_type", created=True)

        def configure(a, b):
            self.host.configure(agent=SLOW, name="a", authentication_token=a["token"])
            self.host.configure(name="b", append=True, authentication_token=b["token"])

        configure(self.runner, other)
        agent = self.start_agent()
        agent.wait_quiet("a")
        agent.wait_quiet("b")
        mark = self.gitlab.mark()
        configure(other, self.runner)
        agent.send(signal.SIGHUP)
        for name, runner in (("a", other), ("b", self.runner)):
            agent.wait_status(lambda r, id=runner["id"]: r["runner_id"] == id and not r["debts"], name)
        agent.wait_quiet("a")
        agent.wait_quiet("b")
        self.assertEqual([o for o in self.gitlab.operations(mark) if o.startswith("delete")], [])
        for name, runner in (("a", other), ("b", self.runner)):
            self.assertEqual(self.host.entry(name)["token"], runner["token"])
            self.assertIn(self.host.system_id(), [m["system_id"] for m in self.gitlab.runner(runner["id"])["managers"]])


class OwnRunner(Case):
    """What this host made is made anew under the new name."""

    def flows(self):
        return {"registration_token": {"registration_token": "instance"}, "access_token": self.by_access_token()}

    def test_by_reload(self):
        for flow, settings in self.flows().items():
            with self.subTest(flow=flow):
                self.gitlab.reset()
                self.host.configure(agent=SLOW, name="old", **settings)
                agent = self.start_agent()
                old = agent.wait_quiet("old")["runner_id"]
                self.host.configure(agent=SLOW, name="new", **settings)
                agent.send(signal.SIGHUP)
                agent.wait_quiet("new")
                agent.wait_status(lambda _, agent=agent: agent.runner("old") is None, "new")
                self.assertNotEqual(self.assert_enrolled_once(name="new")["id"], old)
                self.assertEqual([entry["name"] for entry in self.host.entries()], ["new"])
                self.assertEqual(agent.stop(), DONE)
                self.assert_nothing_left()

    def test_across_a_restart(self):
        """The old one is only reported, as it may come back; `deregister` takes it."""
        settings = {**SLOW, "deregister_on": "never"}
        for flow, runner in self.flows().items():
            with self.subTest(flow=flow):
                self.gitlab.reset()
                self.host.configure(agent=settings, name="old", **runner)
                agent = self.start_agent()
                agent.wait_quiet("old")
                self.assertEqual(agent.stop(), DONE)
                self.host.configure(agent=settings, name="new", **runner)
                agent = self.start_agent()
                agent.wait_quiet("new")
                self.assertEqual(len(self.gitlab.runners()), 2)
                self.run_command("deregister", "old")
                self.assert_enrolled_once(name="new")
                self.assertEqual([entry["name"] for entry in self.host.entries()], ["new"])
                self.run_command("deregister")
                self.assertEqual(agent.stop(), DONE)
                self.assert_nothing_left()


if __name__ == "__main__":
    main("rename/")
