"""Questions: one a prediction, one an episode, through all their states; and the facts that messages are made of."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from serve.database.tables import Episode, Question
from serve.settings import Settings
from tests.serve.clips import clip
from tests.serve.server import serving
from tests.serve.test_feedback import AUTH, give, predict
from tests.serve.test_history import service_of
from tests.serve.test_model import metric, wait_for
from tests.serve.test_predict import as_form, assert_problem


def ask(client: httpx.Client, prediction: dict[str, Any], **more: Any) -> httpx.Response:
    return client.post("/questions", json={"prediction_id": prediction["prediction_id"], **more}, headers=AUTH)


def tell(client: httpx.Client, question: dict[str, Any], event: str, **more: Any) -> dict[str, Any]:
    answer = client.post(f"/questions/{question['question_id']}/events", json={"event": event, **more}, headers=AUTH)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def due(client: httpx.Client) -> list[tuple[str, str]]:
    lines = client.get("/questions", params={"due": True}).json()["questions"]
    return [(line["question_id"], line["due"]) for line in lines]


def sent_before(client: httpx.Client, question: dict[str, Any], seconds: float) -> None:
    """Let a question have been sent so long ago."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    with service_of(client).database.write() as session:
        session.execute(update(Question).where(Question.id == uuid.UUID(question["question_id"])).values(sent=moment))


def test_a_prediction_is_asked_about_once(client_of_each: httpx.Client) -> None:
    told = predict(client_of_each)
    with ThreadPoolExecutor(6) as people:
        answers = list(people.map(lambda _: ask(client_of_each, told), range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["question_id"] for answer in answers}) == 1
    question = answers[0].json()
    assert (question["state"], question["reason"], question["count"]) == ("queued", "manual", 0)
    assert client_of_each.get(f"/questions/{question['question_id']}").json()["prediction_id"] == told["prediction_id"]
    history = client_of_each.get("/predictions").json()["predictions"]
    assert history[0]["question"] == {"question_id": question["question_id"], "state": "queued"}
    assert_problem(ask(client_of_each, {"prediction_id": str(uuid.uuid4())}), 404, "unknown_prediction")
    assert_problem(client_of_each.get(f"/questions/{uuid.uuid4()}"), 404, "unknown_question")
    other = predict(client_of_each)
    give(client_of_each, other, "normal")
    assert_problem(ask(client_of_each, other), 409, "already_answered")


def test_alarms_of_one_machine_that_follow_each_other_are_one_question_with_a_count(
    client_of_each: httpx.Client,
) -> None:
    alarms = [predict(client_of_each, n, rattle=1.0, machine="fan/id_00") for n in range(3)]
    other = predict(client_of_each, 9, rattle=1.0, machine="fan/id_01")
    assert all(told["anomaly"] for told in [*alarms, other])
    first = ask(client_of_each, alarms[0])
    assert (first.status_code, first.json()["count"]) == (201, 3)
    for told in alarms:
        again = ask(client_of_each, told)
        assert (again.status_code, again.json()["question_id"]) == (200, first.json()["question_id"])
    assert ask(client_of_each, other).status_code == 201
    # Another clip of the episode is answered in its own right: the question stays open.
    assert give(client_of_each, alarms[1], "anomaly").status_code == 201
    assert client_of_each.get(f"/questions/{first.json()['question_id']}").json()["state"] != "answered"
    # The episode's question has its answer: whoever asks about a further clip of it means that clip.
    assert give(client_of_each, alarms[0], "anomaly").status_code == 201
    about = ask(client_of_each, alarms[2])
    assert (about.status_code, about.json()["prediction_id"]) == (201, alarms[2]["prediction_id"])
    assert ask(client_of_each, alarms[2]).json()["question_id"] == about.json()["question_id"]
    # Half an hour later it is another episode.
    with service_of(client_of_each).database.write() as session:
        session.execute(update(Episode).values(last=datetime.now(UTC) - timedelta(hours=1)))
    later = predict(client_of_each, 5, rattle=1.0, machine="fan/id_00")
    second = ask(client_of_each, later)
    assert (second.status_code, second.json()["count"]) == (201, 1)


