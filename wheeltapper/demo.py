"""The demo on the first start: a model from the shipped recordings, and a first prediction that explains itself.

Here: making the demo reference and model where there is none, sending two clips through HTTP, and saying in plain words
what came back. Not here: embedding and training themselves (`commands`), starting programs (`run`).
"""

from __future__ import annotations

import base64
import csv
import json
import os
import textwrap
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import typer

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.errors import WheeltapperError
from audio_pipeline.reference import CLIPS, MANIFEST
from wheeltapper.parts import open_local

DEMO = Path(__file__).resolve().parent.parent / "data" / "demo"
REFERENCE = DEMO / "reference"
BROKEN = DEMO / "clips" / "valve" / "id_00" / "abnormal" / "valve_abnormal_00.flac"
HEALTHY = DEMO / "clips" / "valve" / "id_00" / "normal" / "valve_normal_02.flac"
MACHINE = "valve/id_00"


def prepare(data: Path, artifacts: Path) -> None:
    """Make the model that serves, if there is none: from the reference in `data`, or from the demo recordings.

    Parameters
    ----------
    data, artifacts
        Folders, as everywhere.

    Raises
    ------
    WheeltapperError
        As `wheeltapper embed` and `wheeltapper train`.
    """
    # Late: both pull in the numerics, which a start with a model does not need.
    from wheeltapper.commands.embed import embed
    from wheeltapper.commands.train import train

    if ModelStore(artifacts).current() is not None:
        return
    if not (data / MANIFEST).exists():
        typer.echo("No model yet. Listening to the demo recordings of healthy machines (data/demo/reference) ...")
        embed([shown(REFERENCE)], out=data, artifacts=artifacts, workers=os.cpu_count() or 1)
    typer.echo("Training a first model from them (no broken machine is needed for that) ...")
    train(data=data, artifacts=artifacts)


def is_demo(data: Path) -> bool:
    """Whether the reference in `data` is made of the demo recordings and nothing else."""
    try:
        with (data / CLIPS).open(newline="", encoding="utf-8", errors="surrogateescape") as table:
            return all(Path(row["path"]).resolve().is_relative_to(REFERENCE) for row in csv.DictReader(table))
    except (OSError, KeyError, csv.Error):
        return False


def first_prediction(address: str, key: str) -> None:
    """Send a broken and a healthy demo clip to `/predict` and explain the answers.

    Parameters
    ----------
    address
        Of the service, `http://host:port`.
    key
        Bearer key; needed where the service listens to other machines too.

    Raises
    ------
    WheeltapperError
        The service did not answer as it should.
    """
    answer: dict[str, Any] = {}
    typer.echo("\nA first prediction: two recordings that the model has never heard, sent to POST /predict.")
    for clip, truth in ((BROKEN, "a broken valve"), (HEALTHY, "the same valve, healthy")):
        answer = predict(address, key, clip, MACHINE)
        typer.echo(f"\n  {shown(clip)} ({truth})")
        typer.echo(textwrap.indent(explain(answer, truth_is_anomaly=clip == BROKEN), "    "))
    if answer["encoder_stand_in"]:
        typer.echo(
            "\n  The encoder, the network that turns sound into numbers, is a STAND-IN: its wav2vec2 part was never\n"
            "  trained. What it hears it owes to the plain spectrum statistics beside it. Take the verdicts as a\n"
            "  demonstration of the way they are made, not of how good they can be."
        )


def predict(address: str, key: str, clip: Path, machine: str) -> dict[str, Any]:
    """Send one clip to `/predict` as JSON and return the answer."""
    body = {
        "audio_base64": base64.b64encode(clip.read_bytes()).decode(),
        "filename": clip.name,
        "machine": machine,
    }
    request = urllib.request.Request(
        f"{address}/predict",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    try:
        with open_local(request, timeout=60) as answer:
            content: dict[str, Any] = json.load(answer)
            return content
    except urllib.error.HTTPError as e:
        raise WheeltapperError(f"{address}/predict refused {clip}: {e.read(2000).decode(errors='replace')}") from e
    except OSError as e:
        raise WheeltapperError(f"{address}/predict did not answer ({e}).") from e


def explain(answer: dict[str, Any], truth_is_anomaly: bool | None = None) -> str:
    """Say in plain words what an answer of `/predict` means.

    Parameters
    ----------
    answer
        JSON of `/predict`.
    truth_is_anomaly
        What the clip is known to be, if it is known: a wrong verdict is then called wrong.

    Returns
    -------
    str
        A few lines.

    Examples
    --------
    >>> answer = {"anomaly": True, "score": 3.2, "threshold": 2.0, "false_alarm_rate_used": 0.05, "p_value": 0.03}
    >>> print(explain(answer | {"sensor": {"findings": []}}))
    verdict    ANOMALY
    score      3.20: the higher, the less it sounds like the healthy recordings it learned from
    threshold  2.00: about 5 in 100 healthy recordings go above it and raise a false alarm
    p-value    0.030: at most about 30 in 1000 healthy recordings sound this odd
    """
    verdict = "ANOMALY" if answer["anomaly"] else "normal"
    if truth_is_anomaly is not None and truth_is_anomaly != answer["anomaly"]:
        verdict += "  (wrong: such mistakes are what people's answers and more recordings are for)"
    threshold, rate, p = answer["threshold"], float(answer["false_alarm_rate_used"]), float(answer["p_value"])
    lines = [
        f"verdict    {verdict}",
        f"score      {answer['score']:.2f}: the higher, the less it sounds like the healthy recordings it learned from",
        "threshold  none: too few healthy recordings to promise so low a false-alarm rate"
        if threshold is None
        else f"threshold  {threshold:.2f}: about {100 * rate:.2g} in 100 healthy recordings go above it and raise a "
        "false alarm",
        f"p-value    {p:.3f}: at most about {1000 * p:.0f} in 1000 healthy recordings sound this odd",
    ]
    lines += [f"microphone {finding['message']}" for finding in answer["sensor"]["findings"]]
    return "\n".join(lines)


def shown(path: Path) -> Path:
    """Return the path as a person in this folder would type it; the reference remembers its clips that way, too."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
