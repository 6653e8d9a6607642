"""A GitLab and a host that one point after the other begins on: put back before each, and read off after it."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
from dataclasses import dataclass
from typing import Any

sys.dont_write_bytecode = True
TOP = os.environ.get("SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "tests", "integration"), os.path.join(TOP, "tests", "gitlab")]

import invariants  # noqa: E402
from client import GitLab  # noqa: E402
from host import Host  # noqa: E402

# What is another each time and means nothing by it: moments (but not the zero time), and whatever was drawn by lot.
MOMENT = re.compile(r"\b(?!0001)\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?|\b\d{9,}(?:\.\d+)?\b")
LOT = re.compile(r"(?=[\w-]*\d)[\w-]{12,}(?:\.[0-9a-z]{2}\.[0-9a-z]{9})?")


@dataclass
class Beginning:
    files: dict[str, tuple[bytes, int]]
    folders: set[str]
    world: dict[str, Any]
    tokens: set[str]


class Place:
    def __init__(self, gitlab: GitLab, host: Host):
        self.gitlab = gitlab
        self.host = host
        self.folders = [os.path.dirname(host.config_toml), host.state_dir, host.runtime_dir]
        self.beginnings: dict[str, Beginning] = {}

    def wipe(self) -> None:
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(self.folders[0], 0o700)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """All that the program has, with their modes."""
        files = {}
        for top in [*self.folders, self.host.secrets]:
            for folder, _, names in os.walk(top):
                for name in names:
                    path = os.path.join(folder, name)
                    mode = os.lstat(path).st_mode
                    if stat.S_ISREG(mode) and name != "status.json":
                        with open(path, "rb") as f:
                            # In the lock is who had it last.
                            files[path] = (f.read() if name != "lock" else b"", mode & 0o777)
        with open(self.host.config, "rb") as f:
            files[self.host.config] = (f.read(), 0o600)
        return files

    def keep(self) -> Beginning:
        folders = {folder for top in [*self.folders, self.host.secrets] for folder, _, _ in os.walk(top)}
        tokens = {runner["token"] for runner in self.gitlab.runners()}
        tokens |= {entry["token"] for entry in invariants.entries_of(self.toml() or "")}
        return Beginning(self.files(), folders, self.gitlab.world(), tokens)

    def put_back(self, beginning: Beginning) -> None:
        self.wipe()
        for folder in sorted(beginning.folders):
            os.makedirs(folder, 0o700, exist_ok=True)
        for name in os.listdir(self.host.secrets):
            if os.path.join(self.host.secrets, name) not in beginning.files:
                os.unlink(os.path.join(self.host.secrets, name))
        for path, (content, mode) in beginning.files.items():
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as f:
                f.write(content)
        self.gitlab.restore(beginning.world)

    def toml(self) -> str | None:
        try:
            return self.host.toml_text()
        except FileNotFoundError:
            return None

    def names_of_files(self) -> list[str]:
        return [name for folder in self.folders[:2] if os.path.isdir(folder) for name in os.listdir(folder)]

    def left(self) -> str:
        """All that the next command will find, on the host and at GitLab, but for moments and what was drawn by lot: what
        comes of two that are the same is the same."""
        found = []
        for folder in self.folders:
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                path = os.path.join(folder, name)
                info = os.lstat(path)
                found.append(f"{path} {info.st_mode:o}")
                if stat.S_ISREG(info.st_mode) and folder != self.host.runtime_dir and name != "lock":
                    with open(path, encoding="utf-8", errors="replace") as f:
                        found.append(f.read())
        found.append(json.dumps(self.gitlab.world(), sort_keys=True))
        lots: dict[str, str] = {}
        text = MOMENT.sub("MOMENT", "\n".join(found))
        return LOT.sub(lambda word: lots.setdefault(word[0], f"LOT{len(lots)}"), text)
