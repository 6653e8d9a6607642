"""A systemd of a test's own: a socket that speaks D-Bus as the system bus does, with one unit that may be gitlab-runner.

So no test asks, or tells, the machine it runs on. The program finds it by DBUS_SYSTEM_BUS_ADDRESS.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import threading
import time
from typing import Any

METHOD_CALL, METHOD_RETURN, ERROR = 1, 2, 3


def align(data: bytearray, size: int) -> None:
    data.extend(b"\0" * (-len(data) % size))


def put(data: bytearray, signature: str, *values: Any) -> None:
    """Marshals plain values: y u s o g, and v as (signature, value)."""
    for kind, value in zip(signature, values):
        if kind == "y":
            data.append(value)
        elif kind in "ui":
            align(data, 4)
            data += struct.pack("<I" if kind == "u" else "<i", value)
        elif kind == "t":
            align(data, 8)
            data += struct.pack("<Q", value)
        elif kind in "so":
            text = value.encode()
            align(data, 4)
            data += struct.pack("<I", len(text)) + text + b"\0"
        elif kind == "g":
            data += bytes([len(value)]) + value.encode() + b"\0"
        elif kind == "v":
            put(data, "g", value[0])
            put(data, value[0], value[1])
        else:
            raise ValueError(kind)


class Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def get(self, kind: str) -> Any:
        if kind == "y":
            self.at += 1
            return self.data[self.at - 1]
        if kind in "ui":
            self.at += -self.at % 4
            self.at += 4
            return struct.unpack_from("<I" if kind == "u" else "<i", self.data, self.at - 4)[0]
        if kind in "so":
            size = self.get("u")
            self.at += size + 1
            return self.data[self.at - size - 1:self.at - 1].decode()
        if kind == "g":
            size = self.get("y")
            self.at += size + 1
            return self.data[self.at - size - 1:self.at - 1].decode()
        if kind == "v":
            return self.get(self.get("g"))
        raise ValueError(kind)


class Systemd:
    """`active` says whether gitlab-runner runs; `jobs` is systemd's queue, as (unit, type); `killed` what was sent.

    `service`, where there is one, is a gitlab-runner with a process of its own (gitlab_runner.py), and tells instead.
    """

    def __init__(self, path: str):
        self.address = "unix:path=" + path
        self.active = False
        self.jobs: list[tuple[str, str]] = []
        self.killed: list[tuple[str, str, int]] = []
        self.service: Any = None
        self.clients: list[socket.socket] = []
        self.sending = threading.Lock()
        self.changed = threading.Condition()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self) -> None:
        # Wakes accept() up; a close alone does not.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def hang_up(self) -> None:
        """The bus goes: nobody listens any more, and who is connected hears the end."""
        self.close()
        for client in list(self.clients):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def wait_killed(self, count: int, timeout: float = 30) -> list[tuple[str, str, int]]:
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.killed) >= count, timeout):
                raise AssertionError(f"gitlab-runner was told {len(self.killed)} times, not {count}")
            return list(self.killed)

    def serve(self) -> None:
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            stream = client.makefile("rb")
            while not (line := stream.readline()).endswith(b"BEGIN\r\n"):
                if not line:
                    return
                word = line.strip(b"\0\r\n").split(b" ")[0]
                answers = {b"AUTH": b"DATA\r\n", b"DATA": b"OK 0123456789abcdef0123456789abcdef\r\n",
                           b"NEGOTIATE_UNIX_FD": b"AGREE_UNIX_FD\r\n"}
                if word == b"AUTH" and line.count(b" ") > 1:
                    client.sendall(answers[b"DATA"])
                else:
                    client.sendall(answers.get(word, b"ERROR\r\n"))
            serial = 1
            self.clients.append(client)
            while True:
                call = self.read_call(stream)
                if call["type"] == METHOD_CALL:
                    serial += 1
                    answer = self.answer(call, serial)
                    with self.sending:
                        client.sendall(answer)

    @staticmethod
    def read(stream: Any, size: int) -> bytes:
        data = stream.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def read_call(self, stream: Any) -> dict[str, Any]:
        head = self.read(stream, 16)
        body_size, serial, fields_size = struct.unpack("<III", head[4:])
        fields_end = 16 + fields_size
        head += self.read(stream, fields_size + -fields_end % 8)
        reader, call = Reader(head), {"type": head[1], "serial": serial}
        reader.at = 16
        names = {1: "path", 2: "interface", 3: "member", 6: "destination", 8: "signature"}
        while reader.at < fields_end:
            reader.at += -reader.at % 8
            code = reader.get("y")
            call[names.get(code, str(code))] = reader.get("v")
        body = Reader(self.read(stream, body_size))
        call["arguments"] = [body.get(kind) for kind in call.get("signature", "")]
        return call

    def answer(self, call: dict[str, Any], serial: int) -> bytes:
        kind, signature, body = METHOD_RETURN, "", bytearray()
        result = self.result(call)
        if result is None:
            kind, signature = ERROR, "s"
            put(body, "s", "No such thing here")
        elif result:
            signature, value = result
            if isinstance(value, bytearray):
                body = value
            else:
                put(body, signature, value)
        fields = bytearray()
        entries = [(5, "u", call["serial"]), (7, "s", "org.freedesktop.systemd1" if call.get("path") else ":1.0")]
        if signature:
            entries.append((8, "g", signature))
        if kind == ERROR:
            entries.append((4, "s", "org.freedesktop.systemd1.NoSuchUnit"))
        for code, of, value in entries:
            align(fields, 8)
            put(fields, "yv", code, (of, value))
        message = bytearray(b"l" + bytes([kind, 0, 1]) + struct.pack("<III", len(body), serial, len(fields))) + fields
        align(message, 8)
        return bytes(message + body)

    def signal(self, unit: str) -> None:
        """Tells everyone that something of the unit has changed, though not what."""
        fields, body = bytearray(), bytearray()
        put(body, "s", "org.freedesktop.systemd1.Unit")
        align(body, 4)
        body += struct.pack("<I", 0)
        align(body, 8)
        body += struct.pack("<I", 0)
        for code, of, value in [(1, "o", self.path_of(unit)), (2, "s", "org.freedesktop.DBus.Properties"),
                                (3, "s", "PropertiesChanged"), (7, "s", "org.freedesktop.systemd1"), (8, "g", "sa{sv}as")]:
            align(fields, 8)
            put(fields, "yv", code, (of, value))
        message = bytearray(b"l" + bytes([4, 0, 1]) + struct.pack("<III", len(body), 0x7fffffff, len(fields))) + fields
        align(message, 8)
        for client in list(self.clients):
            with contextlib.suppress(OSError), self.sending:
                client.sendall(bytes(message + body))

    @staticmethod
    def path_of(unit: str) -> str:
        return "/org/freedesktop/systemd1/unit/" + re.sub(r"\W", "_", unit)

    def result(self, call: dict[str, Any]) -> tuple[str, Any] | tuple[()] | None:
        member, arguments = call.get("member"), call["arguments"]
        if member == "Hello":
            return "s", ":1.1"
        if member == "LoadUnit":
            return "o", self.path_of(arguments[0])
        if member in ("AddMatch", "RemoveMatch", "Subscribe"):
            return ()
        if member in ("StopUnit", "RestartUnit") and self.service:
            with self.changed:
                self.killed.append((arguments[0], member, 0))
                self.changed.notify_all()
            if member == "StopUnit" or self.service.pid:
                self.service.stop()
            if member == "RestartUnit":
                self.service.start()
            return "o", "/job/1"
        if member == "Get":
            properties: dict[str, tuple[str, Any]] = {
                "LoadState": ("s", "loaded"),
                "ActiveState": ("s", "active" if self.active else "inactive"),
                "MainPID": ("u", os.getpid() if self.active else 0),
                "ExecMainStartTimestampMonotonic": ("t", int((time.clock_gettime(time.CLOCK_MONOTONIC) - 3600) * 1e6)
                                                    if time.clock_gettime(time.CLOCK_MONOTONIC) > 3600 else 1),
            }
            if self.service:
                properties.update(ActiveState=("s", self.service.state), MainPID=("u", self.service.pid))
            return ("v", properties[arguments[1]]) if arguments[1] in properties else None
        if member == "KillUnit":
            with self.changed:
                self.killed.append((arguments[0], arguments[1], arguments[2]))
                self.changed.notify_all()
            if self.service:
                self.service.kill(arguments[2])
            return ()
        if member == "ListJobs":
            return "a(usssoo)", self.marshal_jobs()
        return None

    def marshal_jobs(self) -> bytearray:
        rows = bytearray()
        for number, (unit, what) in enumerate(self.jobs, 1):
            align(rows, 8)
            put(rows, "usssoo", number, unit, what, "waiting", f"/job/{number}", "/unit")
        # The array's size does not count the padding before its first struct.
        return bytearray(struct.pack("<I", len(rows)) + b"\0" * 4 + rows)
