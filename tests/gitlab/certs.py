"""Certificates for the stand-in, good ones and bad ones, made with the openssl command."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

LOCAL = "DNS:localhost,IP:127.0.0.1,IP:::1"
DAYS = 3650


@dataclass(frozen=True)
class Leaf:
    issuer: str
    names: str
    usage: str = "serverAuth"


LEAVES = {
    "server": Leaf("ca", LOCAL),
    "wrong-name": Leaf("ca", "DNS:gitlab.invalid"),
    "untrusted": Leaf("untrusted-ca", LOCAL),
    "client": Leaf("ca", "DNS:client", usage="clientAuth"),
    "untrusted-client": Leaf("untrusted-ca", "DNS:client", usage="clientAuth"),
}


def openssl_request(folder: Path, name: str, *words: str) -> subprocess.Popen[str]:
    """Starts making a key and a certificate for it."""
    return subprocess.Popen(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                             "-days", str(DAYS), "-subj", f"/CN=stand-in {name}", "-keyout", str(folder / f"{name}.key"),
                             "-out", str(folder / f"{name}.pem.part"), *words],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def start_ca(folder: Path, name: str) -> subprocess.Popen[str]:
    return openssl_request(folder, name, "-addext", "keyUsage=critical,keyCertSign,cRLSign")


def start_leaf(folder: Path, name: str) -> subprocess.Popen[str]:
    leaf = LEAVES[name]
    return openssl_request(folder, name, "-CA", str(folder / f"{leaf.issuer}.pem"),
                           "-CAkey", str(folder / f"{leaf.issuer}.key"), "-addext", f"subjectAltName={leaf.names}",
                           "-addext", f"extendedKeyUsage={leaf.usage}", "-addext", "basicConstraints=critical,CA:FALSE")


def start_expired(folder: Path, name: str) -> subprocess.Popen[str]:
    """Only a request can be signed for a negative time: this one ends a day before it begins."""
    ca = folder / "ca"
    return subprocess.Popen(
        f"openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=stand-in {name}'"
        f" -addext subjectAltName={LOCAL} -keyout '{folder}/{name}.key' |"
        f" openssl x509 -req -CA '{ca}.pem' -CAkey '{ca}.key' -set_serial 99 -days -1 -copy_extensions copy"
        f" -out '{folder}/{name}.pem.part'",
        shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def make_missing(folder: Path, names: Iterable[str], start: Callable[[Path, str], subprocess.Popen[str]]) -> None:
    """All at once: each takes a while on its own."""
    missing = [name for name in names if not (folder / f"{name}.pem").exists()]
    for name, process in [(name, start(folder, name)) for name in missing]:
        output, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"openssl, making {name}.pem: {output.strip()}")
        (folder / f"{name}.pem.part").rename(folder / f"{name}.pem")


def prepare(folder: Path) -> None:
    """Makes what is missing; several servers may share a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_missing(folder, ("ca", "untrusted-ca"), start_ca)
        make_missing(folder, LEAVES, start_leaf)
        make_missing(folder, ("expired",), start_expired)
