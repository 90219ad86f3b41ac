"""The receipt of an answer: which retraining used it, what came of that, how verdicts moved.

Here: putting it together, from what is stored and the model in service. Not here: the answer itself
(`database.answers`), retraining (`serve.retraining`).

Scores "now" are what `POST /predict` would say of the stored vectors at this moment, confirmed faults included: they
move with the answer at once, and again when a retrained model takes over.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from audio_pipeline.decision import Decision
from audio_pipeline.errors import BrokenArtifact
from audio_pipeline.scoring import Scorer
from serve.answers.schemas import Neighbour, Receipt, RetrainOutcome, feedback_of
from serve.database import lookback, predictions
from serve.database.tables import Answer, Prediction
from serve.service import Service

_SHOWN = 5
_LOOKED_AT = 2000  # the newest predictions that neighbours are looked for among: 5 MB of vectors
_ROLES = {
    "trained": "It was learned from.",
    "calibrated": "It was learned from, and the threshold rests on it, too.",
    "held_out": "It is held out for good: models are compared on it, none learns from it.",
}


@dataclass(frozen=True)
class _Judge:
    """The model in service with the faults confirmed by now."""

    scorer: Scorer
    confirmed: NDArray[np.float32] | None

    def decide(self, session: Session, prediction: Prediction) -> Decision | None:
        """Judge a stored prediction's vectors; None: another encoder made them, or the model fails on them."""
        if prediction.encoder_sha256 != self.scorer.encoder.manifest.sha256:
            return None
        try:
            return self.scorer.judge(predictions.vectors(session, prediction.id), prediction.machine, self.confirmed)
        except BrokenArtifact:
            return None


def receipt_of(service: Service, session: Session, answer: Answer, prediction: Prediction) -> Receipt:
    """Put together what came of an answer.

    Parameters
    ----------
    service
        The running service.
    session
        For reading.
    answer, prediction
        The answer, and what it is about.
    """
    judge = None
    if service.model.serves:
        scorer = service.model.scorer
        judge = _Judge(scorer, service.confirmed.of(scorer))
    now = judge.decide(session, prediction) if judge else None
    return Receipt(
        answer=feedback_of(answer),
        counts_for_training=answer.answer != "unsure",
        retrain=_retrain(session, answer),
        score_before=prediction.score,
        score_now=now.score if now else None,
        anomaly_before=prediction.anomaly,
        anomaly_now=now.anomaly if now else None,
        model_before=prediction.model_version,
        model_now=judge.scorer.model if judge else None,
        neighbours=_neighbours(session, prediction, judge) if judge else [],
    )


def _retrain(session: Session, answer: Answer) -> RetrainOutcome | None:
    """The retraining that served the answer's end: the first that was promoted with it, or else the last there was."""
    used = lookback.jobs_that_used(session, answer.prediction_id)
    chosen = next((use for use in used if use.job.status == "promoted"), used[-1] if used else None)
    if chosen is not None:
        job = chosen.job
        said = _ROLES.get(chosen.role) or f"It was left out. {chosen.why}"
        detail = " ".join(filter(None, (said, job.message)))
    else:
        following = lookback.first_job_after(session, answer.changed or answer.created)
        if following is None:
            return None
        job, detail = following, following.message
    over = job.status in ("promoted", "kept_champion", "failed")
    return RetrainOutcome(
        job_id=job.id,
        status=job.status,
        challenger=job.challenger,
        promoted=job.status == "promoted" if over else None,
        detail=detail or None,
    )


def _neighbours(session: Session, prediction: Prediction, judge: _Judge) -> list[Neighbour]:
    """The recent clips that sound most like the answered one, in the columns that the detector scores."""
    names, rows = lookback.recent_deciding(session, prediction.encoder_sha256, _LOOKED_AT, prediction.id)
    manifest = judge.scorer.encoder.manifest
    if not names or prediction.encoder_sha256 != manifest.sha256:
        return []
    own = predictions.vectors(session, prediction.id)[prediction.deciding_window]
    apart = np.zeros(len(rows))
    groups = [group.columns for group in manifest.groups.values()]
    for columns in groups:  # each group counts the same, each column in its own deviations
        scale = rows[:, columns].std(0) + np.float32(1e-6)
        apart += (((rows[:, columns] - own[columns]) / scale) ** 2).mean(1) / len(groups)
    return [
        _neighbour(session, names[position], float(np.sqrt(apart[position])), judge)
        for position in np.argsort(apart, kind="stable")[:_SHOWN].tolist()
    ]


def _neighbour(session: Session, name: uuid.UUID, distance: float, judge: _Judge) -> Neighbour:
    other = session.get_one(Prediction, name)
    now = judge.decide(session, other)
    return Neighbour(
        prediction_id=other.id,
        machine=other.machine,
        created=other.created,
        distance=distance,
        score_before=other.score,
        score_now=now.score if now else None,
        anomaly_before=other.anomaly,
        anomaly_now=now.anomaly if now else None,
    )
