"""`wheeltapper predict`: score clips and say in plain words what the figures mean.

Here: reading files, wording. Not here: scoring (`audio_pipeline.scoring`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from audio_pipeline.clip import read
from audio_pipeline.errors import ClipError
from audio_pipeline.scoring import Scorer, Verdict
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
        entries.append({"file": str(path), **verdict.to_json()})
        if not as_json:
            typer.echo(explain(path.name, verdict, machine in known) + "\n")
    if as_json:
        print_json(entries)
    if any("error" in entry for entry in entries):
        raise typer.Exit(2)


def explain(name: str, verdict: Verdict, known: bool) -> str:
    """Put a verdict into words for a newcomer.

    Parameters
    ----------
    name
        What the clip is called.
    verdict
        Of the clip.
    known
        Whether the model was trained on the verdict's machine.

    Returns
    -------
    str
        Several lines.
    """
    machine = verdict.machine if known else "every machine the model knows"
    lines = [f"{name}: {'ANOMALY' if verdict.anomaly else 'normal'}"]
    side = "over" if verdict.score > verdict.threshold else "not over"
    lines.append(
        f"  Its anomaly score is {verdict.score:.3g}, {side} the threshold of {verdict.threshold:.3g} "
        f"(compared with {machine})."
    )
    lines.append(f"  p = {verdict.p_value:.3g}: {_in_a_hundred(verdict.p_value)}.")
    if verdict.rate_used != verdict.rate_asked:
        lines.append(
            f"  A false-alarm rate of {verdict.rate_asked:.2%} was asked for; the recordings trained on support no "
            f"less than {verdict.rate_used:.2%}, which is used."
        )
    if len(verdict.windows) > 1:
        window = verdict.windows[verdict.deciding_window]
        lines.append(
            f"  Of {len(verdict.windows)} windows, the one from {window.start_s:g} s to {window.end_s:g} s sounds "
            "oddest and decides."
        )
    if not verdict.sensor.ok:
        lines.append("  The recording itself is so poor that this verdict is worth nothing:")
    elif verdict.sensor.findings:
        lines.append("  The recording has a flaw that is the microphone's, not the machine's:")
    else:
        lines.append("  The recording itself shows no flaw of microphone or cable.")
    lines += [f"    {finding.code}: {finding.message}" for finding in verdict.sensor.findings]
    if verdict.encoder_stand_in:
        lines.append("  The encoder is a stand-in that was never trained: take this as a demonstration.")
    lines.append(f"  ({verdict.duration_s:.1f} s, model {verdict.model_version}, encoder {verdict.encoder})")
    return "\n".join(lines)


def _in_a_hundred(p_value: float) -> str:
    count = p_value * 100
    if count >= 99.5:
        return "all of 100 healthy clips would sound at least this odd"
    about = f"about {count:.0f}" if count >= 1.5 else "about one" if count >= 0.75 else "less than one"
    return f"of 100 healthy clips {about} would sound at least this odd"
