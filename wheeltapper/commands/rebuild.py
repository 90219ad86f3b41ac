"""`wheeltapper rebuild`: `prod_data.csv` anew from the database.

Here: the command. Not here: how the table is written (`serve.answers.production`).
"""

from __future__ import annotations

import typer

from audio_pipeline.errors import SettingsError
from serve.answers.production import ProductionTable
from serve.database.connection import Database
from serve.settings import load_settings
from wheeltapper.options import ARTIFACTS, DATA, ArtifactsFolder, AsJson, DataFolder, print_json


def rebuild(data: DataFolder = DATA, artifacts: ArtifactsFolder = ARTIFACTS, as_json: AsJson = False) -> None:
    """Write prod_data.csv anew from the answers in the database; the service may run meanwhile.

    The database is the truth: the table of an undamaged installation comes out byte for byte as it was. DATABASE_URL
    names a database other than the one in the data folder.
    """
    settings = load_settings(data_dir=data, artifacts_dir=artifacts)
    database = Database(settings.database)
    try:
        database.migrate()
        table = ProductionTable(database, data, artifacts)
        written = table.rebuild()
    except OSError as error:
        raise SettingsError(f"{data} cannot be written ({error.strerror}): see to the disk, then try again.") from error
    finally:
        database.close()
    if as_json:
        print_json({"path": str(table.path), "rows": written.rows, "sha256": written.sha256})
    else:
        typer.echo(f"{table.path}: {written.rows} rows of {written.dimensions} values (encoder {written.encoder}).")
