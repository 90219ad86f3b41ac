"""Confirmed faults, at hand for every prediction: an answer takes effect at once, long before the next training.

Here: which vectors they are, and keeping them fresh in this process. Not here: what the classifier does with them
(`audio_pipeline.detector`), answers (`database.answers`).
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import SQLAlchemyError

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.errors import WheeltapperError
from audio_pipeline.scoring import Scorer
from serve.database import answers
from serve.database.connection import Database
from serve.models.lineage import origin_of
from serve.observability.metrics import Metrics

logger = logging.getLogger(__name__)

# Each costs a comparison with every window: 256 of 641 columns are a tenth of a millisecond.
MOST = 256


@dataclass(frozen=True, eq=False)
class _Known:
    model: str
    encoder_sha256: str
    revision: int
    vectors: NDArray[np.float32] | None


class ConfirmedFaults:
    """The faults that people confirmed and the model in service does not know yet.

    Parameters
    ----------
    database
        Where the answers are.
    artifacts
        Where the models are: one that only changed the false-alarm rate knows what its origin learned.
    metrics
        Told how many there are.
    """

    def __init__(self, database: Database, artifacts: Path, metrics: Metrics) -> None:
        self._database = database
        self._store = ModelStore(artifacts)
        self._origin: tuple[str, str, datetime] | None = None
        self._metrics = metrics
        self._lock = threading.Lock()
        self._known: _Known | None = None

    def of(self, scorer: Scorer) -> NDArray[np.float32] | None:
        """Return what to score a clip with: float32[M, n], or None when there is nothing."""
        known = self._known
        if known is None or known.model != scorer.model:
            known = self.refresh(scorer)
        return known.vectors if known is not None else None

    def before(self, scorer: Scorer, moment: datetime) -> NDArray[np.float32] | None:
        """Return what a clip was scored with at an earlier moment, as far as the answers of then still stand."""
        with self._database.read() as session:
            vectors = answers.confirmed_faults(session, _encoder(scorer), *self._trained(scorer), MOST, moment)
        return vectors if len(vectors) else None

    def refresh(self, scorer: Scorer) -> _Known | None:
        """Look for answers that are new, given to this process or to any other.

        Without the database, what was known stays, as far as it fits the scorer's encoder: a prediction then fails for
        want of a place to store it, not here.
        """
        with self._lock:
            known = self._known
            try:
                with self._database.read() as session:
                    revision = answers.revision(session)
                    if known is not None and (known.model, known.revision) == (scorer.model, revision):
                        return known
                    vectors = answers.confirmed_faults(session, _encoder(scorer), *self._trained(scorer), MOST)
            except SQLAlchemyError as error:
                logger.warning("Confirmed faults cannot be read: %s", type(error).__name__)
                return known if known is not None and known.encoder_sha256 == _encoder(scorer) else None
            self._known = _Known(scorer.model, _encoder(scorer), revision, vectors if len(vectors) else None)
            self._metrics.confirmed.set(len(vectors))
            return self._known

    def _trained(self, scorer: Scorer) -> tuple[str, datetime]:
        """The version that was trained to give the scorer's graph, and when."""
        origin = self._origin
        if origin is None or origin[0] != scorer.model:
            try:
                version = origin_of(self._store, self._store.load(scorer.model))
                origin = scorer.model, version.version, _moment(version.created)
            except (WheeltapperError, ValueError):  # its files are gone or spoilt since it was loaded
                origin = scorer.model, scorer.model, _moment(scorer.classifier.manifest.created)
            self._origin = origin
        return origin[1:]


def _encoder(scorer: Scorer) -> str:
    return scorer.encoder.manifest.sha256


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
