"""A request as it came, an answer as it goes: what both HTTP versions share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from errors import ApiError, parameter

Headers = list[tuple[str, str]]


@dataclass
class Request:
    method: str
    target: str
    headers: Headers                     # names as sent
    body: bytes = b""
    http: str = "1.1"
    connection: int = 0
    peer: str = "127.0.0.1"
    path: str = ""                       # without the relative URL root and without the query, still percent-encoded
    query: str = ""

    def __post_init__(self) -> None:
        target = self.target
        if target.startswith("http://"):
            # A client that takes this server for its proxy names the whole URL; "target" keeps it.
            target = "/" + target.partition("://")[2].partition("/")[2]
        self.path, _, self.query = target.partition("?")
        self._lower: dict[str, str] | None = None
        self._params: dict[str, Any] | None = None

    def header(self, name: str) -> str | None:
        if self._lower is None:
            self._lower = {}
            for key, value in self.headers:
                self._lower.setdefault(key.lower(), value)
        return self._lower.get(name)

    @property
    def media_type(self) -> str:
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    def params(self) -> dict[str, Any]:
        """The query's parameters, overlaid by the body's."""
        if self._params is None:
            self._params = {**nested(pairs(self.query)), **self.body_params()}
        return self._params

    def body_params(self) -> dict[str, Any]:
        if not self.body.strip():
            return {}
        media = self.media_type
        if media == "application/x-www-form-urlencoded":
            return nested(pairs(self.body.decode("utf-8", "replace")))
        if media == "multipart/form-data":
            return nested(multipart(self.body, self.header("content-type") or ""))
        if media in ("application/json", ""):
            try:
                value = json.loads(self.body)
            except (ValueError, RecursionError):
                raise parameter("The request body is not valid JSON") from None
            # The four bytes "null", which the official runner sends with a reset by id, are no parameters.
            return value if isinstance(value, dict) else {}
        if media == "text/plain":
            return {}
        raise ApiError(415, {"error": f"The provided content-type '{media}' is not supported."})


@dataclass
class Answer:
    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    fault: dict[str, Any] | None = None  # how the connection is to mistreat it, see faults.py
    done: Callable[[], None] = lambda: None  # called once it is sent


def json_bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def json_answer(status: int, value: Any, headers: Headers | None = None) -> Answer:
    return Answer(status, [("Content-Type", "application/json"), *(headers or [])], json_bytes(value))


def pairs(text: str) -> list[tuple[str, str]]:
    found = []
    for piece in text.split("&"):
        if piece:
            key, _, value = piece.partition("=")
            found.append((unquote_plus(key), unquote_plus(value)))
    return found


def nested(items: list[tuple[str, str]]) -> dict[str, Any]:
    """Rack's nesting: info[version]=1 is a hash, tag_list[]=a an array."""
    result: dict[str, Any] = {}
    for key, value in items:
        name, bracket, rest = key.partition("[")
        keys = [name, *rest.rstrip("]").split("][")] if bracket and rest.endswith("]") else [key]
        place: Any = result
        for here, following in zip(keys, keys[1:]):
            if not isinstance(place, dict):
                break
            place = place.setdefault(here, [] if following == "" else {})
        if isinstance(place, list):
            place.append(value)
        elif isinstance(place, dict):
            place[keys[-1]] = value
    return result


def multipart(body: bytes, content_type: str) -> list[tuple[str, str]]:
    boundary = content_type.partition("boundary=")[2].split(";")[0].strip().strip('"')
    found = []
    for part in body.split(b"--" + boundary.encode())[1:]:
        head, separator, content = part.partition(b"\r\n\r\n")
        if not separator:
            continue
        for line in head.decode("utf-8", "replace").splitlines():
            if line.lower().startswith("content-disposition:") and 'name="' in line:
                name = line.partition('name="')[2].partition('"')[0]
                found.append((name, content.removesuffix(b"\r\n").decode("utf-8", "replace")))
    return found
