"""`wheeltapper embed`: a folder of recordings in, a reference set out.

Here: options, progress bar, report. Not here: the job itself (`audio_pipeline.embedding_job`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audio_pipeline.artifacts import find_encoder
from audio_pipeline.datasets import discover
from audio_pipeline.embedding_job import EmbeddingCache, JobResult, embed_recordings
from audio_pipeline.encoder import Encoder
from audio_pipeline.processors import available_processors
from audio_pipeline.reference import DATA as TABLE
from audio_pipeline.reference import write_reference
from wheeltapper.options import ARTIFACTS, DATA, ArtifactsFolder, AsJson, print_json

_SHOWN = 20  # skipped recordings listed one by one; --json lists all


def embed(
    folders: Annotated[list[Path], typer.Argument(help="Recordings: folders in a known layout, or CSV manifests.")],
    machine: Annotated[
        str | None, typer.Option(help="type/section of all of them, whatever their folders say.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "--data", envvar="WHEELTAPPER_DATA", help="Data folder.")] = DATA,
    artifacts: ArtifactsFolder = ARTIFACTS,
    encoder: Annotated[str, typer.Option(help="Encoder folder under artifacts/encoders, or its sha256.")] = "default",
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Threads; by default one a processor.")] = None,
    strict: Annotated[bool, typer.Option(help="Exit with code 3 when a recording was skipped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Embed recordings and write ref_data.csv, ref_clips.csv and ref_data.json.

    The new reference replaces the old one. Clips embedded before are taken from the cache, so that naming every folder
    again costs little, and an interrupted run goes on where it stopped.
    """
    started = time.monotonic()
    errors = Console(stderr=True)
    recordings = [recording for folder in folders for recording in discover(folder)]
    if machine is not None:
        recordings = [replace(recording, machine=machine) for recording in recordings]
    loaded = Encoder.load(find_encoder(artifacts, encoder), threads=1)
    cache = EmbeddingCache(out / "cache", loaded.manifest.sha256)
    done = 0

    with _progress(errors) as progress:
        task = progress.add_task("embedding", total=len(recordings), rate="")

        def on_clip(_cached: bool) -> None:
            nonlocal done
            done += 1
            rate = done / (time.monotonic() - started)
            progress.update(task, advance=1, rate=f"{rate:.1f} clips/s")

        try:
            result = embed_recordings(
                recordings, loaded, cache, workers=workers or available_processors(), on_clip=on_clip
            )
        except KeyboardInterrupt:
            progress.stop()
            errors.print(f"{done} of {len(recordings)} recordings are done and cached in {out / 'cache'}.")
            raise
    reference = write_reference(out, result.reference)
    result = replace(result, reference=reference)
    if as_json:
        print_json(_summary(result, out, time.monotonic() - started))
    else:
        _report(result, out, time.monotonic() - started)
    if result.skipped:
        for skipped in result.skipped[:_SHOWN]:
            errors.print(f"skipped {skipped.path}: {skipped.reason}", style="red", markup=False, soft_wrap=True)
        if len(result.skipped) > _SHOWN:
            errors.print(f"… and {len(result.skipped) - _SHOWN} more (--json lists all).", style="red")
        errors.print(
            f"{len(result.skipped)} of {len(recordings)} recordings were SKIPPED, see above.", style="bold red"
        )
        if strict:
            raise typer.Exit(3)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
    )


def _summary(result: JobResult, out: Path, seconds: float) -> dict[str, object]:
    reference = result.reference
    return {
        "table": str(out / TABLE),
        "rows": len(reference),
        "columns": reference.vectors.shape[1] + 1,
        "clips": result.clips,
        "from_cache": result.cached,
        "anomaly_rows": int(reference.targets.sum()),
        "held_out_rows": int(reference.held_out.sum()),
        "machines": sorted(set(reference.machines.tolist())),
        "encoder": reference.encoder_name,
        "encoder_sha256": reference.encoder_sha256,
        "sha256": reference.sha256,
        "seconds": round(seconds, 3),
        "skipped": [{"path": str(skipped.path), "reason": skipped.reason} for skipped in result.skipped],
    }


def _report(result: JobResult, out: Path, seconds: float) -> None:
    reference = result.reference
    typer.echo(
        f"{out / TABLE}: {len(reference)} rows of {reference.vectors.shape[1]} values and a target, from "
        f"{result.clips} clips ({result.cached} from the cache) in {seconds:.1f} s."
    )
    anomalies, held_out = int(reference.targets.sum()), int(reference.held_out.sum())
    typer.echo(
        f"{len(reference) - anomalies} normal and {anomalies} anomaly rows; {held_out} are held out and will never be "
        "trained on. Next: wheeltapper train"
    )
