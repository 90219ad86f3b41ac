"""The demo on the first start: a model from the shipped recordings, and a first prediction that explains itself.

Here: making the demo reference and model where there is none, sending two clips through HTTP. Not here: embedding and
training themselves (`commands`), what a verdict means (`explanation`), starting programs (`run`).
"""

from __future__ import annotations

import base64
import csv
import json
import textwrap
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import typer

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.errors import WheeltapperError
from audio_pipeline.processors import available_processors
from audio_pipeline.reference import CLIPS, MANIFEST
from wheeltapper.explanation import explain
from wheeltapper.parts import open_local

DEMO = Path(__file__).resolve().parent.parent / "data" / "demo"
REFERENCE = DEMO / "reference"
BROKEN = DEMO / "clips" / "fan" / "id_00" / "abnormal" / "fan_abnormal_00.flac"
HEALTHY = DEMO / "clips" / "fan" / "id_00" / "normal" / "fan_normal_03.flac"
MACHINE = "fan/id_00"


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
        embed([shown(REFERENCE)], out=data, artifacts=artifacts, workers=available_processors())
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
    typer.echo("\nA first prediction: two recordings that the model has never heard, sent to POST /predict.")
    for clip, truth in ((BROKEN, "a broken fan"), (HEALTHY, "the same fan, healthy")):
        answer = predict(address, key, clip, MACHINE)
        typer.echo(f"\n  {shown(clip)} ({truth})")
        typer.echo(textwrap.indent(explain(answer), "    "))
        if answer["anomaly"] != (clip == BROKEN):
            typer.echo("    This verdict is wrong. People's answers and more recordings are what makes it better.")


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


def shown(path: Path) -> Path:
    """Return the path as a person in this folder would type it; the reference remembers its clips that way, too."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
