"""What people said about predictions, one answer each.

Here: storing an answer exactly once, and the queries on answers. Not here: `prod_data.csv`
(`serve.answers.production`), HTTP.

Whoever stores an answer holds the counter `answers` until the commit: answers are stored one after the other, whatever
process they come to, and their `revision` and `row` are in the order of the commits. People answer seldom enough.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, and_, func, select, tuple_
from sqlalchemy.orm import Session, joinedload

from serve.database import counters, outbox
from serve.database.predictions import from_bytes, stacked
from serve.database.retrain_tables import ModelAnswer, ModelSource
from serve.database.tables import Answer, Counter, Prediction, PredictionWindow, Question, ReplacedAnswer

COUNTER, ROWS = "answers", "rows"
ANOMALY, NORMAL, UNSURE = "anomaly", "normal", "unsure"
_ROW_MAKING = (ANOMALY, NORMAL)
_DECIDING = and_(
    PredictionWindow.prediction_id == Prediction.id,
    PredictionWindow.position == Prediction.deciding_window,
)

AnswerWord = Literal["anomaly", "normal", "unsure"]


@dataclass(frozen=True)
class Given:
    """An answer as somebody gives it."""

    prediction_id: uuid.UUID
    answer: AnswerWord
    operator: str | None = None
    comment: str | None = None
    fault: str | None = None
    source: str = "api"


@dataclass(frozen=True)
class Outcome:
    """What became of it.

    Attributes
    ----------
    answer
        The answer that stands now.
    stored
        Whether it is the one just given; False: the same had been given before.
    replaced
        Whether another one stood before.
    """

    answer: Answer
    stored: bool
    replaced: bool = False


class AnotherAnswerStands(Exception):
    """The prediction has another answer, which was not to be replaced.

    Parameters
    ----------
    standing
        That answer.
    """

    def __init__(self, standing: Answer) -> None:
        super().__init__(standing.answer)
        self.standing = standing


@dataclass(frozen=True)
class Row:
    """One row of prod_data.csv.

    Attributes
    ----------
    number
        Its place, from 1.
    vector
        float32[n], of the prediction's deciding window.
    target, prediction
        What the person said, what the model had said: True = anomaly.
    """

    number: int
    vector: NDArray[np.float32]
    target: bool
    prediction: bool


def give(session: Session, given: Given, now: datetime, *, override: bool = False) -> Outcome:
    """Store an answer, and close the prediction's question.

    Parameters
    ----------
    session
        For writing; the prediction exists.
    given
        The answer.
    now
        The moment.
    override
        Replace another answer, if one stands; it is kept in `replaced_answers`.

    Raises
    ------
    AnotherAnswerStands
        And it was not to be replaced.
    """
    hold(session)
    standing = session.get(Answer, given.prediction_id)
    if standing is not None:
        if standing.answer == given.answer:
            return Outcome(standing, stored=False)
        if not override:
            raise AnotherAnswerStands(standing)
        session.add(
            ReplacedAnswer(
                prediction_id=standing.prediction_id,
                answer=standing.answer,
                operator=standing.operator,
                comment=standing.comment,
                fault=standing.fault,
                source=standing.source,
                given=standing.changed or standing.created,
                replaced=now,
            )
        )
        standing.changed = now
        row = standing
    else:
        row = Answer(prediction_id=given.prediction_id, created=now)
    row.answer, row.operator, row.comment = given.answer, given.operator, given.comment
    row.fault, row.source = given.fault, given.source
    row.revision = counters.take(session, COUNTER)
    if row.row is None and given.answer in _ROW_MAKING:
        row.row = counters.take(session, ROWS)
    question = session.scalar(select(Question).where(Question.prediction_id == given.prediction_id).with_for_update())
    if question is not None:
        row.question_id = question.id
        if question.answered is None:
            question.state, question.answered = "answered", now
            outbox.drop(session, str(question.id), now, "answered before it was delivered")
    session.add(row)  # not before it is complete: the queries in between write what was added
    session.flush()
    return Outcome(row, stored=True, replaced=standing is not None)


def hold(session: Session) -> None:
    """Let no other transaction store an answer before this one has ended."""
    counters.hold(session, COUNTER)


def page(
    session: Session,
    since: datetime | None,
    until: datetime | None,
    after: tuple[datetime, uuid.UUID] | None,
    limit: int,
) -> Sequence[Answer]:
    """Read a page of answers with their predictions, newest first.

    Parameters
    ----------
    session
        For reading.
    since, until
        Half-open: since <= created < until.
    after
        Moment and prediction of the last answer of the page before.
    limit
        Most rows.
    """
    query = (
        select(Answer)
        .options(joinedload(Answer.prediction).joinedload(Prediction.question))
        .order_by(Answer.created.desc(), Answer.prediction_id.desc())
        .limit(limit)
    )
    if since is not None:
        query = query.where(Answer.created >= since)
    if until is not None:
        query = query.where(Answer.created < until)
    if after is not None:
        query = query.where(tuple_(Answer.created, Answer.prediction_id) < after)
    return session.scalars(query).all()


def agreement(session: Session, of: int) -> float | None:
    """Return the share of the last answers that agree with the verdict; None without any. Unsure counts as neither."""
    last = session.execute(
        select(Answer.answer, Prediction.anomaly)
        .join(Prediction, Prediction.id == Answer.prediction_id)
        .where(Answer.answer.in_(_ROW_MAKING))
        .order_by(Answer.created.desc())
        .limit(of)
    ).all()
    return sum((answer == ANOMALY) == verdict for answer, verdict in last) / len(last) if last else None


def revision(session: Session) -> int:
    """Return the number of the last change of any answer."""
    return counters.last(session, COUNTER)


def position(session: Session) -> tuple[int, int]:
    """Return the number of the last change of any answer, and that of the last row, as of one moment."""
    found = dict(session.execute(select(Counter.name, Counter.value).where(Counter.name.in_((COUNTER, ROWS)))).all())
    return found[COUNTER], found[ROWS]


def changes(session: Session, encoder_sha256: str, after: int) -> tuple[int, list[tuple[int, bool]]]:
    """Say what changed in an encoder's rows of prod_data.csv.

    Returns
    -------
    newest, changed
        The number of the newest change of any answer, and (row number, whether it is a row now) of each that changed
        after `after`, in order of the rows.
    """
    found = session.execute(
        select(Answer.revision, Answer.row, Answer.answer, Prediction.encoder_sha256)
        .join(Prediction, Prediction.id == Answer.prediction_id)
        .where(Answer.revision > after)
    ).all()
    changed = [
        (number, answer in _ROW_MAKING)
        for _, number, answer, encoder in found
        if number is not None and encoder == encoder_sha256
    ]
    return max((found_revision for found_revision, *_ in found), default=after), sorted(changed)


def rows(session: Session, encoder_sha256: str, after: int, last: int) -> Iterator[Row]:
    """Read the rows of prod_data.csv whose vectors one encoder made, in order, a few at a time.

    Parameters
    ----------
    session
        For reading.
    encoder_sha256
        Vectors of two encoders are never mixed.
    after, last
        Numbers of rows: after < number <= last.
    """
    query = (
        _rows(encoder_sha256)
        .where(Answer.row > after, Answer.row <= last, Answer.answer.in_(_ROW_MAKING))
        .order_by(Answer.row)
        .execution_options(yield_per=256)
    )
    for number, answer, verdict, vector in session.execute(query):
        assert number is not None  # the query says so
        yield Row(number, from_bytes(vector), answer == ANOMALY, verdict)


def confirmed_faults(
    session: Session, encoder_sha256: str, model: str, trained: datetime, most: int, before: datetime | None = None
) -> NDArray[np.float32]:
    """Read the vectors of faults that people confirmed and a model does not know.

    Parameters
    ----------
    session
        For reading.
    encoder_sha256
        What made the vectors.
    model, trained
        The version that was trained, and when. Where it is recorded what it made of each answer, the faults that it
        learned from, or left out on purpose, are left out here; those that it never may learn from (held out) are
        compared with all the same. Otherwise what was answered, or changed, since it was trained is taken.
    most
        How many; faults that were missed go first (they are the news), then the newest.
    before
        Answers given, or changed, before it; None: up to now.

    Returns
    -------
    NDArray
        float32[M, n], M ≤ `most`.
    """
    told = func.coalesce(Answer.changed, Answer.created)
    query = _rows(encoder_sha256).where(Answer.answer == ANOMALY)
    if session.get(ModelSource, model) is None:
        query = query.where(told > trained)
    else:
        known = select(ModelAnswer.prediction_id).where(
            ModelAnswer.model_version == model,
            ModelAnswer.prediction_id == Answer.prediction_id,
            ModelAnswer.target.is_(True),
            ModelAnswer.role != "held_out",
        )
        query = query.where(~known.exists())
    if before is not None:
        query = query.where(told < before)
    found = session.execute(query.order_by(Prediction.anomaly, Answer.row.desc()).limit(most)).all()
    return stacked([vector for *_, vector in found])


@dataclass(frozen=True)
class AnsweredWindow:
    """The deciding window of an answered prediction, for comparing others with."""

    prediction_id: uuid.UUID
    machine: str
    target: bool
    fault: str | None
    filename: str | None
    created: datetime
    vector: NDArray[np.float32]


def answered_windows(session: Session, encoder_sha256: str, most: int) -> list[AnsweredWindow]:
    """Read what people called an anomaly or normal, the newest first, as far as one encoder made the vectors."""
    found = session.execute(
        select(Prediction, Answer, PredictionWindow.vector)
        .join(Answer, Answer.prediction_id == Prediction.id)
        .join(PredictionWindow, _DECIDING)
        .where(Prediction.encoder_sha256 == encoder_sha256, Answer.answer.in_(_ROW_MAKING))
        .order_by(Answer.row.desc())
        .limit(most)
    )
    return [
        AnsweredWindow(
            prediction.id,
            prediction.machine,
            answer.answer == ANOMALY,
            answer.fault,
            prediction.filename,
            prediction.created,
            from_bytes(vector),
        )
        for prediction, answer, vector in found
    ]


def _rows(encoder_sha256: str) -> Select[int | None, str, bool, bytes]:
    return (
        select(Answer.row, Answer.answer, Prediction.anomaly, PredictionWindow.vector)
        .join(Prediction, Prediction.id == Answer.prediction_id)
        .join(PredictionWindow, _DECIDING)
        .where(Prediction.encoder_sha256 == encoder_sha256)
    )
