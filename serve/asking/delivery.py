"""Carries the outbox to n8n's webhooks, for as long as it takes.

Here: the thread, HTTP, when to try again. Not here: the messages and their order (`database.outbox`).

Every service process runs a deliverer, and looks twice a second; a message is claimed before it is sent, so that only
one of them sends it. A process killed between n8n's answer and the note of it sends the message again: once at least.
"""

from __future__ import annotations

import json
import logging
import threading
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from audio_pipeline.addresses import is_loopback
from serve.database import outbox
from serve.database.connection import Database
from serve.database.outbox import Claimed
from serve.database.tables import Question
from serve.observability.metrics import Metrics
from serve.settings import Settings

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5
# n8n answers once the e-mail is out, so that a run which ends halfway is asked for again: a language model and a mail
# server have to be waited for. Where all are slow at once n8n may take longer: the message goes out a second time then,
# with the same Message-ID.
_ANSWER_WITHIN_S = 120.0
# Longer than a message may take: nobody else picks it up while this process is still at it.
_LEASE_S = 150.0
_AT_ONCE = 4  # the first alarm of a bad hour must not hold up the others while a language model words it
_FINISH_S = 2.0
_DATABASE_PAUSE_S = 5.0


class Undelivered(Exception):
    """The message was not taken.

    Parameters
    ----------
    reason
        A sentence.
    unreachable
        Nothing answers at that address: that is said once, and all that waits goes out as soon as one message is taken.
    """

    def __init__(self, reason: str, *, unreachable: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unreachable = unreachable


class Deliverer:
    """Delivers what waits in the outbox, in a thread.

    Parameters
    ----------
    database
        Where the outbox is.
    settings
        n8n's address and token.
    metrics
        Told of every attempt.
    """

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._base = settings.n8n_url
        self._token = settings.webhook_token.get_secret_value() if settings.webhook_token else ""
        self._metrics = metrics
        self._away = False
        self._ended = threading.Event()
        self._look = threading.Event()
        self._under_way: set[threading.Thread] = set()
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if is_loopback(urlsplit(self._base).hostname or ""):
            # A proxy set for the outside world must not be asked for what runs on this machine.
            handlers.append(urllib.request.ProxyHandler({}))
        self._open = urllib.request.build_opener(*handlers).open
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Take no more messages, and end; those on their way have a moment, then their claims run out by themselves."""
        self._ended.set()
        self._thread.join()
        for thread in list(self._under_way):
            thread.join(_FINISH_S)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._look.wait(_LOOK_EVERY_S)
            self._look.clear()
            try:
                self._begin_due()
            except SQLAlchemyError as error:
                logger.warning("The outbox cannot be read: %s", type(error).__name__)
                self._ended.wait(_DATABASE_PAUSE_S)
            except Exception:  # a thread that ends in silence would hold back every message from now on
                logger.exception("The outbox met an error nobody expected; it goes on")
                self._ended.wait(_DATABASE_PAUSE_S)

    def _begin_due(self) -> None:
        """Begin to deliver what is due, each message in a thread of its own, as many as may be under way."""
        while not self._ended.is_set() and len(self._under_way) < _AT_ONCE:
            with self._database.read() as session:
                if not outbox.is_due(session, datetime.now(UTC)):
                    return
            with self._database.write() as session:
                claimed = outbox.claim(session, datetime.now(UTC), _LEASE_S, 1)
            if not claimed:  # another process has it, or what is due waits for another of its lane
                return
            # A daemon: the end of the process does not wait for n8n.
            thread = threading.Thread(target=self._attempt, args=(claimed[0],), name="delivery", daemon=True)
            self._under_way.add(thread)
            thread.start()

    def _attempt(self, message: Claimed) -> None:
        """Deliver one message and note what came of it; without the note it goes out again when the claim runs out."""
        try:
            self._deliver_and_note(message)
        except SQLAlchemyError as error:
            logger.warning("What came of %s cannot be noted: %s", message.payload, type(error).__name__)
        except Exception:
            logger.exception("The delivery of %s met an error nobody expected", message.payload)
        finally:
            self._under_way.discard(threading.current_thread())
            self._look.set()  # there may be another in its lane

    def _deliver_and_note(self, message: Claimed) -> None:
        try:
            note = self._deliver(message)
        except Undelivered as failure:
            self._metrics.deliveries.labels(message.kind, "failed").inc()
            with self._database.write() as session:
                outbox.mark_failed(session, message, datetime.now(UTC), failure.reason)
            if not failure.unreachable:
                logger.warning("n8n did not take %s: %s", message.payload, failure.reason)
            elif not self._away:
                logger.warning("n8n does not answer; messages are kept: %s", failure.reason)
            self._away = failure.unreachable
            return
        self._metrics.deliveries.labels(message.kind, "delivered").inc()
        with self._database.write() as session:
            now = datetime.now(UTC)
            outbox.mark_delivered(session, message.id, now, note)
            if self._away:
                outbox.hurry(session, now)
        self._away = False

    def _deliver(self, message: Claimed) -> str | None:
        """Send one message; return why it was not sent, if it need not be.

        Raises
        ------
        Undelivered
            n8n did not take it.
        """
        if message.kind == outbox.ALERT and self._is_over(uuid.UUID(message.payload["question_id"])):
            return "answered before it was delivered"
        request = urllib.request.Request(
            f"{self._base}/webhook/{message.kind}",
            json.dumps(message.payload).encode(),
            {"Content-Type": "application/json", "X-Wheeltapper-Token": self._token},
        )
        try:
            with self._open(request, timeout=_ANSWER_WITHIN_S) as answer:
                answer.read(65_536)
        except urllib.error.HTTPError as error:
            said = error.read(300).decode(errors="replace")
            # A webhook that is not there (404) and a gateway without n8n behind it (502 to 504) mean all messages.
            gone = error.code in (404, 502, 503, 504)
            raise Undelivered(f"{request.full_url} answered {error.code}: {said}", unreachable=gone) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Undelivered(f"{request.full_url} cannot be reached: {reason}", unreachable=True) from error
        return None

    def _is_over(self, question_id: uuid.UUID) -> bool:
        with self._database.read() as session:
            question = session.get(Question, question_id)
            return question is None or question.answered is not None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, without its message."""

    def redirect_request(
        self,
        req: urllib.request.Request,  # noqa: ARG002
        fp: IO[bytes],  # noqa: ARG002
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: HTTPMessage,  # noqa: ARG002
        newurl: str,  # noqa: ARG002
    ) -> None:
        """Follow none: the answer counts as a failure."""
        return
