#!/usr/bin/python3
"""Wrong words on the command line: each is named, in one voice, with where help is, and nothing is done. What may be a
token in the wrong place is not repeated. And help is there without a configuration."""

import subprocess
import unittest

from case import DONE, USAGE
from host import PROGRAM

from report import main

COMMANDS = ("run", "register", "verify", "rotate", "deregister", "wait", "status", "check", "seal", "runners")


class Usage(unittest.TestCase):
    def expect(self, code: int, *words: str) -> str:
        done = subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        if code == USAGE:
            self.assertEqual(done.stdout, "", words)
        else:
            self.assertEqual(done.stderr, "", words)
        return done.stdout + done.stderr

    def test_names_what_is_wrong(self) -> None:
        for words, said in ((("enroll",), "'enroll' is no command"), (("--nothing",), "'--nothing' is no option"),
                            (("-x",), "'-x' is no option"), (("-c",), "-c needs a value"), ((), "which command?"),
                            (("--config",), "--config needs a value"), (("--version=3",), "--version takes no value"),
                            (("--log-level", "loud"), "--log-level: expected err"),
                            (("status", "--json=1"), "--json takes no value"), (("status", "--json", "-xy"), "'-x' is no option"),
                            (("status", "build-1"), "takes no names"), (("run", "build-1"), "takes no names: the agent"),
                            (("run", "--nothing"), "'--nothing' is no option"), (("seal", "build-1"), "takes no names: an image"),
                            (("check", "build-1"), "takes no names"), (("register", "--drain"), "--drain belongs to deregister"),
                            (("deregister", "--timeout"), "--timeout needs a value"),
                            (("deregister", "--timeout", "soon"), "'soon' is no time"), (("wait", "--timeout", "soon"), "'soon' is no time"),
                            (("verify", "a b"), "none that a runner can have"), (("runners",), "which command?"),
                            (("runners", "list", "-x"), "'-x' is no option"), (("runners", "list", "--nothing=1"), "'--nothing' is no option")):
            told = self.expect(USAGE, *words)
            command = " ".join(word for word in words[:2 if words[:1] == ("runners",) else 1] if word and word[0] != "-" and word in
                               COMMANDS + ("list",))
            where = "runner-registrar" + (" " + command if command else "")
            self.assertTrue(told.startswith(where + ": "), told)
            self.assertIn(said, told)
            self.assertTrue(told.endswith(f"\nSee `{where} --help`.\n"), told)

    def test_repeats_no_token(self) -> None:
        for token in ("glrt-S3cretS3cretS3cretS3", "GR1348941S3cretS3cretS3cret"):
            for words in ((token,), ("--" + token,), ("--token=" + token,), ("register", "--registration-token=" + token),
                          ("status", "--json=" + token), ("wait", "--timeout", token), ("deregister", "--timeout=" + token),
                          ("runners", "list", "--token=" + token), ("-c" + token, "run", "--" + token)):
                self.assertNotIn("S3cret", self.expect(USAGE, *words), words)

    def test_help(self) -> None:
        whole = self.expect(DONE, "--help")
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", whole)
            told = self.expect(DONE, command, "--help")
            self.assertTrue(told.startswith(f"Usage: runner-registrar {command}"), told)
            self.assertEqual(told, self.expect(DONE, command, "-h"))


if __name__ == "__main__":
    main("usage/")
