"""`wheeltapper evaluate`: the model's figures on held-out rows, or on a folder of labelled clips.

Here: where clips come from, the table, the files. Not here: the figures (`audio_pipeline.evaluation`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from audio_pipeline.datasets import discover
from audio_pipeline.durable import replace_file
from audio_pipeline.embedding_job import EmbeddingCache, embed_recordings
from audio_pipeline.errors import ReferenceDataError
from audio_pipeline.evaluation import Evaluation, evaluate_clips
from audio_pipeline.metrics import Metrics
from audio_pipeline.plots import histogram_png, roc_png
from audio_pipeline.processors import available_processors
from audio_pipeline.reference import Reference, read_reference
from audio_pipeline.scoring import Scorer
from wheeltapper.options import ARTIFACTS, DATA, ArtifactsFolder, AsJson, DataFolder, print_json


def evaluate(
    folder: Annotated[
        Path | None, typer.Argument(help="Labelled clips; left out: the held-out rows of ref_data.csv.")
    ] = None,
    data: DataFolder = DATA,
    artifacts: ArtifactsFolder = ARTIFACTS,
    out: Annotated[Path, typer.Option(help="Folder for evaluation.json, roc.png and scores.png.")] = Path("evaluation"),
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Threads; by default one a processor.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print AUC, pAUC, F1 and more, per machine and section; unknown where the clips do not define a figure."""
    scorer = Scorer.load(artifacts)
    if folder is None:
        whole = read_reference(data, scorer.encoder.manifest.sha256)
        clips = whole.select(whole.held_out)
        if not len(clips):
            raise ReferenceDataError(
                f"No row of {data} is held out (3 of 10 recordings are, by their names): embed more recordings."
            )
    else:
        clips = _embedded(folder, data, scorer, workers)
    result, scores = evaluate_clips(scorer, clips)
    replace_file(out / "evaluation.json", json.dumps(result.to_json(), indent=2, allow_nan=False).encode() + b"\n")
    replace_file(out / "roc.png", roc_png(scores.targets, scores.scores, scores.machines))
    replace_file(out / "scores.png", histogram_png(scores.targets, scores.scores, scores.threshold))
    if as_json:
        print_json(result.to_json())
        return
    Console().print(metrics_table(result))
    typer.echo(
        f"Model {result.model_version}, encoder {result.encoder}. Files: {out}/evaluation.json, roc.png, scores.png"
    )


def metrics_table(result: Evaluation) -> Table:
    """Lay out an evaluation: a row a machine, a row a domain of it, all together, the DCASE summary."""
    # Narrow enough for a terminal of 80 columns.
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0, 0, 1),
        collapse_padding=True,
        title=f"per {result.unit}; – = unknown: not defined by these {result.unit}s",
        caption="bal. = balanced accuracy, false = false-alarm rate\n"
        f"DCASE harmonic mean of AUC and pAUC: {_figure(result.harmonic_mean)}",
    )
    table.add_column("machine", no_wrap=True)
    for column in ("norm.", "anom.", "AUC", "pAUC", "F1", "bal.", "prec.", "recall", "false"):
        table.add_column(column, justify="right", min_width=max(4, len(column)))
    for machine in result.machines:
        table.add_row(machine.name, *_cells(machine))
        for domain in result.domains:
            if domain.name.startswith(f"{machine.name} "):
                table.add_row(f"  {domain.name.removeprefix(machine.name).strip()}", *_cells(domain))
    table.add_section()
    table.add_row("all", *_cells(result.overall))
    return table


def _cells(metrics: Metrics) -> tuple[str, ...]:
    figures = (
        metrics.auc,
        metrics.pauc,
        metrics.f1,
        metrics.balanced_accuracy,
        metrics.precision,
        metrics.recall,
        metrics.false_alarm_rate,
    )
    return (str(metrics.normals), str(metrics.anomalies), *map(_figure, figures))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _embedded(folder: Path, data: Path, scorer: Scorer, workers: int | None) -> Reference:
    errors = Console(stderr=True)
    recordings = discover(folder)
    cache = EmbeddingCache(data / "cache", scorer.encoder.manifest.sha256)
    with errors.status(f"embedding {len(recordings)} clips"):
        result = embed_recordings(recordings, scorer.encoder, cache, workers=workers or available_processors())
    for skipped in result.skipped:
        errors.print(f"skipped {skipped.path}: {skipped.reason}", style="red", markup=False, soft_wrap=True)
    return result.reference
