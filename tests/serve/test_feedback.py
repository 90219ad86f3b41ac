"""Answers: stored exactly once, final, and in prod_data.csv."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from audio_pipeline.reference import header
from serve.database.tables import Prediction, PredictionWindow
from serve.settings import Settings
from tests.serve.clips import KEY, clip
from tests.serve.server import serving
from tests.serve.test_history import service_of
from tests.serve.test_model import metric, wait_for
from tests.serve.test_predict import as_form, assert_problem

AUTH = {"Authorization": f"Bearer {KEY}"}


def predict(client: httpx.Client, seed: int = 1, **more: Any) -> dict[str, Any]:
    rattle = more.pop("rattle", 0.0)
    seconds = more.pop("seconds", 1.0)
    answer = client.post("/predict", **as_form(clip(seed, seconds, rattle), machine=more.pop("machine", "fan/id_00")))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def give(client: httpx.Client, prediction: dict[str, Any] | str, answer: str | None, **more: Any) -> httpx.Response:
    name = prediction if isinstance(prediction, str) else prediction["prediction_id"]
    body = {"prediction_id": name, **({} if answer is None else {"answer": answer}), **more}
    return client.post("/feedback", json=body, headers=AUTH)


def table(client: httpx.Client) -> list[list[str]]:
    """The rows of prod_data.csv."""
    lines = service_of(client).production.table.path.read_text().splitlines()
    return [line.split(",") for line in lines[1:]]


def deciding_vector(client: httpx.Client, prediction: str) -> np.ndarray:
    with service_of(client).database.read() as session:
        row = session.get_one(Prediction, uuid.UUID(prediction))
        window = session.get_one(PredictionWindow, (row.id, row.deciding_window))
        return np.frombuffer(window.vector, "<f4")


def test_an_answer_is_stored_once_and_becomes_a_row_of_its_deciding_window(client_of_each: httpx.Client) -> None:
    told = predict(client_of_each, 1, seconds=17.0, rattle=0.5)
    first = give(client_of_each, told, "anomaly", operator="Ada", comment="hums", fault="bearing", source="email")
    assert first.status_code == 201, first.text
    body = first.json()
    assert body == {
        "prediction_id": told["prediction_id"], "answer": "anomaly", "operator": "Ada", "comment": "hums",
        "fault": "bearing", "source": "email", "created": body["created"], "question_id": None,
    }  # fmt: skip
    again = give(client_of_each, told, "anomaly", operator="Bob")
    assert (again.status_code, again.json()) == (200, body)
    lines = service_of(client_of_each).production.table.path.read_text().splitlines()
    vector = deciding_vector(client_of_each, told["prediction_id"])
    assert tuple(lines[0].split(",")) == (*header(len(vector)), "prediction")
    (row,) = table(client_of_each)
    assert row[-2:] == ["True", str(told["anomaly"])]
    np.testing.assert_array_equal(np.array(row[:-2], np.float32), vector)


def test_another_answer_is_refused_and_replaces_only_when_told_to(client_of_each: httpx.Client) -> None:
    told = [predict(client_of_each, n) for n in range(3)]
    for prediction in told:
        assert give(client_of_each, prediction, "normal", operator="Ada").status_code == 201
    before = table(client_of_each)
    refused = assert_problem(give(client_of_each, told[1], "anomaly"), 409, "another_answer_stands")
    assert refused["standing"]["answer"] == "normal"
    assert "Ada" in refused["detail"]
    assert table(client_of_each) == before
    changed = give(client_of_each, told[1], "anomaly", override=True, operator="Eve")
    assert (changed.status_code, changed.json()["answer"], changed.json()["operator"]) == (201, "anomaly", "Eve")
    after = table(client_of_each)
    assert [row[-2] for row in after] == ["False", "True", "False"]
    assert [row[:-2] for row in after] == [row[:-2] for row in before]
    assert client_of_each.get(f"/predictions/{told[1]['prediction_id']}").json()["answer"] == "anomaly"


def test_unsure_is_kept_and_makes_no_row_until_somebody_knows_better(client_of_each: httpx.Client) -> None:
    doubtful, sure = predict(client_of_each, 1), predict(client_of_each, 2)
    assert give(client_of_each, doubtful, "unsure").status_code == 201
    assert give(client_of_each, sure, "normal").status_code == 201
    assert len(table(client_of_each)) == 1
    assert give(client_of_each, doubtful, "anomaly", override=True).status_code == 201
    assert [row[-2] for row in table(client_of_each)] == ["False", "True"]
    assert give(client_of_each, sure, "unsure", override=True).status_code == 201
    assert [row[-2] for row in table(client_of_each)] == ["True"]
    assert give(client_of_each, sure, "normal", override=True).status_code == 201
    assert [row[-2] for row in table(client_of_each)] == ["False", "True"]
    answers = client_of_each.get("/feedback").json()["answers"]
    assert [line["answer"] for line in answers] == ["normal", "anomaly"]


def test_a_target_is_an_answer_too_and_nonsense_is_refused(client: httpx.Client) -> None:
    told = predict(client)
    assert_problem(give(client, told, None), 422, "invalid_request")
    assert_problem(give(client, told, "maybe"), 422, "invalid_request")
    assert_problem(give(client, told, "normal", target=True), 422, "invalid_request")
    assert_problem(give(client, told, "normal", comment="a\0b"), 422, "invalid_request")
    assert_problem(give(client, told, "normal", operator="x\r\nBcc: y"), 422, "invalid_request")
    assert_problem(give(client, str(uuid.uuid4()), "normal"), 404, "unknown_prediction")
    assert_problem(give(client, "no-uuid", "normal"), 422, "invalid_request")
    without_key = client.post("/feedback", json={"prediction_id": told["prediction_id"], "answer": "normal"})
    assert_problem(without_key, 401, "unauthorized")
    assert give(client, told, None, target=False).json()["answer"] == "normal"
    assert give(client, told, None, target=False).status_code == 200


def test_a_token_opens_its_own_question_and_no_other(client_of_each: httpx.Client) -> None:
    told = [predict(client_of_each, n) for n in range(3)]
    asked = [
        client_of_each.post("/questions", json={"prediction_id": t["prediction_id"]}, headers=AUTH).json()
        for t in told[:2]
    ]
    tokens = [client_of_each.get(f"/questions/{question['question_id']}/facts").json()["token"] for question in asked]
    altered = ("A" if tokens[0][0] != "A" else "B") + tokens[0][1:]
    for wrong in (altered, tokens[1], "", "é" * 43):
        assert_problem(give(client_of_each, told[0], "anomaly", token=wrong), 403, "bad_token")
    assert_problem(give(client_of_each, told[2], "anomaly", token=tokens[0]), 403, "bad_token")
    stored = give(client_of_each, told[0], "anomaly", token=tokens[0], source="email")
    assert (stored.status_code, stored.json()["question_id"]) == (201, asked[0]["question_id"])
    assert client_of_each.get("/feedback").json()["answers"][0]["reason"] == "manual"


def test_many_answers_at_once_are_each_there_once(client_of_each: httpx.Client) -> None:
    told = [predict(client_of_each, n)["prediction_id"] for n in range(25)]
    words = {name: "anomaly" if n % 3 else "normal" for n, name in enumerate(told)}

    def send(name: str) -> int:
        return give(client_of_each, name, words[name]).status_code

    with ThreadPoolExecutor(16) as senders:  # each answer by four people at the same moment
        statuses = list(senders.map(send, [name for name in told for _ in range(4)]))
    assert Counter(statuses) == {201: 25, 200: 75}
    assert len(client_of_each.get("/feedback", params={"limit": 100}).json()["answers"]) == 25
    rows = table(client_of_each)
    assert Counter(row[-2] for row in rows) == {"True": 16, "False": 9}
    vectors = {deciding_vector(client_of_each, name).tobytes(): words[name] for name in told}
    for row in rows:
        assert vectors.pop(np.array(row[:-2], np.float32).tobytes()) == ("anomaly" if row[-2] == "True" else "normal")
    written = service_of(client_of_each).production.table.path.read_bytes()
    service_of(client_of_each).production.table.rebuild()
    assert service_of(client_of_each).production.table.path.read_bytes() == written


def test_opposite_answers_at_once_leave_one_that_stands(client_of_each: httpx.Client) -> None:
    name = predict(client_of_each)["prediction_id"]
    with ThreadPoolExecutor(8) as senders:
        statuses = Counter(
            answer.status_code
            for answer in senders.map(lambda n: give(client_of_each, name, ("anomaly", "normal")[n % 2]), range(16))
        )
    assert statuses == {201: 1, 200: 7, 409: 8}
    assert len(table(client_of_each)) == 1


def test_answers_are_listed_in_pages_beside_what_the_model_had_said(client: httpx.Client) -> None:
    told = [predict(client, n, machine=f"fan/id_0{n}") for n in range(5)]
    for prediction in told:
        give(client, prediction, "normal")
    seen: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = client.get("/feedback", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += page["answers"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [line["machine"] for line in seen] == [f"fan/id_0{n}" for n in (4, 3, 2, 1, 0)]
    assert seen[-1]["score"] == told[0]["score"]
    assert (seen[-1]["predicted_anomaly"], seen[-1]["model_version"]) == (told[0]["anomaly"], told[0]["model_version"])
    since = client.get("/feedback", params={"since": seen[1]["created"]}).json()["answers"]
    assert [line["machine"] for line in since] == ["fan/id_04", "fan/id_03"]
    assert_problem(client.get("/feedback", params={"cursor": "nonsense"}), 422, "invalid_cursor")


def test_the_history_tells_answers_and_is_sorted_and_searched(client_of_each: httpx.Client) -> None:
    told = [predict(client_of_each, n, machine=f"pump/id_0{n % 2}", rattle=0.2 * (n % 3)) for n in range(6)]
    give(client_of_each, told[0], "anomaly")
    give(client_of_each, told[1], "unsure")

    def found(**wanted: Any) -> list[dict[str, Any]]:
        lines, cursor = [], None
        while True:
            page = client_of_each.get(
                "/predictions", params={"limit": 2, **wanted, **({"cursor": cursor} if cursor else {})}
            )
            assert page.status_code == 200, page.text
            lines += page.json()["predictions"]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                return lines

    names = [t["prediction_id"] for t in told]
    assert {line["prediction_id"] for line in found(answered=True)} == set(names[:2])
    assert len(found(answered=False)) == 4
    assert [line["prediction_id"] for line in found(answer="anomaly")] == names[:1]
    assert len(found(q="ID_01")) == 3
    assert len(found(q="clip.WAV")) == 6
    assert found(q="100%") == []
    assert len(found(model_version=told[0]["model_version"])) == 6
    assert found(model_version="another") == []
    for column in ("score", "p_value", "created"):
        for order in ("asc", "desc"):
            values = [line[column] for line in found(sort=column, order=order)]
            assert len(values) == 6
            assert values == sorted(values, reverse=order == "desc")
    by_score = client_of_each.get("/predictions", params={"limit": 2, "sort": "score"}).json()["next_cursor"]
    assert_problem(client_of_each.get("/predictions", params={"cursor": by_score}), 422, "invalid_cursor")


def test_a_confirmed_fault_is_recognised_by_the_next_prediction_in_every_process(
    settings: Callable[..., Settings], database_url: str, tmp_path: Path
) -> None:
    with (
        serving(settings(database_url=database_url)) as first,
        serving(settings(database_url=database_url, data_dir=tmp_path / "other")) as second,
    ):
        before = predict(first, 7, rattle=0.01)
        assert give(first, before, "anomaly").status_code == 201
        after = predict(first, 7, rattle=0.01)
        assert after["score"] > before["score"]
        assert after["p_value"] <= before["p_value"]
        wait_for(lambda: predict(second, 7, rattle=0.01)["score"] == after["score"], 10)
        with service_of(first).database.read() as session:
            assert session.get_one(Prediction, uuid.UUID(after["prediction_id"])).confirmed == 1
        assert predict(first, 3)["score"] == pytest.approx(predict(second, 3)["score"])
        assert give(first, before, "normal", override=True).status_code == 201
        assert predict(first, 7, rattle=0.01)["score"] == before["score"]
        # Each data folder has its table, and both say the same.
        tables = [tmp_path / folder / "prod_data.csv" for folder in ("data", "other")]
        wait_for(lambda: tables[1].exists() and tables[1].read_bytes() == tables[0].read_bytes(), 15)
        assert tables[0].read_text().count("\n") == 2


def test_the_metrics_tell_of_answers(client: httpx.Client) -> None:
    told = predict(client, 1)
    give(client, told, "anomaly" if told["anomaly"] else "normal")
    wrong = predict(client, 2)
    give(client, wrong, "normal" if wrong["anomaly"] else "anomaly")
    wait_for(lambda: metric(client, "wheeltapper_answer_agreement ") == 0.5, 15)
    assert metric(client, "wheeltapper_answer_lag_seconds_count ") == 2
    assert metric(client, "wheeltapper_answers_total") == 2
    wait_for(lambda: metric(client, "wheeltapper_prod_data_behind ") == 0, 15)
