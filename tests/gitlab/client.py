"""Starting the stand-in GitLab, and speaking to its control plane, from a test. See README.md."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

PROGRAM = Path(__file__).resolve().parent / "gitlab"
Json = dict[str, Any]


@dataclass
class Reply:
    status: int
    headers: dict[str, str]              # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]


class ControlError(AssertionError):
    """A control call was refused, or what was waited for did not come."""


class GitLab:
    """A stand-in, from its start to its end: `with GitLab(profile="16") as gitlab:`."""

    def __init__(self, profile: str = "newest", *, tls: bool | str | Path = False, cert: str = "good",
                 client_cert: bool = False, http2: bool = True, ipv6: bool = False, relative_root: str = "",
                 external_url: str | None = None, state: str | Path | None = None, port: int = 0):
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        words = [str(PROGRAM), "--profile", profile, "--port", str(port), "--cert", cert, "--until-eof"]
        if tls is True:
            self.folder = tempfile.TemporaryDirectory(prefix="gitlab-tls-")
            tls = self.folder.name
        words += ["--tls", str(tls)] if tls else ["--no-tls"]
        words += [flag for flag, wanted in (("--client-cert", client_cert), ("--no-h2", not http2), ("--ipv6", ipv6))
                  if wanted]
        for name, value in (("--relative-root", relative_root), ("--external-url", external_url), ("--state", state)):
            if value:
                words += [name, str(value)]
        self.words = words
        self.process: subprocess.Popen[str] | None = None
        self.info: Json = {}
        self._control: http.client.HTTPConnection | None = None
        self._api: http.client.HTTPConnection | None = None

    # Life

    def start(self) -> GitLab:
        # Its stdin is the lifeline: it ends with us, however we end.
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stand-in did not start, exit {self.process.wait()}")
        self.info = json.loads(line)
        self.url: str = self.info["url"]
        self.api: str = self.info["api"]
        self.ca_file: str | None = self.info["ca_file"]
        self.tokens: dict[str, str] = self.info["tokens"]
        self.registration_tokens: dict[str, str] = self.info["registration_tokens"]
        self.ids: dict[str, int] = self.info["ids"]
        return self

    def stop(self) -> None:
        self.hang_up()
        if self._control:
            self._control.close()
            self._control = None
        if self.process:
            assert self.process.stdin and self.process.stdout
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()
            self.process = None
        if self.folder:
            self.folder.cleanup()
            self.folder = None

    def __enter__(self) -> GitLab:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Control

    def control(self, method: str, path: str, body: Any = None, query: Json | None = None, timeout: float = 60) -> Any:
        if self._control is None:
            self._control = http.client.HTTPConnection(urlsplit(self.info["control"]).netloc, timeout=timeout)
        given = {key: value for key, value in (query or {}).items() if value is not None}
        target = f"/-/control/{path}" + (f"?{urlencode(given)}" if given else "")
        self._control.request(method, target, None if body is None else json.dumps(body))
        answer = self._control.getresponse()
        result = json.loads(answer.read())
        if answer.status != 200:
            raise ControlError(f"{method} {path} {given or ''}: {result.get('error')}")
        return result

    def state(self, brief: bool = False) -> Json:
        return self.control("GET", "state", query={"brief": 1} if brief else None)

    def runners(self) -> list[Json]:
        return self.state()["runners"]

    def runner(self, number: int) -> Json | None:
        found = self.control("GET", "state", query={"runner": number})["runners"]
        return found[0] if found else None

    def counts(self) -> dict[str, int]:
        return self.state(brief=True)["counts"]

    def now(self) -> float:
        return self.state(brief=True)["time"]

    def reset(self, profile: str | None = None) -> None:
        self.control("POST", "reset", {"profile": profile} if profile else {})

    def world(self) -> Json:
        """All that the instance holds, for `restore`."""
        return self.control("GET", "world")

    def restore(self, world: Json) -> None:
        """The world as it was, with a log and faults as at the start."""
        self.control("POST", "world", world)

    def seed(self, **things: list[Json]) -> dict[str, list[Json]]:
        return self.control("POST", "seed", things)

    def seed_runner(self, **options: Any) -> Json:
        return self.seed(runners=[options])["runners"][0]

    def settings(self, **changes: Any) -> Json:
        return self.control("POST", "settings", changes)

    def advance(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> float:
        """Moves the server's clock; gives its new time."""
        return self.control("POST", "clock", {"shift": seconds + 60 * minutes + 3600 * hours + 86400 * days})["time"]

    def set_clock(self, moment: float | str) -> float:
        return self.control("POST", "clock", {"set": moment})["time"]

    def change_runner(self, number: int, **changes: Any) -> Json:
        return self.control("POST", f"runners/{number}", changes)

    def delete_runner(self, number: int) -> None:
        """As a person would, in the browser."""
        self.control("DELETE", f"runners/{number}")

    def delete_managers(self, number: int, system_id: str | None = None) -> int:
        return self.control("DELETE", f"runners/{number}/managers", query={"system_id": system_id})["deleted"]

    # Faults

    def fault(self, **rule: Any) -> int:
        return self.control("POST", "faults", rule)["ids"][0]

    def faults(self) -> list[Json]:
        return self.control("GET", "faults")["faults"]

    def clear_faults(self) -> None:
        self.control("DELETE", "faults")

    def down(self) -> None:
        """Connections are refused until `up`."""
        self.hang_up()
        self.control("POST", "listen", {"open": False})

    def up(self) -> None:
        self.control("POST", "listen", {"open": True})

    def drop_connections(self) -> None:
        self.hang_up()
        self.control("POST", "connections", {"close": True})

    # What was asked

    def mark(self) -> int:
        """A place in the log, for `since`."""
        return self.counts()["requests"]

    def log(self, since: int = 0, **filters: Any) -> list[Json]:
        return self.control("GET", "log", query={"since": since, **filters})["entries"]

    def count(self, since: int = 0, **filters: Any) -> int:
        return len(self.log(since, **filters))

    def operations(self, since: int = 0) -> list[str | None]:
        return [entry["operation"] for entry in self.log(since)]

    def clear_log(self) -> None:
        self.control("DELETE", "log")

    # Waiting: always for an event, never for a time

    def wait(self, for_: str, timeout: float = 10, **query: Any) -> Json:
        shown = {key: json.dumps(value) if isinstance(value, bool) else value for key, value in query.items()}
        return self.control("GET", "wait", query={"for": for_, "timeout": timeout, **shown})

    def wait_requests(self, count: int = 1, since: int = 0, timeout: float = 10, **filters: Any) -> list[Json]:
        return self.wait("requests", timeout, count=count, since=since, **filters)["entries"]

    def wait_runners(self, count: int, timeout: float = 10) -> None:
        self.wait("runners", timeout, count=count)

    def wait_managers(self, count: int, runner: int | None = None, timeout: float = 10) -> None:
        self.wait("managers", timeout, count=count, runner=runner)

    def wait_runner(self, number: int, timeout: float = 10, **attributes: Any) -> Json:
        return self.wait("runner", timeout, id=number, **attributes)["runner"]

    def wait_gone(self, number: int, timeout: float = 10) -> None:
        self.wait("runner", timeout, id=number, gone=1)

    def wait_faults(self, timeout: float = 10) -> None:
        self.wait("faults", timeout)

    # Calling the API itself

    def request(self, method: str, path: str, body: Any = None, *, form: Any = None, raw: bytes | None = None,
                token: str | None = None, headers: Json | None = None, query: Json | None = None) -> Reply:
        """One call; `path` is below /api/v4 (or v3), or whole if it starts with "//". `token` is a user token or the
        name of one."""
        given = dict(headers or {})
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        elif form is not None:
            data = urlencode(form).encode()
            given.setdefault("Content-Type", "application/x-www-form-urlencoded")
        if token is not None:
            given["PRIVATE-TOKEN"] = self.tokens.get(token, token)
        target = path[1:] if path.startswith("//") else urlsplit(self.api).path + path
        if query:
            target += "?" + urlencode(query)
        connection = self._api = self._api or self.connect()
        try:
            connection.request(method, target, data, given)
            answer = connection.getresponse()
            reply = Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        except (http.client.HTTPException, OSError):
            # Never again on its own: whether the call was carried out is what tests ask about.
            self.hang_up()
            raise
        if answer.will_close:
            self.hang_up()
        return reply

    def hang_up(self) -> None:
        if self._api:
            self._api.close()
            self._api = None

    def connect(self) -> http.client.HTTPConnection:
        place = urlsplit(self.url).netloc
        if not self.info["tls"]:
            return http.client.HTTPConnection(place, timeout=20)
        context = ssl.create_default_context(cafile=self.ca_file)
        if "--client-cert" in self.words:
            context.load_cert_chain(self.info["client_cert_file"], self.info["client_key_file"])
        return http.client.HTTPSConnection(place, timeout=20, context=context)
