"""From answers to a better model: the job, the gate, the receipt."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import numpy as np
import pytest

from serve.settings import Settings
from tests.retraining.site import HEADERS, PUMP, answered, finished, give, predict, retrain, teach_the_pump
from tests.serve.server import serving
from tests.serve.test_model import ready, wait_for
from tests.serve.test_predict import assert_problem


def test_answers_make_a_better_model_that_takes_over_and_the_receipt_says_so(
    client_of_each: httpx.Client, versions: tuple[str, str]
) -> None:
    client = client_of_each
    faults = teach_the_pump(client)
    unsure = predict(client, 1200)
    give(client, unsure, "unsure")
    job = retrain(client, reason="manual", detail="Test")
    assert job["status"] == "promoted", job["message"]
    assert (job["champion"], job["reason"], job["detail"], job["mode"]) == (versions[0], "manual", "Test", "scratch")
    figures = job["comparison"]
    assert figures["challenger"] > figures["champion"]
    assert figures["interval"][0] > 0
    assert figures["anomalies"] >= 5
    assert 30 <= job["answers_used"] < 75  # some are held out
    wait_for(lambda: ready(client)["model_version"] == job["challenger"], 5)
    healthy = predict(client, 1300, machine=PUMP)  # a false alarm until people said so
    assert (healthy["anomaly"], healthy["model_version"]) == (False, job["challenger"])

    lineage = client.get(f"/models/{job['challenger']}").json()
    assert lineage["parents"] == [versions[0]]
    assert lineage["job"]["job_id"] == job["job_id"]
    assert lineage["answers_by_role"]["held_out"] + job["answers_used"] == 75
    assert lineage["reference"]["rows"]["trained_normal"] + lineage["reference"]["rows"]["held_out"] == 30
    assert [entry["action"] for entry in lineage["history"]] == ["trained", "promoted"]

    roles = {use["prediction_id"]: use["role"] for use in lineage["answers"]}
    learned = next(fault for fault in faults if roles[fault["prediction_id"]] == "trained")
    receipt = client.get(f"/feedback/{learned['prediction_id']}").json()
    assert receipt["counts_for_training"] is True
    assert receipt["retrain"]["job_id"] == job["job_id"]
    assert receipt["retrain"]["promoted"] is True
    assert (receipt["model_before"], receipt["model_now"]) == (versions[0], job["challenger"])
    assert receipt["score_before"] == learned["score"]
    assert receipt["anomaly_now"] is True
    assert len(receipt["neighbours"]) == 5
    assert all(other["score_now"] is not None for other in receipt["neighbours"])
    told = client.get(f"/feedback/{unsure['prediction_id']}").json()
    assert told["counts_for_training"] is False
    assert unsure["prediction_id"] not in roles

    assert client.post("/models/rollback", headers=HEADERS).json()["current"] == versions[0]


def test_shuffled_answers_keep_the_champion(client: httpx.Client, versions: tuple[str, str]) -> None:
    words = np.random.default_rng(0).permutation(["anomaly"] * 25 + ["normal"] * 25)
    for seed, word in enumerate(words.tolist()):
        give(client, predict(client, 1000 + seed, 0.05 * (seed % 2), machine=PUMP), word)
    job = retrain(client)
    assert job["status"] == "kept_champion", job["message"]
    assert client.get("/models").json()["current"] == versions[0]
    told = client.get(f"/models/{job['challenger']}").json()
    assert [entry["action"] for entry in told["history"]] == ["trained", "kept"]


def test_too_few_recordings_to_compare_on_are_said(client: httpx.Client, versions: tuple[str, str]) -> None:
    answered(client, range(1000, 1003), "anomaly", 0.5)
    job = retrain(client)
    assert (job["status"], job["comparison"]["interval"]) == ("kept_champion", None)
    assert "Too few held-out recordings" in job["message"]
    told = answered(client, [1004], "anomaly", 0.5)[0]
    receipt = client.get(f"/feedback/{told['prediction_id']}").json()
    assert receipt["retrain"] is None
    assert_problem(client.get(f"/feedback/{predict(client, 1005)['prediction_id']}"), 404, "no_answer")


def test_contradicting_answers_are_left_out_and_stop_a_promotion(client: httpx.Client) -> None:
    teach_the_pump(client)
    answered(client, range(1000, 1010), "normal", 0.05, machine=PUMP)  # the same recordings again, and the opposite
    job = retrain(client)
    assert job["status"] == "kept_champion", job["message"]
    assert "20 of 85 answers contradict" in job["message"]
    lineage = client.get(f"/models/{job['challenger']}").json()
    assert lineage["answers_by_role"]["left_out"] == 20
    assert all("Contradiction" in use["why"] for use in lineage["answers"] if use["role"] == "left_out")


def test_every_so_many_answers_a_retrain_starts_by_itself(settings: Callable[..., Settings]) -> None:
    with serving(settings(retrain_every=4)) as client:
        answered(client, range(1000, 1003), "anomaly", 0.5)
        told = client.get("/stats").json()["retrain"]
        assert (told["every"], told["answers_since"]) == (4, 3)
        give(client, predict(client, 1003), "unsure")  # no row, so it does not count
        assert client.get("/retrain").json()["jobs"] == []
        answered(client, [1004], "normal")
        wait_for(lambda: len(client.get("/retrain").json()["jobs"]) == 1, 30)
        job = finished(client, client.get("/retrain").json()["jobs"][0]["job_id"])
        assert (job["reason"], job["status"]) == ("answers", "kept_champion")
        assert client.get("/stats").json()["retrain"]["answers_since"] == 0


def test_one_retrain_at_a_time(client: httpx.Client) -> None:
    first = client.post("/retrain", json={"reason": "drift", "detail": "score 0.9"}, headers=HEADERS)
    second = client.post("/retrain", json={"reason": "manual"}, headers=HEADERS)
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["job_id"] == second.json()["job_id"]
    assert finished(client, first.json()["job_id"])["reason"] == "drift"


@pytest.mark.parametrize("spoil", ["reference", "classifier"])
def test_a_retrain_that_cannot_be_done_says_why_and_the_champion_serves(
    client: httpx.Client, settings: Callable[..., Settings], versions: tuple[str, str], spoil: str
) -> None:
    if spoil == "reference":
        (settings().data_dir / "ref_data.csv").write_text("nothing\n")
    else:
        (settings().artifacts_dir / "models" / versions[0] / "classifier.onnx").write_bytes(b"nothing")
    job = retrain(client)
    assert job["status"] == "failed"
    assert ("ref_data.csv" if spoil == "reference" else "classifier.onnx") in job["message"]
    assert predict(client, 1)["model_version"] == versions[0]
