"""`POST /predict`: a clip in, a verdict out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from audio_pipeline.errors import ClipError, Overloaded
from serve.deps import ServiceDep
from serve.http.problems import Problem
from serve.http.upload import PredictRequest, read_upload
from serve.prediction.predict import predict
from serve.prediction.schemas import PredictionAnswer

router = APIRouter(tags=["predict"])

_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {"schema": PredictRequest.model_json_schema()},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "WAV, FLAC, OGG, MP3 or AIFF."},
                    "machine": {"type": "string", "description": "type/section, say fan/id_04; empty: unknown."},
                },
            }
        },
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": PredictionAnswer},
    **{status: {"model": Problem} for status in (400, 401, 403, 408, 413, 415, 422, 503)},
}


@router.post("/predict", responses=_ANSWERS, openapi_extra={"requestBody": _BODY})
async def predict_clip(request: Request, service: ServiceDep) -> Response:
    """Judge a clip, sent as JSON or as a form.

    An answer is stored before it is given. 503 with `Retry-After` when too much is asked at once.
    """
    try:
        # Asked twice: before reading, so that a full house costs nothing; and by `run`, which decides.
        service.engine.refuse_if_full()
        with service.held.counting() as count:
            with service.metrics.stage("receive"):
                receive = await read_upload(request, service.limits.max_bytes, count)
            body = await service.engine.run(lambda: predict(service, receive).model_dump_json())
    except (ClipError, Overloaded) as error:
        service.metrics.rejections.labels(error.code).inc()
        raise
    return Response(body, media_type="application/json")