def test_alarms_of_one_machine_at_the_same_moment_are_one_episode(client_of_each: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as senders:
        told = list(senders.map(lambda n: predict(client_of_each, n, rattle=1.0), range(8)))
    questions = {ask(client_of_each, prediction).json()["question_id"] for prediction in told}
    assert len(questions) == 1
    assert client_of_each.get(f"/questions/{questions.pop()}").json()["count"] == 8


def undelivered(question: dict[str, Any]) -> dict[str, Any]:
    """Without what its delivery says: a try under way may end, in vain, whenever it likes."""
    return {name: value for name, value in question.items() if name != "delivery"}


def test_a_question_goes_through_its_states_and_nothing_told_twice_changes_it(client_of_each: httpx.Client) -> None:
    told = predict(client_of_each)
    question = ask(client_of_each, told).json()
    sent = tell(client_of_each, question, "sent", written_by="llm", detail="to the operator")
    assert (sent["state"], sent["written_by"]) == ("sent", "llm")
    assert sent["delivery"]["next_attempt"] is None
    assert undelivered(tell(client_of_each, question, "sent", written_by="template")) == undelivered(sent)
    for event in ("reminded", "escalated", "expired"):
        state = tell(client_of_each, question, event)
        assert state["state"] == event
        assert state[event] is not None
        assert undelivered(tell(client_of_each, question, event)) == undelivered(state)
    assert [line["event"] for line in state["events"]] == ["sent", "reminded", "escalated", "expired"]
    # A late answer counts.
    assert give(client_of_each, told, "anomaly", operator="Ada").status_code == 201
    last = client_of_each.get(f"/questions/{question['question_id']}").json()
    assert (last["state"], last["answer"], last["answered_by"]) == ("answered", "anomaly", "Ada")
    assert last["expired"] is not None
    assert tell(client_of_each, question, "reminded")["state"] == "answered"


def test_what_is_told_late_does_not_set_a_question_back(client_of_each: httpx.Client) -> None:
    told = predict(client_of_each)
    question = ask(client_of_each, told).json()
    tell(client_of_each, question, "reminded")
    assert tell(client_of_each, question, "sent")["state"] == "reminded"
    give(client_of_each, told, "unsure")
    late = tell(client_of_each, question, "expired")
    assert (late["state"], late["expired"], late["answer"]) == ("answered", None, "unsure")


def test_questions_become_due_for_a_reminder_an_escalation_and_their_end(
    settings: Callable[..., Settings], database_url: str
) -> None:
    given = settings(
        database_url=database_url, escalation_email="boss@localhost", remind_after_s=100, escalate_after_s=200,
        expire_after_s=300,
    )  # fmt: skip
    with serving(given) as client:
        told = [predict(client, n, machine=f"fan/id_0{n}") for n in range(5)]
        asked = [ask(client, prediction).json() for prediction in told]
        assert due(client) == []
        for question, seconds in zip(asked, (50, 150, 250, 350), strict=False):
            tell(client, question, "sent")
            sent_before(client, question, seconds)
        names = [question["question_id"] for question in asked]
        assert due(client) == [(names[3], "expire"), (names[2], "escalate"), (names[1], "remind")]
        tell(client, asked[1], "reminded")
        tell(client, asked[2], "escalated")
        tell(client, asked[3], "expired")
        assert due(client) == []
        sent_before(client, asked[1], 250)
        assert due(client) == [(names[1], "escalate")]
        give(client, told[1], "normal")
        assert due(client) == []
        expired = client.get("/questions", params={"state": "expired"}).json()["questions"]
        assert [line["question_id"] for line in expired] == [names[3]]
        facts = client.get(f"/questions/{names[1]}/facts").json()
        assert facts["escalation"] == {"name": "", "email": "boss@localhost"}
        wait_for(lambda: metric(client, 'wheeltapper_questions{state="escalated"} ') == 1, 15)


def test_without_anybody_to_escalate_to_nothing_is_escalated(settings: Callable[..., Settings]) -> None:
    with serving(settings(remind_after_s=100, escalate_after_s=200)) as client:
        question = ask(client, predict(client)).json()
        tell(client, question, "sent")
        tell(client, question, "reminded")
        sent_before(client, question, 250)
        assert due(client) == []


def test_questions_are_listed_in_pages(client: httpx.Client) -> None:
    asked = [ask(client, predict(client, n)).json()["question_id"] for n in range(5)]
    seen, cursor = [], None
    while True:
        page = client.get("/questions", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [line["question_id"] for line in page["questions"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == asked[::-1]


@pytest.mark.parametrize(
    ("language", "name", "form"), [("en", "fan 00", "answer"), ("fr", "ventilateur 00", "reponse")]
)
def test_the_facts_hold_all_that_a_message_needs(
    settings: Callable[..., Settings], language: str, name: str, form: str
) -> None:
    given = settings(language=language, webhook_url="https://n8n.plant/", portal_url="https://portal.plant")
    with serving(given) as client:
        told = predict(client, 3, rattle=1.0, machine="fan/id_00")
        question = ask(client, told).json()
        facts = client.get(f"/questions/{question['question_id']}/facts").json()
    assert facts["language"] == language
    assert facts["machine_name"].startswith(name)
    assert facts["playbook"]["likely"]
    assert facts["playbook"]["steps"]
    for key in ("prediction_id", "machine", "anomaly", "score", "threshold", "p_value", "duration_s", "filename"):
        assert facts[key] == told[key]
    assert facts["episode"]["count"] == 1
    assert facts["seconds"]
    link = httpx.URL(facts["form_url"])
    assert str(link).startswith(f"https://n8n.plant/form/wheeltapper-{form}?")
    assert dict(link.params) == {
        "question_id": question["question_id"], "prediction_id": told["prediction_id"], "token": facts["token"],
        "machine": "fan/id_00", "language": language,
    }  # fmt: skip
    assert facts["portal_url"] == f"https://portal.plant/?prediction={told['prediction_id']}"
    assert facts["audio_url"] == f"/predictions/{told['prediction_id']}/audio"
    assert datetime.fromisoformat(facts["local_time"]) == datetime.fromisoformat(facts["created"])


def test_an_unknown_machine_has_facts_too(client: httpx.Client) -> None:
    told = client.post("/predict", **as_form(clip(3))).json()
    facts = client.get(f"/questions/{ask(client, told).json()['question_id']}/facts").json()
    assert (facts["machine"], facts["machine_name"]) == ("", "an unknown machine")
    assert httpx.URL(facts["form_url"]).params["machine"] == "an unknown machine"
    assert facts["playbook"]["steps"]
