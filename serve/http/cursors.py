"""Cursors: where a page of a list ends, as text that a client sends back.

Here: writing and reading them. Not here: the queries.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from serve.http.problems import Refused

V = TypeVar("V", datetime, float)


def write_cursor(value: datetime | float, name: uuid.UUID) -> str:
    """Write a cursor for a list that is sorted by `value`, then id.

    Examples
    --------
    >>> read_cursor(write_cursor(0.1, uuid.UUID(int=7)), read_number)
    (0.1, UUID('00000000-0000-0000-0000-000000000007'))
    """
    text = value.isoformat() if isinstance(value, datetime) else repr(value)
    return base64.urlsafe_b64encode(f"{text} {name.hex}".encode()).decode()


def read_moment(text: str) -> datetime:
    """Read the moment in a cursor."""
    return datetime.fromisoformat(text).astimezone(UTC)


def read_number(text: str) -> float:
    """Read the number in a cursor."""
    return float(text)


def read_cursor(cursor: str | None, read: Callable[[str], V]) -> tuple[V, uuid.UUID] | None:
    """Read a cursor; None: the first page is asked for.

    Parameters
    ----------
    cursor
        As the client sent it.
    read
        `read_moment` or `read_number`, by what the list is sorted by.

    Raises
    ------
    Refused
        422: it is none that this service gave for such a list.
    """
    if not cursor:
        return None
    try:
        text, _, name = base64.urlsafe_b64decode(cursor).decode().partition(" ")
        return read(text), uuid.UUID(name)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise Refused(
            422, "invalid_cursor", "The cursor is none that this service gave for this order: start without one."
        ) from error


def utc(moment: datetime | None) -> datetime | None:
    """Read a moment that does not say its offset as UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
