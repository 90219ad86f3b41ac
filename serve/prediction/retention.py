"""How long clips are kept: answered ones, open questions' and the reference's for good, the others by age and bytes.

Here: which files go. Not here: how they are stored (`clips`), what still needs them (`database.predictions`). Scores
and vectors stay in the database: a prediction whose clip has gone can be seen and counted, and no longer heard.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from serve.database.connection import Database
from serve.database.predictions import clips_needed

logger = logging.getLogger(__name__)

SWEEP_EVERY_S = 3600.0
# A clip of the last hour may be about to be asked about, or to become reference.
_LEAST_AGE_S = 3600.0
_BATCH = 500


@dataclass(frozen=True, slots=True)
class _Clip:
    sha256: str
    bytes: int
    sent: float


class Retention:
    """Drops clips that nobody needs any more. Any number of processes may do it over one folder.

    Parameters
    ----------
    folder
        Of the clips.
    database
        Where it is written what is still needed.
    days
        A clip that was last sent longer ago goes.
    most_bytes
        Of all clips; beyond it the oldest go first, those that are needed and those of the last hour excepted.
    """

    def __init__(self, folder: Path, database: Database, days: float, most_bytes: int) -> None:
        self._folder = folder
        self._database = database
        self._keep_s = max(days * 86_400, _LEAST_AGE_S)
        self._most_bytes = most_bytes

    def sweep(self) -> int:
        """Drop what may go; return how many clips went. What cannot be removed stays for now."""
        try:
            return self._sweep(time.time())
        except (OSError, SQLAlchemyError) as error:
            logger.warning("Clips that nobody needs stay in %s for now: %s", self._folder, error)
            return 0

    def _sweep(self, now: float) -> int:
        found = sorted(self._clips(), key=lambda clip: clip.sent)
        held, dropped = sum(clip.bytes for clip in found), 0
        old = [clip for clip in found if now - clip.sent > _LEAST_AGE_S]
        for first in range(0, len(old), _BATCH):
            batch = old[first : first + _BATCH]
            if now - batch[0].sent <= self._keep_s and held <= self._most_bytes:
                break  # the others are newer
            with self._database.read() as session:
                needed = clips_needed(session, [clip.sha256 for clip in batch])
            for clip in batch:
                due = now - clip.sent > self._keep_s or held > self._most_bytes
                if due and clip.sha256 not in needed and self._drop(clip):
                    held -= clip.bytes
                    dropped += 1
        if dropped:
            logger.info("%d clips are no longer kept; those that are take %.1f MB", dropped, held / 1e6)
        return dropped

    def _clips(self) -> Iterator[_Clip]:
        for path in self._folder.glob("??/*.flac"):
            with suppress(FileNotFoundError):  # another process sweeps, too
                told = path.stat()
                yield _Clip(path.stem, told.st_size, told.st_mtime)

    def _drop(self, clip: _Clip) -> bool:
        """Remove a clip, unless it has been sent again since it was looked at."""
        path = self._folder / clip.sha256[:2] / f"{clip.sha256}.flac"
        with suppress(FileNotFoundError):
            if path.stat().st_mtime == clip.sent:
                path.unlink()
                return True
        return False
