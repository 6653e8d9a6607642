"""Running unittest cases with the lines that tests/run counts: PASS name, FAIL name: why, SKIP name: why."""

from __future__ import annotations

import sys
import traceback
import unittest
from typing import Any


class Lines(unittest.TestResult):
    def __init__(self, prefix: str):
        super().__init__()
        self.prefix = prefix
        self.part_failed = False

    def say(self, verdict: str, test: unittest.TestCase, why: str = "") -> None:
        name = test.id().split(".", 1)[1] if "." in test.id() else test.id()
        print(f"{verdict} {self.prefix}{name}" + (f": {why}" if why else ""), flush=True)

    def explain(self, test: unittest.TestCase, error: Any) -> None:
        frames = [frame for frame in traceback.extract_tb(error[2]) if "/unittest/" not in frame.filename]
        place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}: " if frames else ""
        self.say("FAIL", test, place + " ".join(str(error[1]).split()) or error[0].__name__)
        if not issubclass(error[0], AssertionError):
            traceback.print_exception(*error, file=sys.stderr)

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.part_failed = False

    def addSuccess(self, test: unittest.TestCase) -> None:
        if not self.part_failed:
            self.say("PASS", test)

    def addFailure(self, test: unittest.TestCase, error: Any) -> None:
        super().addFailure(test, error)
        self.explain(test, error)

    def addError(self, test: unittest.TestCase, error: Any) -> None:
        super().addError(test, error)
        self.explain(test, error)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, error: Any) -> None:
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.part_failed = True
            self.explain(subtest, error)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self.say("SKIP", test, reason)


def main(prefix: str, module: str = "__main__") -> None:
    """Runs the module's cases, or only those whose name holds the first argument; exits 1 if one failed."""
    loader = unittest.TestLoader()
    if len(sys.argv) > 1:
        loader.testNamePatterns = [f"*{sys.argv[1]}*"]
    result = Lines(prefix)
    loader.loadTestsFromName(module).run(result)
    sys.exit(0 if result.wasSuccessful() else 1)
