"""`wheeltapper threshold`: how many false alarms there may be, and what another rate would have meant.

Here: the command. Not here: what a rate means (`audio_pipeline.decision`), changing it (`serve.models.promotion`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.detector.manifest import FalseAlarmRate, read_manifest
from audio_pipeline.detector.rate import rate_of
from serve.models.promotion import Promotion
from serve.retraining.preview import verdicts_at
from wheeltapper.database import opened
from wheeltapper.options import ARTIFACTS, DATA, ArtifactsFolder, AsJson, DataFolder, print_json, user


def threshold(
    rate: Annotated[float | None, typer.Argument(help="False alarms per healthy clip; left out: show it.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Change nothing: what would it have meant?")] = False,
    days: Annotated[float, typer.Option(min=0.001, max=366, help="For --preview.")] = 7.0,
    by: Annotated[str, typer.Option(help="Who asks for it, for the ledger; by default the user.")] = "",
    data: DataFolder = DATA,
    artifacts: ArtifactsFolder = ARTIFACTS,
    as_json: AsJson = False,
) -> None:
    """Show the false-alarm rate, or ask for another one: a new version with the same graph, in the ledger."""
    store = ModelStore(artifacts)
    with opened(data, artifacts) as (settings, database):
        promotion = Promotion(database, settings)
        if rate is not None and not preview:
            promotion.set_false_alarm_rate(rate, by=by or user())
        version = promotion.serving()
        manifest = read_manifest(store.load(version).folder)
        told: dict[str, object] = {
            "model_version": version,
            "false_alarm_rate": manifest.false_alarm_rate.model_dump(),
            "thresholds": manifest.thresholds,
        }
        sentence = f"{version}: {_words(manifest.false_alarm_rate)}"
        if rate is not None and preview:
            asked = rate_of(manifest, rate)
            since = datetime.now(UTC) - timedelta(days=days)
            with database.read() as session:
                verdicts = verdicts_at(session, artifacts, since, now=manifest.false_alarm_rate.asked, then=rate)
            now, then = sum(v.now for v in verdicts), sum(v.then for v in verdicts)
            told["preview"] = {
                **asked.model_dump(),
                "predictions": len(verdicts),
                "alarms_now": now,
                "alarms_then": then,
            }
            sentence = (
                f"{_words(asked)}\nWith that, {then} alarms in the last {days:g} days instead of {now}, "
                f"of {len(verdicts)} clips."
            )
    if as_json:
        print_json(told)
    else:
        typer.echo(sentence)


def _words(rate: FalseAlarmRate) -> str:
    words = f"{rate.used:.2%} of healthy clips may raise an alarm"
    if rate.used > rate.asked:
        words += (
            f" ({rate.asked:.2%} was asked for; so few healthy recordings support no less than {rate.reachable:.2%})"
        )
    return f"{words}."
