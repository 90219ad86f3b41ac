"""The receipt of an answer: what came of it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from serve.database.retrain_tables import Job, ModelAnswer, ModelSource
from tests.serve.test_feedback import give, predict
from tests.serve.test_history import service_of
from tests.serve.test_predict import assert_problem


def receipt(client: httpx.Client, prediction: dict[str, Any]) -> dict[str, Any]:
    answer = client.get(f"/feedback/{prediction['prediction_id']}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def job(status: str, minutes: int, version: str | None) -> Job:
    moment = datetime.now(UTC) + timedelta(minutes=minutes)
    return Job(
        id=uuid.uuid4(), reason="manual", detail="", mode="scratch", status=status, created=moment, started=moment,
        finished=moment, attempts=1, challenger=version, message=f"It ended as {status}.", answers_used=1,
        answers_seen=1,
    )  # fmt: skip


def test_a_receipt_tells_how_the_clip_and_those_like_it_moved(client_of_each: httpx.Client) -> None:
    like = [predict(client_of_each, 7) for _ in range(2)]
    for seed in range(20, 26):
        predict(client_of_each, seed, rattle=0.3)
    missed = predict(client_of_each, 7)
    give(client_of_each, missed, "anomaly", operator="Ada")
    told = receipt(client_of_each, missed)
    assert (told["answer"]["operator"], told["counts_for_training"], told["retrain"]) == ("Ada", True, None)
    assert (told["score_before"], told["anomaly_before"]) == (missed["score"], missed["anomaly"])
    assert told["score_now"] > told["score_before"]
    assert told["score_now"] == predict(client_of_each, 7)["score"]
    assert told["model_now"] == told["model_before"] == missed["model_version"]
    assert len(told["neighbours"]) == 5
    twins = told["neighbours"][:2]
    assert {twin["prediction_id"] for twin in twins} == {twin["prediction_id"] for twin in like}
    assert all(twin["distance"] == 0 and twin["score_now"] > twin["score_before"] for twin in twins)
    distances = [neighbour["distance"] for neighbour in told["neighbours"]]
    assert distances == sorted(distances)


def test_an_unsure_answer_does_not_count_and_no_answer_has_no_receipt(client: httpx.Client) -> None:
    told = predict(client, 1)
    assert_problem(client.get(f"/feedback/{told['prediction_id']}"), 404, "no_answer")
    give(client, told, "unsure")
    assert receipt(client, told)["counts_for_training"] is False


def test_a_receipt_names_the_retraining_that_used_the_answer(client_of_each: httpx.Client) -> None:
    told = predict(client_of_each, 1)
    give(client_of_each, told, "anomaly")
    database = service_of(client_of_each).database
    waiting = job("queued", 1, None)
    waiting.started = waiting.finished = None
    with database.write() as session:
        session.add(waiting)
    assert receipt(client_of_each, told)["retrain"]["status"] == "queued"
    assert receipt(client_of_each, told)["retrain"]["promoted"] is None
    with database.write() as session:
        for status, minutes, version in (("kept_champion", 2, "m-2"), ("promoted", 3, "m-3"), ("promoted", 4, "m-4")):
            done = job(status, minutes, version)
            session.add(done)
            session.flush()
            session.add(ModelSource(model_version=version, created=done.created, reference_sha256="a", job_id=done.id))
            session.add(
                ModelAnswer(
                    model_version=version, prediction_id=uuid.UUID(told["prediction_id"]), target=True, role="trained",
                    why="",
                )
            )  # fmt: skip
    retrain = receipt(client_of_each, told)["retrain"]
    assert (retrain["status"], retrain["challenger"], retrain["promoted"]) == ("promoted", "m-3", True)
    assert "learned from" in retrain["detail"]
