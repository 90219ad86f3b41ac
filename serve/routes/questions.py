"""`/questions`: asking people, and what becomes of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from serve.answers.schemas import (
    Delivery,
    EventRequest,
    Facts,
    Person,
    QuestionAnswer,
    QuestionEventLine,
    QuestionPage,
    QuestionRequest,
)
from serve.asking.facts import facts_of
from serve.database import answers, outbox, predictions, questions
from serve.database.questions import Deadlines, Due, State
from serve.database.tables import OutboxMessage, Prediction, Question
from serve.deps import ServiceDep, SessionDep
from serve.http.cursors import read_cursor, read_moment, write_cursor
from serve.http.problems import Problem, Refused
from serve.service import Service

router = APIRouter(prefix="/questions", tags=["questions"], responses={404: {"model": Problem}})

_OPENED: dict[int | str, dict[str, Any]] = {
    200: {"model": QuestionAnswer, "description": "It, or its episode, has a question already: that one"},
    **{status: {"model": Problem} for status in (401, 404, 409, 422)},
}


@router.post("", status_code=201, responses=_OPENED)
def ask(wanted: QuestionRequest, service: ServiceDep, response: Response) -> QuestionAnswer:
    """Ask the operator about a prediction: an e-mail goes out within seconds, if n8n is there.

    A prediction has one question, and so has an episode (a machine's alarms that follow each other closely) as long as
    an answer is waited for: asked again, the answer is 200 with that question. A person's question is never refused for
    the day's budget; it counts.
    """
    now = datetime.now(UTC)
    with service.database.write() as session:
        # Nobody may answer, and nobody else may ask, between looking and asking.
        answers.hold(session)
        questions.hold(session)
        prediction = session.scalar(
            select(Prediction).where(Prediction.id == wanted.prediction_id).options(joinedload(Prediction.answer))
        )
        if prediction is None:
            raise Refused(
                404, "unknown_prediction", f"There is no prediction {wanted.prediction_id}: see /predictions."
            )
        standing = questions.standing(session, prediction.id, prediction.episode_id, waiting=True)
        if standing is None and prediction.answer is not None:
            raise Refused(
                409,
                "already_answered",
                f"The prediction {prediction.id} has its answer, '{prediction.answer.answer}': see GET /feedback.",
            )
        # An episode that was asked about already keeps its one question: this one is about this clip alone.
        asked_before = questions.standing(session, prediction.id, prediction.episode_id) is not None
        opened = standing or questions.open_question(
            session,
            prediction.id,
            prediction.machine,
            None if asked_before else prediction.episode_id,
            wanted.reason,
            service.asker.recipient,
            now,
        )
        session.expire_all()
        body = _told(service, session, [_found(session, opened)])[0]
    if standing is None:
        service.metrics.questions_opened.labels(wanted.reason).inc()
    response.status_code = 201 if standing is None else 200
    return body


@router.get("")
def list_questions(
    session: SessionDep,
    service: ServiceDep,
    state: State | None = None,
    due: Annotated[
        bool, Query(description="Only those that a reminder, an escalation or their end is due for.")
    ] = False,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> QuestionPage:
    """Read the questions, newest first; with `due=true` those that something has to be done about."""
    if due:
        found = questions.due(session, _deadlines(service), datetime.now(UTC), limit)
        dues: list[Due] = [action for _, action in found]
        return QuestionPage(
            questions=_told(service, session, [question for question, _ in found], dues), next_cursor=None
        )
    rows = questions.page(session, state, read_cursor(cursor, read_moment), limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return QuestionPage(
        questions=_told(service, session, rows[:limit]),
        next_cursor=write_cursor(last.created, last.id) if last else None,
    )


@router.get("/{question_id}")
def read_question(question_id: uuid.UUID, session: SessionDep, service: ServiceDep) -> QuestionAnswer:
    """Read one question."""
    return _told(service, session, [_found(session, question_id)])[0]


@router.post("/{question_id}/events", responses={status: {"model": Problem} for status in (401, 422)})
def tell(question_id: uuid.UUID, wanted: EventRequest, service: ServiceDep) -> QuestionAnswer:
    """Say what happened to a question: it was sent, reminded of, escalated, has expired, or could not be sent.

    Told again, nothing changes. `failed` lets the message go out again, after a minute at first and an hour at last.
    """
    with service.database.write() as session:
        question = _found(session, question_id, to_change=True)
        questions.tell(session, question, wanted.event, datetime.now(UTC), wanted.written_by, wanted.detail or None)
        return _told(service, session, [question])[0]


@router.get("/{question_id}/facts")
async def read_facts(question_id: uuid.UUID, service: ServiceDep) -> Facts:
    """Read everything that a message about a question may say."""

    def put_together() -> Facts:
        with service.database.read() as session:
            question = _found(session, question_id)
            prediction = predictions.find(session, question.prediction_id)
            assert prediction is not None  # a foreign key says so
            return facts_of(service, question, prediction)

    return await service.explaining.run(put_together)


def _found(session: Session, question_id: uuid.UUID, *, to_change: bool = False) -> Question:
    found = questions.find(session, question_id, to_change=to_change)
    if found is None:
        raise Refused(404, "unknown_question", f"There is no question {question_id}: see GET /questions.")
    return found


def _deadlines(service: Service) -> Deadlines:
    settings = service.settings
    return Deadlines(
        remind=timedelta(seconds=settings.remind_after_s),
        escalate=timedelta(seconds=settings.escalate_after_s) if settings.escalation_email else None,
        expire=timedelta(seconds=settings.expire_after_s),
    )


def _told(
    service: Service, session: Session, rows: Sequence[Question], dues: Sequence[Due | None] = ()
) -> list[QuestionAnswer]:
    messages = outbox.last_of_lanes(session, [row.id for row in rows])
    return [
        _one(service, row, messages.get(str(row.id)), due)
        for row, due in zip(rows, dues or [None] * len(rows), strict=True)
    ]


def _one(service: Service, row: Question, message: OutboxMessage | None, due: Due | None) -> QuestionAnswer:
    answer = row.prediction.answer
    waiting = message is not None and message.delivered is None
    return QuestionAnswer.model_validate(
        {
            **{
                name: getattr(row, name)
                for name in (
                    "prediction_id", "machine", "reason", "state", "created", "sent", "reminded", "escalated",
                    "answered", "expired", "written_by",
                )
            },
            "question_id": row.id,
            "recipient": Person(name=row.recipient_name, email=row.recipient_email),
            "count": row.episode.alarms if row.episode else 0,
            "answer": answer.answer if answer else None,
            "answered_by": answer.operator if answer else None,
            "form_url": service.links.form(row),
            "events": [QuestionEventLine.model_validate(e, from_attributes=True) for e in row.events],
            "delivery": Delivery(
                attempts=message.attempts if message else 0,
                last_error=message.last_error if message else None,
                next_attempt=message.next_attempt if message and waiting else None,
            ),
            "due": due,
        }
    )  # fmt: skip
