"""Numbers that are given in the order of commits.

Here: taking one, and holding all others back. Not here: what is counted.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from serve.database.tables import Counter


def hold(session: Session, name: str) -> int:
    """Let no other transaction pass here until this one has ended; return the number that was given last.

    On SQLite a transaction that writes is alone anyway.
    """
    return session.scalars(select(Counter.value).where(Counter.name == name).with_for_update()).one()


def take(session: Session, name: str) -> int:
    """Take the next number; as `hold`, until this transaction has ended."""
    return session.scalars(
        update(Counter).where(Counter.name == name).values(value=Counter.value + 1).returning(Counter.value)
    ).one()


def last(session: Session, name: str) -> int:
    """Return the last number that a committed transaction took."""
    return session.scalars(select(Counter.value).where(Counter.name == name)).one()
