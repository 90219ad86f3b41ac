from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from sqlalchemy import QueuePool

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.errors import BrokenArtifact
from serve.service import Service
from serve.settings import Settings
from tests.serve.clips import KEY, encode, hum
from tests.serve.server import serving
from tests.serve.test_model import wait_for
from tests.serve.test_predict import as_form, assert_problem


@pytest.fixture
def explaining(
    settings: Callable[..., Settings], trained: tuple[Path, tuple[str, str]], tmp_path: Path
) -> Iterator[httpx.Client]:
    """A running service with the reference that its model was trained on."""
    shutil.copytree(trained[0].parent / "data-0", tmp_path / "data")
    with serving(settings()) as running:
        yield running


def rattling(seconds: float = 4.0, start: float = 1.0, end: float = 2.0) -> bytes:
    healthy, ill = hum(70, seconds), hum(70, seconds, rattle=0.5)
    at = slice(round(start * 16_000), round(end * 16_000))
    healthy[at] = ill[at]
    return encode(np.asarray(healthy, np.float32))


def ask(client: httpx.Client, prediction: str) -> dict[str, object]:
    answer = client.get(f"/predictions/{prediction}/explanation")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_explanation_says_when_at_which_frequencies_and_what_it_sounds_like(explaining: httpx.Client) -> None:
    sent = explaining.post("/predict", **as_form(rattling(), machine="fan/id_00")).json()
    answer = explaining.get(f"/predictions/{sent['prediction_id']}/explanation").json()
    assert answer["prediction_id"] == sent["prediction_id"]
    assert answer["model_version"] == sent["model_version"]
    assert answer["score"] == pytest.approx(sent["score"], rel=1e-4)
    stretch = max(answer["seconds"], key=lambda s: s["strength"])
    assert abs(stretch["start_s"] - 1) < 0.3
    assert abs(stretch["end_s"] - 2) < 0.3
    assert answer["bands"][0]["direction"] == "more"
    assert answer["bands"][0]["low_hz"] < answer["bands"][0]["high_hz"] <= 8000
    assert len(answer["nearest"]) == 5
    for near in answer["nearest"]:
        assert (near["kind"], near["machine"], near["target"]) == ("reference", "fan/id_00", False)
        assert near["audio_url"] == f"/reference/{near['id']}/audio"
    assert {group["name"] for group in answer["groups"]}
    frames = answer["frame_start_s"] + answer["frame_hop_s"] * (len(answer["frame_strength"]) - 1)
    assert frames == pytest.approx(4, abs=0.1)


def test_the_picture_shows_the_explanation_when_asked_to(explaining: httpx.Client) -> None:
    prediction = explaining.post("/predict", **as_form(rattling(), machine="fan/id_00")).json()["prediction_id"]
    plain = explaining.get(f"/predictions/{prediction}/spectrogram.png")
    explained = explaining.get(f"/predictions/{prediction}/spectrogram.png", params={"explained": True})
    assert explained.status_code == 200
    assert explained.content.startswith(b"\x89PNG")
    assert explained.content != plain.content


def test_a_prediction_is_explained_by_the_model_that_made_it(
    explaining: httpx.Client, versions: tuple[str, str]
) -> None:
    prediction = explaining.post("/predict", **as_form(rattling(), machine="fan/id_00")).json()["prediction_id"]
    service: Service = explaining.app.state.service  # type: ignore[attr-defined]
    store = ModelStore(service.settings.artifacts_dir)
    store.set_current(versions[1])
    service.model.look()
    assert service.model.scorer.model == versions[1]
    assert ask(explaining, prediction)["model_version"] == versions[0]
    # Gone: then the one in service explains, and says so.
    again = explaining.post("/predict", **as_form(rattling(end=3.0), machine="fan/id_00")).json()["prediction_id"]
    store.set_current(versions[0])
    service.model.look()
    shutil.rmtree(store.models / versions[1])
    assert ask(explaining, again)["model_version"] == versions[0]


def test_without_a_reference_of_this_encoder_there_are_no_nearest_clips_and_the_rest_is_there(
    client: httpx.Client,
) -> None:
    prediction = client.post("/predict", **as_form(rattling(), machine="fan/id_00")).json()["prediction_id"]
    answer = ask(client, prediction)
    assert answer["nearest"] == []
    assert answer["seconds"]


