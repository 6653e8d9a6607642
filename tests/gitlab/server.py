"""Listening, and handing each request to the control plane, to a fault, or to GitLab."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faults
import routes
from faults import Faults
from http1 import Connection
from instance import Instance
from journal import Entry, Journal
from model import World
from wire import Answer, Request, json_answer

CONTROL = "/-/control/"


def http2_installed() -> bool:
    from importlib.util import find_spec
    return find_spec("h2") is not None


class Server:
    def __init__(self, make_world: Callable[[], World], relative_root: str, http2: bool):
        self.make_world = make_world
        self.relative_root = relative_root
        self.http2_possible = http2 and http2_installed()
        self.connections: set[Connection] = set()
        self.background: set[asyncio.Task[Any]] = set()
        self.opened_ever = 0
        self.waiters: set[asyncio.Event] = set()
        self.waking = False
        self.stopping = asyncio.Event()
        self.listeners: list[asyncio.Server] = []
        self.address: tuple[list[str], int] = ([], 0)
        self.tls: ssl.SSLContext | None = None
        self.control: Any = None
        self.start_over(make_world())

    def start_over(self, world: World) -> None:
        self.world = world
        self.instance = Instance(world)
        self.journal = Journal()
        self.faults = Faults()

    # Connections

    def opened(self, connection: Connection) -> int:
        self.opened_ever += 1
        if not connection.control_only:
            self.connections.add(connection)
            self.changed()
        return self.opened_ever

    def closed(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.changed()

    def close_connections(self) -> None:
        for connection in list(self.connections):
            connection.transport.abort()

    async def listen(self, hosts: list[str], port: int, tls: ssl.SSLContext | None) -> int:
        self.tls = tls
        loop = asyncio.get_running_loop()
        for host in hosts:
            listener = await loop.create_server(lambda: Connection(self), host, port, ssl=tls, backlog=1024)
            port = listener.sockets[0].getsockname()[1]
            self.listeners.append(listener)
        self.address = (hosts, port)
        return port

    async def listen_for_control(self, host: str) -> int:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: Connection(self, control_only=True), host, 0)
        return listener.sockets[0].getsockname()[1]

    async def open(self) -> None:
        if not self.listeners:
            await self.listen(*self.address, self.tls)

    def shut(self) -> None:
        """From now on connections are refused, as by a server that is down."""
        for listener in self.listeners:
            listener.close()
        self.listeners = []
        self.close_connections()

    # Waiting: whoever waits looks again when something has changed, at most every few milliseconds.

    def changed(self) -> None:
        if self.waiters and not self.waking:
            self.waking = True
            asyncio.get_running_loop().call_later(0.002, self.wake)

    def wake(self) -> None:
        self.waking = False
        for waiter in self.waiters:
            waiter.set()

    async def until(self, condition: Callable[[], Any], timeout: float) -> Any:
        """What the condition gives once it gives anything, or None when time is out."""
        event = asyncio.Event()
        self.waiters.add(event)
        try:
            async with asyncio.timeout(timeout):
                while not (found := condition()):
                    await event.wait()
                    event.clear()
                return found
        except TimeoutError:
            return None
        finally:
            self.waiters.discard(event)

    # Requests

    def respond(self, request: Request, control_only: bool) -> Answer | Awaitable[Answer]:
        if request.path.startswith(CONTROL):
            return self.control.respond(request)
        if control_only:
            return json_answer(404, {"error": "only /-/control/ is here"})
        # Beside the folder that GitLab lives in there are another web server's pages.
        outside = bool(self.relative_root) and not request.path.startswith(self.relative_root + "/")
        if not outside:
            request.path = request.path.removeprefix(self.relative_root)
        route = None if outside else routes.find(self.world.profile, request.method, request.path)[0]
        entry = self.journal.add(request, route.operation if route else None, self.world.now())
        self.changed()
        fault = self.faults.take(request, entry.operation)
        if fault is None:
            return self.finish(entry, self.act(request, outside))
        entry.fault = fault["kind"]
        if fault["kind"] == "delay":
            # GitLab goes on even when the client has given up, so this task is nobody's to cancel.
            work = asyncio.get_running_loop().create_task(self.delayed(entry, float(fault.get("seconds", 1))))
            self.background.add(work)
            work.add_done_callback(self.background.discard)
            return asyncio.shield(work)
        answer = self.act(request, outside) if faults.acts(fault) else None
        if fault["kind"] in faults.ANSWERS:
            answer = faults.replacement(fault)
        elif answer is None:
            answer = Answer(0, fault=fault)
        else:
            answer = faults.spoiled(fault, answer)
        return self.finish(entry, answer)

    async def delayed(self, entry: Entry, seconds: float) -> Answer:
        await asyncio.sleep(seconds)
        answer = self.finish(entry, self.act(entry.request))
        if not any(connection.number == entry.request.connection for connection in self.connections):
            answer.done()
        return answer

    def finish(self, entry: Entry, answer: Answer) -> Answer:
        silent = answer.fault is not None and answer.fault["kind"].removeprefix("act_then_") in faults.BEFORE

        def done() -> None:
            entry.status = None if silent else answer.status
            entry.done = True
            self.changed()

        answer.done = done
        return answer

    def act(self, request: Request, outside: bool = False) -> Answer:
        if outside:
            return self.page_not_found()
        try:
            return self.instance.answer(request)
        except Exception:
            # A mistake of the stand-in itself: said aloud, and answered as GitLab answers its own.
            traceback.print_exc(file=sys.stderr)
            return json_answer(500, {"message": "500 Internal Server Error"})

    @staticmethod
    def page_not_found() -> Answer:
        return Answer(404, [("Content-Type", "text/html; charset=utf-8")], b"<html><body>404 Not Found</body></html>")


def tls_context(folder: Path, certificate: str, client_certificate: bool, http2: bool) -> ssl.SSLContext:
    name = {"good": "server"}.get(certificate, certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    if client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "ca.pem")
    return context


def write_atomically(path: Path, data: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(data)
    part.replace(path)
