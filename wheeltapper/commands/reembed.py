"""`wheeltapper reembed`: another encoder takes over, reference and answers with it.

Here: options, progress, report. Not here: the order of the steps (`serve.models.reembedding`).
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audio_pipeline.artifacts import find_encoder
from audio_pipeline.encoder import Encoder
from audio_pipeline.processors import available_processors
from audio_pipeline.reference import read_reference
from wheeltapper.options import ARTIFACTS, DATA, ArtifactsFolder, AsJson, DataFolder, print_json, user


def reembed(
    encoder: Annotated[str, typer.Option(help="Encoder folder under artifacts/encoders, or its sha256.")] = "default",
    data: DataFolder = DATA,
    artifacts: ArtifactsFolder = ARTIFACTS,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Threads; by default one a processor.")] = None,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Go on without clips whose recording is gone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Embed the reference and the answered clips with another encoder, train, and let both take over together.

    Until the end, the old encoder serves. Interrupted, it goes on where it stopped when it is run again.
    """
    from serve.models.reembedding import Reembedding
    from wheeltapper.database import opened

    loaded = Encoder.load(find_encoder(artifacts, encoder))
    before = read_reference(data)
    with opened(data, artifacts) as (settings, database), _progress() as bar:
        task = bar.add_task("reference")

        def report(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        work = Reembedding(settings, database)
        prepared = work.prepare(
            loaded, workers=workers or available_processors(), drop_missing=drop_missing, report=report
        )
        report("training", 0, 1)
        version = work.train(prepared)
        reason = f"Encoder {loaded.manifest.name} instead of {before.encoder_name}."
        switch = work.swap(prepared, version, by=user(), reason=reason)
    told = {
        "encoder": loaded.manifest.name,
        "encoder_sha256": loaded.manifest.sha256,
        "rows": len(prepared.reference),
        "answers": len(prepared.answered),
        "missing": list(prepared.missing),
        "version": switch.version,
        "previous": switch.previous,
    }
    if as_json:
        print_json(told)
        return
    typer.echo(
        f"{len(prepared.reference)} rows and {len(prepared.answered)} answered clips have vectors of the encoder "
        f"{loaded.manifest.name} ({loaded.manifest.sha256[:12]})."
    )
    if prepared.missing:
        typer.echo(f"{len(prepared.missing)} clips were left out: their recordings are gone.")
    typer.echo(f"{switch.version} serves now (before: {switch.previous or 'none'}).")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
