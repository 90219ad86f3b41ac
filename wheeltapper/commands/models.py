"""`wheeltapper models`: which versions there are, where each comes from, and which one serves.

Here: list, show, compare, promote, rollback. Not here: changing what serves (`serve.models.promotion`: every change is
a row in the ledger), lineage (`serve.models.lineage`); a running service follows `current.json` within seconds, whoever
changed it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.errors import SettingsError
from wheeltapper.options import ARTIFACTS, DATA, ArtifactsFolder, AsJson, DataFolder, print_json, user

app = typer.Typer(no_args_is_help=True, help="Model versions in the artifacts folder.")

Why = Annotated[str, typer.Option("--reason", help="Kept in the ledger.")]


@app.command("list")
def list_models(artifacts: ArtifactsFolder = ARTIFACTS, data: DataFolder = DATA, as_json: AsJson = False) -> None:
    """List every version, oldest first, what happened to it last, and mark the one that serves."""
    store = ModelStore(artifacts)
    current = store.current()
    serving = current.model if current else None
    versions = store.list()
    history = _history(data, artifacts)
    if as_json:
        print_json(
            {
                "current": serving,
                "models": [
                    {
                        "version": model.version,
                        "created": model.created,
                        "parent": model.parent,
                        "encoder_sha256": model.encoder_sha256,
                        "serves": model.version == serving,
                        "history": history.get(model.version, []),
                    }
                    for model in versions
                ],
            }
        )
        return
    if not versions:
        typer.echo(f"No model in {artifacts} yet: run `wheeltapper embed FOLDER`, then `wheeltapper train`.")
        return
    # A version is what the other commands are given: it is shown whole, however narrow the terminal.
    table = Table(Column("version", no_wrap=True, min_width=18), "created", "parent", "encoder", "last", "serves")
    for model in versions:
        last = history.get(model.version, [])[-1:]
        table.add_row(
            model.version,
            model.created[:19],
            model.parent or "",
            model.encoder_sha256[:12],
            f"{last[0]['action']} by {last[0]['by']}" if last else "",
            "yes" if model.version == serving else "",
        )
    Console().print(table)


@app.command()
def show(
    version: str,
    artifacts: ArtifactsFolder = ARTIFACTS,
    data: DataFolder = DATA,
) -> None:
    """Print a version's manifest after verifying its files, and its lineage; `current` names the one that serves."""
    store = ModelStore(artifacts)
    model = store.load(_current_version(store) if version == "current" else version)
    told = dict(model.manifest)
    if _is_there(data):
        from serve.models.lineage import lineage_of
        from wheeltapper.database import opened

        with opened(data, artifacts) as (_, database), database.read() as session:
            told["lineage"] = lineage_of(session, store, model)
        told["history"] = _history(data, artifacts).get(model.version, [])
    print_json(told)


@app.command()
def compare(first: str, second: str, artifacts: ArtifactsFolder = ARTIFACTS, data: DataFolder = DATA) -> None:
    """Print in what the second of two versions differs from the first: rate, figures, reference rows, answers."""
    from serve.models.lineage import compare_versions
    from wheeltapper.database import opened

    store = ModelStore(artifacts)
    models = [store.load(_current_version(store) if name == "current" else name) for name in (first, second)]
    with opened(data, artifacts) as (_, database), database.read() as session:
        print_json(compare_versions(session, *models))


@app.command()
def promote(
    version: str,
    reason: Why = "By hand.",
    artifacts: ArtifactsFolder = ARTIFACTS,
    data: DataFolder = DATA,
    as_json: AsJson = False,
) -> None:
    """Make a version the one that serves."""
    from serve.models.promotion import Promotion
    from wheeltapper.database import opened

    with opened(data, artifacts) as (settings, database):
        switch = Promotion(database, settings).promote(version, by=user(), reason=reason)
    _tell(switch.version, switch.previous, as_json)


@app.command()
def rollback(
    reason: Why = "By hand.",
    artifacts: ArtifactsFolder = ARTIFACTS,
    data: DataFolder = DATA,
    as_json: AsJson = False,
) -> None:
    """Go back to the version that served before the current one."""
    from serve.models.promotion import Promotion
    from wheeltapper.database import opened

    with opened(data, artifacts) as (settings, database):
        promotion = Promotion(database, settings)
        promotion.note_what_serves()
        switch = promotion.roll_back(by=user(), reason=reason)
    _tell(switch.version, switch.previous, as_json)


def _current_version(store: ModelStore) -> str:
    current = store.current()
    if current is None:
        raise SettingsError(f"No model serves in {store.root} yet: `wheeltapper models promote VERSION` sets one.")
    return current.model


def _is_there(data: Path) -> bool:
    """Whether there is a database to ask: looking at models makes none."""
    from serve.settings import load_settings

    return bool(load_settings(data_dir=data).database_url) or (data / "wheeltapper.db").exists()


def _history(data: Path, artifacts: Path) -> dict[str, list[dict[str, Any]]]:
    """What the ledger says, by version; nothing where there is no database."""
    if not _is_there(data):
        return {}
    from serve.database import ledger
    from serve.models.schemas import history_entry
    from wheeltapper.database import opened

    rows: dict[str, list[dict[str, Any]]] = {}
    with opened(data, artifacts) as (_, database), database.read() as session:
        for row in ledger.history(session):
            rows.setdefault(row.model_version, []).append(history_entry(row).model_dump(mode="json"))
    return rows


def _tell(version: str, previous: str | None, as_json: bool) -> None:
    if as_json:
        print_json({"current": version, "previous": previous})
    elif version == previous:
        typer.echo(f"{version} serves already.")
    else:
        typer.echo(f"{version} serves now (before: {previous or 'none'}).")
