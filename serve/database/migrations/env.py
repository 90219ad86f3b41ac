"""Alembic's entry: runs the migrations on the connection it is given, or on the settings' database.

Started by `Database.migrate`, and by hand to write a new step:
`alembic -c serve/database/alembic.ini revision --autogenerate -m "what changes"`.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from serve.database import retrain_tables  # noqa: F401 - its tables belong to the schema
from serve.database.tables import Base


def _run(connection: Connection) -> None:
    # SQLite cannot alter most things in place: batch mode copies the table instead.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    from serve.database.connection import Database
    from serve.settings import load_settings

    with Database(load_settings().database).engine.begin() as opened:
        _run(opened)
