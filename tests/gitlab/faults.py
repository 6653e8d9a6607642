"""Everything that can go wrong between a client and GitLab: rules made by tests, used up one by one."""

from __future__ import annotations

import itertools
import re
from typing import Any

from wire import Answer, Request, json_bytes

ANSWERS = {"html", "status", "redirect"}
BEFORE = {"drop", "reset", "hang"}
AFTER = {"act_then_drop", "act_then_reset", "act_then_hang", "garble", "cut", "slow", "endless", "huge_headers",
         "big_body"}
KINDS = {"delay", *ANSWERS, *BEFORE, *AFTER}

PAGE = """<!DOCTYPE html>
<html><head><title>GitLab is not responding ({status})</title></head>
<body><h1>{status}</h1><h3>Whoops, GitLab is taking too much time to respond.</h3></body></html>
"""


class Rule:
    def __init__(self, number: int, options: dict[str, Any]):
        self.kind = options.get("kind")
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault {self.kind!r}, one of {' '.join(sorted(KINDS))}")
        self.id = number
        self.options = options
        self.left: int | None = options.get("count", 1)
        self.skip: int = options.get("skip", 0)
        self.path = re.compile(options.get("path", ""))
        self.body = re.compile(options.get("when", {}).get("body", ""))

    def takes(self, request: Request, operation: str | None) -> bool:
        options = self.options
        if self.left == 0 or options.get("method", request.method) != request.method:
            return False
        if options.get("operation", operation) != operation or not self.path.search(request.path):
            return False
        if self.body.pattern and not self.body.search(request.body.decode("utf-8", "replace")):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True

    def shown(self) -> dict[str, Any]:
        return {**self.options, "id": self.id, "left": self.left}


class Faults:
    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.rules: list[Rule] = []

    def add(self, options: list[dict[str, Any]]) -> list[int]:
        rules = [Rule(next(self.numbers), item) for item in options]
        self.rules += rules
        return [rule.id for rule in rules]

    def take(self, request: Request, operation: str | None) -> dict[str, Any] | None:
        for rule in self.rules:
            if rule.takes(request, operation):
                if rule.left == 0:
                    self.rules.remove(rule)
                return rule.options
        return None

    def pending(self) -> bool:
        return any(rule.left is not None for rule in self.rules)


def acts(fault: dict[str, Any]) -> bool:
    """Whether GitLab gets to see the request."""
    return fault["kind"] in AFTER or fault["kind"] == "delay" or bool(fault.get("act"))


def replacement(fault: dict[str, Any]) -> Answer:
    """The answer that comes instead of GitLab's own."""
    headers = [(str(name), str(value)) for name, value in dict(fault.get("headers") or {}).items()]
    named = {name.lower() for name, _ in headers}
    match fault["kind"]:
        case "html":
            status = int(fault.get("status", 502))
            kind, body = "text/html; charset=utf-8", PAGE.format(status=status).encode()
        case "redirect":
            status = int(fault.get("status", 302))
            headers.append(("Location", str(fault.get("location", "/users/sign_in"))))
            kind, body = "text/html; charset=utf-8", b"<html><body>You are being redirected.</body></html>"
        case _:
            status = int(fault.get("status", 500))
            content = fault.get("body", "")
            text = isinstance(content, str)
            kind, body = ("text/plain", content.encode()) if text else ("application/json", json_bytes(content))
    if "content-type" not in named and status not in (204, 304):
        headers.append(("Content-Type", kind))
    return Answer(status, headers, body)


def spoiled(fault: dict[str, Any], answer: Answer) -> Answer:
    """GitLab's answer as it arrives: changed here where it is the text that is wrong, by the connection otherwise."""
    match fault["kind"]:
        case "garble":
            answer.body = b'{"id": 12, "token": "glrt-\xff\xfe' + answer.body[20:-4]
            answer.headers = [header for header in answer.headers if header[0].lower() != "content-type"]
            answer.headers.append(("Content-Type", "application/json"))
        case "huge_headers":
            answer.headers.append(("X-Huge", "x" * int(fault.get("bytes", 1 << 20))))
        case "big_body":
            answer.body += b" " * max(0, int(fault.get("bytes", 64 << 20)) - len(answer.body))
        case "delay":
            pass
        case _:
            answer.fault = fault
    return answer
