#!/usr/bin/python3
"""agent/http.c on the wire, through http-tool, against the stand-in GitLab: what each thing that can go wrong is taken
for, that nothing is sent twice which must not be, and that nothing ever holds up the event loop."""
# tests: timeout=600

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "gitlab"))

import report                                                                                    # noqa: E402
from client import GitLab                                                                        # noqa: E402

TOOL = os.environ.get("HTTP_TOOL") or os.path.join(os.environ.get("BUILD_DIR", "build"), "tests/integration/http-tool")
TOKEN = "glrt-made-up-0123456789"

# The loop ticks every 5 ms. A turn may take the parsing of the system's CAs, on a busy machine, under a sanitizer; a
# lookup that blocks takes ten seconds.
LONGEST_TURN_MSEC = 2000


class Run:
    """What http-tool printed: a reply for each call, and the last line."""

    def __init__(self, lines: list[str]):
        objects = [json.loads(line) for line in lines if line]
        self.end = objects[-1] if objects else {}
        self.replies = sorted((o for o in objects if "index" in o), key=lambda o: o["index"])
        self.cancelled = next((o for o in objects if "cancelled" in o), None)

    @property
    def only(self) -> dict:
        assert len(self.replies) == 1, self.replies
        return self.replies[0]

    @property
    def transports(self) -> list[str]:
        return [reply["transport"] for reply in self.replies]


def environment(**more: str) -> dict[str, str]:
    given = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    return {**given, "HTTP_TOOL_TOKEN": TOKEN, **more}


def tool(url: str, *calls: str, before: tuple[str, ...] = (), env: dict[str, str] | None = None,
         **options: object) -> Run:
    words = [*before, TOOL]
    for name, value in options.items():
        words.append(f"--{name}" if value is True else f"--{name}={value}")
    done = subprocess.run([*words, url, *calls], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
                          env=environment(**(env or {})), check=False)
    if done.returncode != 0:
        raise AssertionError(f"http-tool ended with {done.returncode}: {done.stderr[-2000:]}")
    assert TOKEN not in done.stdout + done.stderr, "the token was printed"
    return Run(done.stdout.splitlines())


class Base(unittest.TestCase):
    def assertLoopTurned(self, run: Run) -> None:
        self.assertLess(run.end["longest_msec"], LONGEST_TURN_MSEC)
        self.assertLess(run.end["free_msec"], LONGEST_TURN_MSEC)


