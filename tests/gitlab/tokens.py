"""Tokens of every age and format [app/models/ci/runner.rb, lib/authn/tokens/runner_authentication_token.rb]."""

from __future__ import annotations

import base64
import secrets
import zlib

from profiles import Profile

TYPE_NUMBER = {"instance_type": 1, "group_type": 2, "project_type": 3}
REGISTRATION_PREFIX = "GR1348941"
FORMATS = ("hex30", "plain20", "glrt20", "glrt28", "t23", "glrtr", "glrtr_t", "routable", "prefixed")

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def friendly(length: int = 20) -> str:
    """Devise's friendly token: URL-safe Base64 without the letters that people mix up."""
    text = base64.urlsafe_b64encode(secrets.token_bytes(length * 3 // 4)).decode()
    return text.translate(str.maketrans("lIO0", "sxyz"))[:length]


def base36(number: int, width: int = 1) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text.rjust(width, "0")


def routable(prefix: str, payload: dict[str, int]) -> str:
    """A token that tells routers where it belongs [lib/authn/token_field/generator/routable_token.rb].

    The checksum covers the prefix too, so prefix and body cannot be recombined.
    """
    lines = "\n".join(f"{key}:{base36(value)}" for key, value in sorted(payload.items())).encode()
    raw = secrets.token_bytes(16) + lines + bytes([len(lines)])
    body = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    head = f"{prefix}{body}.01.{base36(len(body), 2)}"
    return head + base36(zlib.crc32(head.encode()), 7)


def registration_token(kind: str, profile: Profile) -> str:
    """Group and project tokens carry a prefix since the rotation of 14.8 [app/models/concerns/runners_token_prefixable.rb]."""
    return friendly() if kind == "instance" or not profile.since(14, 8) else REGISTRATION_PREFIX + friendly()


def in_format(name: str, runner_type: str, created: bool, payload: dict[str, int], instance_prefix: str = "") -> str:
    number = TYPE_NUMBER[runner_type]
    prefix = "glrt-" if created else "glrtr-"
    match name:
        case "hex30":
            return secrets.token_hex(15)
        case "plain20":
            return friendly()
        case "glrt20":
            return "glrt-" + friendly()
        case "glrt28":
            return f"glrt-t{number}_" + friendly()
        case "t23":
            return f"t{number}_" + friendly()
        case "glrtr":
            return "glrtr-" + friendly()
        case "glrtr_t":
            return f"glrtr-t{number}_" + friendly()
        case "routable":
            return routable(prefix, payload)
        case "prefixed":
            return routable(f"{instance_prefix or 'acme'}-glrt-", payload)
    raise ValueError(f"unknown token format {name!r}, one of {' '.join(FORMATS)}")


def authentication_token(profile: Profile, runner_type: str, created: bool, payload: dict[str, int],
                         instance_prefix: str = "", use_routable: bool | None = None) -> str:
    """What this release gives to a new runner, or to an old one whose token is reset."""
    if use_routable is None:
        use_routable = profile.since(18)
    owned = any(key in payload for key in "gpu")
    if created and instance_prefix and profile.since(18, 6):
        # The prefix goes before "glrt-"; a registered runner never carries it.
        prefix = f"{instance_prefix}-glrt-"
        return routable(prefix, payload) if use_routable and owned else prefix + friendly()
    if use_routable and owned:
        return in_format("routable", runner_type, created, payload)
    if created:
        return in_format("glrt28" if profile.since(17, 5) else "glrt20", runner_type, True, payload)
    if profile.since(17, 11):
        name = "glrtr"
    elif profile.since(17, 5):
        name = "t23"
    else:
        name = "plain20" if profile.since(12) else "hex30"
    return in_format(name, runner_type, False, payload)
