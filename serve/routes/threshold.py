"""`/threshold…`: how often a healthy clip may raise a false alarm, and what another rate would have meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from audio_pipeline.detector.manifest import read_manifest
from audio_pipeline.detector.rate import rate_of
from serve.deps import ServiceDep, SessionDep
from serve.http.problems import Problem
from serve.models.schemas import (
    ChangedVerdict,
    FalseAlarmRateAnswer,
    ThresholdAnswer,
    ThresholdPreview,
    ThresholdRequest,
)
from serve.retraining.preview import verdicts_at
from serve.routes.models import serving_of

router = APIRouter(prefix="/threshold", tags=["threshold"], responses={503: {"model": Problem}})

_MOST_CHANGED = 500


@router.get("")
def read_threshold(service: ServiceDep) -> ThresholdAnswer:
    """Read the false-alarm rate of the model that serves."""
    model = serving_of(service)
    manifest = read_manifest(model.folder)
    return ThresholdAnswer(
        model_version=model.version,
        false_alarm_rate=FalseAlarmRateAnswer.model_validate(manifest.false_alarm_rate.model_dump()),
        thresholds=manifest.thresholds,
    )


@router.put("")
def set_threshold(request: ThresholdRequest, service: ServiceDep) -> ThresholdAnswer:
    """Ask for another false-alarm rate: a new version with the same graph, in the ledger with who asked for it."""
    serving_of(service)
    service.promotion.set_false_alarm_rate(request.rate, by=request.by)
    return read_threshold(service)


@router.get("/preview")
def preview(
    rate: Annotated[float, Query(gt=0, le=1, description="False alarms per healthy clip.")],
    service: ServiceDep,
    session: SessionDep,
    days: Annotated[float, Query(gt=0, le=366)] = 7,
) -> ThresholdPreview:
    """Tell what another rate would have meant for recent clips, each judged by the model that judged it then."""
    manifest = read_manifest(serving_of(service).folder)
    asked = rate_of(manifest, rate)
    since = datetime.now(UTC) - timedelta(days=days)
    verdicts = verdicts_at(
        session, service.settings.artifacts_dir, since, now=manifest.false_alarm_rate.asked, then=rate
    )
    changed = [verdict for verdict in verdicts if verdict.now != verdict.then]
    return ThresholdPreview(
        rate=rate,
        used=asked.used,
        reachable=asked.reachable,
        days=days,
        predictions=len(verdicts),
        alarms_now=sum(verdict.now for verdict in verdicts),
        alarms_then=sum(verdict.then for verdict in verdicts),
        changed=[
            ChangedVerdict(prediction_id=v.prediction_id, anomaly_now=v.now, anomaly_then=v.then)
            for v in changed[:_MOST_CHANGED]
        ],
    )
