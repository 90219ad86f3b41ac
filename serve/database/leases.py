"""Leases: the right to do something alone, across processes and machines, that a dead owner loses by itself.

Here: taking, renewing and giving back. Not here: what they are for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Delete, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from serve.database.connection import Database
from serve.database.retrain_tables import Lease


class LeaseLost(Exception):
    """Somebody else holds the lease: whoever was halted for longer than it lasts must not go on."""


def now(session: Session) -> datetime:
    """Return the database's own time: the clocks of several machines need not agree."""
    if session.connection().dialect.name == "postgresql":
        moment = session.scalar(select(func.clock_timestamp()))
        assert isinstance(moment, datetime)
        return moment.astimezone(UTC)
    return datetime.now(UTC)  # SQLite is always on this machine


def take(session: Session, name: str, owner: str, seconds: float) -> bool:
    """Take a lease that is free, has run out, or is one's own; tell whether it is held now.

    Parameters
    ----------
    session
        For writing.
    name, owner
        Of the lease, and who asks.
    seconds
        It lasts so long, unless it is renewed.
    """
    moment = now(session)
    insert = postgresql.insert if session.connection().dialect.name == "postgresql" else sqlite.insert
    row = insert(Lease).values(name=name, owner=owner, expires=moment + timedelta(seconds=seconds))
    taken = session.execute(
        row.on_conflict_do_update(
            index_elements=[Lease.name],
            set_={"owner": row.excluded.owner, "expires": row.excluded.expires},
            where=(Lease.expires <= moment) | (Lease.owner == owner),
        ).returning(Lease.owner)
    ).scalar()
    return taken == owner


def renew(session: Session, name: str, owner: str, seconds: float) -> None:
    """Let a lease last longer.

    Raises
    ------
    LeaseLost
        It is no longer one's own.
    """
    moment = now(session)
    renewed = session.execute(
        update(Lease)
        .where(Lease.name == name, Lease.owner == owner)
        .values(expires=moment + timedelta(seconds=seconds))
        .returning(Lease.name)
    ).scalar()
    if renewed is None:
        raise LeaseLost(f"The lease '{name}' is no longer {owner}'s.")


def give_back(session: Session, name: str, owner: str) -> None:
    """End a lease, if it is one's own."""
    session.execute(delete(Lease).where(Lease.name == name, Lease.owner == owner))


def free(name: str) -> Delete:
    """Return the statement that ends a lease, whoever holds it."""
    return delete(Lease).where(Lease.name == name)


def holder(session: Session, name: str) -> str | None:
    """Return who holds a lease now; None: nobody."""
    lease = session.get(Lease, name)
    return lease.owner if lease is not None and lease.expires > now(session) else None


@contextmanager
def held(database: Database, name: str, owner: str, seconds: float) -> Iterator[bool]:
    """Hold a lease while the block runs, renewing it from a thread; give it back at the end, whatever happens.

    Parameters
    ----------
    database
        Where it is kept.
    name, owner, seconds
        As in `take`; it is renewed three times in `seconds`.

    Yields
    ------
    bool
        Whether it was had; without it the block should do nothing.
    """
    with database.write() as session:
        had = take(session, name, owner, seconds)
    if not had:
        yield False
        return
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(seconds / 3):
            try:
                with database.write() as session:
                    renew(session, name, owner, seconds)
            except LeaseLost:
                return  # found out by `renew` before anything is changed for good
            except Exception:
                continue

    keeper = threading.Thread(target=keep, name=f"lease-{name}", daemon=True)
    keeper.start()
    try:
        yield True
    finally:
        ended.set()
        keeper.join()
        with database.write() as session:
            give_back(session, name, owner)
