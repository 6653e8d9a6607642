"""A Debian root to boot: made once by mmdebstrap from the packages that this machine's own apt knows, kept in the build
folder, never written to afterwards. What every boot has on top of it, our installed tree, is a layer of its own.

One root serves all tests of a run, and the next runs too; it is made anew when what belongs into it changes.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator

TOP = os.environ.get("SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))

SYSTEMD = ["systemd", "systemd-sysv", "dbus"]
LIBRARIES = {
    "bullseye": ["libcurl4", "libyaml-0-2", "libinih1", "libjansson4", "libssl1.1"],
    "bookworm": ["libcurl4", "libyaml-0-2", "libinih1", "libjansson4", "libssl3"],
    "trixie": ["libcurl4t64", "libyaml-0-2", "libinih1", "libjansson4", "libssl3t64"],
}
# libpam-systemd: where it is, jobs of a shell executor live in session scopes.
OTHERS = {
    # Its libraries are too old for what is built here, so it brings what builds in it; and its Python reads no TOML.
    "bullseye": ["python3", "python3-toml", "gcc", "libc6-dev", "meson", "ninja-build", "pkg-config", "libcurl4-openssl-dev",
                 "libsystemd-dev", "libjansson-dev", "libyaml-dev", "libinih-dev", "libssl-dev"],
    "bookworm": ["libpam-systemd", "ca-certificates", "python3", "cloud-init"],
    "trixie": ["python3"],
}


# Set in the namespaces of a test, where nothing can be fetched; with a release's name behind it, why it is not there.
INSIDE = "SYSTEM_TEST_INSIDE"


class Unavailable(Exception):
    """Why there can be no boot here."""


def packages(release: str) -> list[str]:
    return SYSTEMD + LIBRARIES.get(release, []) + OTHERS.get(release, [])


def _one_line_sources() -> Iterator[tuple[str, str, str, str]]:
    """(options, uri, suite, components) of every binary source that apt is configured with."""
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*.list"))]:
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as f:
            for line in f:
                words = line.split("#")[0].split()
                if len(words) < 3 or words[0] != "deb":
                    continue
                options = ""
                if words[1].startswith("["):
                    end = next(i for i, word in enumerate(words) if word.endswith("]"))
                    options, words = " ".join(words[1:end + 1]), ["deb", *words[end + 1:]]
                yield options, words[1], words[2], " ".join(words[3:])
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")):
        with open(path, encoding="utf-8") as f:
            stanzas = f.read().split("\n\n")
        for stanza in stanzas:
            fields: dict[str, str] = {}
            key = ""
            for line in stanza.splitlines():
                if line.startswith("#"):
                    continue
                if line[:1].isspace():
                    fields[key] += " " + line.strip()
                elif ":" in line:
                    key, _, value = line.partition(":")
                    key = key.lower()
                    fields[key] = value.strip()
            if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
                continue
            # A key may also stand in the stanza itself; mmdebstrap then looks for the archive's own.
            signed = fields.get("signed-by", "")
            options = f"[signed-by={signed}]" if signed.startswith("/") else ""
            for uri in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    yield options, uri, suite, fields.get("components", "")


def sources_for(release: str) -> str:
    """apt's own sources, as one release of Debian after the other has them in the same places."""
    with open("/etc/os-release", encoding="utf-8") as f:
        here = dict(line.strip().split("=", 1) for line in f if "=" in line)
    if here.get("ID") != "debian":
        raise Unavailable("this is no Debian, and so apt knows no source of Debian's packages")
    own = here["VERSION_CODENAME"]
    lines = [f"deb {options} {uri} {suite.replace(own, release, 1)} {components}"
             for options, uri, suite, components in _one_line_sources()
             if suite == own or suite.startswith(own + "-")]
    if not lines:
        raise Unavailable(f"apt has no source for Debian's {own}")
    return "\n".join(lines) + "\n"


def _apt_options() -> list[str]:
    """How apt gets at its sources here: proxies, and whether a frozen archive may be out of date."""
    dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True).stdout
    wanted = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    return [f"--aptopt={line}" for line in dump.splitlines() if line.startswith(wanted)]


def cache_folder() -> str:
    build = os.environ.get("BUILD_DIR")
    folder = os.path.join(os.path.dirname(build) if build else os.path.join(TOP, "build"), "system")
    os.makedirs(folder, exist_ok=True)
    return folder


def base_root(release: str = "bookworm") -> str:
    """The folder with the release's root. Raises Unavailable."""
    if os.environ.get(INSIDE) == "1":
        reason = os.environ.get(INSIDE + "_WITHOUT_" + release)
        if reason:
            raise Unavailable(reason)
        return os.path.join(cache_folder(), release)
    sources = sources_for(release)
    recipe = hashlib.sha256(("\n".join(packages(release)) + sources).encode()).hexdigest()
    folder = os.path.join(cache_folder(), release)
    stamp = os.path.join(cache_folder(), release + ".made-as")
    # Two scripts need it at the same time; the second finds it made.
    with open(os.path.join(cache_folder(), release + ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(stamp):
            with open(stamp, encoding="utf-8") as f:
                if f.read() == recipe:
                    return folder
            os.unlink(stamp)
        shutil.rmtree(folder, ignore_errors=True)
        done = subprocess.run(
            ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory", *_apt_options(),
             "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
             "--include=" + ",".join(packages(release)), release, folder, "-"],
            input=sources, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            said = " ".join(done.stderr.split())[-300:]
            raise Unavailable(f"mmdebstrap could not make a root of {release}: {said}")
        with open(stamp, "w", encoding="utf-8") as f:
            f.write(recipe)
    return folder


def install_tree(folder: str) -> None:
    """What `meson install` installs, below FOLDER."""
    build = os.environ.get("BUILD_DIR")
    if not build:
        raise Unavailable("BUILD_DIR names no build")
    done = subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", folder],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"meson install failed: {done.stdout}{done.stderr}")


def build_tree(base: str, scratch: str, folder: str) -> None:
    """The same, built inside the root BASE by its own compiler and libraries. SCRATCH is a folder of the caller's, and so
    are the mounts: those of its namespace."""
    for name in ("upper", "work", "root"):
        os.makedirs(f"{scratch}/{name}")
    inside = scratch + "/root"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={base},upperdir={scratch}/upper,workdir={scratch}/work",
                    inside], check=True)
    try:
        for name in ("source", "build", "out"):
            os.mkdir(f"{inside}/{name}")
        subprocess.run(["mount", "--bind", TOP, inside + "/source"], check=True)
        subprocess.run(["mount", "-t", "proc", "proc", inside + "/proc"], check=True)
        subprocess.run(["mount", "--rbind", "/dev", inside + "/dev"], check=True)
        command = ("meson setup /build /source -Dtests=false -Dwerror=true --prefix=/usr && ninja -C /build && "
                   "DESTDIR=/out meson install -C /build --no-rebuild")
        done = subprocess.run(["chroot", inside, "sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False,
                              env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})
        if done.returncode != 0:
            raise RuntimeError(f"the source can't be built in {os.path.basename(base)}: {done.stdout[-1500:]}")
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", inside], check=False)
    shutil.move(scratch + "/upper/out", folder)
