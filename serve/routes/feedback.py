"""`/feedback`: what people say about predictions."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from serve.answers.receipt import receipt_of
from serve.answers.schemas import FeedbackAnswer, FeedbackPage, FeedbackRequest, Receipt, feedback_of, line_of
from serve.database import answers
from serve.database.answers import AnotherAnswerStands, Outcome
from serve.database.tables import Answer, Prediction
from serve.deps import ServiceDep, SessionDep
from serve.http.cursors import read_cursor, read_moment, utc, write_cursor
from serve.http.problems import Problem, Refused
from serve.service import Service

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/feedback", tags=["feedback"])

# Long enough for a healthy disk to have the row in prod_data.csv before the answer is acknowledged, short enough not
# to keep a person waiting for a sick one: the answer is safe already.
_TABLE_WITHIN_S = 2.0
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": FeedbackAnswer, "description": "The same answer had been given before"},
    **{status: {"model": Problem} for status in (401, 403, 404, 409, 422, 503)},
}


@router.post("", status_code=201, responses=_ANSWERS)
def give_feedback(wanted: FeedbackRequest, service: ServiceDep, response: Response) -> FeedbackAnswer:
    """Say what a prediction really was: anomaly, normal, or unsure.

    201: stored, for good. 200: the same answer had been given before; the first one stands. 409: another answer
    stands, and stays unless `override` is sent. 403: the token is not that of a question about this prediction. Nobody
    needs to have asked: a fault that was missed is told in the same way.
    """
    now = datetime.now(UTC)
    with service.database.write(durable=True) as session:
        prediction = session.scalar(
            select(Prediction).where(Prediction.id == wanted.prediction_id).options(joinedload(Prediction.question))
        )
        if prediction is None:
            raise Refused(
                404, "unknown_prediction", f"There is no prediction {wanted.prediction_id}: see /predictions."
            )
        if wanted.token is not None and not (
            prediction.question is not None and service.tokens.holds(prediction.question.id, wanted.token)
        ):
            raise Refused(
                403, "bad_token", "The token is not that of a question about this prediction: use the link as it came."
            )
        try:
            outcome = answers.give(session, wanted.given(), now, override=wanted.override)
        except AnotherAnswerStands as other:
            raise _stands(other.standing) from other
        body = feedback_of(outcome.answer)
    if outcome.stored:
        _took_effect(service, outcome, prediction, now)
    response.status_code = 201 if outcome.stored else 200
    return body


@router.get("")
def list_feedback(
    session: SessionDep,
    since: Annotated[datetime | None, Query(description="ISO 8601; UTC unless it says otherwise.")] = None,
    until: Annotated[datetime | None, Query(description="The moment itself is not included.")] = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> FeedbackPage:
    """Read the answers, newest first."""
    rows = answers.page(session, utc(since), utc(until), read_cursor(cursor, read_moment), limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return FeedbackPage(
        answers=[line_of(row) for row in rows[:limit]],
        next_cursor=write_cursor(last.created, last.prediction_id) if last else None,
    )


@router.get("/{prediction_id}", responses={404: {"model": Problem}})
async def read_receipt(prediction_id: uuid.UUID, service: ServiceDep) -> Receipt:
    """Read what came of an answer: the retraining that used it, and how verdicts moved."""

    def put_together() -> Receipt:
        with service.database.read() as session:
            found = session.get(Answer, prediction_id)
            if found is None:
                raise Refused(
                    404, "no_answer", f"Nobody has said anything about a prediction {prediction_id}: POST /feedback."
                )
            return receipt_of(service, session, found, session.get_one(Prediction, prediction_id))

    return await service.engine.run(put_together)


def _stands(standing: Answer) -> Refused:
    by = f" by {standing.operator}" if standing.operator else ""
    return Refused(
        409,
        "another_answer_stands",
        f"The answer '{standing.answer}' was given{by} at {standing.created:%Y-%m-%d %H:%M} UTC and stands; "
        "send override to replace it.",
        more={"standing": feedback_of(standing).model_dump(mode="json")},
    )


def _took_effect(service: Service, outcome: Outcome, prediction: Prediction, now: datetime) -> None:
    """Let an answer take effect at once: in the table, and in what clips are compared with."""
    answer, metrics = outcome.answer, service.metrics
    verdict = "anomaly" if prediction.anomaly else "normal"
    metrics.answers.labels(answer.answer, verdict, answer.source).inc()
    if not outcome.replaced:
        metrics.answer_lag.observe((now - prediction.created).total_seconds())
    logger.info("%s is said to be %s (verdict: %s)", prediction.id, answer.answer, verdict)
    if service.model.serves:
        service.confirmed.refresh(service.model.scorer)
        service.production.wait_for(answer.revision, _TABLE_WITHIN_S)
