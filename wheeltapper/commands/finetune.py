"""`wheeltapper finetune`: the encoder fitted to the plant's own machines, and let to serve if that is better.

Here: options, progress, report. Not here: the training and the rule (`audio_pipeline.finetuning`), the swap
(`serve.models.reembedding`).
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import SettingsError
from audio_pipeline.reembedding import Recordings
from audio_pipeline.reference import read_reference
from wheeltapper.options import ARTIFACTS, DATA, ArtifactsFolder, AsJson, DataFolder, print_json, user


def finetune(
    data: DataFolder = DATA,
    artifacts: ArtifactsFolder = ARTIFACTS,
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Steps of the optimiser.")] = 200,
    rate: Annotated[float, typer.Option(min=1e-7, max=0.1, help="Learning rate.")] = 2e-4,
    seed: Annotated[int, typer.Option(min=0, help="Everything drawn follows from it.")] = 0,
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Let a better encoder take over, with a model of its own.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the upper layers of the encoder in service on the reference's healthy clips.

    Accepted only if it is better on held-out clips; then the reference and the answers are embedded again, a model is
    trained, and both take over together. Needs the extra `train`.
    """
    try:
        from audio_pipeline.finetuning import Tuning
        from audio_pipeline.finetuning import finetune as fit_encoder
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"Fine-tuning needs the Python package '{error.name}': pip install 'wheeltapper[train]'."
        ) from error
    from serve.models.reembedding import Reembedding
    from wheeltapper.database import opened

    reference = read_reference(data)
    version: str | None = None
    with _progress() as bar:
        task = bar.add_task("reading")

        def report(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        result = fit_encoder(
            reference,
            artifacts,
            Recordings(data / "clips"),
            tuning=Tuning(steps=steps, rate=rate, seed=seed),
            report=report,
        )
        if result.folder is not None and serve:
            with opened(data, artifacts) as (settings, database):
                work = Reembedding(settings, database)
                prepared = work.prepare(Encoder.load(result.folder), report=report)
                version = work.train(prepared)
                work.swap(prepared, version, by=user(), reason=f"Fine-tuned encoder. {result.comparison.reason}")
    if as_json:
        folder = None if result.folder is None else str(result.folder)
        print_json({"encoder": folder, "version": version, "comparison": result.comparison.to_json()})
        return
    typer.echo(result.comparison.reason)
    if result.folder is None:
        typer.echo("The encoder in service stays.")
    elif version is None:
        typer.echo(
            f"{result.folder.name} is there: `wheeltapper reembed --encoder {result.folder.name}` lets it serve."
        )
    else:
        typer.echo(f"{version} serves now, with the encoder {result.folder.name}.")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
