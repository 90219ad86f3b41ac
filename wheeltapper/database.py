"""The service's database, for commands that need it.

Here: opening it, and what is said when it does not answer. Not here: the database (`serve.database`); commands import
this late, so that those without a database start at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import InterfaceError, OperationalError

from audio_pipeline.errors import WheeltapperError
from serve.database.connection import Database
from serve.settings import Settings, load_settings


@contextmanager
def opened(data: Path, artifacts: Path) -> Iterator[tuple[Settings, Database]]:
    """Open the database that DATABASE_URL names, or the embedded one in the data folder, brought up to date.

    Raises
    ------
    WheeltapperError
        It does not answer.
    """
    settings = load_settings(data_dir=data, artifacts_dir=artifacts)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WheeltapperError(f"The data folder {data} cannot be made ({error.strerror}).") from error
    database = Database(settings.database)
    try:
        with answering():
            database.migrate()
            yield settings, database
    finally:
        database.close()


@contextmanager
def answering() -> Iterator[None]:
    """Say in a sentence what is wrong with a database that does not answer within the block.

    Raises
    ------
    WheeltapperError
        It does not.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise WheeltapperError(
            f"The database does not answer ({str(error.orig).strip().splitlines()[0]}): see that it runs, and what "
            "DATABASE_URL says; then run this again."
        ) from error