def test_asked_again_it_answers_from_memory(explaining: httpx.Client) -> None:
    prediction = explaining.post("/predict", **as_form(rattling(), machine="fan/id_00")).json()["prediction_id"]
    first = ask(explaining, prediction)
    service: Service = explaining.app.state.service  # type: ignore[attr-defined]
    for path in service.clips.folder.rglob("*.flac"):
        path.unlink()
    assert ask(explaining, prediction) == first
    other = explaining.post("/predict", **as_form(rattling(end=3.0), machine="fan/id_00")).json()["prediction_id"]
    for path in service.clips.folder.rglob("*.flac"):
        path.unlink()
    assert_problem(explaining.get(f"/predictions/{other}/explanation"), 404, "clip_gone")


def test_predictions_do_not_wait_behind_explanations(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, begun = threading.Event(), threading.Event()

    def slow(*_: object) -> None:
        begun.set()
        gate.wait(60)
        raise BrokenArtifact("It was only to take its time.")

    monkeypatch.setattr("serve.prediction.explanation.explain", slow)
    with serving(settings(workers=1)) as client, ThreadPoolExecutor(3) as people:
        ids = [client.post("/predict", **as_form(rattling(end=end))).json()["prediction_id"] for end in (2.0, 2.5, 3.0)]
        asked = [people.submit(client.get, f"/predictions/{number}/explanation") for number in ids]
        try:
            assert begun.wait(60)
            assert client.post("/predict", **as_form(rattling()), timeout=30).status_code == 200
            pool: QueuePool = client.app.state.service.database.engine.pool  # type: ignore[attr-defined]
            wait_for(lambda: pool.checkedout() == 0, 30)  # nor do they want for a connection to the database
        finally:
            gate.set()
        assert {answer.result().status_code for answer in asked} == {503}


def test_an_unknown_prediction_has_no_explanation(client: httpx.Client) -> None:
    nobody = "/predictions/00000000-0000-0000-0000-000000000000/explanation"
    assert_problem(client.get(nobody), 404, "unknown_prediction")


def test_an_answered_prediction_is_among_the_nearest_and_the_message_has_the_reasons(explaining: httpx.Client) -> None:
    explaining.headers["Authorization"] = f"Bearer {KEY}"
    first = explaining.post("/predict", **as_form(rattling(), "old.wav", machine="fan/id_00")).json()["prediction_id"]
    before = ask(explaining, first)
    assert {near["kind"] for near in before["nearest"]} == {"reference"}  # type: ignore[attr-defined]
    told = {"prediction_id": first, "answer": "anomaly", "fault": "loose guard", "operator": "Ada"}
    assert explaining.post("/feedback", json=told).status_code == 201
    second = explaining.post("/predict", **as_form(rattling(end=2.2), machine="fan/id_00")).json()["prediction_id"]
    answer = explaining.get(f"/predictions/{second}/explanation").json()
    near = answer["nearest"][0]
    assert (near["kind"], near["id"], near["target"]) == ("prediction", first, True)
    assert near["title"] == "loose guard (old.wav)"
    assert explaining.get(near["audio_url"]).status_code == 200
    # The answered prediction itself is not its own twin: explained as it was judged, before the answer.
    assert first not in {near["id"] for near in explaining.get(f"/predictions/{first}/explanation").json()["nearest"]}
    question = explaining.post("/questions", json={"prediction_id": second}).json()
    facts = explaining.get(f"/questions/{question['question_id']}/facts").json()
    assert [s["start_s"] for s in facts["seconds"]] == [s["start_s"] for s in answer["seconds"]]
    assert facts["bands"][0] == {
        name: answer["bands"][0][name] for name in ("low_hz", "high_hz", "direction", "change_db")
    }
    assert facts["nearest"] == answer["nearest"]
    assert explaining.get(facts["spectrogram_url"]).status_code == 200


def test_a_message_does_not_wait_for_a_recording_that_cannot_be_read(client: httpx.Client) -> None:
    client.headers["Authorization"] = f"Bearer {KEY}"
    prediction = client.post("/predict", **as_form(rattling(), machine="fan/id_00")).json()["prediction_id"]
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    (clip,) = service.clips.folder.rglob("*.flac")
    clip.unlink()
    clip.mkdir()  # there, and cannot be read
    question = client.post("/questions", json={"prediction_id": prediction}).json()
    answer = client.get(f"/questions/{question['question_id']}/facts")
    assert answer.status_code == 200, answer.text
    assert answer.json()["seconds"] == [{"start_s": 0.0, "end_s": 4.0}]
    assert answer.json()["nearest"] == []
