"""Azure's instance metadata service: the machine's name and its scheduled events."""

from __future__ import annotations

import json
from typing import Any

from server import Request, Server


class Azure(Server):
    def __init__(self) -> None:
        super().__init__()
        self.name = "build_0"
        self.events: list[dict[str, Any]] = []
        self.acknowledged: list[str] = []

    def reply(self, request: Request) -> tuple[int, dict[str, str], str]:
        if request.headers.get("metadata") != "true":
            return 400, {}, json.dumps({"error": "Bad request. Required metadata header not specified"})
        if request.path.startswith("/metadata/instance/compute/name?"):
            return 200, {}, self.name
        if not request.path.startswith("/metadata/scheduledevents?api-version=2020-07-01"):
            return 404, {}, "{}"
        if request.method == "POST":
            with self.changed:
                self.acknowledged += [event["EventId"] for event in json.loads(request.body)["StartRequests"]]
            return 200, {}, ""
        return 200, {"Content-Type": "application/json"}, json.dumps({"DocumentIncarnation": 1, "Events": self.events})

    @staticmethod
    def event(kind: str, resource: str = "build_0", id: str = "602D9444", not_before: str = "") -> dict[str, Any]:
        return {"EventId": id, "EventType": kind, "ResourceType": "VirtualMachine", "Resources": [resource],
                "EventStatus": "Scheduled", "NotBefore": not_before, "Description": "", "EventSource": "Platform"}
