"""`wheeltapper export-encoder` and `wheeltapper pretrain`: making encoders (extra `train`).

Here: options, progress, and a clear word when torch is not installed. Not here: the work
(`audio_pipeline.torch_encoders`, `audio_pipeline.pretraining`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audio_pipeline.encoder import MANIFEST_FILE
from audio_pipeline.errors import SettingsError
from audio_pipeline.processors import available_processors
from wheeltapper.options import ARTIFACTS, ArtifactsFolder, AsJson, print_json


def export_encoder(
    checkpoint: Annotated[str, typer.Argument(help="wav2vec2-family checkpoint: hub name or local folder.")],
    name: Annotated[str, typer.Option(help="Name of the folder under artifacts/encoders.")],
    layer: Annotated[int | None, typer.Option(help="Keep this many transformer layers; default: all.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise the weights of matrix products.")] = False,
    artifacts: ArtifactsFolder = ARTIFACTS,
    as_json: AsJson = False,
) -> None:
    """Export a Hugging Face wav2vec2 checkpoint to ONNX, checked against torch at several lengths and batch sizes.

    Mean, deviation and near-maximum over time are computed inside the graph. Afterwards embed with it:
    `wheeltapper embed FOLDER --encoder NAME`.
    """
    _needs_torch()
    from audio_pipeline.torch_encoders.checkpoint import CheckpointEncoder
    from audio_pipeline.torch_encoders.export import export_encoder as export

    if not name.replace("-", "").replace("_", "").isalnum() or name == "default":
        raise SettingsError(
            f"{name!r} cannot be an encoder's name: use letters, digits, '-' and '_' ('default' is the shipped one)."
        )
    folder = artifacts / "encoders" / name
    _refuse_overwriting(folder)
    module = CheckpointEncoder(checkpoint, layer)
    manifest = export(
        module,
        folder,
        name=name,
        frame_hop_s=module.frame_hop_s,
        description=f"{checkpoint}, layer {module.layer}, mean, deviation and near-maximum over time.",
        source={"checkpoint": Path(checkpoint).name, "layer": module.layer, "normalised": module.normalise},
        int8=int8,
    )
    if as_json:
        print_json(manifest.model_dump())
        return
    worst = max(manifest.parity["max_abs_difference"].values())
    typer.echo(f"{folder}: {manifest.dimensions} columns, {manifest.precision}, sha256 {manifest.sha256[:12]}")
    typer.echo(f"Largest difference from torch: {worst:.1e} (limit {manifest.parity['limit']:.0e}).")
    typer.echo(f"Use it: wheeltapper embed FOLDER --encoder {name}")


def pretrain(
    out: Annotated[Path, typer.Argument(help="Folder of checkpoint, log and curves; an earlier run is gone on from.")],
    corpus: Annotated[Path, typer.Option(help="Packed recordings (made by --pack).")] = Path("runs/corpus.zip"),
    pack: Annotated[
        Path | None, typer.Option(help="First pack the listed recordings of this data folder into --corpus.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="How long to train.")] = 2000,
    minutes: Annotated[float | None, typer.Option(help="Stop after this long, with a checkpoint.")] = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Processes that make batches.")] = 1,
    takes: Annotated[
        Path | None, typer.Option(help="Keep rendered machines here (3 GB), for further workers and runs.")
    ] = None,
    keep_every: Annotated[
        int | None, typer.Option(min=1, help="Keep the averaged weights after so many steps each, to choose from.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="At the end of the schedule, export the encoder to this folder.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 0,
) -> None:
    """Train our encoder for machine sound, from nothing or from its last checkpoint."""
    _needs_torch()
    if export is not None:
        _refuse_overwriting(export)
    import torch

    from audio_pipeline.pretraining import corpus as recordings
    from audio_pipeline.pretraining.curves import draw_curves
    from audio_pipeline.pretraining.loop import CHECKPOINT, LOG, Schedule, export_trained
    from audio_pipeline.pretraining.loop import pretrain as train
    from audio_pipeline.pretraining.scenes import Recipe

    if pack is not None:
        recordings.pack(pack, corpus)
    # Threads of torch wait by spinning: on processors that make batches they cost more than they bring.
    torch.set_num_threads(max(1, available_processors() - workers))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("pretraining", total=steps)

        def report(step: int, losses: Mapping[str, float]) -> None:
            progress.update(task, completed=step, description=f"pretraining: contrast {losses['contrast']:.3f}")

        done = train(
            corpus,
            out,
            schedule=Schedule(steps=steps, seed=seed),
            recipe=Recipe(),
            minutes=minutes,
            workers=workers,
            keep_every=keep_every,
            kept_takes=takes,
            report=report,
        )
    if done:
        draw_curves(out / LOG, out / "curves.png")
    typer.echo(f"{done} of {steps} steps done; checkpoint and log in {out}.")
    if done < steps:
        typer.echo("Run the same command again to go on.")
    elif export is not None:
        manifest = export_trained(out / CHECKPOINT, export)
        typer.echo(f"Exported to {export}: {manifest.dimensions} columns, sha256 {manifest.sha256[:12]}.")


def _refuse_overwriting(folder: Path) -> None:
    if (folder / MANIFEST_FILE).exists():
        raise SettingsError(
            f"There is an encoder in {folder} already, and models may have been trained with it: "
            "choose another name, or take that folder away first."
        )


def _needs_torch() -> None:
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as e:
        raise SettingsError(
            f"This command needs the extra 'train' ({e.name} is not installed): "
            "pip install -c requirements.lock -e '.[train]'"
        ) from e
