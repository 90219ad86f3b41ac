"""The ledger: every change of what serves, in the order in which it happened; rows are added, never changed.

Here: adding and reading rows. Not here: changing what serves (`serve.models.promotion`).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from serve.database.retrain_tables import LedgerEntry

Action = Literal["trained", "promoted", "kept", "rolled_back", "threshold"]
SWITCHES: tuple[Action, ...] = ("promoted", "rolled_back", "threshold")
"""Actions after which the version named is the one that serves."""


def append(
    session: Session,
    action: Action,
    version: str,
    *,
    encoder_sha256: str,
    by: str,
    reason: str,
    previous: str | None = None,
    job_id: uuid.UUID | None = None,
) -> None:
    """Add a row, now.

    Parameters
    ----------
    session
        For writing.
    action, version
        What was done, to which version.
    encoder_sha256
        Of that version.
    by, reason
        Who did it, and why, in a sentence.
    previous
        What served before.
    job_id
        The job that did it.
    """
    session.add(
        LedgerEntry(
            at=datetime.now(UTC),
            action=action,
            model_version=version,
            previous=previous,
            encoder_sha256=encoder_sha256,
            by=by,
            reason=reason,
            job_id=job_id,
        )
    )
    session.flush()  # a database that refuses does so before anything else is changed


def history(session: Session, version: str | None = None) -> Sequence[LedgerEntry]:
    """Read the rows, oldest first: of one version, or all."""
    query = select(LedgerEntry).order_by(LedgerEntry.id)
    return session.scalars(query if version is None else query.where(LedgerEntry.model_version == version)).all()


def last_switch(session: Session, version: str | None = None) -> LedgerEntry | None:
    """Return the latest change of what serves; of `version`: the latest one that put it there and was no rollback."""
    query = select(LedgerEntry).where(LedgerEntry.action.in_(SWITCHES)).order_by(LedgerEntry.id.desc()).limit(1)
    if version is not None:
        query = query.where(LedgerEntry.model_version == version, LedgerEntry.action != "rolled_back")
    return session.scalar(query)
