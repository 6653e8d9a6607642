"""Declared parameters: their types, and the words with which Grape refuses them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import errors
from model import seconds
from profiles import Profile, Version


class Invalid(ValueError):
    pass


def string(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise Invalid


def boolean(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, (str, int)) else "?"
    if word == "":
        return None
    if word in ("true", "t", "1", "yes", "y", "on"):
        return True
    if word in ("false", "f", "0", "no", "n", "off"):
        return False
    raise Invalid


def integer(value: Any) -> int | None:
    # An empty string is null: "maximum_timeout=" means no limit [spec/requests/api/ci/runner/runners_post_spec.rb].
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) < 20:
        try:
            return int(value, 10)
        except ValueError:
            raise Invalid from None
    raise Invalid


def comma_list(value: Any) -> list[str]:
    """A comma-separated text or an array whose every element is split again; anything else is empty
    [lib/api/validations/types/comma_separated_to_array.rb]."""
    pieces: Iterable[Any] = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [word.strip() for piece in pieces for word in str(piece).split(",") if word.strip()]


def mapping(value: Any) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    if value == "":
        return None
    raise Invalid


def moment(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Invalid
    try:
        return seconds(value)
    except ValueError:
        raise Invalid from None


@dataclass(frozen=True)
class Param:
    name: str
    kind: Callable[[Any], Any] = string
    required: bool = False
    values: tuple[str, ...] | Callable[[Profile], tuple[str, ...]] | None = None
    default: Any = None
    since: Version = (0,)
    until: Version | None = None
    when: tuple[str, str] | None = None   # required only if that parameter has that value
    check: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Rules:
    """What goes beyond single parameters."""
    exclusive: tuple[tuple[str, ...], ...] = ()
    at_least_one: bool = False


def declared(params: tuple[Param, ...], profile: Profile) -> list[Param]:
    return [param for param in params if profile.between(param.since, param.until)]


def validate(params: tuple[Param, ...], rules: Rules, given: dict[str, Any], profile: Profile) -> dict[str, Any]:
    """The declared parameters that were given, coerced; all complaints at once, in the order of declaration."""
    result: dict[str, Any] = {}
    complaints: list[str] = []
    known = declared(params, profile)
    for param in known:
        values = param.values(profile) if callable(param.values) else param.values
        needed = param.required or (param.when is not None and given.get(param.when[0]) == param.when[1])
        if param.name not in given:
            if needed:
                complaints.append(f"{param.name} is missing")
                if values:
                    # nil is not in the list either, and Grape says both.
                    complaints.append(f"{param.name} does not have a valid value")
            elif param.default is not None:
                result[param.name] = param.default
            continue
        try:
            value = param.kind(given[param.name])
        except Invalid:
            complaints.append(f"{param.name} is invalid")
            continue
        if values and value not in values and not (value is None and not needed):
            complaints.append(f"{param.name} does not have a valid value")
        elif param.check and value is not None and not param.check(value):
            complaints.append(f"{param.name} is invalid")
        result[param.name] = value
    names = {param.name for param in known}
    for group in rules.exclusive:
        both = [name for name in group if name in names and name in given]
        if len(both) > 1:
            complaints.append(f"{', '.join(both)} are mutually exclusive")
    if rules.at_least_one and known and not any(param.name in given for param in known):
        complaints.append(f"{', '.join(param.name for param in known)} are missing, "
                          "at least one parameter must be provided")
    if complaints:
        raise errors.parameter(*complaints)
    return result


# Pages [lib/api/pagination_params.rb]

def page_number(given: dict[str, Any], profile: Profile) -> tuple[int, int]:
    numbers = []
    complaints = []
    for name, default in (("page", 1), ("per_page", 20)):
        try:
            value = integer(given.get(name))
        except Invalid:
            complaints.append(f"{name} is invalid")
            continue
        value = default if value is None else value
        if (name == "per_page" and value == 0) or (value < 0 and profile.since(18)):
            complaints.append(f"{name} does not have a valid value")
        numbers.append(value if value > 0 else default)
    if complaints:
        raise errors.parameter(*complaints)
    return numbers[0], min(numbers[1], 100)


def page_count(total: int, per_page: int) -> int:
    # At least one, even when there is nothing.
    return max(1, math.ceil(total / per_page))
