"""`wheeltapper models`: which versions there are, and which one serves.

Here: list, show, promote, rollback on the artifacts folder. Not here: the ledger of promotions, which the service
keeps; a running service follows `current.json` within seconds, whoever changed it.
"""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from audio_pipeline.artifacts import ModelStore, find_encoder
from audio_pipeline.errors import SettingsError
from wheeltapper.options import ARTIFACTS, ArtifactsFolder, AsJson, print_json

app = typer.Typer(no_args_is_help=True, help="Model versions in the artifacts folder.")


@app.command("list")
def list_models(artifacts: ArtifactsFolder = ARTIFACTS, as_json: AsJson = False) -> None:
    """List every version, oldest first, and mark the one that serves."""
    store = ModelStore(artifacts)
    current = store.current()
    serving = current.model if current else None
    versions = store.list()
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
                    }
                    for model in versions
                ],
            }
        )
        return
    if not versions:
        typer.echo(f"No model in {artifacts} yet: run `wheeltapper embed FOLDER`, then `wheeltapper train`.")
        return
    table = Table("version", "created", "parent", "encoder", "serves")
    for model in versions:
        table.add_row(
            model.version,
            model.created,
            model.parent or "",
            model.encoder_sha256[:12],
            "yes" if model.version == serving else "",
        )
    Console().print(table)


@app.command()
def show(version: str, artifacts: ArtifactsFolder = ARTIFACTS) -> None:
    """Print a version's manifest after verifying its files; `current` names the one that serves."""
    store = ModelStore(artifacts)
    print_json(store.load(_current_version(store) if version == "current" else version).manifest)


@app.command()
def promote(version: str, artifacts: ArtifactsFolder = ARTIFACTS, as_json: AsJson = False) -> None:
    """Make a version the one that serves."""
    _switch(ModelStore(artifacts), version, as_json)


@app.command()
def rollback(artifacts: ArtifactsFolder = ARTIFACTS, as_json: AsJson = False) -> None:
    """Go back to the version that the serving one was made after."""
    store = ModelStore(artifacts)
    version = _current_version(store)
    parent = store.load(version).parent
    if parent is None:
        raise SettingsError(f"{version} has no parent to go back to: choose one with `wheeltapper models promote`.")
    _switch(store, parent, as_json)


def _current_version(store: ModelStore) -> str:
    current = store.current()
    if current is None:
        raise SettingsError(f"No model serves in {store.root} yet: `wheeltapper models promote VERSION` sets one.")
    return current.model


def _switch(store: ModelStore, version: str, as_json: bool) -> None:
    before = store.current()
    find_encoder(store.root, store.load(version).encoder_sha256)  # a model without its encoder cannot serve
    store.set_current(version)
    previous = before.model if before else None
    if as_json:
        print_json({"current": version, "previous": previous})
    else:
        typer.echo(f"{version} serves now (before: {previous or 'none'}).")
