"""The history as a table for other programs.

Here: lines → CSV. Not here: fetching them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from portal.records import Summary

_COLUMNS = (
    "prediction_id",
    "created",
    "machine",
    "filename",
    "anomaly",
    "score",
    "threshold",
    "p_value",
    "sensor_ok",
    "answer",
    "question",
    "duration_s",
    "model_version",
)
# A spreadsheet takes text that begins like this for a formula, and file names come from strangers.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(lines: Iterable[Summary]) -> bytes:
    """Write lines of the history as CSV, UTF-8 with a byte-order mark, which spreadsheets need to see it.

    Examples
    --------
    >>> csv_of([]).decode("utf-8-sig").split(",")[:3]
    ['prediction_id', 'created', 'machine']
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(_COLUMNS)
    for line in lines:
        table.writerow(
            (
                line.prediction_id,
                line.created.isoformat(),
                _text(line.machine),
                _text(line.filename or ""),
                line.anomaly,
                line.score,
                line.threshold,
                line.p_value,
                line.sensor_ok,
                line.answer or "",
                line.question.state if line.question else "",
                line.duration_s,
                line.model_version,
            )
        )
    return out.getvalue().encode("utf-8-sig")


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value
