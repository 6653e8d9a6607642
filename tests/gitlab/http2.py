"""HTTP/2, by Debian's python3-h2, over a connection that http1.py has accepted."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from http1 import ENDLESS_MORE, ENDLESS_START, reset
from wire import Answer, Request

if TYPE_CHECKING:
    from http1 import Connection

# Headers of one connection of HTTP/1.1, which HTTP/2 forbids.
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "upgrade")


class Http2:
    def __init__(self, connection: Connection):
        self.connection = connection
        self.transport = connection.transport
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        # Debian's hpack needs minutes for the Huffman code of a huge header, so none is used.
        self.h2.encoder.encode = functools.partial(self.h2.encoder.encode, huffman=False)
        self.requests: dict[int, tuple[list[tuple[str, str]], bytearray]] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.window = asyncio.Event()
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    def lost(self) -> None:
        for task in list(self.tasks.values()):
            task.cancel()

    def received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.flush()
            self.connection.close()
            return
        for event in events:
            match event:
                case h2.events.RequestReceived():
                    self.requests[event.stream_id] = (list(event.headers), bytearray())
                case h2.events.DataReceived():
                    if event.stream_id in self.requests:
                        self.requests[event.stream_id][1].extend(event.data)
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.answer(event.stream_id)
                case h2.events.StreamReset():
                    self.requests.pop(event.stream_id, None)
                    if task := self.tasks.pop(event.stream_id, None):
                        task.cancel()
                case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                    self.window.set()
                case h2.events.ConnectionTerminated():
                    self.connection.close()
        self.flush()

    def answer(self, stream: int) -> None:
        headers, body = self.requests.pop(stream)
        pseudo = {name: value for name, value in headers if name.startswith(":")}
        shown = [(name, value) for name, value in headers if not name.startswith(":")]
        if ":authority" in pseudo and not any(name == "host" for name, _ in shown):
            shown.insert(0, ("host", pseudo[":authority"]))
        request = Request(pseudo[":method"], pseudo[":path"], shown, bytes(body), "2", self.connection.number,
                          self.connection.peer)
        result = self.connection.server.respond(request, self.connection.control_only)
        task = asyncio.get_running_loop().create_task(self.deliver(stream, result))
        self.tasks[stream] = task
        task.add_done_callback(lambda _: self.tasks.pop(stream, None))

    async def deliver(self, stream: int, result: Answer | Awaitable[Answer]) -> None:
        answer = result if isinstance(result, Answer) else await result
        try:
            await self.send(stream, answer)
        except (h2.exceptions.ProtocolError, KeyError):
            # The client gave the stream up.
            pass
        answer.done()

    async def send(self, stream: int, answer: Answer) -> None:
        fault = answer.fault or {}
        match str(fault.get("kind", "")).removeprefix("act_then_"):
            case "":
                body = b"" if answer.status in (204, 304) else answer.body
                self.head(stream, answer, len(body), end=not body)
                await self.send_body(stream, body)
            case "drop":
                self.connection.close()
            case "reset":
                self.connection.finished = True
                reset(self.transport)
            case "hang":
                answer.done()
                await asyncio.Event().wait()
            case "cut":
                shown = answer.body[:int(fault.get("bytes", len(answer.body) // 2))]
                self.head(stream, answer, len(answer.body) or 1)
                await self.send_body(stream, shown, end=False)
                self.connection.close()
            case "slow":
                rate = max(1, int(fault.get("rate", 4096)))
                step = max(1, rate // 10)
                self.head(stream, answer, len(answer.body), end=not answer.body)
                for at in range(0, len(answer.body), step):
                    await asyncio.sleep(step / rate)
                    await self.send_body(stream, answer.body[at:at + step], end=at + step >= len(answer.body))
            case "endless":
                answer.done()
                answer.status = 200
                answer.headers = [header for header in answer.headers if header[0].lower() != "content-type"]
                answer.headers.append(("Content-Type", "application/json"))
                self.head(stream, answer, None)
                await self.send_body(stream, ENDLESS_START, end=False)
                while not self.connection.finished:
                    await self.send_body(stream, ENDLESS_MORE, end=False)
                    await asyncio.sleep(0)

    def head(self, stream: int, answer: Answer, length: int | None, end: bool = False) -> None:
        headers = [(":status", str(answer.status))]
        headers += [(name.lower(), value) for name, value in answer.headers if name.lower() not in HOP_BY_HOP]
        if length is not None and answer.status not in (204, 304):
            headers.append(("content-length", str(length)))
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()

    async def send_body(self, stream: int, body: bytes, end: bool = True) -> None:
        """As much at a time as the client's window allows."""
        at = 0
        while at < len(body):
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                self.window.clear()
                await self.window.wait()
                continue
            piece = body[at:at + room]
            at += len(piece)
            self.h2.send_data(stream, piece, end_stream=end and at >= len(body))
            self.flush()
            await self.connection.writable.wait()
