"""What monitoring reads from the service and leaves there."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from serve.database import monitoring as rows
from serve.database.predictions import vectors
from serve.settings import Settings
from tests.serve.clips import KEY, clip, encode, hum
from tests.serve.server import serving
from tests.serve.test_history import service_of
from tests.serve.test_model import wait_for
from tests.serve.test_predict import as_form, assert_problem

BEARER = {"Authorization": f"Bearer {KEY}"}
NO_DRIFT = {"status": "too_few", "method": "", "score": None, "message": "3 clips are too few."}


def result(**different: object) -> dict[str, Any]:
    return {
        "created": "2026-11-24T12:00:00Z",
        "model_version": "m",
        "since": None,
        "until": None,
        "rows": 3,
        "quality": None,
        "drift": NO_DRIFT,
        **different,
    }


def told(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Every sample of /metrics by its name and the values of its labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, *(s.labels[k] for k in sorted(s.labels))): s.value for f in families for s in f.samples}


def test_vectors_come_in_order_and_once_however_the_pages_are_cut(client_of_each: httpx.Client) -> None:
    sent = [
        client_of_each.post("/predict", **as_form(clip(seed, seconds), machine="fan/id_00")).json()
        for seed, seconds in ((1, 17.0), (2, 1.0), (3, 12.0))
    ]
    whole = client_of_each.get("/predictions/vectors").json()
    assert [w["prediction_id"] for w in whole["windows"]] == [s["prediction_id"] for s in sent for _ in s["windows"]]
    assert [w["score"] for w in whole["windows"]] == [w["score"] for s in sent for w in s["windows"]]
    assert [w["windows"] for w in whole["windows"]] == [3, 3, 3, 1, 2, 2]
    assert sum(w["deciding"] for w in whole["windows"]) == 3
    assert whole["next_cursor"] is None
    service = service_of(client_of_each)
    with service.database.read() as session:
        stored = vectors(session, UUID(sent[0]["prediction_id"]))
    read = np.array([np.frombuffer(base64.b64decode(w["vector"]), "<f4") for w in whole["windows"][:3]])
    np.testing.assert_array_equal(read, stored)
    assert whole["dimensions"] == stored.shape[1]
    assert whole["encoder_sha256"] == service.model.scorer.encoder.manifest.sha256

    assert whole["groups"]["finemel_mean"]["pooling"] == "mean"

    for order in ("asc", "desc"):
        assert in_pages_of_two(client_of_each, order) == in_order(whole["windows"], order)

    later = client_of_each.get("/predictions/vectors", params={"since": sent[2]["created"]}).json()
    assert {w["prediction_id"] for w in later["windows"]} == {sent[2]["prediction_id"]}
    other = client_of_each.get("/predictions/vectors", params={"encoder_sha256": "0" * 64}).json()
    assert other["windows"] == []
    assert_problem(client_of_each.get("/predictions/vectors?cursor=nonsense"), 422, "invalid_cursor")


def in_pages_of_two(client: httpx.Client, order: str) -> list[dict[str, Any]]:
    windows, cursor = [], None
    while True:
        query = {"limit": 2, "order": order, **({"cursor": cursor} if cursor else {})}
        page = client.get("/predictions/vectors", params=query).json()
        windows += page["windows"]
        cursor = page["next_cursor"]
        if cursor is None:
            return windows


def in_order(windows: list[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    if order == "asc":
        return windows
    return sorted(windows, key=lambda w: (w["created"], w["prediction_id"]), reverse=True)


def test_results_are_kept_newest_first_as_they_were_sent(client_of_each: httpx.Client) -> None:
    assert client_of_each.get("/monitoring/results").json() == {"results": []}
    assert_problem(client_of_each.post("/monitoring/results", json=result()), 401, "unauthorized")
    first = client_of_each.post("/monitoring/results", json=result(state={"wealth": 1.5}), headers=BEARER)
    assert first.status_code == 201
    newer = {"prediction_id": str(uuid4()), "nearest_clip_id": "a" * 64}
    client_of_each.post(
        "/monitoring/results", json=result(created="2026-11-24T13:00:00+00:00", drifted=[newer]), headers=BEARER
    )
    read = client_of_each.get("/monitoring/results").json()["results"]
    assert [r["created"] for r in read] == ["2026-11-24T13:00:00Z", "2026-11-24T12:00:00Z"]
    assert read[0]["drifted"] == [newer]
    assert read[1] == first.json()
    assert read[1]["state"] == {"wealth": 1.5}
    assert client_of_each.get("/monitoring/results?limit=1").json()["results"] == read[:1]


def test_old_results_are_forgotten(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "KEPT_RESULTS", 3)
    for hour in range(6):
        client.post("/monitoring/results", json=result(created=f"2026-11-24T{hour:02}:00:00Z"), headers=BEARER)
    read = client.get("/monitoring/results").json()["results"]
    assert [r["created"][11:13] for r in read] == ["05", "04", "03"]


@pytest.mark.parametrize(
    "broken",
    [
        {"quality": {"f1": 1.5}},
        {"drift": {**NO_DRIFT, "status": "perhaps"}},
        {"created": "2026-11-24T12:00:00"},
        {"rows": -1},
        {"evidently": {"mmd": "NaN"}},
        {"drift": {**NO_DRIFT, "score": "Infinity"}},
        {"created": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_a_result_that_means_nothing_is_refused(client: httpx.Client, broken: dict[str, object]) -> None:
    assert_problem(client.post("/monitoring/results", json=result(**broken), headers=BEARER), 422, "invalid_request")


def test_what_the_database_does_not_take_is_the_requests_fault(client_of_each: httpx.Client) -> None:
    for query in (
        "/predictions?since=0001-01-01T00:00:00%2B14:00",
        "/predictions/vectors?until=9999-12-31T23:59:59-14:00",
        "/feedback?since=0001-01-01T00:00:00%2B14:00",
    ):
        assert_problem(client_of_each.get(query), 422, "invalid_request")
    place = f"2026-11-24T12:00:00+00:00 {uuid4().hex} {10**30}"
    cursor = base64.urlsafe_b64encode(place.encode()).decode()
    assert client_of_each.get("/predictions/vectors", params={"cursor": cursor}).status_code == 200
    # SQLite keeps these, PostgreSQL does not.
    asked = [
        client_of_each.get("/predictions?machine=fan%00"),
        client_of_each.get("/predictions?q=%00"),
        client_of_each.post("/retrain", json={"detail": "\0"}, headers=BEARER),
        client_of_each.post("/monitoring/results", json=result(model_version="m" * 300), headers=BEARER),
    ]
    if "postgresql" in service_of(client_of_each).settings.database:
        for answer in asked:
            assert_problem(answer, 422, "invalid_request")
    else:
        assert [answer.status_code for answer in asked] == [200, 200, 202, 201]


def test_prometheus_is_told_the_newest_result_and_nan_for_the_unknown(settings: Callable[..., Settings]) -> None:
    confusion = {"true_positive": 0, "false_positive": 0, "false_negative": 0, "true_negative": 4}
    quality = {"f1": None, "balanced_accuracy": None, "recall": None, "precision": None}
    drift = {
        "status": "drift", "method": "m", "score": 3.25, "p_value": 0.001, "threshold": 1.3, "share_of_columns": 0.5,
        "cause": "sensor", "message": "", "effect": 0.9,
    }  # fmt: skip
    sent = result(
        quality={**quality, "rows": 4, "confusion": confusion},
        audit={
            "answered": 9, "recall": None, "recall_interval": None, "false_alarm_rate": 0.25,
            "false_alarm_interval": [0.1, 0.5],
        },
        quality_machines={"fan/id_00": {**quality, "precision": 0.5, "rows": 4, "confusion": confusion}},
        evidently={"mmd": 0.02, "verdict": None},
        drift=drift,
        machines={"fan/id_00": drift, "": NO_DRIFT},
    )  # fmt: skip
    with serving(settings()) as client:
        assert not any(name[0].startswith("wheeltapper_drift") for name in told(client))
        client.post("/monitoring/results", json=sent, headers=BEARER)
        samples = told(client)
        assert math.isnan(samples["wheeltapper_quality", "f1", ""])
        assert samples["wheeltapper_quality", "precision", "fan/id_00"] == 0.5
        assert samples["wheeltapper_evidently", "mmd"] == 0.02
        assert math.isnan(samples["wheeltapper_evidently", "verdict"])
        assert samples["wheeltapper_confusion", "normal", "normal"] == 4
        assert samples["wheeltapper_audit", "high", "false_alarm_rate"] == 0.5
        assert math.isnan(samples["wheeltapper_audit", "value", "recall"])
        assert samples["wheeltapper_drift_score", "", "embedding"] == 3.25
        assert samples["wheeltapper_drift_detected", "fan/id_00", "embedding"] == 1
        assert math.isnan(samples["wheeltapper_drift_detected", "unknown", "embedding"])
        assert samples["wheeltapper_drift_cause", "sensor"] == 1
        assert samples["wheeltapper_drift_cause", "machine"] == 0
        with serving(settings()) as second:  # another process over the same database tells the same
            wait_for(lambda: told(second).get(("wheeltapper_drift_score", "", "embedding")) == 3.25, 15)


def test_a_scrape_asks_no_database(client: httpx.Client) -> None:
    client.post("/monitoring/results", json=result(), headers=BEARER)
    service = service_of(client)
    with service.database.write() as session:
        session.execute(text("ALTER TABLE monitoring_results RENAME TO away"))
    service.monitoring.look()
    assert told(client)["wheeltapper_monitoring_rows",] == 3


def test_defects_of_recordings_are_counted(client: httpx.Client) -> None:
    loud = np.clip(hum(1, 4.0) * 20, -1, 1)
    client.post("/predict", **as_form(encode(loud)))
    samples = told(client)
    assert samples["wheeltapper_sensor_findings_total", "clipping", "true"] == 1
    assert samples["wheeltapper_clip_level_db_count",] == 1
