"""Figures of the loop that are read from the database, for Prometheus.

Here: reading them every few seconds, so that a scrape never waits for the database. Not here: their names (`metrics`).
"""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from serve.answers.production import ProductionWriter
from serve.database import answers, outbox, questions
from serve.database.connection import Database
from serve.observability.metrics import Metrics

logger = logging.getLogger(__name__)

EVERY_S = 5.0
_AGREEMENT_OF = 200


def read_state(database: Database, production: ProductionWriter, metrics: Metrics) -> None:
    """Set the gauges that the database knows; without it they keep what they had."""
    try:
        with database.read() as session:
            states = questions.by_state(session)
            waiting = outbox.waiting(session)
            revision = answers.revision(session)
            agreement = answers.agreement(session, _AGREEMENT_OF)
    except SQLAlchemyError as error:
        logger.warning("The state of questions and answers cannot be read: %s", type(error).__name__)
        return
    for state, count in states.items():
        metrics.questions.labels(state).set(count)
    metrics.outbox_depth.set(waiting.messages)
    age = (datetime.now(UTC) - waiting.oldest).total_seconds() if waiting.oldest is not None else 0.0
    metrics.outbox_age.set(max(0.0, age))
    metrics.table_behind.set(max(0, revision - production.shown))
    metrics.agreement.set(math.nan if agreement is None else agreement)
