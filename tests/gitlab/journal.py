"""Every request the stand-in has seen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from errors import ApiError
from wire import Request

KEPT = 200_000


@dataclass
class Entry:
    index: int
    time: float
    request: Request
    operation: str | None
    status: int | None = None
    fault: str | None = None
    done: bool = False

    def shown(self) -> dict[str, Any]:
        request = self.request
        try:
            params = request.params()
        except ApiError:
            params = {}
        return {"index": self.index, "time": self.time, "method": request.method, "path": request.path,
                "target": request.target, "query": request.query, "operation": self.operation,
                "headers": [list(header) for header in request.headers],
                "body": request.body.decode("utf-8", "replace"), "params": params, "http": request.http,
                "connection": request.connection, "peer": request.peer, "status": self.status, "fault": self.fault,
                "done": self.done}


class Journal:
    def __init__(self) -> None:
        self.first = 0
        self.entries: list[Entry] = []

    @property
    def next(self) -> int:
        return self.first + len(self.entries)

    def add(self, request: Request, operation: str | None, now: float) -> Entry:
        if len(self.entries) >= KEPT:
            dropped = KEPT // 4
            del self.entries[:dropped]
            self.first += dropped
        entry = Entry(self.next, now, request, operation)
        self.entries.append(entry)
        return entry

    def clear(self) -> None:
        # The numbering goes on, so that marks taken before stay true.
        self.first = self.next
        self.entries = []

    def matching(self, query: dict[str, str]) -> list[Entry]:
        path = re.compile(query["path"]) if query.get("path") else None
        operation, method, status = query.get("operation"), query.get("method"), query.get("status")
        start = max(0, int(query.get("since") or 0) - self.first)
        return [entry for entry in self.entries[start:]
                if (not method or entry.request.method == method)
                and (not operation or entry.operation == operation)
                and (not status or str(entry.status) == status)
                and (not path or path.search(entry.request.path))]
