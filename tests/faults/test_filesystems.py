#!/usr/bin/python3
"""Real file systems on a bad day: nothing torn, no token lost, nothing asked of GitLab that could not be kept, and all
well again once they are. See README.md."""
# tests: timeout=1200

import os
import subprocess
import sys

import filesystems
from filesystems import Btrfs, Ext4, FileSystem, Tmpfs

missing = filesystems.enter_namespace()

sys.dont_write_bytecode = True
TOP = os.environ.get("SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))

import invariants  # noqa: E402
from case import DONE, FAILED, FAST, Case, quiet  # noqa: E402
from host import Host  # noqa: E402

from report import main  # noqa: E402

# Under sanitizers a sample does: most of the time it is the disks that are waited for.
LONG = os.environ.get("TESTS_LONG") == "1" and "ASAN_OPTIONS" not in os.environ
OTHER = '# ours and others\'\n[[runners]]\n  name = "other"\n  url = "https://other.example.com"\n  token = "x"\n  executor = "shell"\n'
KIB = 1024


class Disks(Case):
    """`self.at(where, kind)` puts state or config.toml, or both, on a file system of their own."""

    def setUp(self):
        if missing:
            self.skipTest(missing)
        super().setUp()
        self.disks = []
        self.addCleanup(self.unmount)

    def unmount(self):
        for disk in self.disks:
            if os.path.ismount(disk.root):
                disk.unmount(lazily=True)

    lacking: dict[str, str] = {}
    nothing_left = True

    def have(self, kind: type[FileSystem]):
        if kind.name not in self.lacking:
            self.lacking[kind.name] = kind.lacking(self.host.path)
        if self.lacking[kind.name]:
            self.skipTest(self.lacking[kind.name])

    def at(self, where: str, kind: type[FileSystem], **options) -> FileSystem:
        disk = kind(os.path.join(self.host.path, "disk-" + where), **options)
        self.disks.append(disk)
        inside = getattr(disk, "volume", disk.root)
        if where in ("state", "both"):
            self.host.state_dir = os.path.join(inside, "state")
        if where in ("config", "both"):
            self.host.config_toml = os.path.join(inside, "gitlab-runner", "config.toml")
            os.mkdir(os.path.dirname(self.host.config_toml), 0o700)
            self.host.write_toml(OTHER)
            disk.sync()
        return disk

    def fresh(self):
        """Another host, and nothing at GitLab."""
        self.unmount()
        self.disks = []
        self.gitlab.reset()
        self.host = self.enterContext(Host(self.gitlab))
        self.host.write_toml(OTHER)

    def configure(self, **agent):
        self.host.configure(agent={**FAST, "deregister_on": "never", **agent}, **self.by_access_token())

    def agent_on(self, where: str):
        """An agent that has enrolled and has nothing to do for an hour, with WHERE on a file system of its own."""
        disk = self.at(where, Ext4)
        self.configure(verify_interval="1h")
        agent = self.start_agent()
        agent.wait_quiet()
        return disk, agent

    # --- what must hold

    def refuses_to_rotate(self, reasons: str):
        """Nothing is asked of GitLab that could not be kept."""
        mark = self.gitlab.mark()
        done = self.host.command("rotate")
        self.assertEqual(done.returncode, FAILED, done.stderr + done.stdout)
        self.assertRegex(done.stderr, reasons)
        self.assertNotIn("reset", self.gitlab.operations(mark))

    def texts(self):
        found = ""
        for folder in (self.host.state_dir, os.path.dirname(self.host.config_toml)):
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                    found += f.read()
        return found

    def check_kept(self, outlines):
        """Neither torn nor lost."""
        text = self.host.toml_text()
        tokens = {"x", *self.issued, *(runner["token"] for runner in self.gitlab.runners())}
        self.assertEqual(invariants.torn(text, invariants.outline(text), outlines, tokens), [])
        texts = self.texts()
        for runner in self.gitlab.runners():
            self.assertIn(runner["token"], texts, "a token is in no file")

    def one_command(self, command, hurt, mend, reasons):
        """COMMAND while the disk is HURT: done, or refused with the reason and the remedy before anything was sent."""
        self.configure()
        before = self.host.toml_text()
        self.issued = set()
        if command != "register":
            self.run_command("register")
            before = self.host.toml_text()
            self.issued = {self.host.entry()["token"]}
        hurt()
        mark = self.gitlab.mark()
        done = self.host.command(command)
        said = done.stdout + done.stderr
        sent = [name for name in self.gitlab.operations(mark) if name in ("create", "reset", "delete")]
        outlines = {invariants.outline(before), invariants.outline(self.host.toml_text())} \
            if done.returncode == DONE else {invariants.outline(before)}
        if done.returncode != DONE:
            self.assertEqual(done.returncode, FAILED, said)
            self.assertTrue(any(reason in said for reason in reasons), said)
            self.assertRegex(said, r"config\.toml|state|\.json|gitlab-runner|lock", said)
            if sent:
                # Its answer is kept in the journal: what failed is what came after.
                outlines.add(invariants.outline(self.host.toml_text()))
            # Who wants to leave may, whatever the disk is like; the entry goes later.
            if self.nothing_left and command != "deregister":
                self.assertEqual(sent, [], said)
        self.check_kept(outlines)
        mend()
        if command == "deregister":
            self.run_command("deregister")
            self.assertEqual(self.gitlab.runners(), [])
            self.assertEqual(self.host.toml_text(), OTHER)
        else:
            self.run_command("register")
            self.run_command("verify")
            self.assert_enrolled_once()
            self.assertTrue(self.host.toml_text().startswith(OTHER))
        self.said = said
        return done.returncode != DONE

    def sweep(self, kind, options, hurt, mend, leaves, reasons, wheres=("state", "config")):
        failed = points = 0
        for where in wheres:
            for command in ("register", "rotate", "deregister"):
                for leave in leaves:
                    with self.subTest(where=where, command=command, leave=leave):
                        self.fresh()
                        disk = self.at(where, kind, **options)
                        points += 1
                        self.nothing_left = leave == 0
                        failed += self.one_command(command, lambda: hurt(disk, leave), lambda: mend(disk), reasons)
        # A sweep that never hurts proves nothing, nor one that always does.
        self.assertTrue(0 < failed < points, f"{failed} of {points} failed")
        print(f"  {self.id().rpartition('.')[2]}: {points} points, {failed} refused", flush=True)


NO_SPACE = ("No space left on device; free some space there",)


class Full(Disks):
    def test_tmpfs(self):
        self.have(Tmpfs)
        self.sweep(Tmpfs, {"size": 256 * KIB}, lambda disk, leave: disk.fill(leave * 4 * KIB), Tmpfs.relieve,
                   range(0, 16) if LONG else (0, 1, 2, 12), NO_SPACE)

    def test_ext4(self):
        self.have(Ext4)
        self.sweep(Ext4, {}, lambda disk, leave: disk.fill(leave * KIB), Ext4.relieve,
                   range(0, 64, 2) if LONG else (0, 4, 64), NO_SPACE)

    def test_ext4_of_both(self):
        self.have(Ext4)
        self.sweep(Ext4, {}, lambda disk, leave: disk.fill(leave * KIB), Ext4.relieve,
                   range(0, 80, 4) if LONG else (0, 20, 80), NO_SPACE, ("both",))

    def test_inodes(self):
        self.have(Ext4)
        self.sweep(Ext4, {"inodes": 64}, lambda disk, leave: disk.fill_inodes(leave), Ext4.relieve,
                   range(0, 9) if LONG else (0, 1, 4), NO_SPACE)

    def test_inodes_of_tmpfs(self):
        self.have(Tmpfs)
        self.sweep(Tmpfs, {"inodes": 64}, lambda disk, leave: disk.fill_inodes(leave), Tmpfs.relieve,
                   range(0, 9) if LONG else (0, 2, 8), NO_SPACE)

    def test_quota(self):
        self.have(Btrfs)

        def hurt(disk, leave):
            with open(os.path.join(disk.volume, "filler"), "wb") as f:
                f.write(os.urandom(256 * KIB))
                os.fsync(f.fileno())
            disk.limit(f"{272 + leave * 16}K")

        self.sweep(Btrfs, {}, hurt, Btrfs.lift, range(0, 24, 2) if LONG else (0, 24),
                   ("Disk quota exceeded; free some space there, or raise the quota",),
                   ("state", "config") if LONG else ("state",))

    def test_fills_under_the_agent(self):
        """Full between a verify and a rotation; the token is rotated once there is room, and nothing was sent before."""
        self.have(Ext4)
        for where in ("state", "config"):
            with self.subTest(where=where):
                self.fresh()
                disk, agent = self.agent_on(where)
                token = self.host.entry()["token"]
                disk.fill(0)
                self.refuses_to_rotate(NO_SPACE[0])
                self.assertEqual(self.host.entry()["token"], token)
                disk.relieve()
                self.run_command("rotate")
                agent.wait_quiet()
                self.assertNotEqual(self.host.entry()["token"], token)
                self.assert_enrolled_once()
                self.assertEqual(agent.stop(), 0)


class ReadOnly(Disks):
    def test_commands(self):
        for kind in (Tmpfs, Ext4):
            self.have(kind)
            for where in ("state", "config"):
                for command in ("register", "rotate", "deregister"):
                    with self.subTest(kind=kind.name, where=where, command=command):
                        self.fresh()
                        disk = self.at(where, kind)
                        self.assertTrue(self.one_command(command, lambda: disk.remount("ro"), lambda: disk.remount("rw"),
                                                         ("the file system is read-only; remount it",)))

    def test_under_the_agent(self):
        self.have(Ext4)
        disk = self.at("config", Ext4)
        self.configure(rotate_after="2s")
        agent = self.start_agent()
        agent.wait_quiet()
        disk.remount("ro")
        token, mark = self.host.entry()["token"], self.gitlab.mark()
        status = agent.wait_status(lambda r: r["reason"] and "read-only" in r["reason"])
        self.assertIn("remount it", status["reason"])
        self.assertNotIn("reset", self.gitlab.operations(mark))
        self.assertEqual(self.host.entry()["token"], token)
        disk.remount("rw")
        agent.wait_status(lambda r: self.host.entry()["token"] != token and quiet(r))
        self.assertEqual(agent.stop(), 0)
        self.assert_enrolled_once()

    def test_state_is_not_made_so_under_the_agent(self):
        """Its lock is open for writing, so the kernel refuses."""
        self.have(Ext4)
        disk = self.at("state", Ext4)
        self.configure()
        agent = self.start_agent()
        agent.wait_quiet()
        with self.assertRaises(subprocess.CalledProcessError):
            disk.remount("ro")
        self.assertEqual(agent.stop(), 0)

    def test_an_agent_that_starts_there(self):
        self.have(Ext4)
        disk = self.at("config", Ext4)
        self.configure()
        disk.remount("ro")
        agent = self.start_agent()
        agent.wait_status(lambda r: r["reason"] and "read-only" in r["reason"])
        self.assertEqual(self.gitlab.count(operation="create"), 0)
        disk.remount("rw")
        agent.wait_quiet()
        self.assert_enrolled_once()
        self.assertEqual(agent.stop(), 0)


class Broken(Disks):
    def test_ext4_finds_an_error_in_itself(self):
        """It goes read-only; after a check and a new mount, the next command or the restarted agent goes on."""
        self.have(Ext4)
        for where in ("state", "config"):
            for command in ("register", "rotate", "deregister"):
                with self.subTest(where=where, command=command):
                    self.fresh()
                    disk = self.at(where, Ext4)
                    self.assertTrue(self.one_command(command, disk.break_down, disk.mend, ("read-only", "Input/output error", "Structure needs cleaning")), self.said)

    def test_device_is_cut_off(self):
        """Every call fails: nothing is asked of GitLab, and the agent lives."""
        self.have(Ext4)
        for where in ("state", "config"):
            with self.subTest(where=where):
                self.fresh()
                disk, agent = self.agent_on(where)
                token = self.host.entry()["token"]
                disk.cut_off()
                self.refuses_to_rotate("Input/output error|read-only|can't be read")
                self.assertIsNone(agent.process.poll())
                # As long as somebody has it open the kernel gives no other.
                agent.stop()
                disk.mend()
                self.run_command("register")
                self.assert_enrolled_once()
                self.assertEqual(self.host.entry()["token"], token)


class Gone(Disks):
    """The file system is unmounted under a running agent (lazily: what is open stays so), or not there at the start."""

    def end(self, agent):
        self.assertEqual(agent.stop(), 0)
        self.run_command("register")
        self.run_command("verify")
        self.assert_enrolled_once()

    def test_state_under_the_agent(self):
        self.have(Ext4)
        disk, agent = self.agent_on("state")
        token = self.host.entry()["token"]
        disk.unmount(lazily=True)
        self.refuses_to_rotate("state.*restart")
        disk.mount()
        self.assertEqual(self.host.entry()["token"], token)
        self.end(agent)

    def test_config_under_the_agent(self):
        """The file is missing then, and is made anew where it should be; the one below, back again, is put right."""
        self.have(Ext4)
        disk, agent = self.agent_on("config")
        disk.unmount(lazily=True)
        self.run_command("verify")
        disk.mount()
        self.run_command("rotate")
        agent.wait_quiet()
        self.assertEqual([entry["name"] for entry in self.host.entries()], ["other", "build-1"])
        self.end(agent)

    def test_state_is_not_there_at_the_start(self):
        """What stands in config.toml is adopted, and is ours."""
        self.have(Ext4)
        disk, agent = self.agent_on("state")
        self.assertEqual(agent.stop(), 0)
        disk.unmount()
        self.run_command("register")
        self.assert_enrolled_once()
        disk.mount()
        self.run_command("register")
        self.run_command("verify")
        self.assert_enrolled_once()

    def test_config_is_not_there_at_the_start(self):
        self.have(Ext4)
        disk, agent = self.agent_on("config")
        self.assertEqual(agent.stop(), 0)
        disk.unmount()
        self.run_command("register")
        self.assertEqual(len(self.gitlab.runners()), 1)
        disk.mount()
        self.run_command("register")
        self.assert_enrolled_once()

    def test_neither_is_there_at_the_start(self):
        """Nothing tells a lost disk from a new host: a second runner is made. The first comes back with its disk."""
        self.have(Ext4)
        disk, agent = self.agent_on("both")
        self.assertEqual(agent.stop(), 0)
        disk.unmount()
        self.run_command("register")
        self.assertEqual(len(self.gitlab.runners()), 2)
        self.run_command("deregister")
        disk.mount()
        self.run_command("register")
        self.assert_enrolled_once()


class Two(Disks):
    def test_state_and_config_on_two_devices(self):
        self.have(Ext4)
        self.at("state", Tmpfs)
        self.at("config", Ext4)
        self.configure()
        self.run_command("register")
        first = self.assert_enrolled_once()["token"]
        self.run_command("rotate")
        self.assertNotEqual(self.assert_enrolled_once()["token"], first)
        self.run_command("deregister")
        self.assertEqual(self.gitlab.runners(), [])
        self.assertEqual(self.host.toml_text(), OTHER)


if __name__ == "__main__":
    main("filesystems/")
