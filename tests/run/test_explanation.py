"""What is said about a verdict, as `POST /predict` answers it."""

from __future__ import annotations

from typing import Any

from wheeltapper.explanation import explain

ANSWER: dict[str, Any] = {
    "anomaly": False,
    "score": 0.1,
    "threshold": 1.0,
    "p_value": 0.5,
    "machine": "fan/id_00",
    "sensor": {"ok": True, "findings": []},
    "windows": [{"start_s": 0.0, "end_s": 10.0, "score": 0.1}],
    "duration_s": 10.0,
    "false_alarm_rate": 0.01,
    "false_alarm_rate_used": 0.01,
    "model_version": "model-1",
    "encoder": "default",
}


def test_a_rate_out_of_reach_is_explained() -> None:
    assert "was asked for" not in explain(ANSWER)
    told = explain(ANSWER | {"false_alarm_rate_used": 0.05})
    assert "about 5 in 100 healthy clips" in told
    assert "1 in 100 was asked for; that takes more healthy recordings" in told


def test_a_microphone_finding_is_told_and_a_fatal_one_overrules_the_verdict() -> None:
    finding = {"code": "clipping", "message": "3 % of the samples are clipped.", "fatal": False}
    told = explain(ANSWER | {"sensor": {"ok": True, "findings": [finding]}})
    assert "microphone  3 % of the samples are clipped." in told
    assert "worth nothing" not in told
    told = explain(ANSWER | {"sensor": {"ok": False, "findings": [finding]}})
    assert "this verdict is worth nothing" in told
    assert "3 % of the samples are clipped." in told


def test_the_window_that_decides_is_named_when_there_are_several() -> None:
    assert "windows" not in explain(ANSWER)
    windows = [{"start_s": s, "end_s": s + 10.0, "score": score} for s, score in ((0.0, 0.1), (5.0, 2.0), (8.0, 0.3))]
    assert "5 s to 15 s of 18.0 s, the oddest of 3 windows" in explain(
        ANSWER | {"windows": windows, "duration_s": 18.0}
    )


def test_a_machine_that_the_model_does_not_know_is_not_named_as_what_it_was_compared_with() -> None:
    assert "healthy clips of fan/id_00" in explain(ANSWER)
    assert "healthy clips of any machine that the model knows" in explain(ANSWER, known=False)
