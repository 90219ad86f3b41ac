"""Records of the service as sentences."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from portal.client import ServiceError
from portal.formats import Formats, zone_named
from portal.records import Band, Drift, Explanation, Job, Model, Models, Neighbour, Receipt, SensorFinding
from portal.texts import Texts
from portal.wording import (
    band,
    drift,
    explained,
    false_alarms,
    finding,
    history_of,
    job_outcome,
    ledger,
    metrics,
    neighbour,
    p_value,
    problem,
    question_state,
    question_steps,
    receipt_lines,
    refusal,
    verdict,
)
from tests.portal.records import NOON, prediction, question

ENGLISH, FRENCH = Texts("en"), Texts("fr")
EN, FR = Formats(ENGLISH), Formats(FRENCH, zone_named("Europe/Paris"))


def test_the_verdict_names_the_machine_that_the_clip_was_compared_with() -> None:
    assert verdict(prediction(), ENGLISH, EN) == ("This does not sound like the healthy clips of fan/id_00.", "bad")
    unknown = verdict(prediction(machine="", anomaly=False), ENGLISH, EN)
    assert unknown == ("This sounds like a healthy machine that the model knows.", "good")


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.0, "all"), (0.25, "about 25"), (0.032, "about 3"), (0.011, "about one"), (0.0005, "less than one")],
)
def test_a_p_value_is_said_in_clips_of_a_hundred(value: float, words: str) -> None:
    assert p_value(value, ENGLISH, EN).startswith(f"Of 100 healthy clips {words} would sound")


def test_french_has_its_comma_and_its_space() -> None:
    assert "(p = 0,032)" in p_value(0.032, FRENCH, FR)
    assert FR.percent(0.5) == "50\u00a0%"
    assert FR.moment(NOON) == "24/11/2026 13:00"


def test_a_rate_that_is_out_of_reach_is_said_with_the_remedy() -> None:
    said = false_alarms(prediction(), ENGLISH, EN)
    assert "3.2%" in said
    assert "1.0% was asked for; that takes more healthy recordings" in said
    assert "asked" not in false_alarms(prediction(false_alarm_rate=0.032), ENGLISH, EN)


def test_a_fatal_flaw_of_the_microphone_is_worse_than_another() -> None:
    hum = SensorFinding(code="mains_hum", message="50 Hz everywhere. Look at the earth.", fatal=True)
    assert finding(hum, ENGLISH) == ("50 Hz everywhere. Look at the earth.", "bad")
    assert finding(hum, FRENCH).text.startswith("Le ronflement du secteur")
    new = SensorFinding(code="from_the_future", message="Something new.", fatal=False)
    assert finding(new, FRENCH) == ("Something new.", "warning")


def test_bands_are_said_with_direction_and_decibels() -> None:
    assert band(Band(low_hz=2000, high_hz=4000, direction="more", change_db=8.2), ENGLISH, EN) == (
        "2.0–4.0 kHz: 8 dB louder than in healthy clips"
    )
    assert band(Band(low_hz=8, high_hz=1100, direction="more", change_db=8), FRENCH, FR).startswith("8 Hz–1,1 kHz : ")
    assert band(Band(low_hz=60, high_hz=120, direction="less", change_db=-6), FRENCH, FR) == (
        "60–120 Hz : 6 dB de moins que dans les extraits sains"
    )


def test_a_band_of_everything_is_called_so() -> None:
    assert band(Band(low_hz=8, high_hz=8000, direction="more", change_db=32), ENGLISH, EN) == (
        "all frequencies: 32 dB louder than in healthy clips"
    )


def test_a_band_that_is_as_loud_as_ever_is_not_called_louder() -> None:
    quiet = Band(low_hz=2000, high_hz=4000, direction="more", change_db=0.3)
    assert band(quiet, ENGLISH, EN) == "2.0–4.0 kHz: different from healthy clips, at the same loudness"
    assert band(quiet.model_copy(update={"change_db": 1.7}), ENGLISH, EN).startswith("2.0–4.0 kHz: 1.7 dB louder")


def test_what_is_odd_all_the_time_is_said_so() -> None:
    hiss = Band(low_hz=2000, high_hz=4000, direction="more", change_db=8.2)
    assert explained(Explanation(bands=(hiss,) * 5, throughout=True), ENGLISH, EN)[0].startswith(
        "It sounds odd throughout"
    )
    assert len(explained(Explanation(bands=(hiss,) * 5), ENGLISH, EN)) == 3


def test_a_queued_question_says_that_nothing_is_to_be_done_while_n8n_is_away() -> None:
    fresh = question_state(question("queued"), ENGLISH, EN)
    assert "within a second" in fresh.text
    away = question(
        "queued",
        delivery={"attempts": 3, "last_error": "connection refused", "next_attempt": NOON + timedelta(seconds=8)},
    )
    said = question_state(away, ENGLISH, EN)
    assert said.tone == "warning"
    assert "connection refused" in said.text
    assert "goes out by itself" in said.text
    assert "12:00:08" in said.text


@pytest.mark.parametrize(
    ("state", "more", "words"),
    [
        ("queued", {"delivery": {"attempts": 1}}, "Handed to n8n"),
        ("sent", {}, "Sent to Ada at 2026-11-24 12:00"),
        ("reminded", {"reminded": NOON}, "Ada was reminded at 2026-11-24 12:00"),
        ("escalated", {"escalated": NOON}, "second address"),
        ("expired", {}, "late answer still counts"),
        ("answered", {"answered_by": "Ada", "answer": "anomaly"}, "Ada answered: real fault."),
        ("brand_new", {}, "brand_new"),
    ],
)
def test_each_state_of_a_question_has_its_sentence(state: str, more: dict[str, Any], words: str) -> None:
    assert words in question_state(question(state, **more), ENGLISH, EN).text


def test_a_questions_life_is_told_in_order() -> None:
    events = [
        {"event": "sent", "at": NOON + timedelta(seconds=2)},
        {"event": "reminded", "at": NOON + timedelta(hours=4)},
    ]
    answered = question("answered", events=events, answered=NOON + timedelta(hours=5), answered_by="Ada")
    steps = question_steps(answered, ENGLISH, EN)
    assert [words for _, words in steps] == ["asked", "e-mail sent", "reminded", "answered (Ada)"]
    assert steps[1][0] == "2026-11-24 12:00:02"


def test_who_worded_the_e_mail_is_said_in_the_visitors_language() -> None:
    events = [{"event": "sent", "at": NOON, "detail": "no language model is set"}]
    (_, (_, words)) = question_steps(question("sent", events=events, written_by="template"), FRENCH, FR)
    assert words == "courriel envoyé, rédigé par le gabarit (aucun modèle de langage n'est réglé)"
    events = [{"event": "sent", "at": NOON, "detail": "4.2 is in no fact"}]
    (_, (_, words)) = question_steps(question("sent", events=events, written_by="template"), ENGLISH, EN)
    assert words == "e-mail sent, worded by the template (4.2 is in no fact)"


GIVEN = {"prediction_id": "p", "answer": "anomaly", "operator": "Ada", "created": NOON}


def receipt(**different: Any) -> Receipt:
    return Receipt.model_validate({"answer": GIVEN, "counts_for_training": True} | different)


def test_a_receipt_says_what_became_of_the_answer() -> None:
    assert receipt_lines(receipt(), ENGLISH, EN)[1:] == [
        "It trains the next model.",
        "No retraining has used it yet.",
    ]
    used = receipt(
        retrain={"job_id": "j", "status": "promoted", "challenger": "model-2", "promoted": True},
        score_before=1.5, score_now=2.5, anomaly_before=False, anomaly_now=True, model_before="model-1",
        model_now="model-2",
        neighbours=[
            {"prediction_id": "n", "machine": "fan/id_00", "created": NOON, "distance": 0.1, "score_before": 1.0,
             "score_now": 2.2, "anomaly_before": False, "anomaly_now": True},
            {"prediction_id": "o", "machine": "fan/id_00", "created": NOON, "distance": 0.2},
        ],
    )  # fmt: skip
    lines = receipt_lines(used, ENGLISH, EN)
    assert "its model model-2 is in production" in lines[2]
    assert "from 1.50 to 2.50: ANOMALY" in lines[3]
    assert lines[4].startswith("1 of the 2 nearest clips")
    assert receipt_lines(receipt(counts_for_training=False), ENGLISH, EN)[1] == "It is kept and does not train."


def test_what_went_wrong_comes_with_a_next_step() -> None:
    assert "make run" in problem(ServiceError("away"), ENGLISH)
    assert problem(ServiceError("missing_route", "There is nothing at this address."), ENGLISH).endswith("to see it.")
    assert "database" in problem(ServiceError("busy", "The database does not answer."), ENGLISH)


def test_a_refusal_is_the_services_sentence_in_english_and_ours_in_french() -> None:
    assert (
        refusal("too_short", "0.1 s is under 0.25 s: record longer.", ENGLISH)
        == "0.1 s is under 0.25 s: record longer."
    )
    assert refusal("too_short", "0.1 s is under 0.25 s.", FRENCH).startswith("L'extrait est trop court")
    assert "Something new." in refusal("from_the_future", "Something new.", FRENCH)


def job(status: str, **different: Any) -> Job:
    return Job.model_validate({"job_id": "j", "reason": "manual", "status": status, "created": NOON} | different)


def test_a_retraining_says_what_it_came_to() -> None:
    compared = {"metric": "AUC", "rows": 40, "champion": 0.9, "challenger": 0.95}
    said = job_outcome(job("promoted", challenger="model-2", comparison=compared), ENGLISH, EN)
    assert said == ("The new model model-2 was better and serves. AUC: 0.900 → 0.950 on 40 held-out rows.", "good")
    assert job_outcome(job("failed", message="Too few rows."), ENGLISH, EN).text.endswith("Too few rows.")


def test_drift_says_whether_the_machine_or_the_microphone_changed() -> None:
    sensor = drift(Drift(status="drift", cause="sensor"), ENGLISH)
    assert sensor.tone == "warning"
    assert "The microphone changed" in sensor.text
    assert drift(Drift(status="ok"), ENGLISH).tone == "good"
    assert drift(Drift(status="too_few"), ENGLISH).text == "Too few recent clips to tell."


def test_what_others_wrote_is_shown_and_not_obeyed() -> None:
    written = "![x](http://elsewhere/x.png)"
    kept = r"\!\[x\]\(http\://elsewhere/x\.png\)"
    near = Neighbour(kind="reference", id="n", machine=written, target=None, distance=0, title=written, audio_url="/")
    model = {"version": "a", "created": NOON, "history": [{"at": NOON, "action": "promoted", "by": written}]}
    for said in (
        neighbour(near, ENGLISH, EN),
        question_state(question("sent", recipient={"name": written}), ENGLISH, EN).text,
        question_state(question("answered", answered_by=written, answer="normal"), ENGLISH, EN).text,
        receipt_lines(receipt(answer={**GIVEN, "operator": written}), ENGLISH, EN)[0],
        drift(Drift(status="ok", message=f"{written}: like the reference."), ENGLISH).text,
        history_of(Model.model_validate(model), ENGLISH, EN)[0][1],
    ):
        assert kept in said
        assert written not in said


def test_the_ledger_is_newest_first() -> None:
    models = Models.model_validate(
        {
            "current": "b",
            "models": [
                {"version": "a", "created": NOON, "history": [{"at": NOON, "action": "trained", "by": "run"}]},
                {"version": "b", "created": NOON, "history": [{"at": NOON + timedelta(hours=1), "action": "promoted"}]},
            ],
        }
    )
    assert [row["Model"] for row in ledger(models, ENGLISH, EN)] == ["b", "a"]


def test_metrics_are_flattened_and_unknown_ones_left_out() -> None:
    found = {"auc": 0.91, "held_out_rows": 40, "challenger": {"f1": 0.5, "recall": None}, "curve": [1, 2], "ok": True}
    assert metrics(found, EN) == {"auc": "0.910", "held out rows": "40", "challenger f1": "0.500"}
    assert metrics(None, EN) == {}
