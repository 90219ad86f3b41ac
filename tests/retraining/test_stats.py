"""The overview's figures, and what may be said about recall and false alarms."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest
from sqlalchemy import update

from audio_pipeline.intervals import Counts, recall_and_false_alarm_rate, share_interval
from serve.database.tables import Prediction, Question
from tests.retraining.site import FAN, HEADERS, PUMP, give, predict
from tests.serve.test_history import service_of


def test_an_empty_service_knows_nothing_and_says_so(client: httpx.Client) -> None:
    told = client.get("/stats").json()
    assert (told["predictions"], told["alert_rate"], told["by_day"], told["score_histogram"]) == (0, None, [], [])
    assert told["confirmed"]["precision"] is None
    assert (told["audit"]["recall"], told["audit"]["false_alarm_rate"]) == (None, None)


def test_what_happened_is_counted(client_of_each: httpx.Client, versions: tuple[str, str]) -> None:
    client = client_of_each
    alarms = [predict(client, seed, 0.5) for seed in range(4)]
    normals = [predict(client, seed) for seed in range(10, 15)]
    elsewhere = predict(client, 20, machine=PUMP)
    assert all(alarm["anomaly"] for alarm in alarms)
    told = client.get("/stats").json()
    anomalies = sum(prediction["anomaly"] for prediction in (*alarms, *normals, elsewhere))
    assert (told["predictions"], told["anomalies"]) == (10, anomalies)
    assert told["alert_rate"] == anomalies / 10
    assert sum(day["predictions"] for day in told["by_day"]) == 10
    assert {m["machine"]: m["predictions"] for m in told["by_machine"]} == {FAN: 9, PUMP: 1}
    (histogram,) = told["score_histogram"]
    assert (histogram["model_version"], sum(histogram["counts"])) == (versions[0], 10)
    assert len(histogram["edges"]) == len(histogram["counts"]) + 1
    assert told["model"]["version"] == versions[0]

    for alarm, word in zip(alarms, ("anomaly", "anomaly", "normal", "unsure"), strict=True):
        give(client, alarm, word)
    told = client.get("/stats").json()
    assert told["confirmed"] == {
        "answered": 3,
        "true_alarms": 2,
        "false_alarms": 1,
        "unsure": 1,
        "precision": 2 / 3,
        "precision_interval": list(share_interval(2, 3) or ()),
    }
    assert told["audit"]["recall"] is None  # nobody asked about what was called normal


def test_recall_comes_from_the_random_draw_alone(client: httpx.Client) -> None:
    alarms = [predict(client, seed, 0.5) for seed in range(4)]
    normals = [predict(client, seed) for seed in range(10, 20)]
    with service_of(client).database.write() as session:  # whatever the verdicts were: four alarms, ten normals
        chosen = Prediction.id.in_([uuid.UUID(normal["prediction_id"]) for normal in normals])
        session.execute(update(Prediction).where(chosen).values(anomaly=False))
    for alarm in alarms:
        give(client, alarm, "anomaly")
    for normal in normals[:5]:
        asked = client.post(
            "/questions", json={"prediction_id": normal["prediction_id"], "reason": "audit"}, headers=HEADERS
        )
        assert asked.status_code == 201, asked.text
    give(client, normals[0], "anomaly")
    for normal in normals[1:4]:
        give(client, normal, "normal")
    give(client, normals[8], "anomaly")  # told by somebody of their own accord: no random draw
    audit = client.get("/stats").json()["audit"]
    assert (audit["asked"], audit["answered"]) == (5, 4)
    recall, rate = recall_and_false_alarm_rate(Counts(4, 10, 4, 4, 4, 1))
    assert (audit["recall"], audit["false_alarm_rate"]) == (recall.value, rate.value) == (4 / 6.5, 0.0)
    assert audit["recall_interval"] == list(recall.interval or ())


def test_the_budget_is_counted_from_the_midnight_that_it_begins_at(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = client.post("/questions", json={"prediction_id": predict(client, 1)["prediction_id"]}, headers=HEADERS)
    assert asked.status_code == 201
    now = datetime.now(UTC)
    with service_of(client).database.write() as session:
        session.execute(update(Question).values(created=now - timedelta(hours=2)))
    # Where the service runs it is one o'clock, or three when UTC's own midnight is no more than two hours ago.
    hour = 3 if now.hour < 2 else 1
    west = (now.hour - hour) * 3600 + now.minute * 60
    monkeypatch.setenv("TZ", f"HERE{'-' if west < 0 else ''}{abs(west) // 3600}:{abs(west) % 3600 // 60:02}")
    time.tzset()
    try:
        assert client.get("/stats").json()["budget"] == {"per_day": 20, "used_today": int(hour == 3)}
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("true_recall", [0.5, 0.9])
def test_the_interval_of_recall_holds_what_it_promises(true_recall: float) -> None:
    random = np.random.default_rng(0)
    held, draws = 0, 400
    for _ in range(draws):
        faults, healthy = 60, 1940
        caught = random.binomial(faults, true_recall)
        alarms, normals = caught + random.binomial(healthy, 0.01), 0
        normals = faults + healthy - alarms
        drawn = min(200, normals)
        missed = random.hypergeometric(faults - caught, normals - (faults - caught), drawn)
        recall, _ = recall_and_false_alarm_rate(Counts(alarms, normals, alarms, caught, drawn, missed))
        assert recall.interval is not None
        held += recall.interval[0] <= caught / faults <= recall.interval[1]
    assert held / draws >= 0.95
