"""Questions to people, and the episodes they are about.

Here: opening a question, what happens to it, which ones are due. Not here: which predictions are worth one
(`serve.asking.questions`), carrying it to a person (`serve.asking.delivery`, n8n).

    queued ─► sent ─► reminded ─► escalated ─► expired
       └────────┴─────────┴───────────┴───────────┴──► answered      (a late answer counts)
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, and_, case, func, or_, select, text, tuple_
from sqlalchemy.orm import Session, joinedload, selectinload

from serve.database import counters, outbox
from serve.database.tables import Episode, Prediction, Question, QuestionEvent

COUNTER = "questions"
State = Literal["queued", "sent", "reminded", "escalated", "answered", "expired"]
Event = Literal["sent", "reminded", "escalated", "expired", "failed"]
Reason = Literal["alarm", "uncertain", "audit", "manual"]
Due = Literal["remind", "escalate", "expire"]
STATES: tuple[State, ...] = ("queued", "sent", "reminded", "escalated", "answered", "expired")
_ORDER: dict[str, int] = {"queued": 0, "sent": 1, "reminded": 2, "escalated": 3, "expired": 4, "answered": 5}
OPEN = ("sent", "reminded", "escalated")
_RESEND_FIRST_S, _RESEND_LONGEST_S = 60.0, 3600.0
_LOAD = (
    selectinload(Question.events),
    joinedload(Question.episode),
    joinedload(Question.prediction).joinedload(Prediction.answer),
)


@dataclass(frozen=True)
class Recipient:
    """A person who is asked."""

    name: str
    email: str


@dataclass(frozen=True)
class Deadlines:
    """When a question that nobody answered becomes due, counted from when it was sent.

    Attributes
    ----------
    remind, escalate, expire
        `escalate` None: there is nobody to escalate to.
    """

    remind: timedelta
    escalate: timedelta | None
    expire: timedelta


def open_question(
    session: Session,
    prediction: uuid.UUID,
    machine: str,
    episode: int | None,
    reason: Reason,
    recipient: Recipient,
    now: datetime,
) -> uuid.UUID:
    """Open a question and write the message that asks it; the caller holds the counter `questions`."""
    question = Question(
        id=uuid.uuid4(),
        prediction_id=prediction,
        episode_id=episode,
        machine=machine,
        reason=reason,
        state="queued",
        created=now,
        recipient_name=recipient.name,
        recipient_email=recipient.email,
    )
    session.add(question)
    _ask(session, question, 0.0)
    session.flush()
    return question.id


def standing(
    session: Session, prediction: uuid.UUID, episode: int | None, *, waiting: bool = False
) -> uuid.UUID | None:
    """Find the question about a prediction, or else about another one of its episode.

    Parameters
    ----------
    session
        For reading.
    prediction, episode
        Its episode, if it has one.
    waiting
        The episode's question counts only while an answer to it is waited for.
    """
    same = Question.prediction_id == prediction
    of_episode = Question.episode_id == episode
    if waiting:
        of_episode = and_(of_episode, Question.state.not_in(("answered", "expired")))
    # Its own question goes before its episode's.
    return session.scalar(
        select(Question.id)
        .where(same if episode is None else or_(same, of_episode))
        .order_by(case((same, 0), else_=1))
        .limit(1)
    )


def find(session: Session, question_id: uuid.UUID, *, to_change: bool = False) -> Question | None:
    """Find a question with everything that is told about it; `to_change`: nobody else changes it meanwhile."""
    query = select(Question).where(Question.id == question_id).options(*_LOAD)
    return session.scalar(query.with_for_update(of=Question) if to_change else query)


def page(
    session: Session, state: State | None, after: tuple[datetime, uuid.UUID] | None, limit: int
) -> Sequence[Question]:
    """Read a page of questions, newest first.

    Parameters
    ----------
    session
        For reading.
    state
        Only those in it.
    after
        Moment and id of the last question of the page before.
    limit
        Most rows.
    """
    query = select(Question).options(*_LOAD).order_by(Question.created.desc(), Question.id.desc()).limit(limit)
    if state is not None:
        query = query.where(Question.state == state)
    if after is not None:
        query = query.where(tuple_(Question.created, Question.id) < after)
    return session.scalars(query).all()


def due(session: Session, deadlines: Deadlines, now: datetime, limit: int) -> list[tuple[Question, Due]]:
    """Find the questions that something has to be done about, those that wait longest first.

    A question that is due for several things is due for the last of them: after a week without n8n nobody wants three
    messages at once.
    """
    expired = Question.sent <= now - deadlines.expire
    reminded = and_(Question.state == "sent", Question.sent <= now - deadlines.remind)
    conditions: list[tuple[ColumnElement[bool], Due]] = [(expired, "expire")]
    if deadlines.escalate is not None:
        late = and_(Question.state.in_(("sent", "reminded")), Question.sent <= now - deadlines.escalate)
        conditions.append((late, "escalate"))
    conditions.append((reminded, "remind"))
    what = case(*conditions, else_=None)
    found = session.execute(
        select(Question, what)
        .options(*_LOAD)
        .where(Question.state.in_(OPEN), what.is_not(None))
        .order_by(Question.sent, Question.id)
        .limit(limit)
    ).all()
    return [(question, action) for question, action in found]


def tell(
    session: Session,
    question: Question,
    event: Event,
    now: datetime,
    written_by: str | None = None,
    detail: str | None = None,
) -> bool:
    """Note what happened to a question; told again, nothing changes.

    Parameters
    ----------
    session
        For writing.
    question
        As found by `find` in this session, to be changed.
    event
        `failed`: the message could not be sent. It goes out again, later each time, up to an hour.
    now
        The moment.
    written_by
        `llm` or `template`, with `sent`.
    detail
        A sentence.

    Returns
    -------
    bool
        Whether anything changed.
    """
    if event == "failed":
        if question.sent is None and question.answered is None:
            failures = sum(past.event == "failed" for past in question.events)
            _ask(session, question, min(_RESEND_FIRST_S * 2.0 ** min(failures, 10), _RESEND_LONGEST_S))
    else:
        if getattr(question, event) is not None or (event == "expired" and question.answered is not None):
            return False
        setattr(question, event, now)
        if _ORDER[event] > _ORDER[question.state]:
            question.state = event
        if event == "sent":
            outbox.drop(session, str(question.id), now, "said to be sent")
            question.written_by = written_by or question.written_by
    question.events.append(QuestionEvent(question_id=question.id, event=event, at=now, detail=detail))
    session.flush()
    return True


def join_episode(session: Session, machine: str, now: datetime, gap: timedelta) -> int:
    """Count an alarm of a machine to the episode that lasts, or begin one; return its number.

    Two alarms at once must not begin two: on PostgreSQL the second waits for the first one's commit.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:machine, 17))"), {"machine": machine})
    episode = session.scalar(
        select(Episode).where(Episode.machine == machine, Episode.last >= now - gap).order_by(Episode.last.desc())
    )
    if episode is None:
        episode = Episode(machine=machine, first=now, last=now, alarms=0)
        session.add(episode)
    episode.alarms += 1
    episode.last = max(episode.last, now)
    session.flush()
    return episode.id


def is_asked_about(session: Session, machine: str, since: datetime) -> bool:
    """Tell whether a question about a machine was opened since a moment."""
    found = select(Question.id).where(Question.machine == machine, Question.created >= since).limit(1)
    return session.scalar(found) is not None


def asked_since(session: Session, email: str, since: datetime) -> dict[str, int]:
    """Count the questions that one person was asked since a moment, by reason."""
    found = session.execute(
        select(Question.reason, func.count())
        .where(Question.recipient_email == email, Question.created >= since)
        .group_by(Question.reason)
    ).all()
    return dict(found)


def by_state(session: Session) -> dict[State, int]:
    """Count the questions in each state."""
    found = dict(session.execute(select(Question.state, func.count()).group_by(Question.state)).all())
    return {state: found.get(state, 0) for state in STATES}


def hold(session: Session) -> None:
    """Let no other transaction open a question before this one has ended."""
    counters.hold(session, COUNTER)


def _ask(session: Session, question: Question, delay_s: float) -> None:
    payload = {"prediction_id": str(question.prediction_id), "question_id": str(question.id)}
    outbox.enqueue(session, outbox.ALERT, payload, lane=str(question.id), delay_s=delay_s)
