"""`wheeltapper train`: the reference set in, an ONNX model out.

Here: which encoder, promoting the first model, the report. Not here: fitting, calibrating and exporting
(`audio_pipeline.detector`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from audio_pipeline.artifacts import ModelStore, find_encoder
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.manifest import read_manifest as read_model_manifest
from audio_pipeline.detector.training import train as train_model
from audio_pipeline.encoder import Encoder, read_manifest
from audio_pipeline.evaluation import evaluate_clips
from audio_pipeline.reference import Reference, read_reference
from audio_pipeline.scoring import Scorer
from wheeltapper.commands.evaluate import metrics_table
from wheeltapper.options import ARTIFACTS, DATA, ArtifactsFolder, AsJson, DataFolder, print_json, user


def train(
    data: DataFolder = DATA,
    artifacts: ArtifactsFolder = ARTIFACTS,
    false_alarm_rate: Annotated[
        float, typer.Option(min=1e-6, max=1.0, help="Share of healthy clips that may raise an alarm.")
    ] = 0.01,
    promote: Annotated[bool, typer.Option("--promote", help="Make it serve even if another model does.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on the reference set, and measure it on the rows held out.

    The first model serves at once; a later one when asked to, by --promote or `wheeltapper models promote`.
    """
    store = ModelStore(artifacts)
    current = store.current()
    reference = read_reference(data)
    encoder = read_manifest(find_encoder(artifacts, reference.encoder_sha256))
    folder = train_model(
        reference,
        encoder,
        artifacts,
        false_alarm_rate=false_alarm_rate,
        parent=current.model if current else None,
    )
    version = folder.name
    serves = promote or current is None
    _write_down(
        version, reference, data, artifacts, ("--promote" if promote else "The first model.") if serves else None
    )
    manifest = read_model_manifest(folder)
    if as_json:
        print_json({"version": version, "serves": serves, **manifest.to_json()})
        return
    rate = manifest.false_alarm_rate
    typer.echo(
        f"{version}: trained on {manifest.data.normal_rows} normal rows of {len(manifest.machines)} machines "
        f"(encoder {manifest.encoder_name})."
    )
    if rate.used > rate.asked:
        typer.echo(
            f"A false-alarm rate of {rate.asked:.2%} is out of reach: the normals support no less than "
            f"{rate.reachable:.2%} a window, which is used. More healthy recordings lower it."
        )
    for note in manifest.notes:
        typer.echo(note)
    _held_out_figures(artifacts, version, reference)
    typer.echo(
        f"{version} serves now. Next: wheeltapper predict FILE"
        if serves
        else f"{current.model if current else ''} still serves: `wheeltapper models promote {version}` switches."
    )


def _write_down(version: str, reference: Reference, data: Path, artifacts: Path, promote: str | None) -> None:
    """Keep in the database which rows the version was trained on; let it serve, if there is a reason to."""
    # Late: the database is the service's; importing it takes longer than a wrong argument needs to be told.
    from serve.database import references
    from serve.models.promotion import Promotion
    from wheeltapper.database import opened

    with opened(data, artifacts) as (settings, database):
        references.record(database, reference)
        if promote is not None:
            Promotion(database, settings).promote(version, by=user(), reason=promote)


def _held_out_figures(artifacts: Path, version: str, reference: Reference) -> None:
    held_out = reference.select(reference.held_out)
    if not len(held_out):
        typer.echo("No recording is held out (3 of 10 are, by their names): how good it is, is unknown.")
        return
    folder = ModelStore(artifacts).models / version
    encoder = Encoder.load(find_encoder(artifacts, reference.encoder_sha256))
    result, _ = evaluate_clips(Scorer(encoder, Classifier.load(folder), version), held_out)
    Console().print(metrics_table(result))
