#!/usr/bin/python3
"""The stand-in's outer layers: throttle, maintenance, faults, TLS, HTTP/2, and the control plane itself."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from email.utils import parsedate_to_datetime
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import report  # noqa: E402
from client import ControlError, GitLab  # noqa: E402
from contract_case import FORBIDDEN, SYSTEM, Case  # noqa: E402

try:
    import h2  # noqa: F401
    HAVE_H2 = True
except ImportError:
    HAVE_H2 = False


class Throttle(Case):
    def test_unauthenticated(self) -> None:
        runner = self.registered()
        # Well inside a window, so that the clock's own edge stays away.
        self.gitlab.set_clock("2030-01-01T00:00:10Z")
        self.gitlab.settings(throttle_unauthenticated={"requests": 4, "period": 120})
        for _ in range(4):
            self.is_(self.post("/runners/verify", {"token": "bad"}), 403, FORBIDDEN)
        reply = self.post("/runners/verify", {"token": "bad"})
        self.assertEqual((reply.status, reply.media_type, reply.body), (429, "text/plain", b"Retry later\n"))
        self.assertEqual(reply.headers["ratelimit-name"], "throttle_unauthenticated_api")
        self.assertEqual([reply.headers[f"ratelimit-{name}"] for name in ("limit", "observed", "remaining")], ["2", "5", "0"])
        self.assertEqual(parsedate_to_datetime(reply.headers["ratelimit-resettime"]).timestamp(), int(reply.headers["ratelimit-reset"]))
        self.assertAlmostEqual(int(reply.headers["retry-after"]), 110, delta=10)
        # Registrations eat the same budget; valid runner tokens and users do not.
        self.assertEqual(self.post("/runners", {"token": self.gitlab.registration_tokens["group"]}).status, 429)
        self.is_(self.post("/runners/verify", {"token": runner["token"]}), 200)
        self.is_(self.get("/runners"), 200)
        self.gitlab.advance(seconds=120)
        self.is_(self.post("/runners/verify", {"token": "bad"}), 403)

    def test_authenticated(self) -> None:
        self.gitlab.set_clock("2030-01-01T00:00:10Z")
        self.gitlab.settings(throttle_authenticated={"requests": 1, "period": 60, "text": "Slow down", "reset_in_seconds": True,
                                                     "headers_always": True})
        self.assertEqual(self.get("/runners").headers["ratelimit-remaining"], "0")
        reply = self.get("/runners")
        self.assertEqual((reply.status, reply.body), (429, b"Slow down"))
        self.assertLess(int(reply.headers["ratelimit-reset"]), 61)
        self.is_(self.get("/runners", token="owner"), 200)


class ReadOnly(Case):
    def test_writes_are_refused(self) -> None:
        runner = self.registered()
        words = {"message": "You cannot perform write operations on a read-only instance"}
        self.gitlab.settings(read_only=True)
        for method, path in (("POST", "/runners"), ("POST", "/runners/verify"), ("DELETE", "/runners"),
                             ("POST", "/runners/reset_authentication_token"), ("DELETE", f"/runners/{runner['id']}")):
            self.is_(self.call(method, path, {"token": runner["token"]}, token="root"), 403, words)
        self.is_(self.get("/runners"), 200)
        # Without JSON's media type it is a browser's.
        reply = self.is_(self.call("DELETE", f"/runners/{runner['id']}", token="root"), 301)
        self.assertEqual(reply.headers["location"], "http://gitlab.example.com/")
        self.gitlab.settings(read_only="organization")
        self.assertEqual(self.is_(self.post("/runners", {}), 503).headers["retry-after"], "60")
        self.gitlab.settings(read_only="organization_open")
        self.is_(self.post("/runners", {}), 403)
        self.gitlab.settings(read_only=False)
        self.is_(self.post("/runners", {}), 400)


class Faults(Case):
    def register(self):
        return self.post("/runners", {"token": self.gitlab.registration_tokens["group"]})

    def runners(self) -> int:
        return self.gitlab.counts()["runners"]

    def test_drop(self) -> None:
        for number, (kind, made) in enumerate((("drop", 0), ("act_then_drop", 1), ("reset", 1), ("act_then_reset", 2))):
            self.gitlab.fault(operation="register", kind=kind)
            with self.assertRaises((http.client.RemoteDisconnected, ConnectionResetError)):
                self.register()
            self.assertEqual(self.runners(), made, kind)
            self.assertEqual(self.gitlab.log()[number]["fault"], kind)
            self.assertIsNone(self.gitlab.log()[number]["status"])

    def test_answers(self) -> None:
        self.gitlab.fault(method="POST", path="/runners$", kind="html", status=503)
        reply = self.register()
        self.assertEqual((reply.status, reply.media_type, self.runners()), (503, "text/html", 0))
        self.gitlab.fault(operation="register", kind="html", act=True)
        self.assertEqual((self.register().status, self.runners()), (502, 1))
        self.gitlab.fault(operation="register", kind="status", status=409, body={"message": "409 Conflict: Resource lock"},
                          headers={"X-A": "b"})
        reply = self.is_(self.register(), 409, {"message": "409 Conflict: Resource lock"})
        self.assertEqual(reply.headers["x-a"], "b")
        self.gitlab.fault(operation="register", kind="redirect", status=308, location="https://elsewhere.example/")
        reply = self.register()
        self.assertEqual((reply.status, reply.headers["location"]), (308, "https://elsewhere.example/"))

    def test_spoiled(self) -> None:
        self.gitlab.fault(operation="register", kind="garble")
        reply = self.register()
        self.assertEqual((reply.status, reply.media_type), (201, "application/json"))
        with self.assertRaises(ValueError):
            json.loads(reply.body)
        self.gitlab.fault(operation="register", kind="cut")
        with self.assertRaises(http.client.IncompleteRead):
            self.register()
        self.gitlab.fault(operation="register", kind="big_body", bytes=300_000)
        self.assertEqual(len(self.register().body), 300_000)
        self.gitlab.fault(operation="register", kind="huge_headers")
        with self.assertRaises(http.client.HTTPException):
            self.register()
        self.assertEqual(self.runners(), 4)

    def test_slow(self) -> None:
        self.gitlab.fault(operation="register", kind="slow", rate=1000)
        started = time.monotonic()
        self.is_(self.register(), 201)
        self.assertGreater(time.monotonic() - started, 0.2)

    def test_endless(self) -> None:
        self.gitlab.fault(operation="verify", kind="endless")
        connection = self.gitlab.connect()
        connection.request("POST", "/api/v4/runners/verify", "token=x", {"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(len(connection.getresponse().read(2_000_000)), 2_000_000)
        connection.close()
        self.gitlab.wait("connections", count=0)

    def test_delay_and_hang(self) -> None:
        self.gitlab.fault(operation="register", kind="delay", seconds=0.1)
        self.is_(self.register(), 201)
        self.gitlab.fault(operation="register", kind="act_then_hang")
        connection = self.gitlab.connect()
        connection.request("POST", "/api/v4/runners", json.dumps({"token": self.gitlab.registration_tokens["group"]}),
                           {"Content-Type": "application/json"})
        self.gitlab.wait_runners(2)
        connection.close()

    def test_delayed_action_happens_without_the_client(self) -> None:
        self.gitlab.fault(operation="register", kind="delay", seconds=0.1)
        connection = self.gitlab.connect()
        connection.request("POST", "/api/v4/runners", json.dumps({"token": self.gitlab.registration_tokens["group"]}),
                           {"Content-Type": "application/json"})
        self.gitlab.wait_requests(operation="register", arrived=1)
        connection.close()
        self.gitlab.wait_requests(operation="register", status=201)
        self.assertEqual(self.runners(), 1)

    def test_rules(self) -> None:
        self.gitlab.fault(operation="verify", kind="html", count=2, skip=1)
        self.gitlab.fault(operation="verify", kind="html", status=504, count=None, when={"body": "glrt-special"})
        wanted = [403, 502, 502, 403, 403]
        self.assertEqual([self.post("/runners/verify", {"token": "x"}).status for _ in wanted], wanted)
        self.assertEqual([self.post("/runners/verify", {"token": "glrt-special"}).status for _ in range(2)], [504, 504])
        self.assertEqual(len(self.gitlab.faults()), 1)
        self.gitlab.clear_faults()
        self.gitlab.wait_faults()
        self.assertEqual(self.post("/runners/verify", {"token": "glrt-special"}).status, 403)
        with self.assertRaises(ControlError):
            self.gitlab.fault(kind="earthquake")

    def test_down(self) -> None:
        self.gitlab.down()
        with self.assertRaises(ConnectionRefusedError):
            self.register()
        self.gitlab.up()
        self.is_(self.register(), 201)


class Control(Case):
    def test_log(self) -> None:
        mark = self.gitlab.mark()
        self.post("/runners/verify?x=1", {"token": "x", "system_id": SYSTEM}, headers={"X-Weird-Name": "v"})
        [entry] = self.gitlab.log(mark, operation="verify")
        self.assertEqual((entry["method"], entry["path"], entry["query"], entry["status"], entry["http"]),
                         ("POST", "/api/v4/runners/verify", "x=1", 403, "1.1"))
        self.assertIn(["X-Weird-Name", "v"], entry["headers"])
        self.assertEqual(entry["params"], {"x": "1", "token": "x", "system_id": SYSTEM})
        self.gitlab.clear_log()
        self.assertEqual(self.gitlab.mark(), mark + 1)
        self.assertEqual(self.gitlab.log(), [])

    def test_wait(self) -> None:
        mark = self.gitlab.mark()
        found: list[list[dict]] = []
        waiter = threading.Thread(target=lambda: found.append(GitLabView(self.gitlab).wait_requests(2, since=mark, operation="verify")))
        waiter.start()
        for _ in range(2):
            self.post("/runners/verify", {"token": "x"})
        waiter.join()
        self.assertEqual(len(found[0]), 2)
        with self.assertRaises(ControlError):
            self.gitlab.wait_runners(7, timeout=0.05)
        runner = self.gitlab.seed_runner()
        self.gitlab.change_runner(runner["id"], paused=True)
        self.assertEqual(self.gitlab.wait_runner(runner["id"], paused=True)["id"], runner["id"])
        self.gitlab.delete_runner(runner["id"])
        self.gitlab.wait_gone(runner["id"])

    def test_upgrade(self) -> None:
        self.gitlab.reset("15")
        runner = self.registered()
        self.gitlab.settings(profile="newest")
        self.is_(self.post("/runners/verify", {"token": runner["token"]}), 200, runner)

    def test_a_world_put_back(self) -> None:
        kept = self.gitlab.seed_runner(runner_type="instance_type", managers=[{"system_id": "s_0123456789ab"}])
        self.gitlab.advance(hours=1)
        world, before = self.gitlab.world(), self.gitlab.runners()
        self.gitlab.delete_runner(kept["id"])
        late = self.gitlab.seed_runner(runner_type="instance_type")
        self.gitlab.restore(world)
        self.assertEqual(self.gitlab.runners(), before)
        self.assertEqual(self.gitlab.request("POST", "/runners/verify", {"token": kept["token"]}).status, 200)
        self.assertEqual(self.gitlab.request("POST", "/runners/verify", {"token": late["token"]}).status, 403)
        self.assertEqual(self.gitlab.seed_runner(runner_type="instance_type")["id"], kept["id"] + 1)

    def test_many(self) -> None:
        started = time.monotonic()
        self.gitlab.seed(runners=[{"count": 10_000, "tag_list": ["bulk"]}])
        seen = 0
        page = "1"
        while page:
            reply = self.get(f"/runners/all?per_page=100&page={page}&tag_list=bulk")
            seen += len(reply.json)
            page = reply.headers["x-next-page"]
        self.assertEqual(seen, 10_000)
        self.assertLess(time.monotonic() - started, 20)

    def test_mistakes_are_told(self) -> None:
        for method, path, body in (("POST", "settings", {"nonsense": 1}), ("POST", "seed", {"planets": []}),
                                   ("POST", "seed", {"runners": [{"colour": "red"}]}), ("POST", "runners/99", {}),
                                   ("POST", "listen", {}), ("GET", "wait?for=runners", None), ("GET", "log?since=x", None)):
            with self.assertRaises(ControlError):
                self.gitlab.control(method, path, body)


class GitLabView(GitLab):
    """Another client of a stand-in that runs already."""

    def __init__(self, other: GitLab):
        super().__init__()
        self.info = other.info


class Start(unittest.TestCase):
    def test_state_survives(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder) / "state.json"
            with GitLab(state=state) as gitlab:
                runner = gitlab.seed_runner(project_ids=[1, 2], managers=[{"system_id": SYSTEM}])
                gitlab.advance(days=1)
                before = gitlab.state()["runners"]
            with GitLab(state=state) as gitlab:
                self.assertEqual(gitlab.state()["runners"], before)
                self.assertEqual(gitlab.request("POST", "/runners/verify", {"token": runner["token"]}).status, 200)
                self.assertEqual(gitlab.seed_runner()["id"], runner["id"] + 1)

    def test_relative_root(self) -> None:
        with GitLab(relative_root="/gitlab", external_url="https://git.example.com:8443") as gitlab:
            reply = gitlab.request("GET", "/runners", token="owner")
            self.assertEqual(reply.status, 200)
            self.assertIn("<https://git.example.com:8443/gitlab/api/v4/runners?", reply.headers["link"])
            outside = gitlab.request("GET", "//api/v4/runners", token="owner")
            self.assertEqual((outside.status, outside.media_type), (404, "text/html"))

    def test_ready_file(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "ready"
            gitlab = GitLab()
            gitlab.words += ["--ready-file", str(file)]
            with gitlab:
                self.assertEqual(json.loads(file.read_text()), gitlab.info)

    def test_pipelined_and_split_requests(self) -> None:
        with GitLab() as gitlab, socket.create_connection(("127.0.0.1", gitlab.info["port"]), timeout=10) as wire:
            one = b"GET /api/v4/version HTTP/1.1\r\nHost: x\r\n\r\n"
            wire.sendall(one + one + b"POST /api/v4/runners HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
                         b"Content-Type: application/json\r\n\r\n1\r\n{\r\n1")
            wire.sendall(b"\r\n}\r\n0\r\n\r\n")
            answer = b"".join(iter(lambda: wire.recv(65536), b""))
            self.assertEqual([line[9:12] for line in answer.split(b"HTTP/1.1")[1:] for line in [b"HTTP/1.1" + line]],
                             [b"401", b"401", b"400"])


    def test_as_a_proxy(self) -> None:
        with GitLab() as gitlab:
            wire = http.client.HTTPConnection("127.0.0.1", gitlab.info["port"], timeout=10)
            wire.request("GET", "http://gitlab.test/api/v4/version")
            self.assertEqual(wire.getresponse().status, 401)
            wire.close()
            [entry] = gitlab.log(operation="version")
            self.assertEqual((entry["target"], entry["path"]), ("http://gitlab.test/api/v4/version", "/api/v4/version"))


class Tls(unittest.TestCase):
    folder: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.mkdtemp(prefix="gitlab-tls-")

    @classmethod
    def tearDownClass(cls) -> None:
        shutil.rmtree(cls.folder)

    def test_certificates(self) -> None:
        for cert, words in (("expired", "expired"), ("wrong-name", "IP address mismatch"), ("untrusted", "local issuer")):
            with GitLab(tls=self.folder, cert=cert) as gitlab, self.subTest(cert=cert):
                with self.assertRaisesRegex(ssl.SSLCertVerificationError, words):
                    gitlab.request("GET", "/version")

    def test_client_certificate(self) -> None:
        with GitLab(tls=self.folder, client_cert=True) as gitlab:
            self.assertEqual(gitlab.request("GET", "/version", token="root").status, 200)
            gitlab.hang_up()
            gitlab.words.remove("--client-cert")
            with self.assertRaises((ssl.SSLError, OSError)):
                gitlab.request("GET", "/version", token="root")

    def test_ipv6(self) -> None:
        if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
            self.skipTest("no IPv6")
        with GitLab(ipv6=True) as gitlab, socket.create_connection(("::1", gitlab.info["port"]), timeout=5):
            pass

    def curl(self, gitlab: GitLab, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["curl", "-sS", "--cacert", str(gitlab.ca_file), "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
                               "-H", f"PRIVATE-TOKEN: {gitlab.tokens['root']}", *words], capture_output=True, text=True)

    def test_http2(self) -> None:
        if not HAVE_H2 or not shutil.which("curl"):
            self.skipTest("python3-h2 or curl is missing")
        with GitLab(tls=self.folder) as gitlab:
            self.assertEqual(self.curl(gitlab, gitlab.api + "/runners").stdout, "2 200")
            self.assertEqual(self.curl(gitlab, "--http1.1", gitlab.api + "/runners").stdout, "1.1 200")
            self.assertEqual([entry["http"] for entry in gitlab.log()], ["2", "1.1"])
            gitlab.fault(operation="list", kind="drop")
            self.assertNotEqual(self.curl(gitlab, gitlab.api + "/runners").returncode, 0)
            # More than a window of data.
            gitlab.fault(operation="list", kind="big_body", bytes=3_000_000)
            self.assertEqual(self.curl(gitlab, gitlab.api + "/runners").stdout, "2 200")
            # Many streams over one connection.
            mark = gitlab.mark()
            self.assertEqual(self.curl(gitlab, "-Z", *[gitlab.api + "/version"] * 20).returncode, 0)
            entries = gitlab.log(mark)
            self.assertEqual([entry["status"] for entry in entries], [200] * 20)
            self.assertEqual(len({entry["connection"] for entry in entries}), 1)
        with GitLab(tls=self.folder, http2=False) as gitlab:
            self.assertEqual(self.curl(gitlab, gitlab.api + "/runners").stdout, "1.1 200")


if __name__ == "__main__":
    report.main("contract.")