class Wire:
    """Every fault, over HTTP/1.1 and HTTP/2 alike."""

    http2 = False
    gitlab: GitLab

    @classmethod
    def setUpClass(cls) -> None:
        cls.gitlab = GitLab(tls=True, http2=cls.http2).start()
        if cls.http2 and not cls.gitlab.info["http2"]:
            cls.gitlab.stop()
            raise unittest.SkipTest("the stand-in has no HTTP/2 here: python3-h2 is not installed")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.gitlab.stop()

    def setUp(self) -> None:
        self.gitlab.clear_faults()
        self.since = self.gitlab.mark()

    def tool(self, *calls: str, **options: object) -> Run:
        options.setdefault("ca", self.gitlab.ca_file)
        return tool(self.gitlab.url, *calls, **options)

    def log(self, operation: str | None = None) -> list[dict]:
        entries = self.gitlab.log(self.since)
        return [e for e in entries if operation is None or e["operation"] == operation]

    def test_request(self) -> None:
        """What GitLab gets to see."""
        self.assertEqual(self.tool("verify").only["status"], 403)
        entry = self.log("verify")[0]
        headers = {name.lower(): value for name, value in entry["headers"]}
        self.assertEqual(headers["user-agent"], "gitlab-runner 19.4.0 (test)")
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual(headers["accept"], "application/json")
        self.assertEqual(headers["runner-token"], TOKEN)
        self.assertRegex(headers["x-request-id"], "^[0-9a-f]{32}$")
        self.assertNotIn("expect", headers)
        self.assertNotIn("accept-encoding", headers)
        self.assertEqual(entry["params"]["token"], TOKEN)
        self.assertEqual(entry["http"], "2" if self.http2 else "1.1")

    def test_request_id_is_new_each_time(self) -> None:
        self.tool("verify", "verify", "register")
        ids = {dict((n.lower(), v) for n, v in e["headers"])["x-request-id"] for e in self.log()}
        self.assertEqual(len(ids), 3)

    def test_reply(self) -> None:
        self.gitlab.fault(operation="verify", kind="status", status=429, body="Retry later\n",
                          headers={"Retry-After": "17", "RateLimit-ResetTime": "Sun, 06 Nov 1994 08:49:37 GMT"})
        reply = self.tool("verify").only
        self.assertEqual((reply["transport"], reply["status"]), ("ok", 429))
        self.assertEqual(reply["retry_after"], "17")
        self.assertEqual(reply["ratelimit_reset_time"], "Sun, 06 Nov 1994 08:49:37 GMT")
        self.assertEqual(reply["body_size"], len("Retry later\n"))

    def test_methods(self) -> None:
        """A body goes along with any method, and none is made up."""
        self.tool("PUT:runners/1", "DELETE:runners", "GET:runners/7")
        self.assertEqual([e["method"] for e in self.log()], ["PUT", "DELETE", "GET"])
        self.assertEqual([bool(e["body"]) for e in self.log()], [True, True, False])

    def test_one_connection_for_ten_requests(self) -> None:
        run = self.tool("verify", repeat=10)
        self.assertEqual(run.transports, ["ok"] * 10)
        self.assertEqual(len({e["connection"] for e in self.log()}), 1)

    def test_many_at_once(self) -> None:
        """Bounded connections, and all of them answered."""
        run = self.tool("verify", repeat=200, parallel=True)
        self.assertEqual(run.transports, ["ok"] * 200)
        entries = self.log("verify")
        self.assertEqual(len(entries), 200)
        self.assertLessEqual(len({e["connection"] for e in entries}), 1 if self.http2 else 8)
        self.assertLoopTurned(run)

    def test_many_creations_at_once(self) -> None:
        run = self.tool("register", repeat=60, parallel=True)
        self.assertEqual(run.transports, ["ok"] * 60)
        self.assertEqual(len(self.log("register")), 60)

    def test_faults(self) -> None:
        """What each fault is taken for; of a call that must not be repeated, GitLab sees exactly one."""
        table = [
            # kind, options, transport, status, part of the sentence
            ("drop", {}, "lost", 0, ""),
            ("act_then_drop", {}, "lost", 0, ""),
            ("reset", {}, "lost", 0, ""),
            ("act_then_reset", {}, "lost", 0, ""),
            ("hang", {}, "lost", 0, "no answer within 1s"),
            ("act_then_hang", {}, "lost", 0, "no answer within 1s"),
            ("delay", {"seconds": 0.4}, "ok", None, ""),
            ("html", {"status": 502}, "ok", 502, ""),
            ("status", {"status": 503, "body": "", "headers": {"Retry-After": "1"}}, "ok", 503, ""),
            ("garble", {}, "ok", None, ""),
            ("cut", {}, "lost", 0, ""),
            ("endless", {}, "too_large", 0, "larger than 1048576 bytes"),
            ("huge_headers", {}, "too_large", 0, "headers"),
            ("huge_headers", {"bytes": 40000}, "too_large", 0, "headers"),
            ("huge_headers", {"bytes": 20000}, "ok", None, ""),
            ("big_body", {"bytes": 2 << 20}, "too_large", 0, "larger than 1048576 bytes"),
            ("big_body", {"bytes": 900_000}, "ok", None, ""),
            ("redirect", {"status": 302, "location": "http://127.0.0.1:9/elsewhere"}, "ok", 302, ""),
            ("redirect", {"status": 307, "location": "/api/v4/runners/verify"}, "ok", 307, ""),
        ]
        for kind, options, transport, status, words in table:
            for operation in ("verify", "register", "reset"):
                with self.subTest(kind=kind, operation=operation, **options):
                    self.gitlab.clear_faults()
                    self.since = self.gitlab.mark()
                    # After a good call, so that a pooled connection is at hand.
                    self.gitlab.fault(operation=operation, kind=kind, skip=1 if operation == "verify" else 0, **options)
                    timeout = 1000 if "hang" in kind else 20000
                    run = self.tool("verify", operation, timeout=timeout)
                    reply = run.replies[1]
                    n_sent = len(self.log(operation)) - (1 if operation == "verify" else 0)
                    if operation == "verify" and transport != "ok" and reply["transport"] == "ok" and n_sent == 2:
                        continue            # repeated on a new connection, as it may be
                    self.assertEqual(reply["transport"], transport, reply)
                    self.assertEqual(n_sent, 1)
                    if status is not None:
                        self.assertEqual(reply["status"], status)
                    if transport == "ok":
                        self.assertNotIn("error", reply)
                        self.assertTrue(kind != "redirect" or reply["location"] == options["location"])
                    else:
                        self.assertIn(words, reply["error"])
                        self.assertEqual(reply["body_size"], 0)
                    self.assertLoopTurned(run)

    def test_a_pooled_connection_that_dies_is_no_failure(self) -> None:
        """Of calls that may be repeated."""
        for kind in ("drop", "reset"):
            with self.subTest(kind=kind):
                self.since = self.gitlab.mark()
                self.gitlab.fault(operation="verify", kind=kind, skip=1)
                run = self.tool("verify", "verify", "verify")
                # An HTTP/2 stream that is reset by itself is an answer of its kind.
                self.assertEqual(run.transports[0::2], ["ok", "ok"])
                self.assertIn(run.transports[1], ("ok", "lost") if self.http2 else ("ok",))

    def test_a_connection_without_an_answer_is_not_asked_again(self) -> None:
        """Who listens no more there does not for the next call either."""
        self.gitlab.fault(operation="verify", kind="hang")
        run = self.tool("verify", "verify", "verify", timeout=1000)
        self.assertEqual(run.transports, ["lost", "ok", "ok"])
        used = [entry["connection"] for entry in self.log()]
        self.assertNotEqual(used[0], used[1])
        self.assertEqual(used[1], used[2])

    def test_creating_calls_never_wait_in_the_pool(self) -> None:
        """Each has a connection that was never used before: nothing that idled can die under it."""
        self.tool("verify", "register", "register", "create", "reset", "reset_by_id")
        entries = self.log()
        used = [e["connection"] for e in entries]
        self.assertEqual(len(entries), 6)
        self.assertEqual(len(set(used)), 6)

    def test_slow_answer(self) -> None:
        """4 KB a second is slow, not broken."""
        self.gitlab.seed(runners=[{"runner_type": "instance_type", "count": 60}])
        self.gitlab.fault(path="/runners/all", kind="slow", rate=4096)
        run = self.tool("GET:runners/all?per_page=60", timeout=30000,
                        env={"HTTP_TOOL_TOKEN": self.gitlab.tokens["root"]})
        reply = run.only
        self.assertEqual((reply["transport"], reply["status"]), ("ok", 200), reply)
        self.assertGreater(reply["body_size"], 6000)
        self.assertGreater(reply["msec"], 1000)
        self.assertIn("date", reply)

    def test_slow_answer_is_cut_by_the_timeout(self) -> None:
        self.gitlab.fault(operation="register", kind="slow", rate=4)
        reply = self.tool("register", timeout=1000).only
        self.assertEqual(reply["transport"], "lost")
        self.assertIn("within 1s", reply["error"])

    def test_nobody_listens(self) -> None:
        self.gitlab.down()
        self.addCleanup(self.gitlab.up)
        run = self.tool("register", "verify")
        self.assertEqual(run.transports, ["not_sent"] * 2)
        place = self.gitlab.url.removeprefix("https://")
        self.assertEqual(run.replies[0]["error"], f"Failed to connect to {place}: connection refused")

    def test_down_and_up_again(self) -> None:
        """The queue behind a GitLab that is down ends with it, and is no obstacle later."""
        self.gitlab.down()
        self.addCleanup(self.gitlab.up)
        run = self.tool("verify", repeat=50, parallel=True)
        self.assertEqual(run.transports, ["not_sent"] * 50)
        self.gitlab.up()
        self.assertEqual(self.tool("verify", repeat=20, parallel=True).transports, ["ok"] * 20)

    def test_cancel(self) -> None:
        """At any moment, at once."""
        self.gitlab.fault(operation="verify", kind="hang", count=None)
        for after in (1, 20, 300):
            with self.subTest(after=after):
                run = self.tool("verify", "register", repeat=20, parallel=True, cancel=after)
                self.assertLess(run.cancelled["cancel_msec"], 1000)
                self.assertLoopTurned(run)

    def test_queue_is_bounded_in_time(self) -> None:
        """More calls than connections, none of them answered: each ends within twice its timeout."""
        self.gitlab.fault(operation="verify", kind="hang", count=None)
        begin = time.monotonic()
        run = self.tool("verify", repeat=40, parallel=True, timeout=1000)
        self.assertLess(time.monotonic() - begin, 6)
        self.assertEqual(set(run.transports), {"lost", "not_sent"})
        waited = [r for r in run.replies if r["transport"] == "not_sent"]
        self.assertLess(max(r["msec"] for r in waited), 3000)

    def test_credentials_with_a_line_break_are_not_sent(self) -> None:
        run = self.tool("verify", env={"HTTP_TOOL_TOKEN": "abc\r\nX-Evil: 1"})
        self.assertEqual(run.only["transport"], "bad_url")
        self.assertEqual(self.log(), [])


