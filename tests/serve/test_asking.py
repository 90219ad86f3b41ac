"""Which clips become questions: alarms, doubtful verdicts and a random draw, within the day's budget."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import select, update

from serve.asking import selection
from serve.asking.questions import day_began
from serve.database.tables import Candidate, Episode, Question
from serve.settings import Settings
from tests.serve.clips import encode, hum
from tests.serve.server import serving
from tests.serve.test_feedback import predict
from tests.serve.test_history import service_of
from tests.serve.test_model import metric
from tests.serve.test_predict import as_form
from tests.serve.test_questions import ask


def questions(client: httpx.Client) -> list[dict[str, Any]]:
    return list(client.get("/questions", params={"limit": 500}).json()["questions"])


def test_an_alarm_is_asked_about_by_itself_and_its_episode_only_counts(
    settings: Callable[..., Settings], database_url: str
) -> None:
    with serving(settings(database_url=database_url, ask_on_alarm=True, audit_share=0)) as client:
        first = predict(client, 1, rattle=0.3)
        assert first["question"]["state"] == "queued"
        more = [predict(client, n, rattle=0.3) for n in range(2, 5)]
        assert [told["question"] for told in more] == [None] * 3
        (question,) = questions(client)
        assert (question["reason"], question["count"]) == ("alarm", 4)
        assert question["prediction_id"] == first["prediction_id"]
        assert predict(client, 3)["question"] is None
        assert predict(client, 1, rattle=0.3, machine="pump/id_01")["question"] is not None


def test_without_the_switch_nothing_but_the_audit_draw_asks(settings: Callable[..., Settings]) -> None:
    with serving(settings(audit_share=1.0, questions_per_day=3)) as client:
        alarm = predict(client, 1, rattle=0.3)
        assert (alarm["anomaly"], alarm["question"]) == (True, None)
        normals = [told for told in (predict(client, n) for n in range(12)) if not told["anomaly"]]
        drawn = [told for told in normals if told["question"]]
        assert len(drawn) == 3, "the day's budget"
        assert {question["reason"] for question in questions(client)} == {"audit"}
        assert metric(client, 'wheeltapper_questions_opened_total{reason="audit"}') == 3
        # A person is never refused, and counts.
        assert ask(client, alarm).status_code == 201


def test_doubt_about_a_machine_is_asked_about_once_in_a_while(settings: Callable[..., Settings]) -> None:
    with serving(settings(ask_on_alarm=True, audit_share=0)) as client:

        def is_doubtful(told: dict[str, Any]) -> bool:
            near = selection.uncertainty(told["score"], told["threshold"]) >= selection.DOUBTFUL
            return near and not told["anomaly"]

        seed = next(seed for seed in range(60) if is_doubtful(predict(client, seed)))
        assert all(is_doubtful(predict(client, seed)) for _ in range(3))
        assert len([question for question in questions(client) if question["reason"] == "uncertain"]) <= 1


def test_a_dead_microphone_is_not_asked_about(settings: Callable[..., Settings]) -> None:
    with serving(settings(audit_share=1.0, ask_on_alarm=True)) as client:
        stuck = hum(1)
        stuck[2000:14_000] = 0.0123  # the same value for most of a second
        told = client.post("/predict", **as_form(encode(stuck), machine="fan/id_00")).json()
        assert any(finding["fatal"] for finding in told["sensor"]["findings"]), told["sensor"]
        assert told["question"] is None


def test_what_a_person_asks_counts_and_the_machine_asks_less(settings: Callable[..., Settings]) -> None:
    with serving(settings(ask_on_alarm=True, audit_share=0, questions_per_day=2)) as client:
        asked = [ask(client, predict(client, n, machine=f"pump/id_0{n}")).json() for n in range(2)]
        assert len({question["question_id"] for question in asked}) == 2
        assert predict(client, 5, rattle=0.3)["question"] is None
        assert metric(client, 'wheeltapper_questions_withheld_total{reason="alarm"}') == 1
        # Yesterday's do not.
        with service_of(client).database.write() as session:
            session.execute(update(Question).values(created=datetime.now(UTC) - timedelta(days=2)))
            session.execute(update(Episode).values(last=datetime.now(UTC) - timedelta(days=2)))
        assert predict(client, 6, rattle=0.3)["question"] is not None


def test_every_candidate_is_remembered_asked_or_not(settings: Callable[..., Settings]) -> None:
    with serving(settings(ask_on_alarm=True, audit_share=0, questions_per_day=1)) as client:
        told = [predict(client, n, rattle=0.3, machine=f"fan/id_0{n}") for n in range(3)]
        with service_of(client).database.read() as session:
            kept = {row.prediction_id: row for row in session.scalars(select(Candidate))}
        assert [kept[uuid.UUID(t["prediction_id"])].asked for t in told] == [True, False, False]
        assert all(0 <= row.worth <= 1 for row in kept.values())


def test_a_fifth_of_the_budget_is_kept_for_the_draw(settings: Callable[..., Settings]) -> None:
    with serving(settings(ask_on_alarm=True, audit_share=1e-9, questions_per_day=5)) as client:
        told = [predict(client, n, rattle=0.3, machine=f"fan/id_{n:02d}") for n in range(7)]
        assert sum(t["question"] is not None for t in told) == 4


def test_worth_grows_with_doubt_and_novelty_and_shrinks_with_the_same_machine() -> None:
    assert selection.uncertainty(3, 3) > selection.uncertainty(4, 3) > selection.uncertainty(9, 3)
    assert selection.uncertainty(2, 3) == selection.uncertainty(4, 3)
    random = np.random.default_rng(1)
    asked = random.standard_normal((40, 16)).astype(np.float32)
    known = asked[7] + np.float32(0.01) * random.standard_normal(16).astype(np.float32)
    assert selection.novelty(known, asked) == 0
    assert selection.novelty(np.full(16, 20, np.float32), asked) == 1
    assert 0.1 < np.mean([selection.novelty(v, asked[1:]) for v in random.standard_normal((60, 16))]) < 0.95
    assert selection.novelty(known, asked[:1]) == 1
    assert selection.worth(1, 1, 0) > selection.worth(1, 0, 0) > selection.worth(1, 0, 1)


@pytest.mark.parametrize("candidates", [10, 60, 400, 1500])
@pytest.mark.parametrize("budget", [5, 20])
def test_the_budget_is_spent_on_the_better_ones_and_lasts_the_day(candidates: int, budget: int) -> None:
    """Days of candidates at random moments: never more questions than the budget, and nearly the best ones."""
    random = np.random.default_rng(candidates + budget)
    share, spent, mornings = [], [], []
    yesterday = list(random.random(candidates))  # the day before was alike
    for _ in range(8):
        moments = np.sort(random.random(candidates))
        worths = random.random(candidates)
        asked: list[int] = []
        for position, (moment, worth) in enumerate(zip(moments, worths, strict=True)):
            recent = [*yesterday[position:], *worths[:position]][::-1][:2000]
            if selection.is_worth_asking(worth, recent, budget - len(asked), candidates * (1 - moment)):
                asked.append(position)
        assert len(asked) <= budget
        best = np.sort(worths)[::-1][: min(budget, candidates)]
        share.append(worths[asked].sum() / best.sum())
        spent.append(len(asked) / min(budget, candidates))
        mornings.append((moments[asked] < 0.5).mean())
        yesterday = list(worths)
    assert np.mean(spent) > 0.8
    assert np.mean(share) > 0.75
    if candidates > 4 * budget:
        assert 0.3 < np.mean(mornings) < 0.7


def test_the_draw_is_thinned_so_that_it_lasts_the_day() -> None:
    random = np.random.default_rng(5)
    drawn = Counter()
    share = selection.audit_share(0.02, slots=4, normals_a_day=5000)
    for _ in range(200):
        moments = np.sort(random.random(5000))
        picked = moments[random.random(5000) < share][:4]
        drawn.update("morning" if moment < 0.5 else "evening" for moment in picked)
    assert 0.6 < drawn["evening"] / drawn["morning"] < 1.1
    assert 2 < drawn.total() / 200 <= 4


def test_the_day_begins_at_midnight_where_the_service_runs() -> None:
    now = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
    began = day_began(now)
    assert now - timedelta(days=1) < began <= now
    local = began.astimezone()
    assert (local.hour, local.minute, local.second) == (0, 0, 0)
