"""`wheeltapper predict`: score clips and say what the figures mean.

Here: reading files. Not here: scoring (`audio_pipeline.scoring`), wording (`explanation`).
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from audio_pipeline.clip import read
from audio_pipeline.errors import ClipError
from audio_pipeline.scoring import Scorer
from wheeltapper.explanation import explain
from wheeltapper.options import ARTIFACTS, ArtifactsFolder, AsJson, print_json


def predict(
    files: Annotated[list[Path], typer.Argument(help="Clips: WAV, FLAC, OGG/Opus, MP3, AIFF.")],
    machine: Annotated[str, typer.Option(help="type/section the clips are of; empty: any machine of the model.")] = "",
    artifacts: ArtifactsFolder = ARTIFACTS,
    as_json: AsJson = False,
) -> None:
    """Score clips with the model that serves, and explain each verdict.

    A file that cannot be scored is said on standard error and makes the exit code 2; the others are scored all the
    same. With --json: one list, an entry a file.
    """
    scorer = Scorer.load(artifacts)
    known = scorer.classifier.manifest.machines
    if machine and machine not in known:
        typer.echo(f"Note: the model does not know '{machine}', only: {', '.join(filter(None, known))}.", err=True)
    entries: list[dict[str, Any]] = []
    for path in files:
        try:
            verdict = scorer.score(read(path), machine)
        except ClipError as error:
            typer.echo(f"wheeltapper: {path}: {error.message}", err=True)
            entries.append({"file": str(path), "error": {"code": error.code, "message": error.message}})
            continue
        answer = verdict.to_json()
        entries.append({"file": str(path), **answer})
        if not as_json:
            typer.echo(f"{path.name}\n{textwrap.indent(explain(answer, machine in known), '  ')}\n")
    if as_json:
        print_json(entries)
    if any("error" in entry for entry in entries):
        raise typer.Exit(2)