class Http1(Wire, Base):
    http2 = False


class Http2(Wire, Base):
    http2 = True

    def test_creating_calls_use_http_1(self) -> None:
        """curl sends a refused HTTP/2 stream again."""
        self.tool("register")
        self.assertEqual(self.log("register")[0]["http"], "1.1")


class Tls(Base):
    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="tls")
        self.addCleanup(shutil.rmtree, self.folder)

    def refused(self, cert: str, **options: object) -> dict:
        with GitLab(tls=self.folder, cert=cert) as gitlab:
            options.setdefault("ca", gitlab.ca_file)
            run = tool(gitlab.info["url_localhost"], "register", **options)
            self.assertEqual(gitlab.log(), [])
            self.assertEqual(run.only["transport"], "tls", run.only)
            return run.only

    def test_untrusted(self) -> None:
        error = self.refused("untrusted")["error"]
        self.assertIn("is not trusted", error)
        self.assertIn("tls_ca_file", error)

    def test_expired(self) -> None:
        self.assertIn("has expired", self.refused("expired")["error"])

    def test_wrong_name(self) -> None:
        self.assertIn("is for another name", self.refused("wrong-name")["error"])

    def test_private_ca_not_configured(self) -> None:
        with GitLab(tls=self.folder) as gitlab:
            reply = tool(gitlab.url, "register").only
        self.assertEqual(reply["transport"], "tls")
        self.assertIn("set tls_ca_file", reply["error"])

    def test_files(self) -> None:
        """Missing and unusable ones: named by setting and path."""
        empty = os.path.join(self.folder, "empty.pem")
        Path(empty).write_text("nothing\n")
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        with GitLab(tls=self.folder) as gitlab:
            for options, words in (
                    ({"ca": "/nonexistent/ca.pem"}, ("tls_ca_file '/nonexistent/ca.pem'", "no such file")),
                    ({"ca": self.folder}, ("tls_ca_file", "is a directory")),
                    ({"ca": fifo}, ("tls_ca_file", "not a plain file")),
                    ({"ca": empty}, (f"tls_ca_file '{empty}'", "PEM")),
                    ({"ca": gitlab.ca_file, "cert": "/nonexistent.pem"}, ("tls_cert_file '/nonexistent.pem'",)),
                    ({"ca": gitlab.ca_file, "cert": gitlab.info["client_cert_file"], "key": "/nonexistent.key"},
                     ("tls_key_file '/nonexistent.key'",)),
                    ({"ca": gitlab.ca_file, "cert": empty, "key": empty}, (f"tls_cert_file '{empty}'", "PEM")),
                    ({"ca": gitlab.ca_file, "cert": gitlab.info["client_cert_file"],
                      "key": os.path.join(self.folder, "server.key")}, ("belong to each other",))):
                with self.subTest(**options):
                    reply = tool(gitlab.url, "register", **options).only
                    self.assertEqual(reply["transport"], "tls", reply)
                    for part in words:
                        self.assertIn(part, reply["error"])
            self.assertEqual(gitlab.log(), [])

    def test_encrypted_key_does_not_ask(self) -> None:
        key = os.path.join(self.folder, "locked.key")
        with GitLab(tls=self.folder, client_cert=True) as gitlab:
            subprocess.run(["openssl", "pkey", "-in", gitlab.info["client_key_file"], "-aes256", "-passout", "pass:x",
                            "-out", key], check=True)
            reply = tool(gitlab.url, "register", ca=gitlab.ca_file, cert=gitlab.info["client_cert_file"], key=key).only
        self.assertEqual(reply["transport"], "tls")
        self.assertIn("passphrase", reply["error"])

    def test_client_certificate(self) -> None:
        with GitLab(tls=self.folder, client_cert=True) as gitlab:
            good = {"ca": gitlab.ca_file, "cert": gitlab.info["client_cert_file"],
                    "key": gitlab.info["client_key_file"]}
            self.assertEqual(tool(gitlab.url, "verify", "register", **good).transports, ["ok", "ok"])
            mark = gitlab.mark()
            # Whether the server's reason arrives, or is overtaken by the reset of the connection, is chance.
            self.assertIn(tool(gitlab.url, "register", ca=gitlab.ca_file).only["transport"], ("tls", "lost"))
            self.assertEqual(gitlab.log(mark), [])

    def test_client_certificate_refused(self) -> None:
        """With TLS 1.3 the refusal comes after the request; it is still one of the handshake."""
        with GitLab(tls=self.folder) as gitlab:
            ca = gitlab.ca_file
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(self.folder, "server.pem"), os.path.join(self.folder, "server.key"))
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED

        def serve(c: socket.socket) -> None:
            inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = context.wrap_bio(inside, outside, server_side=True)
            while data := c.recv(1 << 16):
                inside.write(data)
                try:
                    session.do_handshake()
                except ssl.SSLError:
                    pass
                c.sendall(outside.read())

        other = os.path.join(self.folder, "untrusted-client")
        listener = Listener(serve)
        self.addCleanup(listener.close)
        for options, words in (({}, "wants a client certificate; set tls_cert_file and tls_key_file"),
                               ({"cert": other + ".pem", "key": other + ".key"}, "refused the certificate")):
            with self.subTest(**options):
                reply = tool(f"https://127.0.0.1:{listener.port}", "register", ca=ca, **options).only
                self.assertEqual(reply["transport"], "tls", reply)
                self.assertIn(words, reply["error"])

    def system_trust(self, prepare: str, expected: str, ca: str | None) -> None:
        """With a folder of ours in place of the system's CAs, in a mount namespace."""
        if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
            self.skipTest("needs root and mount namespaces")
        system = os.path.join(self.folder, "system")
        os.mkdir(system)
        with GitLab(tls=self.folder) as gitlab:
            script = f"set -e; {prepare}; mount --bind '{system}' /etc/ssl/certs; exec \"$@\""
            before = ("unshare", "--mount", "sh", "-c", script.format(ca=gitlab.ca_file, system=system), "sh")
            options = {"ca": os.path.join(self.folder, ca)} if ca else {}
            reply = tool(gitlab.url, "register", before=before, **options).only
        self.assertEqual(reply["transport"], expected, reply)

    HASHED = "cp '{ca}' '{system}'/own.pem; openssl rehash '{system}'"
    BUNDLE = "cp '{ca}' '{system}'/ca-certificates.crt"

    def test_ca_file_adds_to_the_system_folder(self) -> None:
        self.system_trust(self.HASHED, "ok", "untrusted-ca.pem")

    def test_ca_file_adds_to_the_system_bundle(self) -> None:
        self.system_trust(self.BUNDLE, "ok", "untrusted-ca.pem")

    def test_system_bundle_alone(self) -> None:
        self.system_trust(self.BUNDLE, "ok", None)

    def test_system_folder_alone(self) -> None:
        self.system_trust(self.HASHED, "ok", None)

    def test_no_system_trust(self) -> None:
        self.system_trust("true", "tls", None)
        shutil.rmtree(os.path.join(self.folder, "system"))
        self.system_trust("true", "ok", "ca.pem")


