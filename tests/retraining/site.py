"""A small site for the tests of retraining: healthy clips to learn from, clips to predict, people who answer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import httpx

from tests.serve.clips import KEY, encode, hum
from tests.serve.test_predict import as_form

HEADERS = {"Authorization": f"Bearer {KEY}"}


FAN, PUMP = "fan/id_00", "pump/id_07"
"""The machine that the first model knows, and one that it has never heard: the same sound, a fifth higher."""


def sound(seed: int, rattle: float = 0.0, machine: str = FAN) -> bytes:
    return encode(hum(seed, 1.5, rattle), rate=24_000 if machine == PUMP else 16_000)


def predict(client: httpx.Client, seed: int, rattle: float = 0.0, machine: str = FAN) -> dict[str, Any]:
    answer = client.post("/predict", **as_form(sound(seed, rattle, machine), machine=machine))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def give(client: httpx.Client, prediction: dict[str, Any], answer: str) -> None:
    told = client.post(
        "/feedback", json={"prediction_id": prediction["prediction_id"], "answer": answer}, headers=HEADERS
    )
    assert told.status_code == 201, told.text


def answered(
    client: httpx.Client, seeds: Iterable[int], answer: str, rattle: float = 0.0, machine: str = FAN
) -> list[dict[str, Any]]:
    predictions = [predict(client, seed, rattle, machine) for seed in seeds]
    for prediction in predictions:
        give(client, prediction, answer)
    return predictions


def finished(client: httpx.Client, job_id: str, seconds: float = 120) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while True:
        job: dict[str, Any] = client.get(f"/retrain/{job_id}").json()
        if job["finished"] is not None:
            return job
        assert time.monotonic() < end, f"not within {seconds} s: {job}"
        time.sleep(0.1)


def retrain(client: httpx.Client, **asked: object) -> dict[str, Any]:
    answer = client.post("/retrain", json=asked, headers=HEADERS)
    assert answer.status_code == 202, answer.text
    return finished(client, answer.json()["job_id"])


def teach_the_pump(client: httpx.Client) -> list[dict[str, Any]]:
    """Let people say which sounds of the unknown machine are healthy; return the faults."""
    answered(client, range(1100, 1140), "normal", machine=PUMP)
    return answered(client, range(1000, 1035), "anomaly", 0.05, machine=PUMP)
