"""What the person in charge is told about models: promotions, kept champions, failures, drift, rollbacks.

Here: the message. Not here: its delivery (`serve.database.outbox`, n8n).
"""

from __future__ import annotations

import uuid
from typing import Literal

from sqlalchemy.orm import Session

from serve.database.outbox import NEWS, enqueue
from serve.settings import Settings

Event = Literal["promoted", "kept_champion", "failed", "drift", "rolled_back"]


def tell(
    session: Session,
    settings: Settings,
    event: Event,
    *,
    reason: str,
    detail: str = "",
    model_version: str | None = None,
    previous: str | None = None,
    job_id: uuid.UUID | None = None,
) -> None:
    """Write a message in the caller's transaction.

    Parameters
    ----------
    session
        For writing.
    settings
        Name the recipient, the language and the portal.
    event
        What happened.
    reason, detail
        Why it was done, and what came of it.
    model_version, previous, job_id
        What serves now or was tried, what served before, which job.
    """
    payload = {
        # The same model may be promoted twice, with the same words: each is news, sent again or not.
        "message_id": str(uuid.uuid4()),
        "event": event,
        "job_id": None if job_id is None else str(job_id),
        "model_version": model_version,
        "previous": previous,
        "reason": reason,
        "detail": detail,
        "language": settings.language,
        "recipient": {"name": "", "email": settings.manager_email},
        "portal_url": settings.portal_url,
    }
    enqueue(session, NEWS, payload)
