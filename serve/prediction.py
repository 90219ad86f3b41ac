"""One prediction from the first byte to the last: decode, score, store, answer. Runs in a worker.

Here: the order, and what is stored. Not here: the steps (`audio_pipeline`), the queue (`engine`), HTTP (`routes`).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from audio_pipeline.clip import Clip, decode
from audio_pipeline.scoring import Scorer, Verdict, embed_clip
from serve.database.predictions import record, to_bytes
from serve.database.tables import Prediction, PredictionWindow, StoredClip
from serve.schemas import PredictionAnswer, answer_of, finite
from serve.service import Service
from serve.upload import Upload

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
        verdict = scorer.classify(clip, embedded, upload.machine)
    with metrics.stage("store"):
        row = _store(service, upload, clip, scorer, verdict)
    metrics.predictions.labels("anomaly" if row.anomaly else "normal", row.model_version).inc()
    metrics.scores.labels(row.model_version).observe(row.score)
    metrics.p_values.labels(row.model_version).observe(row.p_value)
    logger.info(
        "%s: %s, score %.3g, p %.3g, %s",
        row.machine or "unknown machine",
        "ANOMALY" if row.anomaly else "normal",
        row.score,
        row.p_value,
        row.id,
    )
    return answer_of(row)


def _store(service: Service, upload: Upload, clip: Clip, scorer: Scorer, verdict: Verdict) -> Prediction:
    # The file first: a row never names a file that is not there.
    now = datetime.now(UTC)
    stored = StoredClip(
        sha256=clip.sha256,
        path=service.clips.keep(upload.audio, clip),
        duration_s=clip.duration_s,
        native_rate=clip.native_rate,
        channels=clip.channels,
        created=now,
    )
    row = Prediction(
        id=uuid.uuid4(),
        created=now,
        clip=stored,
        clip_sha256=clip.sha256,
        filename=upload.filename,
        machine=verdict.machine,
        anomaly=verdict.anomaly,
        score=verdict.score,
        threshold=finite(verdict.threshold),
        p_value=verdict.p_value,
        rate_asked=verdict.rate_asked,
        rate_used=verdict.rate_used,
        model_version=verdict.model_version,
        encoder=verdict.encoder,
        encoder_sha256=scorer.encoder.manifest.sha256,
        encoder_stand_in=verdict.encoder_stand_in,
        confirmed=0,
        deciding_window=verdict.deciding_window,
        sensor=asdict(verdict.sensor),
        windows=[
            PredictionWindow(
                position=position,
                start_s=window.start_s,
                end_s=window.end_s,
                score=window.score,
                p_value=window.p_value,
                vector=to_bytes(verdict.vectors[position]),
            )
            for position, window in enumerate(verdict.windows)
        ],
    )
    with service.database.write() as session:
        record(session, row)
    return row
