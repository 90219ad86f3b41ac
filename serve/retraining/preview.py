"""What another false-alarm rate would have made of clips that were judged already.

Here: deciding again from stored scores. Not here: the rule (`audio_pipeline.decision`).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.decision import Calibration
from audio_pipeline.detector.manifest import ModelManifest, read_manifest
from audio_pipeline.errors import WheeltapperError
from serve.database.tables import Prediction, PredictionWindow


@dataclass(frozen=True)
class Verdicts:
    """One clip's verdict at two rates."""

    prediction_id: uuid.UUID
    now: bool
    then: bool


def verdicts_at(session: Session, artifacts: Path, since: datetime, *, now: float, then: float) -> list[Verdicts]:
    """Decide again about every prediction since a moment, newest first.

    Parameters
    ----------
    session
        For reading.
    artifacts
        The artifacts folder: each clip is decided about with the calibration of the model that scored it.
    since
        The moment.
    now, then
        Two false-alarm rates.

    Returns
    -------
    list of Verdicts
        Without the clips of models whose manifest is gone: nothing can be said about those.
    """
    windows = (
        select(
            PredictionWindow.prediction_id,
            func.count().label("windows"),
            func.min(PredictionWindow.p_value).label("p_value"),
        )
        .join(Prediction, Prediction.id == PredictionWindow.prediction_id)
        .where(Prediction.created >= since)
        .group_by(PredictionWindow.prediction_id)
        .subquery()
    )
    rows = session.execute(
        select(Prediction.id, Prediction.machine, Prediction.model_version, windows.c.windows, windows.c.p_value)
        .join(windows, windows.c.prediction_id == Prediction.id)
        .order_by(Prediction.created.desc(), Prediction.id)
    ).all()
    manifests = _manifests(artifacts, {row.model_version for row in rows})
    found = []
    for row in rows:
        manifest = manifests.get(row.model_version)
        if manifest is not None:
            calibration = manifest.calibration_of(row.machine)
            verdict = [_alarms(calibration, row.p_value, row.windows, rate) for rate in (now, then)]
            found.append(Verdicts(row.id, *verdict))
    return found


def _alarms(calibration: Calibration, smallest_p: float, windows: int, rate: float) -> bool:
    """As `decide`, which needs every window's score to tell which of them decided."""
    return round(smallest_p * (calibration.rows + 1)) <= calibration.rank(rate, windows)


def _manifests(artifacts: Path, versions: set[str]) -> dict[str, ModelManifest]:
    manifests = {}
    for version in versions:
        try:
            manifests[version] = read_manifest(ModelStore(artifacts).models / version)
        except WheeltapperError:
            continue
    return manifests
