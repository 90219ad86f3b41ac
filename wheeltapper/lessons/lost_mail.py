"""Lesson: n8n, the mail server and the service are away in turn. No question, no answer is lost, none comes twice."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from automation import form
from automation.inbox.store import Mail
from wheeltapper.lessons import sounds, teaching
from wheeltapper.lessons.plant import Plant, require
from wheeltapper.lessons.stage import Stage
from wheeltapper.parts import open_local

_OPERATOR = "operator@localhost"  # the service's default


def play(plant: Plant, stage: Stage) -> None:
    """Play it."""
    require("automation", "n8n")
    heard = sounds.record(plant.folder, healthy=2, faulty=2, severity=0.8)
    plant.learn(heard.reference)
    plant.start("serve", "mail")

    stage.act("An alarm. Somebody presses 'Notify', and n8n does not run.")
    first, question = _notify(plant, heard.faulty[0])
    plant.wait(lambda: _question(plant, question)["delivery"]["attempts"], "the service has tried to reach n8n")
    stage.shows(f"The service keeps the question: {_question(plant, question)['delivery']}")
    stage.look("portal", f"/?prediction={first}", "the question waits for n8n")
    stage.look("service", "/metrics", "wheeltapper_outbox_messages is 1, and the oldest grows older")
    stage.check(not plant.mails(), "No e-mail yet, and the question is kept.", "there is an e-mail already.")

    stage.act("n8n starts (the first time it takes its workflows in).")
    plant.start("n8n")
    sent = plant.wait(lambda: _mail_about(plant, question), "the e-mail arrives")
    stage.look("inbox", "", f"'{sent.subject}'")
    stage.check(
        sent.copies == 1 and _asked(plant) == 1, "The e-mail arrives by itself, once.", f"{sent.copies} copies."
    )

    stage.act("A second alarm; this time the mail server is away.")
    plant.kill("mail")
    second, other = _notify(plant, heard.faulty[1])
    plant.wait(
        lambda: any(event["event"] == "failed" for event in _question(plant, other)["events"]),
        "the service knows that the message could not be sent",
    )
    stage.look("portal", f"/?prediction={second}", "the question's life: it could not be sent, it goes out again")
    stage.check(
        _question(plant, other)["state"] == "queued",
        "n8n has told the service so, and the question waits to go out again, a minute from now.",
        f"the question is {_question(plant, other)['state']}.",
    )
    plant.start("mail")

    stage.act("Meanwhile the operator opens the first e-mail's link and answers; just now the service is away.")
    plant.kill("serve")
    link = next(link for link in form.links_of(sent) if "Real%20fault" in link)
    waiting = _submit(link, operator="Ann", fault="bearing", comment="It grinds.")
    page = plant.wait(lambda: _page(waiting), "the page after the form")
    stage.shows(f"The page says: {page[:160]}")
    stage.check(
        "being delivered" in page,
        "The page does not promise what is not so: it says received, being delivered.",
        f"it says {page[:200]}",
    )
    plant.start("serve")
    answer = plant.wait(lambda: _answer(plant, first), "the answer is delivered")
    stage.check(
        answer["answer"] == "anomaly" and answer["operator"] == "Ann",
        "The service is back, and the answer arrives by itself: real fault, by Ann.",
        f"{answer}",
    )
    rows = teaching.targets(plant)
    stage.check(rows == ["True"], "It is one row of prod_data.csv, target True.", f"its targets are {rows}.")

    stage.act("And the second e-mail?")
    late = plant.wait(lambda: _mail_about(plant, other), "the second e-mail arrives")
    plant.wait(lambda: _question(plant, other)["state"] == "sent", "the service knows that it was sent")
    stage.look("inbox", "", "two e-mails, one for each alarm")
    stage.check(
        late.copies == 1 and _asked(plant) == 2,
        "It came once, when the mail server was back and its minute was over.",
        f"{late.copies} copies, {_asked(plant)} e-mails that ask.",
    )


def _notify(plant: Plant, clip: Path) -> tuple[str, str]:
    prediction = str(plant.predict(clip, sounds.MACHINE)["prediction_id"])
    question = plant.must("POST", "/questions", {"prediction_id": prediction, "reason": "manual"})
    return prediction, str(question["question_id"])


def _question(plant: Plant, question: str) -> dict[str, Any]:
    found: dict[str, Any] = plant.must("GET", f"/questions/{question}")
    return found


def _answer(plant: Plant, prediction: str) -> dict[str, Any] | None:
    status, said = plant.ask("GET", f"/feedback/{prediction}")
    return said["answer"] if status == 200 else None


def _asked(plant: Plant) -> int:
    """Count the e-mails that ask something (others tell the person in charge of models)."""
    return sum(_OPERATOR in mail.recipients for mail in plant.mails())


def _mail_about(plant: Plant, question: str) -> Mail | None:
    return next((mail for mail in plant.mails() if question in mail.html), None)


def _submit(link: str, **fields: str) -> str:
    """Fill in the form as a browser does; return the address of the page that follows."""
    body, headers = form.filled_in(link, "", **fields)
    with open_local(urllib.request.Request(link, body, headers), timeout=60) as answer:
        return form.follows(answer.read())


def _page(waiting: str) -> str | None:
    """Return what the page after the form says, once there is one."""
    try:
        with open_local(form.status_of(waiting), timeout=60) as answer:
            if answer.read().decode().strip() not in form.TAKEN:
                return None
        with open_local(waiting, timeout=60) as answer:
            page = answer.read().decode(errors="replace")
    except (urllib.error.HTTPError, OSError):
        return None
    return form.text_of(page) if "<html" in page else None
