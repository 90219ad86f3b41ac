"""Messages go out at least once, whatever dies in between; while n8n is away they wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from benchmarks.faults.answers import Webhook
from serve.asking import news
from serve.database import outbox
from serve.database.connection import Database
from serve.database.tables import OutboxMessage
from serve.settings import Settings
from tests.serve.server import serving
from tests.serve.test_feedback import give, predict
from tests.serve.test_history import service_of
from tests.serve.test_model import metric, wait_for
from tests.serve.test_questions import ask, tell


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """Stands in for n8n."""
    server = Webhook()
    yield server
    server.end()


def url_of(hook: Webhook) -> str:
    return f"http://127.0.0.1:{hook.server_address[1]}"


def test_a_question_reaches_n8n_with_the_token(
    settings: Callable[..., Settings], database_url: str, hook: Webhook
) -> None:
    with serving(settings(database_url=database_url, n8n_url=url_of(hook), webhook_token="s3cret")) as client:
        told = [predict(client, n) for n in range(3)]
        asked = [ask(client, prediction).json()["question_id"] for prediction in told]
        wait_for(lambda: len(hook.taken) == 3, 20)
        assert sorted(hook.taken) == sorted(("anomaly-alert", name) for name in asked)
        assert hook.tokens == {"s3cret"}
        wait_for(lambda: client.get(f"/questions/{asked[0]}").json()["delivery"]["attempts"] == 1, 20)
        wait_for(lambda: metric(client, "wheeltapper_outbox_messages ") == 0, 20)


def test_while_n8n_is_away_questions_wait_and_then_all_go_out(
    settings: Callable[..., Settings], database_url: str, hook: Webhook
) -> None:
    port = hook.server_address[1]
    hook.end()
    with serving(settings(database_url=database_url, n8n_url=f"http://127.0.0.1:{port}")) as client:
        asked = [ask(client, predict(client, n)).json()["question_id"] for n in range(3)]
        wait_for(lambda: client.get(f"/questions/{asked[0]}").json()["delivery"]["attempts"] >= 2, 30)
        delivery = client.get(f"/questions/{asked[0]}").json()["delivery"]
        assert "cannot be reached" in delivery["last_error"]
        assert delivery["next_attempt"] is not None
        wait_for(lambda: metric(client, "wheeltapper_outbox_oldest_seconds ") > 0, 20)
        back = Webhook(port)
        try:
            wait_for(lambda: len({name for _, name in back.taken}) == 3, 60)
            assert Counter(name for _, name in back.taken) == dict.fromkeys(asked, 1)
        finally:
            back.end()


def test_two_services_on_one_database_send_each_message_once(
    settings: Callable[..., Settings], database_url: str, hook: Webhook
) -> None:
    given = settings(database_url=database_url, n8n_url=url_of(hook))
    with serving(given) as first, serving(given) as second:
        asked = [ask((first, second)[n % 2], predict(first, n)).json()["question_id"] for n in range(12)]
        wait_for(lambda: len(hook.taken) >= 12, 30)
        wait_for(lambda: metric(first, "wheeltapper_outbox_messages ") == 0, 20)
    assert Counter(name for _, name in hook.taken) == dict.fromkeys(asked, 1)


def test_a_claim_of_a_dead_deliverer_runs_out(database_url: str) -> None:
    database = Database(database_url)
    database.migrate()
    now = datetime.now(UTC)
    with database.write() as session:
        for text in ("first", "second"):
            outbox.enqueue(session, outbox.NEWS, {"detail": text})
        outbox.enqueue(session, outbox.ALERT, {"question_id": "q"}, lane="q")
        outbox.enqueue(session, outbox.ALERT, {"question_id": "r"}, lane="r", delay_s=3600)
    now = datetime.now(UTC)
    with database.write() as session:
        claimed = outbox.claim(session, now, 30, 10)
    assert [message.payload for message in claimed] == [{"detail": "first"}, {"question_id": "q"}]
    with database.write() as session:
        assert outbox.claim(session, now, 30, 10) == []
    with database.write() as session:
        again = outbox.claim(session, now + timedelta(seconds=31), 30, 10)
        assert [message.id for message in again] == [message.id for message in claimed]
        outbox.mark_delivered(session, again[0].id, now)
        outbox.mark_failed(session, again[1], now, "refused")
    with database.write() as session:
        # The second of the lane follows the first; what failed waits for a second, then two, then four.
        (second,) = outbox.claim(session, now + timedelta(seconds=0.9), 30, 10)
        assert second.payload == {"detail": "second"}
    with database.write() as session:
        (failed,) = outbox.claim(session, now + timedelta(seconds=1.1), 30, 10)
        outbox.mark_failed(session, failed, now, "refused")
        assert outbox.claim(session, now + timedelta(seconds=1.9), 30, 10) == []
        outbox.hurry(session, now)
    with database.write() as session:
        assert [message.id for message in outbox.claim(session, now, 30, 10)] == [failed.id]
        assert outbox.waiting(session).messages == 3
    database.close()


def test_news_that_repeats_itself_is_told_anew(database_url: str) -> None:
    database = Database(database_url)
    database.migrate()
    with database.write() as session:
        for event in ("rolled_back", "rolled_back"):
            news.tell(session, Settings(_env_file=None), event, reason="Louder hall", model_version="a", previous="b")
    with database.read() as session:
        messages = session.scalars(select(OutboxMessage)).all()
    # n8n tells messages apart by this name, and says nothing twice.
    assert len({message.payload["message_id"] for message in messages}) == 2
    database.close()


def test_a_message_of_a_transaction_that_fails_never_goes_out(database_url: str) -> None:
    database = Database(database_url)
    database.migrate()

    def write_and_fail() -> None:
        with database.write() as session:
            outbox.enqueue(session, outbox.NEWS, {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    with database.read() as session:
        assert outbox.waiting(session).messages == 0
    database.close()


def test_what_was_answered_before_it_went_out_is_not_asked(settings: Callable[..., Settings], hook: Webhook) -> None:
    port = hook.server_address[1]
    hook.end()
    with serving(settings(n8n_url=f"http://127.0.0.1:{port}")) as client:
        told = [predict(client, n) for n in range(2)]
        asked = [ask(client, prediction).json()["question_id"] for prediction in told]
        give(client, told[0], "normal")
        back = Webhook(port)
        try:
            wait_for(lambda: len(back.taken) == 1, 30)
            assert back.taken == [("anomaly-alert", asked[1])]
        finally:
            back.end()


def test_a_message_that_could_not_be_mailed_goes_out_again_later(
    settings: Callable[..., Settings], hook: Webhook
) -> None:
    with serving(settings(n8n_url=url_of(hook))) as client:
        question = ask(client, predict(client)).json()
        wait_for(lambda: len(hook.taken) == 1, 20)
        told = tell(client, question, "failed", detail="SMTP: connection refused")
        assert (told["state"], told["events"][-1]["detail"]) == ("queued", "SMTP: connection refused")
        assert datetime.fromisoformat(told["delivery"]["next_attempt"]) > datetime.now(UTC) + timedelta(seconds=30)
        with service_of(client).database.write() as session:
            session.execute(update(OutboxMessage).values(next_attempt=datetime.now(UTC)))
        wait_for(lambda: len(hook.taken) == 2, 20)
        tell(client, question, "sent")
        assert tell(client, question, "failed")["delivery"]["next_attempt"] is None
