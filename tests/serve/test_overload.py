from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from serve.settings import Settings
from tests.serve.clips import clip
from tests.serve.server import process, serving
from tests.serve.test_predict import as_form, as_json, assert_problem


def test_more_than_the_queue_takes_is_refused_at_once_and_the_service_recovers(
    settings: Callable[..., Settings],
) -> None:
    slow = as_form(clip(1, seconds=60))
    with serving(settings(workers=1, queue_length=2)) as client:
        with ThreadPoolExecutor(12) as senders:
            answers = list(senders.map(lambda _: client.post("/predict", **slow), range(12)))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(answers) - len(refused) >= 3
        assert refused
        for answer in refused:
            assert_problem(answer, 503, "overloaded")
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        fastest_verdict = min(a.elapsed for a in answers if a.status_code == 200)
        assert min(answer.elapsed for answer in refused) < fastest_verdict
        assert client.post("/predict", **as_form(clip(2))).status_code == 200
        assert client.get("/health/ready").status_code == 200
        assert 'wheeltapper_rejections_total{code="overloaded"}' in client.get("/metrics").text


def test_health_answers_while_the_queue_is_full(settings: Callable[..., Settings]) -> None:
    slow = as_form(clip(1, seconds=120))
    with serving(settings(workers=1, queue_length=1)) as client, ThreadPoolExecutor(4) as senders:
        sent = [senders.submit(client.post, "/predict", **slow) for _ in range(4)]
        time.sleep(0.1)
        assert client.get("/health/live", timeout=2).status_code == 200
        assert client.get("/health/ready", timeout=5).status_code == 200
        assert {answer.result().status_code for answer in sent} <= {200, 503}


@pytest.mark.parametrize("way", ["form", "json"])
def test_a_body_over_the_limit_is_refused_whether_its_length_is_announced_or_not(
    settings: Callable[..., Settings], way: str
) -> None:
    large = b"\0" * 3_000_000
    with serving(settings(max_upload_bytes=1_000_000)) as client:
        request = client.build_request("POST", "/predict", **(as_form(large) if way == "form" else as_json(large)))
        assert_problem(client.send(request), 413, "too_large")
        body = request.read()

        def unannounced() -> object:
            for start in range(0, len(body), 50_000):
                yield body[start : start + 50_000]

        answer = client.post(
            "/predict", content=unannounced(), headers={"content-type": request.headers["content-type"]}
        )
        assert_problem(answer, 413, "too_large")
        assert client.post("/predict", **as_form(clip(2))).status_code == 200


def test_an_endless_body_is_refused_without_being_kept(settings: Callable[..., Settings]) -> None:
    with serving(settings(max_upload_bytes=1_000_000)) as client:
        port = client.base_url.port
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            chunk = b"%x\r\n" % 100_000 + b"A" * 100_000 + b"\r\n"
            sent = 0
            try:
                for _ in range(500):
                    connection.sendall(chunk)
                    sent += 100_000
                    assert client.app.state.service.held.held <= 1_500_000  # type: ignore[attr-defined]
            except ConnectionError:
                pass
            assert connection.recv(12) == b"HTTP/1.1 413"
        assert client.app.state.service.held.held == 0  # type: ignore[attr-defined]


def test_many_bodies_at_once_are_held_up_to_a_limit(settings: Callable[..., Settings]) -> None:
    with serving(settings(max_body_bytes_held=200_000)) as client:
        port = client.base_url.port
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(
                b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: 1000000\r\n\r\n" + b"A" * 190_000
            )
            time.sleep(0.3)
            assert_problem(client.post("/predict", **as_form(clip(2))), 503, "overloaded")
        time.sleep(0.3)
        assert client.post("/predict", **as_form(clip(2))).status_code == 200


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_sigterm_finishes_what_was_taken_on_and_ends(tmp_path: Path, artifacts: Path) -> None:
    port = free_port()
    with (
        process(port, tmp_path, artifacts, WHEELTAPPER_WORKERS="1") as service,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
        ThreadPoolExecutor(6) as senders,
    ):
        sent = [senders.submit(client.post, "/predict", **as_form(clip(n, seconds=60))) for n in range(6)]
        time.sleep(0.3)
        service.send_signal(signal.SIGTERM)
        assert [answer.result().status_code for answer in sent] == [200] * 6
        assert service.wait(30) in (0, -signal.SIGTERM)


def test_a_prediction_that_was_answered_survives_kill_9(tmp_path: Path, artifacts: Path) -> None:
    answered: list[str] = []
    port = free_port()
    with process(port, tmp_path, artifacts) as service:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            for n in range(20):
                answered.append(client.post("/predict", **as_form(clip(n))).json()["prediction_id"])
        os.kill(service.pid, signal.SIGKILL)
        service.wait()
    with (
        process(port, tmp_path, artifacts),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        for prediction in answered:
            assert client.get(f"/predictions/{prediction}").status_code == 200
            assert client.get(f"/predictions/{prediction}/audio").status_code == 200


def test_the_command_refuses_to_listen_to_others_without_a_key(tmp_path: Path, artifacts: Path) -> None:
    with (
        pytest.raises(AssertionError, match="WHEELTAPPER_API_KEY"),
        process(free_port(), tmp_path, artifacts, WHEELTAPPER_HOST="0.0.0.0"),
    ):
        pass
    assert "Traceback" not in (tmp_path / "serve.log").read_text()
