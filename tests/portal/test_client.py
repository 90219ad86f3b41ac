"""The client: what it sends, when it tries again, and what it says when things go wrong, over a real socket."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from portal.client import Service, ServiceError
from tests.portal.answers import Answer, answering
from tests.portal.records import prediction

KEY = "a key of the tests, long enough"


def problem(status: int, code: str, detail: str = "Because.", **headers: str) -> Answer:
    return Answer(status, {"status": status, "code": code, "detail": detail, "title": ""}, dict(headers))


def a_prediction() -> Answer:
    return Answer(200, prediction().model_dump(mode="json"))


def test_a_clip_is_sent_as_a_form_with_its_name_and_machine() -> None:
    with answering(a_prediction()) as server:
        assert Service(server.address, KEY).predict(b"RIFF", "pump é.wav", "pump/id_00").anomaly
    (sent,) = server.received
    assert (sent.method, sent.path) == ("POST", "/predict")
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert b"pump/id_00" in sent.body
    assert b"RIFF" in sent.body


def test_a_full_queue_is_waited_for_and_the_clip_sent_again() -> None:
    busy = problem(503, "overloaded", **{"Retry-After": "0.05"})
    with answering(busy, busy, a_prediction()) as server:
        assert Service(server.address, None).predict(b"x", "x.wav", "").score == 2.43
        assert len(server.received) == 3


def test_a_queue_that_stays_full_is_busy() -> None:
    with answering(problem(503, "overloaded", **{"Retry-After": "0.01"})) as server:
        with pytest.raises(ServiceError) as raised:
            Service(server.address, None).predict(b"x", "x.wav", "")
        assert raised.value.kind == "busy"
        assert 1 < len(server.received) < 10


def test_what_changes_something_is_not_sent_twice() -> None:
    with answering(problem(503, "busy", **{"Retry-After": "0.01"})) as server:
        with pytest.raises(ServiceError):
            Service(server.address, None).promote("model-1")
        assert len(server.received) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(404, "not_found"), "missing_route"),
        (problem(405, "method_not_allowed"), "missing_route"),
        (problem(404, "unknown_prediction"), "gone"),
        (problem(401, "unauthorized"), "needs_key"),
        (problem(409, "answer_stands"), "conflict"),
        (problem(413, "too_large"), "refused"),
        (problem(500, "internal_error"), "fault"),
        (Answer(502, b"<html>bad gateway</html>"), "fault"),
        (Answer(200, {"something": "else"}), "fault"),
        (Answer(200, b"not JSON"), "fault"),
    ],
)
def test_each_failure_is_told_apart(answer: Answer, kind: str) -> None:
    with answering(answer) as server, pytest.raises(ServiceError) as raised:
        Service(server.address, None).prediction("x")
    assert raised.value.kind == kind


def test_nobody_there_is_away() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(ServiceError) as raised:
        Service(address, None).health()
    assert raised.value.kind == "away"


def test_no_answer_in_time_is_slow() -> None:
    with answering(Answer(after_s=1.0)) as server, pytest.raises(ServiceError) as raised:
        Service(server.address, None, answer_within_s=0.1).prediction("x")
    assert raised.value.kind == "slow"


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with answering(a_prediction()) as server:
        assert Service(server.address, None).prediction("x").prediction_id


def test_only_filters_that_were_set_are_sent() -> None:
    with answering(Answer(200, {"predictions": [], "next_cursor": None})) as server:
        Service(server.address, None).predictions(anomaly=False, search="", machine="fan/id_00")
    assert server.received[0].path == "/predictions?machine=fan%2Fid_00&anomaly=false&limit=50"


def test_an_answer_says_that_it_comes_from_the_portal() -> None:
    stored = {"prediction_id": "p", "answer": "anomaly", "operator": "Ada", "created": "2026-11-24T12:00:00Z"}
    with answering(Answer(201, stored)) as server:
        Service(server.address, KEY).answer("p", "anomaly", operator="Ada")
    assert server.received[0].json == {
        "prediction_id": "p", "answer": "anomaly", "source": "portal", "operator": "Ada"
    }  # fmt: skip


def test_a_name_in_the_pages_address_asks_for_a_prediction_whatever_it_is() -> None:
    with answering(a_prediction()) as server:
        Service(server.address, KEY).prediction("../stats?days=1")
    assert server.received[0].path == "/predictions/..%2Fstats%3Fdays%3D1"


@pytest.mark.parametrize("path", ["http://elsewhere.example/x", "//elsewhere.example/x", "relative"])
def test_a_clip_is_fetched_from_the_service_and_from_nowhere_else(path: str) -> None:
    with answering(Answer(200, b"RIFF")) as server:
        with pytest.raises(ServiceError):
            Service(server.address, KEY).audio(path)
        assert server.received == []


def test_what_a_newer_service_adds_is_ignored_and_what_an_older_one_lacks_is_unknown() -> None:
    body: dict[str, Any] = {**prediction().model_dump(mode="json"), "brand_new": 1}
    del body["answer"], body["question"]
    with answering(Answer(200, body)) as server:
        read = Service(server.address, None).prediction("x")
    assert read.answer is None
    assert read.question is None
