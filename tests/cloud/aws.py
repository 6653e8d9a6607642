"""AWS: the instance metadata (IMDSv2), and as much of Auto Scaling as a lifecycle action needs, signatures checked."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.parse

from server import Request, Server

KEY, SECRET, SESSION = "ASIAMADEUP", "made/up+secret", "session+made/up=="
NAMESPACE = "http://autoscaling.amazonaws.com/doc/2011-01-01/"


def hooks(*names: str, heartbeat: int = 30, total: int = 3600, transition: str = "TERMINATING") -> str:
    return "".join(
        f"<member><GlobalTimeout>{total}</GlobalTimeout><AutoScalingGroupName>build &amp; co</AutoScalingGroupName>"
        f"<LifecycleHookName>{name}</LifecycleHookName><DefaultResult>ABANDON</DefaultResult>"
        f"<HeartbeatTimeout>{heartbeat}</HeartbeatTimeout>"
        f"<LifecycleTransition>autoscaling:EC2_INSTANCE_{transition}</LifecycleTransition></member>" for name in names)


class Aws(Server):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = 0
        self.valid = ""  # the one token that is taken
        self.action: dict[str, str] | None = None
        self.rebalance: dict[str, str] | None = None
        self.lifecycle: str | None = None
        self.hooks = hooks("runner-registrar")
        self.role: str | None = "build-host"
        self.over = False  # nobody waits (any more)
        self.bad_signatures: list[str] = []

    def reply(self, request: Request) -> tuple[int, dict[str, str], str]:
        if request.method == "POST" and request.path == "/":
            return self.auto_scaling(request)
        if request.path == "/latest/api/token":
            if request.method != "PUT" or "x-aws-ec2-metadata-token-ttl-seconds" not in request.headers:
                return 400, {}, "Bad Request"
            self.tokens += 1
            self.valid = f"AQAE-token-{self.tokens}=="
            return 200, {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": "21600"}, self.valid
        if not self.valid or request.headers.get("x-aws-ec2-metadata-token") != self.valid:
            return 401, {}, "<html>401 - Unauthorized</html>"
        values = {
            "spot/instance-action": self.action and json.dumps(self.action),
            "events/recommendations/rebalance": self.rebalance and json.dumps(self.rebalance),
            "autoscaling/target-lifecycle-state": self.lifecycle,
            "instance-id": "i-0123456789abcdef0",
            "placement/region": "eu-central-1",
            "services/domain": "amazonaws.com",
            "iam/security-credentials/": self.role,
            "iam/security-credentials/build-host": json.dumps(
                {"Code": "Success", "AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": SESSION}),
        }
        value = values.get(request.path.removeprefix("/latest/meta-data/"))
        return (200, {}, value) if value else (404, {}, "<html>404 - Not Found</html>")

    def auto_scaling(self, request: Request) -> tuple[int, dict[str, str], str]:
        if why := self.wrong_signature(request):
            self.bad_signatures.append(why)
            return 403, {}, f"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>{why}</Message></Error></ErrorResponse>"
        form = dict(urllib.parse.parse_qsl(request.body.decode()))
        name = form["Action"]
        result = ""
        if name == "DescribeAutoScalingInstances":
            assert form["InstanceIds.member.1"] == "i-0123456789abcdef0"
            result = ("<AutoScalingInstances><member><LifecycleState>Terminating:Wait</LifecycleState>"
                      "<AutoScalingGroupName>build &amp; co</AutoScalingGroupName></member></AutoScalingInstances>")
        elif form.get("AutoScalingGroupName") != "build & co":
            return self.error(f"AutoScalingGroup name not found: {form.get('AutoScalingGroupName')}")
        elif name == "DescribeLifecycleHooks":
            result = f"<LifecycleHooks>{self.hooks}</LifecycleHooks>"
        elif self.over:
            return self.error("No active Lifecycle Action found with instance ID i-0123456789abcdef0")
        elif name == "CompleteLifecycleAction":
            assert form["LifecycleActionResult"] == "CONTINUE"
            self.over = True
        body = f'<{name}Response xmlns="{NAMESPACE}"><{name}Result>{result}</{name}Result></{name}Response>'
        return 200, {"Content-Type": "text/xml"}, body

    def error(self, message: str) -> tuple[int, dict[str, str], str]:
        return 400, {"Content-Type": "text/xml"}, (
            f'<ErrorResponse xmlns="{NAMESPACE}">\n  <Error>\n    <Type>Sender</Type>\n    <Code>ValidationError</Code>\n'
            f"    <Message>{message}</Message>\n  </Error>\n  <RequestId>0</RequestId>\n</ErrorResponse>\n")

    def actions(self) -> list[str]:
        with self.changed:
            return [dict(urllib.parse.parse_qsl(r.body.decode()))["Action"] for r in self.requests if r.method == "POST"]

    @staticmethod
    def wrong_signature(request: Request) -> str | None:
        """AWS Signature Version 4, checked by itself."""
        kind, _, rest = request.headers.get("authorization", "").partition(" ")
        if kind != "AWS4-HMAC-SHA256":
            return "not signed"
        fields = dict(field.strip().split("=", 1) for field in rest.split(","))
        key, date, region, service, end = fields["Credential"].split("/")
        names = fields["SignedHeaders"].split(";")
        if (key, region, service, end) != (KEY, "eu-central-1", "autoscaling", "aws4_request"):
            return f"scope {fields['Credential']}"
        if request.headers.get("x-amz-security-token") != SESSION:
            return "no session token"
        if not {"host", "x-amz-date", "x-amz-security-token"} <= set(names):
            return f"signed are only {names}"
        missing = [name for name in names if name not in request.headers]
        if missing:
            return f"signed but not sent: {missing}"
        canonical = "\n".join([
            request.method, request.path, "", *[f"{name}:{request.headers[name].strip()}" for name in names], "",
            ";".join(names), hashlib.sha256(request.body).hexdigest()])
        scope = "/".join([date, region, service, end])
        text = "\n".join([kind, request.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
        secret = ("AWS4" + SECRET).encode()
        for part in (date, region, service, end):
            secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
        good = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
        return None if hmac.compare_digest(good, fields["Signature"]) else "wrong signature"
