"""Turns predictions into questions: an alarm's when that is switched on, the audit draw's, a person's.

Here: which prediction is asked about, within the day's budget. Not here: how clips are weighed (`selection`), the
question's further life (`database.questions`).

The rules:

- One episode, one question: an alarm that continues an episode which has its question only counts.
- A doubtful "normal" verdict is not asked about while a question about the same machine is that young, either.
- Alarms and doubtful "normal" verdicts (`ask_on_alarm`) compete for the day's budget by their worth. A fifth of the
  budget is kept for the audit draw, which takes "normal" verdicts at random and is never ranked.
- What a person asks for is never refused; it counts, so that the service asks less.
- A recording that is worth nothing (a dead microphone) is never asked about by the service itself.
- The day begins at midnight where the service runs.
"""

from __future__ import annotations

import random
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from audio_pipeline.scoring import Verdict
from serve.asking import selection
from serve.database import candidates, questions
from serve.database.connection import Database
from serve.database.questions import Reason, Recipient
from serve.observability.metrics import Metrics
from serve.settings import Settings

_REMEMBERED = 200  # questions that a clip is compared with
_REFRESH_S = 10.0
_DAY = timedelta(days=1)


@dataclass(frozen=True, eq=False)
class Weighed:
    """A fresh prediction that may become a question.

    Attributes
    ----------
    reason
        `alarm`, `uncertain` or `audit`.
    worth
        What it is worth; of no account for `audit`.
    """

    reason: Reason
    worth: float


@dataclass(frozen=True, eq=False)
class _Memory:
    """What the last questions were about, and what the last day was like."""

    encoder_sha256: str
    vectors: NDArray[np.float32]
    machines: tuple[tuple[str, datetime], ...]
    normals_a_day: float


class Asker:
    """Decides about every fresh prediction.

    Parameters
    ----------
    database
        For what was asked before.
    settings
        The budget, the recipient, what is switched on.
    metrics
        Told of every question, opened or withheld.
    """

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._gap = timedelta(seconds=settings.episode_gap_s)
        self._draw = random.SystemRandom()
        self._lock = threading.Lock()
        self._memory: _Memory | None = None
        self._refreshed: datetime | None = None

    @property
    def recipient(self) -> Recipient:
        """Whom questions go to."""
        return Recipient(self._settings.operator_name, self._settings.operator_email)

    def weigh(self, verdict: Verdict, encoder_sha256: str, now: datetime) -> Weighed | None:
        """Say whether a prediction may become a question, before it is stored; None: it may not."""
        settings = self._settings
        if settings.questions_per_day == 0 or any(finding.fatal for finding in verdict.sensor.findings):
            return None
        if not verdict.anomaly and settings.audit_share > 0:
            slots = (
                selection.audit_slots(settings.questions_per_day)
                if settings.ask_on_alarm
                else (settings.questions_per_day)
            )
            # Drawn before anything else is looked at: whatever came first would bend the draw.
            share = selection.audit_share(
                settings.audit_share, slots, self._remembered(encoder_sha256, now).normals_a_day
            )
            if self._draw.random() < share:
                return Weighed("audit", 0.0)
        if not settings.ask_on_alarm:
            return None
        uncertain = selection.uncertainty(verdict.score, verdict.threshold)
        if not verdict.anomaly and uncertain < selection.DOUBTFUL:
            return None
        memory = self._remembered(encoder_sha256, now)
        novel = selection.novelty(verdict.vectors[verdict.deciding_window], memory.vectors)
        today = day_began(now)
        same = sum(machine == verdict.machine and asked >= today for machine, asked in memory.machines)
        return Weighed("alarm" if verdict.anomaly else "uncertain", selection.worth(uncertain, novel, same))

    def episode(self, session: Session, machine: str, now: datetime) -> int:
        """Count an alarm to its machine's episode, in the transaction that stores it."""
        return questions.join_episode(session, machine, now, self._gap)

    def decide(
        self,
        session: Session,
        weighed: Weighed,
        prediction: uuid.UUID,
        machine: str,
        episode: int | None,
        now: datetime,
    ) -> uuid.UUID | None:
        """Open a question about a prediction that was just stored in the same transaction, or do not.

        Returns
        -------
        UUID or None
            The question about it.
        """
        questions.hold(session)
        if episode is not None and questions.standing(session, prediction, episode) is not None:
            return None
        if weighed.reason == "uncertain" and questions.is_asked_about(session, machine, now - self._gap):
            return None
        asked = questions.asked_since(session, self.recipient.email, day_began(now))
        left = self._settings.questions_per_day - sum(asked.values())
        if weighed.reason == "audit":
            opened = left > 0
        else:
            reserved = selection.audit_slots(self._settings.questions_per_day) if self._settings.audit_share else 0
            left -= max(0, reserved - asked.get("audit", 0))
            recent = candidates.recent(session, now - _DAY)
            opened = selection.is_worth_asking(
                weighed.worth, recent.worths, left, recent.a_second(now) * (day_began(now) + _DAY - now).total_seconds()
            )
            candidates.record(session, prediction, now, weighed.worth, opened)
        if not opened:
            self._metrics.questions_withheld.labels(weighed.reason).inc()
            return None
        self._metrics.questions_opened.labels(weighed.reason).inc()
        self._refreshed = None  # the next candidate is compared with this one, too
        return questions.open_question(session, prediction, machine, episode, weighed.reason, self.recipient, now)

    def _remembered(self, encoder_sha256: str, now: datetime) -> _Memory:
        with self._lock:
            memory, refreshed = self._memory, self._refreshed
            if (
                memory is not None
                and memory.encoder_sha256 == encoder_sha256
                and refreshed is not None
                and now - refreshed < timedelta(seconds=_REFRESH_S)
            ):
                return memory
            with self._database.read() as session:
                vectors, machines = candidates.asked_about(session, encoder_sha256, _REMEMBERED)
                normals = candidates.normals_since(session, now - _DAY)
            self._memory = _Memory(encoder_sha256, vectors, tuple(machines), float(normals))
            self._refreshed = now
            return self._memory


def day_began(now: datetime) -> datetime:
    """Return the last midnight where the service runs, in UTC."""
    return now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
