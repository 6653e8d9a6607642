"""What the stand-ins for the clouds' metadata services share: a server in a thread that notes who asked for what, and when.

A stand-in's `reply` gives (status, headers, body). Faults come first: `hang` answers nobody, `lost` not those whose path
holds it, `status` answers all with that number.
"""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Request:
    def __init__(self, handler: BaseHTTPRequestHandler, body: bytes):
        self.at = time.monotonic()
        self.method = handler.command
        self.path = handler.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.body = body


class Server:
    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.changed = threading.Condition()
        self.hang = False
        self.lost = ""
        self.status = 0
        self.clock = 0.0  # how far its clock is ahead of this machine's, in seconds
        self.closing = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else the end of each answer waits for the peer's delayed acknowledgement.
            disable_nagle_algorithm = True

            def log_message(self, *_: Any) -> None:
                pass

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string((time.time() if timestamp is None else timestamp) + outer.clock)

            def serve(self) -> None:
                request = Request(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                with outer.changed:
                    outer.requests.append(request)
                    outer.changed.notify_all()
                    outer.changed.wait_for(lambda: not outer.hang and not (outer.lost and outer.lost in self.path) or outer.closing)
                    if outer.closing:
                        self.close_connection = True
                        return
                status, headers, body = (outer.status, {}, "a fault") if outer.status else outer.reply(request)
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body.encode())))
                    self.end_headers()
                    self.wfile.write(body.encode())

            do_GET = do_PUT = do_POST = serve

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # clients go when they like

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.http.server_address[1]}"
        self.url = "http://" + self.place
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: Any) -> None:
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self.http.shutdown()
        self.http.server_close()

    def reply(self, request: Request) -> tuple[int, dict[str, str], str]:
        raise NotImplementedError

    def set(self, **values: Any) -> float:
        """Changes what it says, from now on; gives the moment."""
        with self.changed:
            for name, value in values.items():
                assert hasattr(self, name), name
                setattr(self, name, value)
            self.changed.notify_all()
            return time.monotonic()

    def asked(self, part: str) -> list[Request]:
        with self.changed:
            return [request for request in self.requests if part in request.path or part.encode() in request.body]

    def wait_asked(self, part: str, count: int = 1, timeout: float = 30) -> list[Request]:
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.asked_now(part)) >= count, timeout):
                raise AssertionError(f"{part} was asked for {len(self.asked_now(part))} times, not {count}")
            return self.asked_now(part)

    def asked_now(self, part: str) -> list[Request]:
        return [request for request in self.requests if part in request.path or part.encode() in request.body]
