"""A question's whole way, with real programs: serve, n8n, SMTP, the form in a browser; each fault once.

The full counts of the faults: `make faults`.
"""

from __future__ import annotations

import base64
import shutil
import time
from pathlib import Path

import pytest

from automation.form import links_of
from benchmarks.faults import asking
from benchmarks.faults.asking_running import HOST, KEY, TOKEN, Asking
from benchmarks.faults.running import wait_for
from tests.serve.clips import clip

pytestmark = pytest.mark.timeout(600)


def predicted(chain: Asking, seed: int, rattle: float = 1.0) -> dict[str, object]:
    body = {"audio_base64": base64.b64encode(clip(seed, rattle=rattle)).decode(), "filename": f"{seed}.wav",
            "machine": "fan/id_00"}  # fmt: skip
    status, answer = chain.service.ask("POST", "/predict", body)
    assert status == 200, answer
    return answer


def test_from_an_alarm_to_the_answer_in_the_database_and_the_table(chain: Asking) -> None:
    chain.start()
    prediction = str(predicted(chain, 901)["prediction_id"])
    before = len(chain.rows())
    question = chain.ask(prediction)
    sent = chain.wait_sent(question)
    assert sent["state"] == "sent"
    assert sent["written_by"] == "llm"  # the one of the tests keeps to the facts

    mails = chain.mail.about(question)
    assert [(mail.copies, mail.recipients) for mail in mails] == [(1, "operator@localhost")]
    mail = mails[0]
    facts = chain.service.ask("GET", f"/questions/{question}/facts")[1]
    for body in (mail.text, mail.html):
        assert "fan/id_00" in body
        assert all(step in body.replace("&#39;", "'") for step in facts["playbook"]["steps"])
    assert "n8n" not in mail.text
    assert "automatically" not in mail.html
    picture, sound = mail.parts
    assert (picture.content_id, picture.content_type) == ("spectrogram", "image/png")
    assert "cid:spectrogram" in mail.html
    assert sound.name == "901.wav"
    assert sound.content[:4] == b"RIFF"
    assert len(sound.content) <= 2**20

    link = next(link for link in links_of(mail) if "Real%20fault" in link)
    assert link.startswith(f"https://{HOST}:")
    page = chain.page(chain.submit(link, "", operator="Ann", fault="bearing", comment="It rattles."))
    assert "your answer is recorded" in page
    assert chain.answer_of(prediction) == "anomaly"
    said = next(a for a in chain.service.ask("GET", "/feedback")[1]["answers"] if a["prediction_id"] == prediction)
    assert (said["operator"], said["fault"], said["comment"], said["source"]) == (
        "Ann",
        "bearing",
        "It rattles.",
        "email",
    )
    assert chain.question(question)["state"] == "answered"
    rows = chain.rows()
    assert len(rows) == before + 1
    assert rows[-1]["target"] == "True"


def test_second_and_contradicting_answers_change_nothing(chain: Asking, artifacts: Path) -> None:
    outcome = asking.second_answers(1, artifacts)
    assert outcome.passed, outcome.figures


def test_an_expired_question_that_is_answered_late_counts(chain: Asking, artifacts: Path) -> None:
    outcome = asking.late_answers(1, artifacts)
    assert outcome.passed, outcome.figures


def test_the_same_alert_told_twice_is_one_message(chain: Asking) -> None:
    chain.start()
    question = chain.ask(str(predicted(chain, 902)["prediction_id"]))
    prediction = chain.wait_sent(question)["prediction_id"]
    for _ in range(3):
        status, said = tell(chain, "anomaly-alert", {"prediction_id": prediction, "question_id": question})
        assert status == 200, said
    assert [mail.copies for mail in chain.mail.about(question)] == [1]


@pytest.mark.parametrize("token", ["", "invented"])
def test_the_webhooks_want_the_token(chain: Asking, token: str) -> None:
    chain.start()
    for hook in ("anomaly-alert", "model-news"):
        assert tell(chain, hook, {"question_id": "q"}, token)[0] == 403


def test_news_of_the_model_is_told_once(chain: Asking) -> None:
    chain.start()
    news = {"message_id": "one", "event": "promoted", "job_id": "job-1", "model_version": "m-2", "previous": "m-1",
            "reason": "20 answers", "detail": "better", "language": "fr",
            "recipient": {"name": "", "email": "manager@localhost"},
            "portal_url": "http://127.0.0.1:8081/"}  # fmt: skip
    again = {**news, "message_id": "two"}  # promoted, rolled back and promoted anew
    assert [tell(chain, "model-news", said)[0] for said in (news, news, again)] == [200, 200, 200]
    told = [mail for mail in chain.mail.store.mails() if "manager@localhost" in mail.recipients]
    assert [(m.copies, m.subject) for m in told] == 2 * [(1, "Wheeltapper: Un meilleur modèle est en service")]


def test_links_that_are_opened_answer_nothing(chain: Asking, artifacts: Path) -> None:
    assert asking.scanners(1, artifacts).passed


def test_forged_links_are_refused(chain: Asking, artifacts: Path) -> None:
    assert asking.forged(1, artifacts).passed


def test_only_a_model_that_keeps_to_the_facts_is_sent(chain: Asking, artifacts: Path) -> None:
    outcome = asking.model_manners(6, artifacts)
    assert outcome.passed, outcome.figures


