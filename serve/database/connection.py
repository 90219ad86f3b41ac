"""Connections to the database, SQLite or PostgreSQL, and bringing its schema up to date.

Here: what differs between the two. Not here: tables and queries.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from audio_pipeline.errors import SettingsError

_BUSY_TIMEOUT_S = 15
# Any number, the same in every process that migrates.
_MIGRATION_LOCK = 0x57686565


class Database:
    """A pool of connections.

    Parameters
    ----------
    url
        SQLAlchemy's URL, `sqlite:///data/wheeltapper.db` or `postgresql+psycopg://…`.

    Raises
    ------
    SettingsError
        The URL names no database that can be used here.

    Examples
    --------
    >>> database = Database("sqlite://")
    >>> database.migrate()
    >>> with database.read() as session:
    ...     session.execute(text("SELECT count(*) FROM predictions")).scalar()
    0
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
            embedded = parsed.get_backend_name() == "sqlite"
            in_memory = embedded and not parsed.database
            pool: dict[str, Any] = {} if in_memory else {"pool_size": 8, "max_overflow": 32, "pool_timeout": 15}
            if not embedded:
                # A restarted PostgreSQL is noticed before a query fails; an unreachable one within seconds.
                pool |= {"pool_pre_ping": True, "connect_args": {"connect_timeout": 5}}
            self.engine = create_engine(parsed, **pool)
        except (ArgumentError, NoSuchModuleError) as error:
            raise SettingsError(
                "DATABASE_URL is no address of a database that is known here: it looks like "
                "postgresql://user:password@host/name, or is left empty for SQLite in the data folder."
            ) from error
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"DATABASE_URL needs the Python package '{error.name}': pip install 'wheeltapper[postgres]'."
            ) from error
        if embedded:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        # On SQLite, a transaction that reads first and writes later fails at once when another one wrote in between;
        # one that says so at its beginning waits its turn.
        self._writer = self.engine.execution_options(will_write=True)
        self._durable_writer = self.engine.execution_options(will_write=True, durable=True)
        # SQLite lets one transaction write at a time, and those that wait sleep and look again: a lock wakes them.
        self._turn: AbstractContextManager[object] = threading.Lock() if embedded else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session for queries."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[Session]:
        """Open a session that is committed at the end, or rolled back by an exception.

        Parameters
        ----------
        durable
            The commit also survives a power cut: on SQLite it waits for the disk, as PostgreSQL's always does.
        """
        writer = self._durable_writer if durable else self._writer
        with self._turn, Session(writer, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Bring the schema up to date; processes that start together wait for the first.

        Raises
        ------
        SettingsError
            The database was made by a later version of this software.
        """
        config = Config()
        config.set_main_option("script_location", "serve.database:migrations")
        with self._writer.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise SettingsError(
                    f"The database's schema is of another version of this software ({error}): install that version, "
                    "or let DATABASE_URL name another database."
                ) from error

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _prepare_sqlite(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:  # noqa: ARG001
    connection.isolation_level = None  # transactions begin in _begin_sqlite, not whenever the driver thinks fit
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_S * 1000}")
    # With a write-ahead log, readers and the writer do not wait for each other, and a commit survives a kill of the
    # process without waiting for the disk; a power cut may take the last commits, never the database.
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    # Done once in a database's life; the busy timeout does not hold for it.
    give_up = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    will_write = options.get("will_write", False)
    if will_write:
        connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if options.get('durable') else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if will_write else "BEGIN")
