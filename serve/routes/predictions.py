"""`GET /predictions…`: the history, and each prediction's clip to hear and to see."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Header, Query
from numpy.typing import NDArray
from starlette.responses import Response

from audio_pipeline.clip import to_wav
from serve.database.answers import AnswerWord
from serve.database.predictions import Order, PredictionFilter, Sort, page
from serve.database.tables import Prediction
from serve.deps import PredictionDep, ServiceDep, SessionDep
from serve.http.cursors import read_cursor, read_moment, read_number, utc, write_cursor
from serve.http.problems import Problem, Refused
from serve.prediction.schemas import PredictionAnswer, PredictionPage, answer_of, summary_of
from serve.prediction.spectrogram import draw
from serve.service import Service

router = APIRouter(prefix="/predictions", tags=["predictions"], responses={404: {"model": Problem}})

# A prediction's clip never changes: a browser may keep it, a proxy for many users may not.
_KEEP = {"Cache-Control": "private, max-age=86400, immutable"}


@router.get("")
def list_predictions(
    session: SessionDep,
    machine: Annotated[str | None, Query(description="type/section; empty: unknown machines.")] = None,
    anomaly: bool | None = None,
    since: Annotated[datetime | None, Query(description="ISO 8601; UTC unless it says otherwise.")] = None,
    until: Annotated[datetime | None, Query(description="The moment itself is not included.")] = None,
    answered: Annotated[bool | None, Query(description="Whether anybody said anything about it.")] = None,
    answer: AnswerWord | None = None,
    q: Annotated[str | None, Query(max_length=200, description="Part of the file's or the machine's name.")] = None,
    model_version: str | None = None,
    sort: Sort = "created",
    order: Literal["asc", "desc"] = "desc",
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before, with the same `sort` and `order`.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> PredictionPage:
    """Read the history, newest first unless it is asked for otherwise."""
    wanted = PredictionFilter(machine, anomaly, utc(since), utc(until), answered, answer, q, model_version)
    sorting = Order(sort, order == "desc")
    after = read_cursor(cursor, read_moment) if sort == "created" else read_cursor(cursor, read_number)
    rows = page(session, wanted, sorting, after, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return PredictionPage(
        predictions=[summary_of(row) for row in rows[:limit]],
        next_cursor=write_cursor(sorting.value(last), last.id) if last else None,
    )


@router.get("/{prediction_id}")
def read_prediction(prediction: PredictionDep) -> PredictionAnswer:
    """Read one prediction, as `POST /predict` answered it."""
    return answer_of(prediction)


@router.get("/{prediction_id}/audio", response_class=Response, responses={200: {"content": {"audio/wav": {}}}})
async def read_audio(
    prediction: PredictionDep, service: ServiceDep, wanted: Annotated[str | None, Header(alias="range")] = None
) -> Response:
    """Hear the clip: 16-bit WAV, 16 kHz mono, in ranges if asked for."""
    wav = await service.engine.run(lambda: to_wav(_samples(prediction, service)))
    return _ranged(wav, wanted, "audio/wav")


@router.get(
    "/{prediction_id}/spectrogram.png", response_class=Response, responses={200: {"content": {"image/png": {}}}}
)
async def read_spectrogram(
    prediction: PredictionDep,
    service: ServiceDep,
    explained: Annotated[bool, Query(description="Also frame the suspicious seconds and frequencies.")] = False,
) -> Response:
    """See the clip: its log-mel spectrogram, the deciding window marked."""
    window = prediction.windows[prediction.deciding_window]
    verdict = "anomaly" if prediction.anomaly else "normal"
    title = f"{prediction.machine or 'unknown machine'} · {verdict} · score {prediction.score:.3g}"

    def picture() -> bytes:
        samples, deciding = _samples(prediction, service), (window.start_s, window.end_s)
        if not explained:
            return draw(samples, title, deciding)
        reasons = service.explanations.of(prediction)
        return draw(
            samples,
            title,
            deciding,
            [(stretch.start_s, stretch.end_s) for stretch in reasons.seconds],
            [(band.low_hz, band.high_hz) for band in reasons.bands],
        )

    engine = service.explaining if explained else service.engine
    return Response(await engine.run(picture), media_type="image/png", headers=_KEEP)


def _samples(prediction: Prediction, service: Service) -> NDArray[np.float32]:
    clip = service.clips.read(prediction.clip.path)
    if clip is None:
        detail = f"The clip of prediction {prediction.id} is no longer kept; its scores and vectors are."
        raise Refused(404, "clip_gone", detail)
    return clip.samples


def _ranged(data: bytes, wanted: str | None, media_type: str) -> Response:
    """Answer with all of `data`, or with the one range asked for (RFC 9110, 14): what a browser's player seeks by."""
    headers = {**_KEEP, "Accept-Ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", (wanted or "").replace(" ", ""))
    if asked is None or asked.groups() == ("", ""):  # no range, or one of a kind that may be ignored
        return Response(data, media_type=media_type, headers=headers)
    first, last = asked.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last) if first and last else len(data) - 1, len(data) - 1)
    if start > end:
        detail = f"The clip has {len(data)} bytes: there is nothing in the range '{wanted}'."
        raise Refused(416, "range_not_satisfiable", detail, {"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Response(data[start : end + 1], 206, headers, media_type)