def test_many_questions_at_once_arrive_once_each(chain: Asking, artifacts: Path) -> None:
    outcome = asking.storm(1, artifacts, count=12)
    assert outcome.passed, outcome.figures


def test_reminder_then_the_second_address_then_the_end_and_a_late_answer_counts(chain: Asking) -> None:
    chain.start()
    for state in ("sent", "reminded", "escalated"):  # of other tests: nobody waits for them
        for other in chain.service.ask("GET", f"/questions?state={state}&limit=500")[1]["questions"]:
            chain.service.ask("POST", "/feedback", {"prediction_id": other["prediction_id"], "answer": "unsure"})
    prediction = str(predicted(chain, 903)["prediction_id"])
    question = chain.ask(prediction)
    chain.wait_sent(question)
    try:
        for setting, state in (("REMIND", "reminded"), ("ESCALATE", "escalated"), ("EXPIRE", "expired")):
            chain.service.kill()
            chain.service._environment[f"WHEELTAPPER_{setting}_AFTER_S"] = "1"
            chain.start()
            wait_for(
                lambda state=state: chain.question(question).get("state") == state, 240, f"the question is {state}"
            )  # type: ignore[misc]
    finally:
        chain.service.kill()
        for setting in ("REMIND", "ESCALATE", "EXPIRE"):
            chain.service._environment.pop(f"WHEELTAPPER_{setting}_AFTER_S", None)
    chain.start()
    events = [event["event"] for event in chain.question(question)["events"]]
    assert events == ["sent", "reminded", "escalated", "expired"]
    assert [mail.recipients for mail in chain.mail.about(question, "remind")] == ["operator@localhost"]
    assert [mail.recipients for mail in chain.mail.about(question, "escalate")] == ["second@localhost"]
    assert "recorded" in chain.page(chain.submit(chain.link(question), "Not sure"))
    assert chain.answer_of(prediction) == "unsure"


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed: apt-get install chromium")
def test_the_form_is_filled_in_on_a_phone(chain: Asking) -> None:
    from playwright.sync_api import sync_playwright

    chain.start()
    prediction = str(predicted(chain, 904)["prediction_id"])
    question = chain.ask(prediction)
    chain.wait_sent(question)
    link = next(link for link in links_of(chain.mail.about(question)[0]) if "False%20alarm" in link)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {HOST} 127.0.0.1"],
        )
        page = browser.new_context(
            viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True, ignore_https_errors=True
        ).new_page()
        outside: list[str] = []
        page.on(
            "request",
            lambda request: HOST in request.url or request.url.startswith("data:") or outside.append(request.url),
        )
        page.goto(link)
        assert page.locator("#field-0").input_value() == "fan/id_00"
        assert page.locator("#field-1 input:checked").get_attribute("value") == "False alarm"
        # Nothing is wider than the phone, and what is pressed is large enough for a thumb.
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert (page.locator("#submit-btn").bounding_box() or {})["height"] >= 44
        page.get_by_text("Real fault", exact=True).tap()  # changed their mind
        page.locator("#field-4").fill("Ann")
        page.locator("#submit-btn").tap()
        page.get_by_text("your answer is recorded").wait_for(timeout=120_000)
        browser.close()
    assert outside == []
    assert chain.answer_of(prediction) == "anomaly"


def test_a_mail_server_that_was_away_is_made_up_for(chain: Asking, artifacts: Path) -> None:
    outcome = asking.mail_away(1, artifacts)
    assert outcome.passed, outcome.figures


def test_n8n_killed_loses_and_doubles_nothing(chain: Asking, artifacts: Path) -> None:
    outcome = asking.kill_n8n(2, artifacts)  # with an answer in its hands; while the mail server takes a message
    assert outcome.passed, outcome.figures


def test_an_answer_given_while_the_service_is_away_arrives_although_n8n_is_killed(
    chain: Asking, artifacts: Path
) -> None:
    outcome = asking.serve_away(1, artifacts)
    assert outcome.passed, outcome.figures


def test_a_page_that_said_being_delivered_says_recorded_when_it_is(chain: Asking) -> None:
    chain.start()
    prediction = str(predicted(chain, 905)["prediction_id"])
    question = chain.ask(prediction)
    chain.wait_sent(question)
    link = chain.link(question)
    chain.service.kill()
    waiting = chain.submit(link, "Real fault")
    assert "Received, being delivered" in chain.page(waiting)
    chain.start()
    chain.press(waiting)
    time.sleep(2)
    assert "your answer is recorded" in chain.page(waiting)
    assert chain.answer_of(prediction) == "anomaly"


def test_links_go_on_working_when_n8n_has_lost_its_database(chain: Asking, artifacts: Path) -> None:
    outcome = asking.wiped(1, artifacts)
    assert outcome.passed, outcome.figures


def tell(chain: Asking, hook: str, payload: dict[str, object], token: str = TOKEN) -> tuple[int, bytes]:
    import json

    body = json.dumps(payload).encode()
    return chain.fetch(
        f"{chain.public}webhook/{hook}", body, {"Content-Type": "application/json", "X-Wheeltapper-Token": token}
    )


def test_n8n_holds_no_secret_in_the_open(chain: Asking) -> None:
    chain.start()
    folder = chain.folder / "n8n"
    # Credentials lie encrypted in n8n's database; its key file, its log and everything else hold none of them.
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert KEY.encode() not in content, path
            assert TOKEN.encode() not in content, path
