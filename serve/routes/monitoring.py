"""`GET /predictions/vectors`, `POST` and `GET /monitoring/results`: what monitoring reads, and what it leaves here.

Here: the addresses. Not here: the figures (`monitoring/`), their shapes and gauges (`serve.observability.monitoring`).
"""

from __future__ import annotations

import base64
import binascii
import uuid
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from audio_pipeline.encoder import ColumnGroup, EncoderManifest
from audio_pipeline.errors import BrokenArtifact
from serve.database.monitoring import Place, keep_result, newest_encoder, results, window_page
from serve.deps import ServiceDep, SessionDep
from serve.http.cursors import read_moment, utc
from serve.http.problems import Problem, Refused
from serve.observability.monitoring import MonitoringResultAnswer, MonitoringResults, NewMonitoringResult, answer_of

router = APIRouter(tags=["monitoring"], responses={422: {"model": Problem}})


class WindowVector(BaseModel):
    """One window of a prediction, with its embedding."""

    prediction_id: uuid.UUID
    created: datetime
    machine: str
    filename: str | None
    model_version: str
    position: int
    windows: int = Field(description="How many the prediction has.")
    deciding: bool = Field(description="Its score is the clip's.")
    score: float
    p_value: float
    anomaly: bool = Field(description="The clip's verdict.")
    vector: str = Field(description="float32, little-endian, base64.")


class VectorPage(BaseModel):
    """Windows in the order of their predictions; all by one encoder."""

    encoder_sha256: str | None
    dimensions: int | None
    groups: dict[str, ColumnGroup] | None = Field(
        description="What the columns hold, as in encoder.json; null unless it is the encoder that serves."
    )
    windows: list[WindowVector]
    next_cursor: str | None = Field(description="Send it as `cursor` for the page after; null: this was the last.")


@router.get("/predictions/vectors")
def read_vectors(
    service: ServiceDep,
    session: SessionDep,
    since: Annotated[datetime | None, Query(description="ISO 8601; UTC unless it says otherwise.")] = None,
    until: Annotated[datetime | None, Query(description="The moment itself is not included.")] = None,
    encoder_sha256: Annotated[str | None, Query(description="By default the encoder that serves.")] = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=5000, description="Windows a page.")] = 1000,
    order: Annotated[Literal["asc", "desc"], Query(description="Of the predictions, by moment.")] = "asc",
) -> VectorPage:
    """Read the vector of every window of every prediction, whatever its verdict."""
    try:
        serves: EncoderManifest | None = service.model.scorer.encoder.manifest
    except BrokenArtifact:
        serves = None
    wanted = encoder_sha256 or (serves.sha256 if serves else newest_encoder(session))
    if wanted is None:
        return VectorPage(encoder_sha256=None, dimensions=None, groups=None, windows=[], next_cursor=None)
    after = _parse_cursor(cursor) if cursor else None
    rows = window_page(session, wanted, utc(since), utc(until), after, limit + 1, order == "desc")
    return VectorPage(
        encoder_sha256=wanted,
        dimensions=len(rows[0].vector) // 4 if rows else None,
        groups=serves.groups if serves and serves.sha256 == wanted else None,
        windows=[
            WindowVector(
                prediction_id=row.prediction_id,
                created=row.created,
                machine=row.machine,
                filename=row.filename,
                model_version=row.model_version,
                position=row.position,
                windows=row.windows,
                deciding=row.deciding,
                score=row.score,
                p_value=row.p_value,
                anomaly=row.anomaly,
                vector=base64.b64encode(row.vector).decode(),
            )
            for row in rows[:limit]
        ],
        next_cursor=_cursor(rows[limit - 1].place) if len(rows) > limit else None,
    )


@router.post("/monitoring/results", status_code=201)
def post_result(result: NewMonitoringResult, service: ServiceDep) -> MonitoringResultAnswer:
    """Keep the figures of one look; `/metrics` tells the newest ones."""
    body = result.model_dump(mode="json")
    with service.database.write() as session:
        result_id = keep_result(session, result.created, result.model_version, body)
    service.monitoring.look()
    return answer_of(result_id, result.created, body)


@router.get("/monitoring/results")
def read_results(session: SessionDep, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> MonitoringResults:
    """Read the newest results, newest first."""
    return MonitoringResults(results=[answer_of(row.id, row.created, row.body) for row in results(session, limit)])


def _cursor(place: Place) -> str:
    text = f"{place.created.isoformat()} {place.prediction_id.hex} {place.position}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _parse_cursor(cursor: str) -> Place:
    try:
        created, number, position = base64.urlsafe_b64decode(cursor).decode().split(" ")
        return Place(read_moment(created), uuid.UUID(number), min(int(position), 2**31 - 1))
    except (binascii.Error, ValueError, OverflowError) as error:
        raise Refused(422, "invalid_cursor", "The cursor is none that this service gave: start without one.") from error
