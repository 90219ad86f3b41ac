from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile

from audio_pipeline.clip import decode
from audio_pipeline.scoring import Scorer
from serve.settings import Settings
from tests.broken_files import make_broken_files
from tests.serve.clips import KEY, NOWHERE, clip, hum
from tests.serve.server import serving

BrokenFiles = dict[str, tuple[bytes, str]]


@pytest.fixture(scope="module")
def client(trained: tuple[Path, tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One service for all tests of this module: none of them minds what the others sent."""
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("data"),
        artifacts_dir=trained[0],
        api_key=KEY,
        workers=2,
        n8n_url=NOWHERE,
    )  # type: ignore[call-arg]
    with serving(settings) as running:
        yield running


@pytest.fixture(scope="module")
def broken_files() -> BrokenFiles:
    return make_broken_files()


def as_json(data: bytes, **more: object) -> dict[str, Any]:
    return {"json": {"audio_base64": base64.b64encode(data).decode(), **more}}


def as_form(data: bytes, name: str = "clip.wav", **more: str) -> dict[str, Any]:
    return {"files": {"file": (name, data)}, "data": more}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["type"].endswith(code)
    assert body["title"]
    assert body["instance"].startswith("urn:uuid:")
    assert body["detail"].rstrip().endswith((".", "?", "out.flac")), body["detail"]
    assert "Traceback" not in answer.text
    return body


def test_a_rattling_fan_is_an_anomaly_and_a_healthy_one_is_not(client: httpx.Client) -> None:
    broken = client.post("/predict", **as_form(clip(7, rattle=0.5), machine="fan/id_00")).json()
    healthy = client.post("/predict", **as_form(clip(7), machine="fan/id_00")).json()
    assert broken["score"] > healthy["score"]
    assert broken["p_value"] < healthy["p_value"]
    assert healthy["anomaly"] is False


def test_the_answer_has_the_contracts_fields(client: httpx.Client, versions: tuple[str, str]) -> None:
    answer = client.post("/predict", **as_form(clip(3, seconds=12), "pump 3.wav", machine="fan/id_00"))
    assert answer.status_code == 200
    body = answer.json()
    contract = {
        "prediction_id", "anomaly", "score", "threshold", "p_value", "sensor", "machine", "model_version", "encoder",
        "duration_s", "windows",
    }  # fmt: skip
    assert contract <= set(body)
    assert (body["machine"], body["model_version"], body["duration_s"]) == ("fan/id_00", versions[0], 12.0)
    assert [(w["start_s"], w["end_s"]) for w in body["windows"]] == [(0.0, 10.0), (2.0, 12.0)]
    assert body["score"] == max(w["score"] for w in body["windows"])
    assert set(body["sensor"]) == {"ok", "findings"}
    assert body["filename"] == "pump 3.wav"


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_json_and_form_and_the_pipeline_itself_give_the_same_score(client: httpx.Client, container: str) -> None:
    out = io.BytesIO()
    soundfile.write(out, hum(5, seconds=1.5), 16_000, format=container)
    data = out.getvalue()
    form = client.post("/predict", **as_form(data, machine="fan/id_00")).json()
    document = client.post("/predict", **as_json(data, machine="fan/id_00", filename="x.bin")).json()
    scorer: Scorer = client.app.state.service.model.scorer  # type: ignore[attr-defined]
    verdict = scorer.score(decode(data), "fan/id_00")
    assert form["score"] == pytest.approx(document["score"], abs=1e-6)
    assert form["score"] == pytest.approx(verdict.score, abs=1e-6)
    assert form["p_value"] == pytest.approx(verdict.p_value, abs=1e-6)


def test_every_broken_file_is_refused_with_a_sentence_and_the_next_clip_is_answered(
    client: httpx.Client, broken_files: BrokenFiles
) -> None:
    assert len(broken_files) >= 40
    before = client.get("/predictions?limit=500").json()["predictions"]
    for name, (data, code) in broken_files.items():
        for request in (as_form(data), as_json(data)):
            answer = client.post("/predict", **request)
            assert 400 <= answer.status_code < 500, (name, answer.text[:300])
            assert_problem(answer, answer.status_code, code)
    assert client.post("/predict", **as_form(clip())).status_code == 200
    assert len(client.get("/predictions?limit=500").json()["predictions"]) == len(before) + 1


@pytest.mark.parametrize(
    ("code", "status"),
    [("empty", 400), ("truncated", 400), ("not_audio", 415), ("not_finite", 422), ("silent", 422), ("too_short", 422)],
)
def test_each_kind_of_refusal_has_its_status(
    client: httpx.Client, broken_files: BrokenFiles, code: str, status: int
) -> None:
    data = next(data for data, kind in broken_files.values() if kind == code)
    assert_problem(client.post("/predict", **as_form(data)), status, code)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"content": b"RIFF", "headers": {"content-type": "audio/wav"}}, 415, "unsupported_media_type"),
        ({"content": b"RIFF"}, 415, "unsupported_media_type"),
        ({"data": {"file": "clip.wav"}}, 415, "unsupported_media_type"),
        ({"content": b'{"audio', "headers": {"content-type": "application/json"}}, 400, "invalid_json"),
        ({"content": b"", "headers": {"content-type": "application/json"}}, 400, "invalid_json"),
        ({"content": b'"\xff"', "headers": {"content-type": "application/json"}}, 400, "invalid_json"),
        ({"json": []}, 422, "invalid_request"),
        ({"json": {}}, 422, "invalid_request"),
        ({"json": {"audio_base64": 7}}, 422, "invalid_request"),
        ({"json": {"audio_base64": "no base64!"}}, 400, "invalid_base64"),
        ({"json": {"audio_base64": "AAA"}}, 400, "invalid_base64"),
        ({"json": {"audio_base64": "data:audio/wav;base64,AAAA"}}, 400, "invalid_base64"),
        ({"json": {"audio_base64": "AAAA", "machine": "fan\nid"}}, 422, "invalid_request"),
        ({"json": {"audio_base64": "AAAA", "machine": "x" * 1000}}, 422, "invalid_request"),
        ({"json": {"audio_base64": "AAAA", "machine": "fan\u0000"}}, 422, "invalid_request"),
        ({"json": {"audio_base64": ""}}, 400, "empty"),
        ({"files": {"clip": ("clip.wav", b"RIFF")}}, 422, "missing_file"),
        ({"files": {"file": (None, "text")}}, 422, "missing_file"),
        ({"files": {"file": ("a.wav", b"")}}, 400, "empty"),
        ({"files": [("file", ("a", b"1")), ("file", ("b", b"2"))]}, 400, "invalid_form"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "invalid_form"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, "invalid_form"),
    ],
)
def test_a_request_that_holds_no_clip_is_told_what_is_wrong(
    client: httpx.Client, request_: dict[str, Any], status: int, code: str
) -> None:
    assert_problem(client.post("/predict", **request_), status, code)


def test_base64_with_broken_lines_is_welcome(client: httpx.Client) -> None:
    lines = base64.encodebytes(clip()).decode()
    assert "\n" in lines
    assert client.post("/predict", json={"audio_base64": lines}).status_code == 200


def test_a_file_name_loses_its_folders_and_control_characters(client: httpx.Client) -> None:
    answer = client.post("/predict", **as_json(clip(), filename="C:\\temp\\..\\a\u0007\u0000b.wav"))
    assert answer.json()["filename"] == "ab.wav"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/predict", 405, "method_not_allowed"),
        ("GET", "/predictions?limit=0", 422, "invalid_request"),
        ("GET", "/predictions?cursor=nonsense", 422, "invalid_cursor"),
        ("GET", "/predictions/no-uuid", 422, "invalid_request"),
        ("POST", "/feedback", 401, "unauthorized"),
    ],
)
def test_every_error_is_a_problem(client: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    assert_problem(client.request(method, path), status, code)


def test_a_fault_of_our_own_is_a_problem_with_a_name_in_the_log_and_without_a_traceback(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    @client.app.get("/fault")  # type: ignore[attr-defined, untyped-decorator]
    def fault() -> None:
        raise ZeroDivisionError("a secret of the inside")

    body = assert_problem(client.get("/fault"), 500, "internal_error")
    assert "secret" not in json.dumps(body)
    assert any(body["instance"] in record.getMessage() and record.exc_info for record in caplog.records)


def test_the_documentation_needs_no_internet(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) >= 2
    for address in loaded:
        assert address.startswith("/")
        assert client.get(address).status_code == 200


def test_the_documentation_names_both_ways_to_send_a_clip(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert set(described["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    assert "503" in described["responses"]
