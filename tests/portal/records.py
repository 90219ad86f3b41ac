"""What the service would answer, for tests of what is made of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from portal.records import Prediction, Question, Sensor, Window

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def prediction(**different: Any) -> Prediction:
    values: dict[str, Any] = {
        "prediction_id": "1fe15542-e344-4694-8068-9555b8ff4f54",
        "anomaly": True,
        "score": 2.43,
        "threshold": 2.07,
        "p_value": 0.032,
        "sensor": Sensor(ok=True),
        "machine": "fan/id_00",
        "model_version": "model-372230dae9d8",
        "encoder": "default",
        "false_alarm_rate": 0.01,
        "false_alarm_rate_used": 0.032,
        "duration_s": 15.0,
        "windows": (Window(start_s=0, end_s=10, score=1.2), Window(start_s=5, end_s=15, score=2.43)),
        "created": NOON,
        "filename": "fan.flac",
    }
    return Prediction(**(values | different))


def question(state: str, **different: Any) -> Question:
    values: dict[str, Any] = {
        "question_id": "q",
        "prediction_id": "p",
        "machine": "fan/id_00",
        "reason": "manual",
        "state": state,
        "created": NOON,
        "sent": NOON + timedelta(seconds=2),
        "recipient": {"name": "Ada", "email": "ada@plant.example"},
        "delivery": {"attempts": 0, "last_error": None, "next_attempt": None},
    }
    return Question.model_validate(values | different)
