"""`GET /stats`: the figures of the overview."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from audio_pipeline.errors import BrokenArtifact
from serve.database.monitoring import results
from serve.deps import ServiceDep, SessionDep
from serve.observability import stats
from serve.observability.monitoring import answer_of
from serve.service import Service

router = APIRouter(prefix="/stats", tags=["stats"])


@router.get("")
def read_stats(
    service: ServiceDep, session: SessionDep, days: Annotated[float, Query(gt=0, le=366)] = 7
) -> stats.Stats:
    """Read what happened in the last days; unknown figures are null."""
    since = stats.first_moment(days)
    machines = stats.predictions_by_machine(session, since)
    predictions, anomalies = sum(m.predictions for m in machines), sum(m.anomalies for m in machines)
    confirmed, audit = stats.confirmed_and_audit(session, since)
    looks = results(session, 1)
    every = service.settings.retrain_every
    return stats.Stats(
        since=since,
        predictions=predictions,
        anomalies=anomalies,
        alert_rate=anomalies / predictions if predictions else None,
        by_day=stats.predictions_by_day(session, since),
        by_machine=machines,
        score_histogram=stats.score_histograms(session, since),
        questions=stats.question_states(session, since),
        budget=stats.budget(session, service.settings.questions_per_day, service.asker.recipient.email),
        confirmed=confirmed,
        audit=audit,
        monitoring=answer_of(looks[0].id, looks[0].created, looks[0].body).model_dump(mode="json") if looks else None,
        model=_model(service),
        retrain=stats.retrain_state(session, every, service.retraining.answers_since()),
    )


def _model(service: Service) -> stats.ModelInService | None:
    try:
        scorer = service.model.scorer
    except BrokenArtifact:
        return None
    return stats.ModelInService(version=scorer.model, encoder=scorer.encoder_name)
