"""Google Compute Engine's metadata server: two values, and the wait for their change."""

from __future__ import annotations

import hashlib
import urllib.parse

from server import Request, Server


class Gcp(Server):
    def __init__(self) -> None:
        super().__init__()
        self.preempted = "FALSE"
        self.maintenance_event = "NONE"

    def value(self, path: str) -> str | None:
        return {"/computeMetadata/v1/instance/preempted": self.preempted,
                "/computeMetadata/v1/instance/maintenance-event": self.maintenance_event}.get(path)

    def reply(self, request: Request) -> tuple[int, dict[str, str], str]:
        path, _, query = request.path.partition("?")
        wishes = dict(urllib.parse.parse_qsl(query))
        if request.headers.get("metadata-flavor") != "Google":
            return 403, {}, "Missing Metadata-Flavor:Google header."
        if self.value(path) is None:
            return 404, {}, "not found"
        if wishes.get("wait_for_change") == "true":
            with self.changed:
                self.changed.wait_for(lambda: self.etag(self.value(path)) != wishes.get("last_etag") or self.closing,
                                      float(wishes.get("timeout_sec", 3600)))
        value = self.value(path) or ""
        return 200, {"ETag": self.etag(value), "Metadata-Flavor": "Google"}, value

    @staticmethod
    def etag(value: str | None) -> str:
        return hashlib.md5((value or "").encode()).hexdigest()[:16]
