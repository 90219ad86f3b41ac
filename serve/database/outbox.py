"""Messages that go out: written with their cause, claimed by one deliverer at a time, kept until they are delivered.

Here: the queries on the outbox. Not here: the HTTP (`serve.asking.delivery`).

    with database.write() as session:
        promote(session, …)
        enqueue(session, "model-news", {"event": "promoted", …})

Order: messages of one lane (a question; everything about models) go out one after the other. A claim lasts for a
while and is then anybody's, so that a deliverer that was killed holds nothing up.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from serve.database.tables import OutboxMessage

ALERT, NEWS = "anomaly-alert", "model-news"
# Not longer: once n8n is back, nobody waits for their message for more than a minute. A try in vain costs milliseconds.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


@dataclass(frozen=True)
class Claimed:
    """A message that this process delivers now."""

    id: int
    kind: str
    payload: dict[str, Any]
    attempts: int


@dataclass(frozen=True)
class Waiting:
    """What has not been delivered.

    Attributes
    ----------
    messages
        How many.
    oldest
        When the oldest of them was written.
    """

    messages: int
    oldest: datetime | None


def enqueue(
    session: Session, kind: str, payload: dict[str, Any], *, lane: str | None = None, delay_s: float = 0.0
) -> None:
    """Write a message in the caller's transaction: it goes out if, and only if, that is committed.

    Parameters
    ----------
    session
        For writing.
    kind
        Last part of the webhook's address, `anomaly-alert` or `model-news`.
    payload
        JSON.
    lane
        Messages of one lane keep their order; by default those of one kind.
    delay_s
        Not before so many seconds from now.
    """
    now = datetime.now(UTC)
    session.add(
        OutboxMessage(
            lane=lane or kind,
            kind=kind,
            payload=payload,
            created=now,
            attempts=0,
            next_attempt=now + timedelta(seconds=delay_s),
        )
    )


def is_due(session: Session, now: datetime) -> bool:
    """Tell whether there may be something to claim: a look that holds nobody up."""
    return session.scalar(select(OutboxMessage.id).where(*_free(now)).limit(1)) is not None


def claim(session: Session, now: datetime, lease_s: float, limit: int) -> list[Claimed]:
    """Claim the messages that are due, oldest first, at most one of each lane.

    Parameters
    ----------
    session
        For writing.
    now
        The moment.
    lease_s
        How long nobody else will touch them.
    limit
        Most messages.
    """
    earlier = aliased(OutboxMessage)
    first_of_lane = ~(
        select(earlier.id)
        .where(earlier.lane == OutboxMessage.lane, earlier.delivered.is_(None), earlier.id < OutboxMessage.id)
        .exists()
    )
    due = session.scalars(
        select(OutboxMessage)
        .where(
            *_free(now),
            first_of_lane,
        )
        .order_by(OutboxMessage.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for message in due:
        message.claimed_until = now + timedelta(seconds=lease_s)
    return [Claimed(message.id, message.kind, message.payload, message.attempts) for message in due]


def mark_delivered(session: Session, message_id: int, now: datetime, note: str | None = None) -> None:
    """Note that a message was taken, or (with a note) that it need not go out any more."""
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.id == message_id)
        .values(delivered=now, attempts=OutboxMessage.attempts + 1, last_error=note, claimed_until=None)
    )


def mark_failed(session: Session, message: Claimed, now: datetime, error: str) -> None:
    """Note that a message was not taken; it goes out again after a pause that doubles each time, up to a minute."""
    pause = min(_FIRST_PAUSE_S * 2 ** min(message.attempts, 20), _LONGEST_PAUSE_S)
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.id == message.id)
        .values(
            attempts=OutboxMessage.attempts + 1,
            last_error=error,
            claimed_until=None,
            next_attempt=now + timedelta(seconds=pause),
        )
    )


def hurry(session: Session, now: datetime) -> None:
    """Let everything that waits out a pause go out now: n8n has just been seen to work again."""
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.delivered.is_(None), OutboxMessage.attempts > 0, OutboxMessage.next_attempt > now)
        .values(next_attempt=now)
    )


def drop(session: Session, lane: str, now: datetime, why: str) -> None:
    """Let nothing of a lane go out any more."""
    session.execute(
        update(OutboxMessage)
        .where(and_(OutboxMessage.lane == lane, OutboxMessage.delivered.is_(None)))
        .values(delivered=now, last_error=why, claimed_until=None)
    )


def waiting(session: Session) -> Waiting:
    """Count what has not been delivered."""
    count, oldest = session.execute(
        select(func.count(), func.min(OutboxMessage.created)).where(OutboxMessage.delivered.is_(None))
    ).one()
    return Waiting(count, oldest)


def last_of_lanes(session: Session, lanes: Sequence[uuid.UUID]) -> dict[str, OutboxMessage]:
    """Return the latest message of each lane, by the lane's name."""
    rows = session.scalars(
        select(OutboxMessage).where(OutboxMessage.lane.in_([str(lane) for lane in lanes])).order_by(OutboxMessage.id)
    )
    return {row.lane: row for row in rows}


def _free(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Not delivered, due, and nobody's."""
    return (
        OutboxMessage.delivered.is_(None),
        OutboxMessage.next_attempt <= now,
        or_(OutboxMessage.claimed_until.is_(None), OutboxMessage.claimed_until <= now),
    )
