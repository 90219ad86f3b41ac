"""Leaving without a request being lost: SIGTERM to one of two services behind a real load balancer, under load."""

from __future__ import annotations

import signal
import socket
import threading
import time
import warnings
from pathlib import Path

import httpx
import pytest

from tests.deploy import balancer
from tests.serve.clips import KEY, clip
from tests.serve.server import process


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(port: int) -> int:
    return httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).status_code


def test_a_service_that_is_told_to_stop_says_so_and_goes_on_answering(artifacts: Path, tmp_path: Path) -> None:
    port = _free_port()
    with process(port, tmp_path, artifacts, WHEELTAPPER_API_KEY=KEY, WHEELTAPPER_DRAIN_S="3") as service:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            assert "connection" not in client.post("/predict", files={"file": clip(1)}).headers
            service.send_signal(signal.SIGTERM)
            while _ready(port) == 200:
                assert service.poll() is None
                time.sleep(0.02)
            answer = client.post("/predict", files={"file": clip(2)})
            assert answer.status_code == 200
            assert answer.headers["connection"] == "close"
        service.wait(60)


def test_no_request_fails_while_one_of_two_services_leaves(artifacts: Path, tmp_path: Path) -> None:
    if balancer.PROGRAM is None:
        warnings.warn(balancer.HOW, stacklevel=1)
        pytest.skip(balancer.HOW)
    first, second, shared = _free_port(), _free_port(), tmp_path
    (shared / "second").mkdir()
    answers: list[int] = []
    stop = threading.Event()

    def send(address: str, seed: int) -> None:
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            while not stop.is_set():
                answers.append(client.post("/predict", files={"file": clip(seed)}).status_code)

    environment = {"WHEELTAPPER_API_KEY": KEY, "WHEELTAPPER_DRAIN_S": "2", "WHEELTAPPER_DATA": str(shared / "data")}
    with (
        process(first, shared, artifacts, **environment) as leaving,
        process(second, shared / "second", artifacts, **environment),
        balancer.balancing(_free_port(), [first, second], shared) as address,
    ):
        senders = [threading.Thread(target=send, args=(address, seed)) for seed in range(4)]
        for sender in senders:
            sender.start()
        while len(answers) < 40:
            time.sleep(0.05)
        leaving.send_signal(signal.SIGTERM)
        leaving.wait(60)
        after = len(answers)
        while len(answers) < after + 20:
            time.sleep(0.05)
        stop.set()
        for sender in senders:
            sender.join(60)
    assert set(answers) == {200}, (shared / "haproxy.log").read_text()
