"""HTTP/1.1 with keep-alive, and every way of treating a connection badly."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import traceback
from collections.abc import Awaitable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from wire import Answer, Headers, Request

if TYPE_CHECKING:
    from server import Server

LONGEST_HEAD = 64 << 10
LONGEST_BODY = 16 << 20
HTTP2_PREFACE = b"PRI * HTTP/2.0"
ENDLESS_START, ENDLESS_MORE = b'{"id": 1, "token": "', b"x" * 16384


class BadRequest(Exception):
    def __init__(self, status: int):
        super().__init__(status)
        self.status = status


def reset(transport: asyncio.Transport) -> None:
    """Closes with RST instead of FIN."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def head(status: int, headers: Headers) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


class Connection(asyncio.Protocol):
    def __init__(self, server: Server, control_only: bool = False):
        self.server = server
        self.control_only = control_only
        self.buffer = bytearray()
        self.task: asyncio.Task[None] | None = None
        self.http2: Any = None
        self.continued = False
        self.finished = False
        self.writable = asyncio.Event()
        self.writable.set()

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.number = self.server.opened(self)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if peer else "127.0.0.1"
        secure = transport.get_extra_info("ssl_object")
        if secure is not None and secure.selected_alpn_protocol() == "h2":
            self.switch_to_http2()

    def switch_to_http2(self) -> None:
        from http2 import Http2
        self.http2 = Http2(self)

    def data_received(self, data: bytes) -> None:
        if self.http2:
            self.http2.received(data)
            return
        self.buffer += data
        if self.server.http2_possible and self.buffer.startswith(HTTP2_PREFACE):
            self.switch_to_http2()
            self.http2.received(bytes(self.buffer))
            return
        self.advance()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.finished = True
        self.writable.set()
        if self.task:
            self.task.cancel()
        if self.http2:
            self.http2.lost()
        self.server.closed(self)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    # Requests

    def advance(self) -> None:
        """Answers what has come, in order; one that takes time holds up those behind it."""
        while self.task is None and not self.finished:
            try:
                request = self.parse()
            except BadRequest as bad:
                self.transport.write(head(bad.status, [("Content-Length", "0"), ("Connection", "close")]))
                self.close()
                return
            if request is None:
                return
            keep = (request.header("connection") or "").lower() != "close" and request.http == "1.1"
            result = self.server.respond(request, self.control_only)
            work = self.deliver(result, keep) if isinstance(result, Answer) else self.deliver_later(result, keep)
            if work is not None:
                self.task = asyncio.get_running_loop().create_task(self.run(work))

    async def run(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:
            # A mistake of the stand-in itself must not leave a client waiting.
            traceback.print_exc(file=sys.stderr)
            self.close()
        self.task = None
        self.advance()

    async def deliver_later(self, result: Awaitable[Answer], keep: bool) -> None:
        work = self.deliver(await result, keep)
        if work is not None:
            await work

    def parse(self) -> Request | None:
        """The next whole request in the buffer, or None if it is not all here."""
        buffer = self.buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > LONGEST_HEAD:
                raise BadRequest(431)
            return None
        lines = buffer[:end].decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(400)
        headers = []
        length: int | None = None
        chunked = expects = False
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise BadRequest(400)
            value = value.strip()
            headers.append((name, value))
            match name.lower():
                case "content-length":
                    if not value.isdigit():
                        raise BadRequest(400)
                    length = int(value)
                case "transfer-encoding":
                    chunked = value.lower() == "chunked"
                case "expect":
                    expects = value.lower() == "100-continue"
        start = end + 4
        if chunked:
            parsed = self.parse_chunks(start)
        elif length and length > LONGEST_BODY:
            raise BadRequest(413)
        else:
            after = start + (length or 0)
            parsed = (bytes(buffer[start:after]), after) if len(buffer) >= after else None
        if parsed is None:
            if expects and not self.continued:
                self.continued = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        self.continued = False
        body, after = parsed
        del buffer[:after]
        return Request(words[0], words[1], headers, body, words[2][5:], self.number, self.peer)

    def parse_chunks(self, at: int) -> tuple[bytes, int] | None:
        body = bytearray()
        while (line_end := self.buffer.find(b"\r\n", at)) >= 0:
            try:
                size = int(self.buffer[at:line_end].split(b";")[0], 16)
            except ValueError:
                raise BadRequest(400) from None
            at = line_end + 2
            if len(body) + size > LONGEST_BODY:
                raise BadRequest(413)
            if size == 0:
                if self.buffer[at:at + 2] == b"\r\n":
                    return bytes(body), at + 2
                trailer_end = self.buffer.find(b"\r\n\r\n", at)
                return (bytes(body), trailer_end + 4) if trailer_end >= 0 else None
            if len(self.buffer) < at + size + 2:
                return None
            body += self.buffer[at:at + size]
            at += size + 2
        return None

    # Answers

    def close(self) -> None:
        self.finished = True
        self.transport.close()

    def deliver(self, answer: Answer, keep: bool) -> Awaitable[None] | None:
        """Sends the answer at once, or gives back the work of sending it slowly."""
        kind = answer.fault["kind"].removeprefix("act_then_") if answer.fault else ""
        match kind:
            case "":
                headers = answer.headers
                if answer.status not in (204, 304):
                    headers = [*headers, ("Content-Length", str(len(answer.body)))]
                if not keep:
                    headers = [*headers, ("Connection", "close")]
                # An answer without a body has none, whatever a fault put there.
                self.transport.write(head(answer.status, headers)
                                     + (answer.body if answer.status not in (204, 304) else b""))
                if not keep:
                    self.close()
            case "drop":
                self.close()
            case "reset":
                self.finished = True
                reset(self.transport)
            case "hang":
                answer.done()
                return asyncio.Event().wait()  # type: ignore[return-value]
            case "cut":
                assert answer.fault
                shown = answer.body[:int(answer.fault.get("bytes", len(answer.body) // 2))]
                self.transport.write(head(answer.status, [*answer.headers, ("Content-Length", str(len(answer.body) or 1))])
                                     + shown)
                self.close()
            case "slow":
                return self.send_slowly(answer, keep)
            case "endless":
                return self.send_for_ever(answer)
        answer.done()
        return None

    async def send_slowly(self, answer: Answer, keep: bool) -> None:
        assert answer.fault
        rate = max(1, int(answer.fault.get("rate", 4096)))
        data = head(answer.status, [*answer.headers, ("Content-Length", str(len(answer.body)))]) + answer.body
        step = max(1, rate // 10)
        for at in range(0, len(data), step):
            self.transport.write(data[at:at + step])
            await asyncio.sleep(step / rate)
        answer.done()
        if not keep:
            self.close()

    async def send_for_ever(self, answer: Answer) -> None:
        answer.done()
        headers = [header for header in answer.headers if header[0].lower() != "content-type"]
        self.transport.write(head(200, [*headers, ("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")])
                             + b"%x\r\n%s\r\n" % (len(ENDLESS_START), ENDLESS_START))
        while not self.finished:
            self.transport.write(b"%x\r\n%s\r\n" % (len(ENDLESS_MORE), ENDLESS_MORE))
            await self.writable.wait()
            await asyncio.sleep(0)