class Listener:
    """Accepts connections and hands each to a function, in a thread of the test."""

    def __init__(self, serve):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.n_connections = 0
        self.serve = serve
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.n_connections += 1
            threading.Thread(target=self.handle, args=(connection,), daemon=True).start()

    def handle(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.serve(connection)
            except OSError:
                pass

    def close(self) -> None:
        self.socket.close()


class Odd(Base):
    """Servers that are no GitLab."""

    def answer(self, serve, *calls: str, scheme: str = "http", **options: object) -> tuple[Run, Listener]:
        listener = Listener(serve)
        self.addCleanup(listener.close)
        return tool(f"{scheme}://127.0.0.1:{listener.port}", *(calls or ("register",)), **options), listener

    def test_closed_at_once(self) -> None:
        run, listener = self.answer(lambda c: c.close())
        self.assertEqual(run.only["transport"], "lost")
        self.assertEqual(listener.n_connections, 1)

    def test_closed_in_the_handshake(self) -> None:
        """No certificate was seen: nothing permanent, and nothing was sent."""
        run, _ = self.answer(lambda c: (c.recv(1), c.close()), scheme="https")
        self.assertEqual(run.only["transport"], "not_sent", run.only)

    def test_reset_in_the_handshake(self) -> None:
        def serve(c: socket.socket) -> None:
            c.recv(5)
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            c.close()
        run, _ = self.answer(serve, scheme="https")
        self.assertEqual(run.only["transport"], "not_sent", run.only)

    def test_silent_in_the_handshake(self) -> None:
        run, _ = self.answer(lambda c: c.recv(1 << 16) and c.recv(1), scheme="https", timeout=1000)
        self.assertEqual(run.only["transport"], "not_sent", run.only)
        self.assertIn("TLS handshake took longer than 1s", run.only["error"])

    def test_plain_http_where_tls_was_meant(self) -> None:
        run, _ = self.answer(lambda c: (c.recv(1 << 16), c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")), scheme="https")
        self.assertEqual(run.only["transport"], "tls", run.only)
        self.assertIn("does not speak TLS", run.only["error"])

    def test_not_http(self) -> None:
        run, _ = self.answer(lambda c: (c.recv(1 << 16), c.sendall(b"220 mail.example.com ESMTP\r\n")))
        self.assertEqual(run.only["transport"], "lost")
        self.assertIn("not HTTP", run.only["error"])

    def test_interim_answers_and_trailers(self) -> None:
        """Headers of interim answers and trailers are not those of the answer."""
        def serve(c: socket.socket) -> None:
            c.recv(1 << 16)
            c.sendall(b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"
                      b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"2\r\n{}\r\n0\r\nLocation: http://evil.example\r\nRetry-After: 9\r\n\r\n")
        run, _ = self.answer(serve)
        reply = run.only
        self.assertEqual((reply["transport"], reply["status"], reply["body_size"]), ("ok", 201, 2))
        self.assertNotIn("location", reply)
        self.assertNotIn("retry_after", reply)

    def test_endless_header_lines(self) -> None:
        def serve(c: socket.socket) -> None:
            c.recv(1 << 16)
            c.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                c.sendall(b"X-More: " + b"x" * 500 + b"\r\n")
        run, _ = self.answer(serve)
        self.assertEqual(run.only["transport"], "too_large")

    def test_keepalive_race(self) -> None:
        """A server that closes its idle connections under us: repeated once where that is harmless, and creating
        calls do not even notice."""
        def serve(c: socket.socket) -> None:
            c.recv(1 << 16)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n200")
            c.recv(1 << 16)                 # takes the next request, and closes without an answer
        run, listener = self.answer(serve, "verify", "verify", "register")
        self.assertEqual(run.transports, ["ok"] * 3)
        self.assertEqual(listener.n_connections, 3)

    def test_unresolvable(self) -> None:
        run = tool("https://gitlab.invalid", "register", env={"RES_OPTIONS": "attempts:1 timeout:1"})
        self.assertEqual(run.only["transport"], "not_sent")
        self.assertIn("gitlab.invalid:443", run.only["error"])

    def test_bad_url(self) -> None:
        for url in ("ftp://127.0.0.1", "gitlab.example.com", "https://"):
            with self.subTest(url=url):
                self.assertEqual(tool(url, "register").only["transport"], "bad_url")


class Proxy(Base):
    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="tls")
        self.addCleanup(shutil.rmtree, self.folder)
        self.gitlab = GitLab(tls=self.folder).start()
        self.addCleanup(self.gitlab.stop)
        self.seen: list[bytes] = []

    def tunnel(self, c: socket.socket) -> None:
        head = c.recv(1 << 16)
        self.seen.append(head)
        host, _, port = head.split()[1].decode().rpartition(":")
        with socket.create_connection((host, int(port))) as other:
            c.sendall(b"HTTP/1.1 200 Connection established\r\nRetry-After: 5\r\n\r\n")
            back = threading.Thread(target=self.copy, args=(other, c), daemon=True)
            back.start()
            self.copy(c, other)

    @staticmethod
    def copy(a: socket.socket, b: socket.socket) -> None:
        try:
            while data := a.recv(1 << 16):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def proxy(self, serve=None) -> str:
        listener = Listener(serve or self.tunnel)
        self.addCleanup(listener.close)
        return f"http://127.0.0.1:{listener.port}"

    def test_configured(self) -> None:
        """Counts whatever no_proxy says; the proxy's own headers are not the answer's."""
        run = tool(self.gitlab.url, "verify", ca=self.gitlab.ca_file, proxy=self.proxy(), env={"no_proxy": "*"})
        self.assertEqual(run.only["status"], 403)
        self.assertNotIn("retry_after", run.only)
        self.assertTrue(self.seen[0].startswith(b"CONNECT "))

    def test_environment(self) -> None:
        run = tool(self.gitlab.url, "verify", ca=self.gitlab.ca_file, env={"https_proxy": self.proxy()})
        self.assertEqual(run.only["status"], 403)
        self.assertEqual(len(self.seen), 1)

    def test_environment_is_overridden_by_nothing(self) -> None:
        run = tool(self.gitlab.url, "verify", ca=self.gitlab.ca_file, proxy="", env={"https_proxy": self.proxy()})
        self.assertEqual(run.only["status"], 403)
        self.assertEqual(self.seen, [])

    def test_tokens_stay_inside_the_tunnel(self) -> None:
        tool(self.gitlab.url, "verify", ca=self.gitlab.ca_file, proxy=self.proxy())
        self.assertNotIn(TOKEN.encode(), b"".join(self.seen))

    def test_refused(self) -> None:
        """Nothing of a request has left when a proxy refuses."""
        url = self.proxy(lambda c: (c.recv(1 << 16), c.sendall(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")))
        secret = url.replace("http://", "http://user:hush@")
        reply = tool(self.gitlab.url, "register", ca=self.gitlab.ca_file, proxy=secret).only
        self.assertEqual(reply["transport"], "not_sent", reply)
        self.assertIn("HTTP 407", reply["error"])
        self.assertNotIn("hush", json.dumps(reply))

    def test_unreachable(self) -> None:
        reply = tool(self.gitlab.url, "register", ca=self.gitlab.ca_file, proxy="http://user:hush@127.0.0.1:1").only
        self.assertEqual(reply["transport"], "not_sent", reply)
        self.assertIn("through the proxy: connection refused", reply["error"])
        self.assertNotIn("hush", json.dumps(reply))

    def test_nonsense(self) -> None:
        for proxy in ("http://user:hush@[x", "foo://user:hush@x:1", "http://user:hush@x:99999999"):
            with self.subTest(proxy=proxy):
                reply = tool(self.gitlab.url, "register", ca=self.gitlab.ca_file, proxy=proxy).only
                self.assertIn(reply["transport"], ("not_sent", "bad_url"), reply)
                self.assertNotIn("hush", json.dumps(reply))


class SilentNameServer(Base):
    """A name server that never answers, in a network namespace with a resolv.conf of its own."""

    def setUp(self) -> None:
        if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "--mount", "true"], check=False).returncode != 0:
            self.skipTest("needs root, and network and mount namespaces")
        self.folder = tempfile.mkdtemp(prefix="dns")
        self.addCleanup(shutil.rmtree, self.folder)
        Path(self.folder, "resolv.conf").write_text("nameserver 127.0.0.53\noptions timeout:5 attempts:2\n")
        Path(self.folder, "nsswitch.conf").write_text("hosts: files dns\n")

    def tool(self, *calls: str, **options: object) -> Run:
        return tool("https://gitlab.example.com", *calls,
                    before=("unshare", "--net", "--mount", sys.executable, __file__, "--silent", self.folder), **options)

    def test_stop(self) -> None:
        for parallel in (1, 100):
            with self.subTest(parallel=parallel):
                begin = time.monotonic()
                run = self.tool("verify", repeat=parallel, parallel=True, cancel=400)
                self.assertEqual(run.cancelled["cancelled"], parallel)
                self.assertLess(run.cancelled["cancel_msec"], 1000)
                self.assertLoopTurned(run)
                # The process ends, too, although its resolver thread still waits.
                self.assertLess(time.monotonic() - begin, 5)

    def test_timeout(self) -> None:
        run = self.tool("register", timeout=1000)
        self.assertEqual(run.only["transport"], "not_sent", run.only)
        self.assertIn("no name server answered within 1s", run.only["error"])
        self.assertLess(run.only["msec"], 3000)
        self.assertLoopTurned(run)

    def test_many(self) -> None:
        run = self.tool("verify", repeat=100, parallel=True, timeout=1000)
        self.assertEqual(set(run.transports), {"not_sent"})
        self.assertLoopTurned(run)


def run_with_silent_name_server(folder: str, words: list[str]) -> None:
    """In the namespaces: lo comes up, port 53 is taken and never answers, and then the tool runs."""
    import fcntl
    import struct
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.pack("16sH14x", b"lo", 0x1 | 0x40)      # IFF_UP | IFF_RUNNING
        fcntl.ioctl(control, 0x8914, flags)                    # SIOCSIFFLAGS
    for name in ("resolv.conf", "nsswitch.conf"):
        subprocess.run(["mount", "--bind", os.path.join(folder, name), os.path.realpath(f"/etc/{name}")], check=True)
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.53", 53))
    os.set_inheritable(silent.fileno(), True)
    os.execvp(words[0], words)


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[1] == "--silent":
        run_with_silent_name_server(sys.argv[2], sys.argv[3:])
    report.main("http.")
