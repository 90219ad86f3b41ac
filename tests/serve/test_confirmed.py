"""A confirmed fault is known at once, and for as long as the model in service has not learned it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from audio_pipeline.artifacts import ModelStore
from benchmarks.faults.running import store_predictions
from serve.database import answers
from serve.database.answers import Given
from serve.database.connection import Database
from serve.database.retrain_tables import ModelAnswer, ModelSource
from serve.database.tables import Prediction
from serve.settings import Settings
from tests.serve.server import serving
from tests.serve.test_feedback import AUTH, give, predict
from tests.serve.test_history import service_of
from tests.serve.test_model import ready, wait_for


def confirmed_with(client: httpx.Client, prediction: dict[str, object]) -> int:
    with service_of(client).database.read() as session:
        return session.get_one(Prediction, UUID(str(prediction["prediction_id"]))).confirmed


def test_another_false_alarm_rate_forgets_no_confirmed_fault(client: httpx.Client, versions: tuple[str, str]) -> None:
    missed = predict(client, 7)
    give(client, missed, "anomaly")
    known = predict(client, 7)
    assert confirmed_with(client, known) == 1
    changed = client.put("/threshold", json={"rate": 0.2, "by": "Ada"}, headers=AUTH)
    assert changed.status_code == 200, changed.text
    wait_for(lambda: ready(client)["model_version"] not in versions, 15)
    again = predict(client, 7)
    assert again["model_version"] not in versions
    assert (confirmed_with(client, again), again["score"]) == (1, known["score"])


def test_another_model_has_to_be_told_only_what_it_was_trained_before(
    settings: Callable[..., Settings], artifacts: Path, versions: tuple[str, str], database_url: str
) -> None:
    with serving(settings(database_url=database_url)) as client:
        give(client, predict(client, 7), "anomaly")
        assert confirmed_with(client, predict(client, 8)) == 1
        # The other model was trained after the answer and learned from it, as its record says.
        prediction = UUID(client.get("/feedback").json()["answers"][0]["prediction_id"])
        with service_of(client).database.write() as session:
            session.add(ModelSource(model_version=versions[1], created=datetime.now(UTC), reference_sha256="a"))
            session.add(
                ModelAnswer(model_version=versions[1], prediction_id=prediction, target=True, role="trained", why="")
            )
        ModelStore(artifacts).set_current(versions[1])
        wait_for(lambda: ready(client)["model_version"] == versions[1], 15)
        assert confirmed_with(client, predict(client, 8)) == 0
        give(client, predict(client, 9), "anomaly")
        assert confirmed_with(client, predict(client, 8)) == 1


@pytest.fixture
def database(database_url: str, trained: tuple[Path, tuple[str, str]]) -> Database:
    store_predictions(database_url, trained[0], 0)
    return Database(database_url)


def test_what_a_model_knows_is_left_out_and_what_it_may_not_learn_is_not(
    database: Database, database_url: str, trained: tuple[Path, tuple[str, str]]
) -> None:
    names = store_predictions(database_url, trained[0], 8)
    now = datetime.now(UTC)
    with database.write() as session:
        for name in names[:6]:
            answers.give(session, Given(UUID(name), "anomaly"), now)
        answers.give(session, Given(UUID(names[6]), "normal"), now)
        answers.give(session, Given(UUID(names[7]), "unsure"), now)
        encoder = session.get_one(Prediction, UUID(names[0])).encoder_sha256

    def count(model: str, trained_at: datetime, before: datetime | None = None, most: int = 100) -> int:
        with database.read() as session:
            return len(answers.confirmed_faults(session, encoder, model, trained_at, most, before))

    hour = timedelta(hours=1)
    assert count("m", now - hour) == 6
    assert count("m", now + hour) == 0
    assert count("m", now - hour, before=now - timedelta(seconds=1)) == 0
    assert count("m", now - hour, most=4) == 4
    with database.write() as session:
        session.add(ModelSource(model_version="m", created=now, reference_sha256="a"))
        for name, role, target in zip(
            names,
            ("trained", "left_out", "held_out", "calibrated", "trained"),
            (True, True, True, True, False),
            strict=False,
        ):
            session.add(ModelAnswer(model_version="m", prediction_id=UUID(name), target=target, role=role, why=""))
    # Not known: the held-out one, the one that was called normal when it was learned, and the one nobody has seen.
    assert count("m", now + hour) == 3
    database.close()


def test_faults_that_were_missed_go_first(
    database: Database, database_url: str, trained: tuple[Path, tuple[str, str]]
) -> None:
    names = store_predictions(database_url, trained[0], 6)  # every other one was an alarm
    with database.write() as session:
        for name in names:
            answers.give(session, Given(UUID(name), "anomaly"), datetime.now(UTC))
        first = session.get_one(Prediction, UUID(names[0]))
        vectors = answers.confirmed_faults(
            session, first.encoder_sha256, "m", datetime.now(UTC) - timedelta(hours=1), 3
        )
    with database.read() as session:
        rows = {row.vector.tobytes(): row for row in answers.rows(session, first.encoder_sha256, 0, 100)}
    assert [rows[vector.tobytes()].prediction for vector in vectors] == [False] * 3
    database.close()
