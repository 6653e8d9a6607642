"""What must hold whatever has happened, read off what others see: GitLab's own rows, config.toml, `status --json`.

Each function gives a list of sentences, empty where all is well.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

Json = dict[str, Any]

# Our values in config.toml: what may differ between two files that are the same otherwise.
VALUES = re.compile(r"^(\s*(?:id|token|token_obtained_at|token_expires_at)\s*=).*$", re.MULTILINE)


def outline(text: str) -> str:
    """config.toml without our values, but with every other byte."""
    return VALUES.sub(r"\1 …", text)


def entries_of(text: str) -> list[Json]:
    return tomllib.loads(text).get("runners", [])


def torn(text: str | None, outlined: str | None, allowed: set[str | None], tokens: set[str]) -> list[str]:
    """The file, OUTLINED, is one of the ALLOWED ones (None: no file), and its tokens are whole."""
    if text is None:
        return [] if None in allowed else ["config.toml is gone"]
    try:
        entries = entries_of(text)
    except tomllib.TOMLDecodeError as error:
        return [f"config.toml is no TOML: {error}"]
    problems = [] if outlined in allowed else [f"config.toml is neither the old file nor the new one: {outlined!r}"]
    return problems + [f"config.toml has a token that nobody issued in entry '{entry.get('name')}'"
                       for entry in entries if entry.get("token") not in tokens]


def state_parses(texts: dict[str, str]) -> list[str]:
    problems = []
    for name, text in texts.items():
        try:
            json.loads(text)
        except ValueError as error:
            problems.append(f"state file {name}: {error}")
    return problems


def debts_of(status: Json, *kinds: str) -> list[Json]:
    return [debt for runner in status["runners"] for debt in runner["debts"] if debt["kind"] in kinds]


def enrolled(names: list[str], runners: list[Json], text: str, status: Json) -> list[str]:
    """Each of NAMES is at GitLab once, with the token that config.toml has; whatever else is there is owned up to."""
    problems, known = [], set()
    system_ids = {runner["name"]: runner["system_id"] for runner in status["runners"]}
    for name in names:
        entries = [entry for entry in entries_of(text) if entry.get("name") == name]
        if len(entries) != 1:
            problems.append(f"config.toml has {len(entries)} entries for '{name}'")
            continue
        found = [runner for runner in runners if runner["token"] == entries[0]["token"]]
        if len(found) != 1 or not found[0]["token_works"]:
            problems.append(f"the token of '{name}' in config.toml does not work")
            continue
        known.add(found[0]["id"])
        if entries[0]["id"] != found[0]["id"]:
            problems.append(f"'{name}' is runner {found[0]['id']}, config.toml says {entries[0]['id']}")
        managers = [manager["system_id"] for manager in found[0]["managers"]]
        if managers not in ([], [system_ids.get(name)]):
            problems.append(f"runner {found[0]['id']} has the managers {managers}, this host is {system_ids.get(name)}")
    return problems + owned_up([runner for runner in runners if runner["id"] not in known], status)


def owned_up(extra: list[Json], status: Json) -> list[str]:
    """Each runner too many is a debt, by its id or as the orphan of a create whose answer was lost."""
    named = {debt["runner_id"] for debt in debts_of(status, "runner", "manager")}
    orphans = len(debts_of(status, "orphan"))
    ghosts = [runner["id"] for runner in extra if runner["id"] not in named]
    return [] if len(ghosts) <= orphans else [f"runners {ghosts} are left over, {orphans} orphans are known"]


def gone(names: list[str], runners: list[Json], text: str | None, before: str | None, status: Json) -> list[str]:
    """Nothing of this host is left, and config.toml is as it was before it ever came."""
    problems = [] if not runners else owned_up(runners, status)
    if debts_of(status, "runner", "manager"):
        problems.append(f"debts are left: {debts_of(status, 'runner', 'manager')}")
    left = [entry["name"] for entry in entries_of(text or "") if entry.get("name") in names]
    if left:
        problems.append(f"config.toml still has {left}")
    elif text is not None and before is not None and text != before:
        problems.append(f"config.toml is not as it was: {text!r}")
    return problems


def silent(output: str, secrets: set[str]) -> list[str]:
    return ["a token was printed"] if any(secret in output for secret in secrets) else []


def strays(names: list[str]) -> list[str]:
    """Of the files in our folders, those that no clean run leaves."""
    left = [name for name in names if name.endswith((".tmp", ".journal", ".pending"))]
    return [f"left lying about: {', '.join(sorted(left))}"] if left else []
