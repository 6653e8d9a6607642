"""Conditional deletes [lib/api/helpers.rb]."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import errors
from model import seconds
from wire import Request


def unmodified_since(request: Request, updated_at: float) -> None:
    """412 if the thing changed later than the client believes; a time that can't be read is ignored.

    The comparison is finer than the whole seconds that a client can send, so a change in the same second can refuse.
    """
    text = request.header("if-unmodified-since")
    if text is None:
        return
    try:
        limit = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError):
        try:
            limit = seconds(text)
        except ValueError:
            return
    if limit is not None and updated_at > limit:
        raise errors.precondition_failed()
