"""One prediction from the first byte to the last: decode, score, store, answer. Runs in a worker.

Here: the order, and what is stored. Not here: the steps (`audio_pipeline`), the queue (`engine`), HTTP (`routes`).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from audio_pipeline.clip import Clip, decode
from audio_pipeline.embedding import embed_clip
from audio_pipeline.scoring import Scorer, Verdict
from serve.database.predictions import record, to_bytes
from serve.http.upload import Upload
from serve.prediction.schemas import PredictionAnswer, QuestionState
from serve.service import Service

logger = logging.getLogger(__name__)


def predict(service: Service, receive: Callable[[], Upload]) -> PredictionAnswer:
    """Judge a clip; when this returns, the prediction is committed.

    Parameters
    ----------
    service
        The running service.
    receive
        Gives the clip as sent (`upload.read_upload`).

    Raises
    ------
    ClipError
        The bytes are no clip that can be scored.
    BrokenArtifact
        There is no model that works.
    Refused
        The request holds no clip.
    """
    metrics = service.metrics
    with metrics.stage("parse"):
        upload = receive()
    with metrics.stage("decode"):
        clip = decode(upload.audio, service.limits, upload.filename)
    # Taken once: all of one answer comes from one model, whatever is promoted meanwhile.
    scorer = service.model.scorer
    with metrics.stage("embed"):
        embedded = embed_clip(scorer.encoder, clip)
    with metrics.stage("classify"):
        confirmed = service.confirmed.of(scorer)
        verdict = scorer.classify(clip, embedded, upload.machine, confirmed)
    with metrics.stage("store"):
        answer = _store(service, upload, clip, scorer, verdict, 0 if confirmed is None else len(confirmed))
    metrics.predictions.labels("anomaly" if answer.anomaly else "normal", answer.model_version).inc()
    metrics.scores.labels(answer.model_version).observe(answer.score)
    metrics.p_values.labels(answer.model_version).observe(answer.p_value)
    metrics.levels.observe(clip.sensor.level_db)
    for finding in answer.sensor.findings:
        metrics.sensor_findings.labels(finding.code, str(finding.fatal).lower()).inc()
    logger.info(
        "%s: %s, score %.3g, p %.3g, %s",
        answer.machine or "unknown machine",
        "ANOMALY" if answer.anomaly else "normal",
        answer.score,
        answer.p_value,
        answer.prediction_id,
    )
    return answer


def _store(
    service: Service, upload: Upload, clip: Clip, scorer: Scorer, verdict: Verdict, confirmed: int
) -> PredictionAnswer:
    number, now = uuid.uuid4(), datetime.now(UTC)
    encoder_sha256 = scorer.encoder.manifest.sha256
    told = verdict.to_json()
    clip_row = {
        "sha256": clip.sha256,
        # Written before the row: a row never names a file that is not there.
        "path": service.clips.keep(upload.audio, clip),
        "duration_s": clip.duration_s,
        "native_rate": clip.native_rate,
        "channels": clip.channels,
        "created": now,
    }
    prediction_row = {
        "id": number,
        "created": now,
        "clip_sha256": clip.sha256,
        "filename": upload.filename,
        "machine": verdict.machine,
        "anomaly": verdict.anomaly,
        "score": verdict.score,
        "threshold": told["threshold"],
        "p_value": verdict.p_value,
        "rate_asked": verdict.rate_asked,
        "rate_used": verdict.rate_used,
        "model_version": verdict.model_version,
        "encoder": verdict.encoder,
        "encoder_sha256": encoder_sha256,
        "confirmed": confirmed,
        "deciding_window": verdict.deciding_window,
        "sensor": told["sensor"],
    }
    window_rows = [
        {**window, "prediction_id": number, "position": position, "vector": to_bytes(verdict.vectors[position])}
        for position, window in enumerate(told["windows"])
    ]
    weighed = service.asker.weigh(verdict, encoder_sha256, now)
    question = None
    # The question in the same transaction: a kill in between would leave an alarm that nobody is told of.
    with service.database.write() as session:
        episode = service.asker.episode(session, verdict.machine, now) if verdict.anomaly else None
        record(session, clip_row, {**prediction_row, "episode_id": episode}, window_rows)
        if weighed is not None:
            question = service.asker.decide(session, weighed, number, verdict.machine, episode, now)
    return PredictionAnswer(
        prediction_id=number,
        created=now,
        filename=upload.filename,
        answer=None,
        question=None if question is None else QuestionState(question_id=question, state="queued"),
        **told,
    )
