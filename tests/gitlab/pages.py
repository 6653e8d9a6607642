"""Pages of a list and the headers that lead through them [lib/gitlab/pagination/offset_header_builder.rb]."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import errors
from model import World
from params import page_count, page_number
from wire import Headers, Request, pairs

COUNTED_AT_MOST = 10_000


def link(world: World, request: Request, changes: dict[str, Any]) -> str:
    """Built with the configured host and port, never with those the request was sent to; the request's own query is
    repeated."""
    query = {**dict(pairs(request.query)), **{key: str(value) for key, value in changes.items()}}
    return f"{world.settings.external_url.rstrip('/')}{world.relative_root}{request.path}?{urlencode(sorted(query.items()))}"


def by_number(world: World, request: Request, rows: Sequence[Any], counted: bool = True) -> tuple[Sequence[Any], Headers]:
    page, per_page = page_number(request.params(), world.profile)
    total = len(rows)
    first = (page - 1) * per_page
    counted = counted and total <= COUNTED_AT_MOST
    following = page + 1 if first + per_page < total else None
    previous = page - 1 if page > 1 else None
    pages = page_count(total, per_page)
    links = [(number, rel) for number, rel in ((previous, "prev"), (following, "next"), (1, "first")) if number]
    if counted:
        links.append((pages, "last"))
    headers = [("X-Per-Page", str(per_page)), ("X-Page", str(page)), ("X-Next-Page", str(following or "")),
               ("X-Prev-Page", str(previous or ""))]
    if counted:
        headers += [("X-Total", str(total)), ("X-Total-Pages", str(pages))]
    text = ", ".join(f'<{link(world, request, {"page": number, "per_page": per_page})}>; rel="{rel}"'
                     for number, rel in links)
    return rows[first:first + per_page], [("Link", text), *headers]


def by_cursor(world: World, request: Request, rows: Sequence[Any], descending: bool) -> tuple[Sequence[Any], Headers]:
    """Keyset pages of rows with an id: no numbers, only a link with an opaque cursor, and none on the last page."""
    given = request.params()
    _, per_page = page_number(given, world.profile)
    rows = sorted(rows, key=lambda row: row.id, reverse=descending)
    if cursor := given.get("cursor"):
        try:
            last = int(json.loads(base64.urlsafe_b64decode(cursor))["id"])
        except (ValueError, KeyError, TypeError):
            raise errors.parameter("cursor is invalid") from None
        rows = [row for row in rows if (row.id < last if descending else row.id > last)]
    shown = rows[:per_page]
    if len(rows) <= per_page:
        return shown, []
    opaque = base64.urlsafe_b64encode(json.dumps({"id": str(shown[-1].id), "_kd": "n"}).encode()).decode()
    return shown, [("Link", f'<{link(world, request, {"cursor": opaque, "per_page": per_page})}>; rel="next"')]
