"""How long clips are kept: what goes, and what has to stay."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable

import httpx
import numpy as np
import pytest

from serve.database.retrain_tables import ReferenceWindow
from serve.prediction.retention import Retention
from serve.settings import Settings
from tests.serve.clips import KEY, clip
from tests.serve.server import serving
from tests.serve.test_history import service_of
from tests.serve.test_model import wait_for
from tests.serve.test_predict import as_form, assert_problem

HEADERS = {"Authorization": f"Bearer {KEY}"}
DAY_S = 86_400.0


def predict(client: httpx.Client, seed: int) -> str:
    answer = client.post("/predict", **as_form(clip(seed)))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["prediction_id"])


def heard(client: httpx.Client, prediction: str) -> bool:
    return client.get(f"/predictions/{prediction}/audio").status_code == 200


def sent_days_ago(client: httpx.Client, days: float) -> None:
    """All clips that there are."""
    then = time.time() - days * DAY_S
    for file in service_of(client).clips.folder.glob("??/*.flac"):
        os.utime(file, (then, then))


def sweep(client: httpx.Client, days: float = 90, most_bytes: int = 2**30) -> int:
    service = service_of(client)
    return Retention(service.clips.folder, service.database, days, most_bytes).sweep()


def test_old_clips_go_and_those_that_are_needed_stay(client_of_each: httpx.Client) -> None:
    client = client_of_each
    answered, asked, reference, old = (predict(client, seed) for seed in range(4))
    client.post("/feedback", json={"prediction_id": answered, "answer": "unsure"}, headers=HEADERS).raise_for_status()
    client.post("/questions", json={"prediction_id": asked}, headers=HEADERS).raise_for_status()
    service = service_of(client)
    with service.database.write() as session:
        sha256, vector = hashlib.sha256(clip(2)).hexdigest(), np.zeros(1, np.float32).tobytes()
        session.add(ReferenceWindow(clip_sha256=sha256, encoder_sha256="e" * 64, start_s=0.0, end_s=1.0, vector=vector))
    sent_days_ago(client, 91)
    fresh = predict(client, 5)
    assert sweep(client) == 1
    assert [heard(client, p) for p in (answered, asked, reference, fresh)] == [True] * 4
    assert_problem(client.get(f"/predictions/{old}/audio"), 404, "clip_gone")
    assert client.get(f"/predictions/{old}").status_code == 200  # the verdict stays
    predict(client, 3)  # sent again, it is there again
    assert heard(client, old)
    assert sweep(client) == 0


def test_beyond_so_many_bytes_the_oldest_go_first_and_never_those_of_the_last_hour(client: httpx.Client) -> None:
    oldest = predict(client, 0)
    sent_days_ago(client, 2)
    newer = predict(client, 1)
    for file in service_of(client).clips.folder.glob("??/*.flac"):
        if time.time() - file.stat().st_mtime < DAY_S:
            os.utime(file, (time.time() - DAY_S, time.time() - DAY_S))
    latest = predict(client, 2)
    held = sum(file.stat().st_size for file in service_of(client).clips.folder.glob("??/*.flac"))
    assert sweep(client, most_bytes=held) == 0
    assert sweep(client, most_bytes=held - 1) == 1
    assert [heard(client, p) for p in (oldest, newer, latest)] == [False, True, True]
    assert sweep(client, most_bytes=1) == 1
    assert [heard(client, p) for p in (oldest, newer, latest)] == [False, False, True]


def test_a_clip_that_is_sent_again_is_as_good_as_new(client: httpx.Client) -> None:
    once = predict(client, 0)
    sent_days_ago(client, 400)
    predict(client, 0)
    assert sweep(client) == 0
    assert heard(client, once)


def test_what_cannot_be_removed_stays_and_is_said(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    once = predict(client, 0)
    (file,) = service_of(client).clips.folder.glob("??/*.flac")
    file.rename(kept := file.with_suffix(".kept"))
    file.mkdir()  # there, old, and no file
    os.utime(file, (0, 0))
    assert sweep(client) == 0
    assert "Clips that nobody needs stay" in caplog.text
    file.rmdir()
    kept.rename(file)
    assert heard(client, once)


def test_a_service_sweeps_by_itself(settings: Callable[..., Settings]) -> None:
    with serving(settings()) as client:
        once = predict(client, 0)
        sent_days_ago(client, 400)
    with serving(settings(keep_clips_days=399)) as client:
        wait_for(lambda: not heard(client, once), 60)
