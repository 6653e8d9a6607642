"""A runner's attributes: how they are declared, checked by the model, and complained about [app/models/ci/runner.rb]."""

from __future__ import annotations

from typing import Any

from model import Runner
from params import Param, boolean, comma_list, integer, mapping
from profiles import Profile

ACCESS_LEVELS = ("not_protected", "ref_protected")

DESCRIPTION = Param("description")
ACTIVE = Param("active", boolean)
PAUSED = Param("paused", boolean, since=(14, 8))
TAG_LIST = Param("tag_list", comma_list)
RUN_UNTAGGED = Param("run_untagged", boolean, since=(9,))
LOCKED = Param("locked", boolean, since=(9,))
ACCESS_LEVEL = Param("access_level", values=ACCESS_LEVELS, since=(10,))
MAXIMUM_TIMEOUT = Param("maximum_timeout", integer, since=(10,))
MAINTENANCE_NOTE = Param("maintenance_note", since=(15,))
INFO = Param("info", mapping)
# Deprecated twin of maintenance_note; in 15.0 the exclusion had no effect, later it has.
MAINTAINER_NOTE = Param("maintainer_note", since=(14, 8))

INFO_KEYS = ("version", "revision", "platform", "architecture")
MOST_TAGS = 50
Complaints = dict[str, list[str]]


def apply(runner: Runner, given: dict[str, Any]) -> None:
    """Takes over what was given; a null where nothing is allowed leaves the default."""
    for name in ("description", "maintenance_note", "maximum_timeout"):
        if name in given:
            setattr(runner, name, given[name])
    if given.get("maintainer_note") is not None and given.get("maintenance_note") is None:
        runner.maintenance_note = given["maintainer_note"]
    for name in ("run_untagged", "locked", "access_level", "active"):
        if given.get(name) is not None:
            setattr(runner, name, given[name])
    if given.get("paused") is not None:
        runner.active = not given["paused"]
    if "tag_list" in given:
        runner.tag_list = list(dict.fromkeys(given["tag_list"]))


def complaints(runner: Runner, tags_changed: bool = True) -> Complaints:
    """The model's objections. The key is tags_list, with an s, though the parameter is tag_list."""
    found: Complaints = {}
    for name, limit in (("description", 1024), ("maintenance_note", 1024), ("name", 256)):
        if len(getattr(runner, name) or "") > limit:
            found[name] = [f"is too long (maximum is {limit} characters)"]
    if not runner.run_untagged and not runner.tag_list:
        found["tags_list"] = ["can not be empty when runner is not allowed to pick untagged jobs"]
    # Only when the list itself changes, so that other attributes of a runner with too many tags stay editable.
    if tags_changed and len(runner.tag_list) > MOST_TAGS:
        found["tags_list"] = [f"Too many tags specified. Please limit the number of tags to {MOST_TAGS}"]
    if runner.maximum_timeout is not None and runner.maximum_timeout < 600:
        found["maximum_timeout"] = ["needs to be at least 10 minutes"]
    return found


def sentence(found: Complaints) -> str:
    """The same objections as one sentence, which is how POST /user/runners says them."""
    texts = [f"{field.replace('_', ' ').replace('.', ' ').capitalize()} {text}"
             for field, several in found.items() for text in several]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])}, and {texts[-1]}" if len(texts) > 2 else " and ".join(texts)


def take_info(runner: Runner, info: Any, profile: Profile, peer: str) -> None:
    """What a registration keeps of `info`: from 17 only the name, the rest belongs to managers."""
    info = info if isinstance(info, dict) else {}
    runner.name = str(info["name"]) if info.get("name") is not None else None
    if not profile.since(17):
        for key in INFO_KEYS:
            if info.get(key) is not None:
                setattr(runner, key, str(info[key]))
        runner.ip_address = peer
