"""Versions over HTTP: listing, promoting, going back, another false-alarm rate; all of it in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.errors import SettingsError
from audio_pipeline.reference import read_reference, write_reference
from serve.database.connection import Database
from serve.models.promotion import Promotion
from serve.settings import Settings
from tests.retraining.site import HEADERS, predict
from tests.serve.test_history import service_of
from tests.serve.test_model import ready, wait_for
from tests.serve.test_predict import assert_problem
from wheeltapper.cli import main


def test_a_version_is_promoted_rolled_back_and_the_ledger_tells_all_of_it(
    client_of_each: httpx.Client, versions: tuple[str, str]
) -> None:
    first, second = versions
    wait_for(lambda: len(history(client_of_each, first)) == 1, 30)  # what served when the service started
    told = client_of_each.post(
        f"/models/{second}/promote", json={"by": "Ada", "reason": "Louder hall"}, headers=HEADERS
    )
    assert (told.status_code, told.json()) == (200, {"current": second, "previous": first})
    wait_for(lambda: ready(client_of_each)["model_version"] == second, 5)
    assert predict(client_of_each, 5)["model_version"] == second
    back = client_of_each.post("/models/rollback", headers=HEADERS)
    assert back.json() == {"current": first, "previous": second}
    wait_for(lambda: ready(client_of_each)["model_version"] == first, 5)
    page = client_of_each.get("/models").json()
    assert page["current"] == first
    assert {model["version"]: model["serves"] for model in page["models"]} == {first: True, second: False}
    entry = history(client_of_each, second)[0]
    assert (entry["action"], entry["by"], entry["reason"], entry["previous"]) == (
        "promoted",
        "Ada",
        "Louder hall",
        first,
    )
    assert [entry["action"] for entry in history(client_of_each, first)] == ["promoted", "rolled_back"]
    # Promoting what serves changes nothing, and is no event.
    client_of_each.post(f"/models/{first}/promote", headers=HEADERS)
    assert len(history(client_of_each, first)) == 2


def history(client: httpx.Client, version: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = client.get(f"/models/{version}").json()["history"]
    return found


def test_without_the_key_nothing_is_changed(client: httpx.Client, versions: tuple[str, str]) -> None:
    for method, path in (
        ("POST", f"/models/{versions[1]}/promote"),
        ("POST", "/models/rollback"),
        ("PUT", "/threshold"),
    ):
        assert_problem(client.request(method, path, json={"rate": 0.1}), 401, "unauthorized")
    assert client.get("/models").json()["current"] == versions[0]


def test_what_cannot_be_promoted_says_why(client: httpx.Client, artifacts: Path, versions: tuple[str, str]) -> None:
    assert_problem(client.post("/models/nothing-like-it/promote", headers=HEADERS), 404, "unknown_model")
    assert_problem(client.get("/models/nothing-like-it"), 404, "unknown_model")
    (artifacts / "models" / versions[1] / "classifier.onnx").write_bytes(b"damaged")
    body = assert_problem(client.post(f"/models/{versions[1]}/promote", headers=HEADERS), 503, "broken_artifact")
    assert "classifier.onnx" in body["detail"]
    assert client.get("/models").json()["current"] == versions[0]
    assert history(client, versions[1]) == []
    wait_for(lambda: len(history(client, versions[0])) == 1, 30)
    assert_problem(client.post("/models/rollback", headers=HEADERS), 409, "nothing_to_roll_back_to")


def test_the_ledger_cannot_be_changed_afterwards(client_of_each: httpx.Client, versions: tuple[str, str]) -> None:
    wait_for(lambda: len(history(client_of_each, versions[0])) == 1, 30)
    database = service_of(client_of_each).database
    for statement in ("UPDATE ledger SET reason = 'nothing'", "DELETE FROM ledger"):
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(text(statement))
    assert len(history(client_of_each, versions[0])) == 1


def test_a_change_behind_the_services_back_is_written_down(
    client_of_each: httpx.Client, artifacts: Path, versions: tuple[str, str]
) -> None:
    ModelStore(artifacts).set_current(versions[1])
    wait_for(lambda: len(history(client_of_each, versions[1])) == 1, 30)
    assert "without the database" in history(client_of_each, versions[1])[0]["reason"]


def test_another_false_alarm_rate_is_a_new_version_with_the_same_graph(
    client_of_each: httpx.Client, artifacts: Path, versions: tuple[str, str]
) -> None:
    before = predict(client_of_each, 5, rattle=0.05)
    assert client_of_each.get("/threshold").json()["false_alarm_rate"]["asked"] == 0.01
    preview = client_of_each.get("/threshold/preview", params={"rate": 0.5}).json()
    told = client_of_each.put("/threshold", json={"rate": 0.5, "by": "Ada"}, headers=HEADERS)
    assert told.status_code == 200
    version = told.json()["model_version"]
    assert version not in versions
    assert told.json()["false_alarm_rate"] == {"asked": 0.5, "reachable": preview["reachable"], "used": 0.5}
    wait_for(lambda: ready(client_of_each)["model_version"] == version, 5)
    after = predict(client_of_each, 5, rattle=0.05)
    assert (after["score"], after["p_value"]) == (before["score"], before["p_value"])
    assert after["threshold"] < before["threshold"]
    # The preview foretold it.
    assert preview["predictions"] == 1
    assert preview["alarms_then"] == int(after["anomaly"])
    assert preview["alarms_now"] == int(before["anomaly"])
    store = ModelStore(artifacts)
    old, new = store.load(versions[0]), store.load(version)
    assert new.manifest["files"] == old.manifest["files"]
    assert new.parent == versions[0]
    entry = history(client_of_each, version)[0]
    assert (entry["action"], entry["by"], entry["previous"]) == ("threshold", "Ada", versions[0])
    assert client_of_each.get("/models/compare", params={"a": versions[0], "b": version}).json()["same_graph"] is True
    assert client_of_each.post("/models/rollback", headers=HEADERS).json()["current"] == versions[0]


def test_a_promotion_that_is_refused_has_changed_nothing(
    settings: Callable[..., Settings], versions: tuple[str, str]
) -> None:
    plant = settings()
    database = Database(plant.database)
    database.migrate()
    done: list[object] = []
    with pytest.raises(SettingsError, match=f"{versions[0]} serves by now"):
        Promotion(database, plant).promote(versions[1], by="", reason="", expected="another", within=done.append)
    assert done == []
    database.close()


def test_a_new_rate_is_not_measured_on_another_encoders_vectors(
    settings: Callable[..., Settings], versions: tuple[str, str]
) -> None:
    plant = settings()
    reference = read_reference(plant.data_dir)
    write_reference(plant.data_dir, replace(reference, encoder_sha256="0" * 64))
    words = ["threshold", "0.3", "--data", str(plant.data_dir), "--artifacts", str(plant.artifacts_dir)]
    assert main(words) == 0
    current = ModelStore(plant.artifacts_dir).current()
    assert current is not None
    model = ModelStore(plant.artifacts_dir).load(current.model)
    assert (model.parent, model.manifest["metrics"]) == (versions[0], {})


@pytest.mark.parametrize("rate", [0, -1, 1.5, "often"])
def test_a_rate_that_is_none_is_refused(client: httpx.Client, rate: object) -> None:
    assert_problem(client.put("/threshold", json={"rate": rate}, headers=HEADERS), 422, "invalid_request")
    assert_problem(client.get("/threshold/preview", params={"rate": rate}), 422, "invalid_request")
