from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from audio_pipeline.artifacts import ModelStore
from serve.settings import Settings
from tests.serve.clips import clip
from tests.serve.server import serving
from tests.serve.test_predict import as_form, assert_problem


def wait_for(true: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def ready(client: httpx.Client) -> dict[str, object]:
    body: dict[str, object] = client.get("/health/ready").json()
    return body


def metric(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def test_ready_means_that_a_clip_was_scored(client: httpx.Client, versions: tuple[str, str]) -> None:
    assert client.get("/health/live").json()["status"] == "live"
    body = ready(client)
    assert (body["status"], body["model_version"], body["warning"]) == ("ready", versions[0], None)


def test_without_a_model_the_service_lives_says_what_is_missing_and_serves_one_that_comes(
    settings: Callable[..., Settings], artifacts: Path, versions: tuple[str, str]
) -> None:
    (artifacts / "current.json").unlink()
    with serving(settings()) as client:
        assert client.get("/health/live").status_code == 200
        body = assert_problem(client.get("/health/ready"), 503, "broken_artifact")
        assert "wheeltapper train" in body["detail"]
        assert_problem(client.post("/predict", **as_form(clip())), 503, "broken_artifact")
        ModelStore(artifacts).set_current(versions[0])
        wait_for(lambda: client.get("/health/ready").status_code == 200)
        assert client.post("/predict", **as_form(clip())).json()["model_version"] == versions[0]


def test_a_promoted_model_takes_over_under_load_without_a_failed_request(
    client: httpx.Client, artifacts: Path, versions: tuple[str, str]
) -> None:
    data, expected, stop = clip(5), {}, threading.Event()
    answers: list[tuple[int, str, float]] = []

    def send() -> None:
        with httpx.Client(base_url=client.base_url, trust_env=False, timeout=30) as own:
            while not stop.is_set():
                answer = own.post("/predict", **as_form(data))
                body = answer.json()
                answers.append((answer.status_code, body["model_version"], body["score"]))

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    for version in (versions[1], versions[0], versions[1]):
        ModelStore(artifacts).set_current(version)
        wait_for(lambda version=version: ready(client)["model_version"] == version)
        time.sleep(0.3)
    stop.set()
    for sender in senders:
        sender.join()
    assert {status for status, _, _ in answers} == {200}
    assert {version for _, version, _ in answers} == set(versions)
    # No answer mixes two models: a model gives one score to one clip.
    for _, version, score in answers:
        assert expected.setdefault(version, score) == score
    assert len(set(expected.values())) == 2


def test_a_corrupt_model_leaves_the_old_one_serving_and_says_so(
    client: httpx.Client, artifacts: Path, versions: tuple[str, str]
) -> None:
    before = client.post("/predict", **as_form(clip(5))).json()
    new = artifacts / "models" / versions[1]
    sound = shutil.copytree(new, artifacts.parent / "sound")
    ModelStore(artifacts).set_current(versions[1])  # it is sound when it is promoted, and damaged right after
    (new / "classifier.onnx").write_bytes(b"\0" * 100)
    (artifacts / "current.json").touch()
    wait_for(lambda: ready(client)["warning"] is not None or ready(client)["model_version"] == versions[1])
    if ready(client)["model_version"] == versions[1]:  # the service was faster than the damage: promote it again
        ModelStore(artifacts).set_current(versions[0])
        wait_for(lambda: ready(client)["model_version"] == versions[0])
        (artifacts / "current.json").write_text(
            (artifacts / "current.json").read_text().replace(versions[0], versions[1])
        )
        wait_for(lambda: ready(client)["warning"] is not None)
    body = ready(client)
    assert (body["status"], body["model_version"]) == ("ready", versions[0])
    assert "classifier.onnx" in str(body["warning"])
    assert metric(client, "wheeltapper_model_broken ") == 1
    after = client.post("/predict", **as_form(clip(5))).json()
    assert (after["score"], after["model_version"]) == (before["score"], versions[0])
    shutil.copytree(sound, new, dirs_exist_ok=True)
    ModelStore(artifacts).set_current(versions[0])
    wait_for(lambda: ready(client)["warning"] is None)
    assert metric(client, "wheeltapper_model_broken ") == 0


def test_a_pointer_that_is_no_json_or_vanishes_leaves_the_old_model_serving(
    client: httpx.Client, artifacts: Path, versions: tuple[str, str]
) -> None:
    for spoil in (lambda: (artifacts / "current.json").write_text("{"), (artifacts / "current.json").unlink):
        spoil()
        wait_for(lambda: ready(client)["warning"] is not None)
        assert client.post("/predict", **as_form(clip())).json()["model_version"] == versions[0]
        ModelStore(artifacts).set_current(versions[0])
        wait_for(lambda: ready(client)["warning"] is None)


def test_the_metrics_count_what_happened(client: httpx.Client, versions: tuple[str, str]) -> None:
    client.post("/predict", **as_form(clip(1)))
    client.post("/predict", **as_form(b""))
    client.get("/nowhere/at/all")
    client.get("/predictions/no-uuid")
    text = client.get("/metrics").text
    assert 'wheeltapper_requests_total{method="POST",route="/predict",status="200"} 1.0' in text
    assert 'wheeltapper_requests_total{method="POST",route="/predict",status="400"} 1.0' in text
    assert 'wheeltapper_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert 'route="/predictions/{prediction_id}",status="422"' in text
    assert 'wheeltapper_rejections_total{code="empty"} 1.0' in text
    assert f'wheeltapper_model_info{{encoder="default",model="{versions[0]}"' in text
    assert metric(client, "wheeltapper_predictions_total") == 1
    assert metric(client, "wheeltapper_score_count") == 1
    for stage in ("decode", "embed", "classify", "store"):
        assert f'wheeltapper_stage_seconds_count{{stage="{stage}"}}' in text
    assert "wheeltapper_queue_depth 0.0" in text
    assert "process_resident_memory_bytes" in text
