"""Reference sets in the database: each content of `ref_data.csv` a version, each window kept once.

Here: recording, reading and comparing versions. Not here: the files (`audio_pipeline.reference`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, undefer

from audio_pipeline.reference import Reference
from serve.database.connection import Database
from serve.database.predictions import from_bytes, to_bytes
from serve.database.retrain_tables import ReferenceRow, ReferenceVersion, ReferenceWindow

_BLOCK = 500  # rows a transaction: predictions want to be stored in between


@dataclass(frozen=True)
class ReferenceDifference:
    """In what two versions differ, in windows.

    Attributes
    ----------
    added, removed
        Windows that only the second, only the first has.
    relabelled
        Windows of both, called normal by one and anomaly by the other.
    shared
        Windows of both.
    """

    added: int
    removed: int
    relabelled: int
    shared: int


def record(database: Database, reference: Reference) -> bool:
    """Keep a reference set as a version; tell whether it is new.

    A kill in between leaves rows without their version, which are completed the next time.

    Parameters
    ----------
    database
        Where to.
    reference
        As read from its files, with its `sha256`.
    """
    with database.read() as session:
        if session.get(ReferenceVersion, reference.sha256) is not None:
            return False
    held_out = reference.held_out
    for first in range(0, len(reference), _BLOCK):
        rows = range(first, min(first + _BLOCK, len(reference)))
        with database.write() as session:
            _record_rows(session, reference, rows, held_out)
    with database.write() as session:
        insert_once = postgresql.insert if session.connection().dialect.name == "postgresql" else sqlite.insert
        session.execute(
            insert_once(ReferenceVersion)
            .values(
                sha256=reference.sha256,
                created=datetime.now(UTC),
                encoder_name=reference.encoder_name,
                encoder_sha256=reference.encoder_sha256,
                rows=len(reference),
                clips=len(np.unique(reference.clips)),
                anomalies=int(reference.targets.sum()),
                held_out=int(held_out.sum()),
            )
            .on_conflict_do_nothing()
        )
    return True


def _record_rows(session: Session, reference: Reference, rows: range, held_out: np.ndarray) -> None:
    insert_once = postgresql.insert if session.connection().dialect.name == "postgresql" else sqlite.insert
    session.execute(
        insert_once(ReferenceWindow).on_conflict_do_nothing(),
        [
            {
                "clip_sha256": str(reference.clips[row]),
                "encoder_sha256": reference.encoder_sha256,
                "start_s": float(reference.starts_s[row]),
                "end_s": float(reference.ends_s[row]),
                "vector": to_bytes(reference.vectors[row]),
            }
            for row in rows
        ],
    )
    keys = [
        (str(reference.clips[r]), reference.encoder_sha256, float(reference.starts_s[r]), float(reference.ends_s[r]))
        for r in rows
    ]
    window = tuple_(
        ReferenceWindow.clip_sha256, ReferenceWindow.encoder_sha256, ReferenceWindow.start_s, ReferenceWindow.end_s
    )
    numbers = {
        (clip, start): number
        for number, clip, start in session.execute(
            select(ReferenceWindow.id, ReferenceWindow.clip_sha256, ReferenceWindow.start_s).where(window.in_(keys))
        )
    }
    session.execute(
        insert_once(ReferenceRow).on_conflict_do_nothing(),
        [
            {
                "reference_sha256": reference.sha256,
                "position": row,
                "window_id": numbers[str(reference.clips[row]), float(reference.starts_s[row])],
                "target": bool(reference.targets[row]),
                "machine": str(reference.machines[row]),
                "domain": str(reference.domains[row]),
                "split": str(reference.splits[row]),
                "recording": _text(reference.groups[row]),
                "path": _text(reference.paths[row]),
                "level_db": float(reference.levels_db[row]),
                "held_out": bool(held_out[row]),
            }
            for row in rows
        ],
    )


def _text(value: str) -> str:
    """A file's name need not be valid UTF-8; a database's text must be."""
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def load(session: Session, sha256: str) -> Reference | None:
    """Read a version back, vectors and all; None: it was never kept, or not to its end."""
    version = session.get(ReferenceVersion, sha256)
    if version is None:
        return None
    pairs = session.execute(
        select(ReferenceRow, ReferenceWindow)
        .join(ReferenceWindow, ReferenceWindow.id == ReferenceRow.window_id)
        .where(ReferenceRow.reference_sha256 == sha256)
        .order_by(ReferenceRow.position)
        .options(undefer(ReferenceWindow.vector))
    ).all()
    return Reference(
        vectors=np.array([from_bytes(window.vector) for _, window in pairs], np.float32),
        targets=np.array([row.target for row, _ in pairs], bool),
        clips=np.array([window.clip_sha256 for _, window in pairs], np.str_),
        paths=np.array([row.path for row, _ in pairs], np.str_),
        machines=np.array([row.machine for row, _ in pairs], np.str_),
        domains=np.array([row.domain for row, _ in pairs], np.str_),
        splits=np.array([row.split for row, _ in pairs], np.str_),
        groups=np.array([row.recording for row, _ in pairs], np.str_),
        starts_s=np.array([window.start_s for _, window in pairs], np.float64),
        ends_s=np.array([window.end_s for _, window in pairs], np.float64),
        levels_db=np.array([row.level_db for row, _ in pairs], np.float64),
        encoder_name=version.encoder_name,
        encoder_sha256=version.encoder_sha256,
        sha256=sha256,
    )


def difference(session: Session, first: str, second: str) -> ReferenceDifference:
    """Tell in what the second version differs from the first."""

    def of(sha256: str) -> dict[tuple[str, float, float], bool]:
        rows = session.execute(
            select(ReferenceWindow.clip_sha256, ReferenceWindow.start_s, ReferenceWindow.end_s, ReferenceRow.target)
            .join(ReferenceRow, ReferenceRow.window_id == ReferenceWindow.id)
            .where(ReferenceRow.reference_sha256 == sha256)
        )
        return {(clip, start, end): target for clip, start, end, target in rows}

    before, after = of(first), of(second)
    shared = before.keys() & after.keys()
    return ReferenceDifference(
        added=len(after.keys() - shared),
        removed=len(before.keys() - shared),
        relabelled=sum(before[key] != after[key] for key in shared),
        shared=len(shared),
    )


def counted(session: Session, sha256: str) -> dict[str, int] | None:
    """Count a version's rows by what they were good for; None: it was never kept."""
    if session.get(ReferenceVersion, sha256) is None:
        return None
    rows = session.execute(
        select(ReferenceRow.held_out, ReferenceRow.target, func.count())
        .where(ReferenceRow.reference_sha256 == sha256)
        .group_by(ReferenceRow.held_out, ReferenceRow.target)
    ).all()
    return {
        "held_out": sum(count for held_out, _, count in rows if held_out),
        "trained_normal": sum(count for held_out, target, count in rows if not held_out and not target),
        "trained_anomaly": sum(count for held_out, target, count in rows if not held_out and target),
    }
