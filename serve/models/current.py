"""The model that serves: loaded once, followed when `artifacts/current.json` names another.

Here: when to load and when to swap. Not here: what is loaded (`audio_pipeline.scoring`), or who promotes.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from pathlib import Path

import numpy as np

from audio_pipeline.clip import decode, to_wav
from audio_pipeline.errors import BrokenArtifact, WheeltapperError
from audio_pipeline.scoring import Scorer
from serve.observability.metrics import Metrics

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
# What could not be loaded may be repaired in place; hashing a large encoder every second would cost the clips.
_RETRY_EVERY_S = 15.0
_PROBE_VALID_S = 5.0


class ServedModel:
    """Holds the scorer in service; readers take it in one step, so that one answer never mixes two models.

    Parameters
    ----------
    artifacts
        The artifacts folder.
    metrics
        Told of every swap and of what cannot be loaded.
    """

    def __init__(self, artifacts: Path, metrics: Metrics) -> None:
        self._artifacts = artifacts
        self._metrics = metrics
        self._scorer: Scorer | None = None
        self._seen: tuple[int, int, int] | None = None
        self._failed_at = -math.inf
        self._probe_lock = threading.Lock()
        self._probed: tuple[Scorer, float] | None = None
        self.problem: str | None = f"No model has been loaded from {artifacts} yet."

    @property
    def serves(self) -> bool:
        """Whether there is a scorer."""
        return self._scorer is not None

    @property
    def scorer(self) -> Scorer:
        """The scorer in service.

        Raises
        ------
        BrokenArtifact
            There is none.
        """
        scorer = self._scorer
        if scorer is None:
            raise BrokenArtifact(self.problem or "No model serves.")
        return scorer

    def look(self) -> None:
        """Load what `current.json` names, if it is not what serves; whatever is wrong with it, the old one stays."""
        named = _state(self._artifacts / "current.json")
        failed = self.problem is not None
        if named == self._seen and not (failed and time.monotonic() - self._failed_at > _RETRY_EVERY_S):
            return
        self._seen = named
        try:
            scorer = Scorer.load(self._artifacts)
            _try_out(scorer)
        except Exception as error:
            # Not only the errors raised on purpose: whatever a damaged file brings about, the old model goes on.
            self._failed_at = time.monotonic()
            self.problem = error.message if isinstance(error, WheeltapperError) else f"{type(error).__name__}: {error}"
            self._metrics.model_broken.set(1)
            logger.error("The model that current.json names cannot serve: %s", self.problem)  # noqa: TRY400
            return
        self._scorer, self.problem = scorer, None
        self._metrics.model_broken.set(0)
        self._metrics.swaps.inc()
        self._metrics.model_info.clear()
        self._metrics.model_info.labels(scorer.model, scorer.encoder_name).set(1)
        logger.info("Model %s serves (encoder %s).", scorer.model, scorer.encoder_name)

    async def follow(self) -> None:
        """Look every second, for ever."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await asyncio.to_thread(self.look)

    def check(self) -> Scorer:
        """Score a built-in clip for real, at most once every few seconds however often it is asked.

        Raises
        ------
        BrokenArtifact
            No model, or one that gives no score.
        """
        with self._probe_lock:
            scorer = self.scorer
            if self._probed is None or self._probed[0] is not scorer or time.monotonic() > self._probed[1]:
                _try_out(scorer)
                self._probed = (scorer, time.monotonic() + _PROBE_VALID_S)
            return scorer


def _state(path: Path) -> tuple[int, int, int] | None:
    """Tell one content of a file from the next, also when the same version is promoted again after a repair."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _try_out(scorer: Scorer) -> None:
    time_s = np.arange(16_000) / 16_000
    hum = 0.1 * np.sin(2 * np.pi * 120 * time_s) + 0.01 * np.random.default_rng(0).standard_normal(16_000)
    try:
        verdict = scorer.score(decode(to_wav(hum.astype(np.float32))), "")
    except Exception as error:  # onnxruntime raises its own, undocumented exception classes
        raise BrokenArtifact(f"The model {scorer.model} fails on a clip that is fine: {error}") from error
    if not math.isfinite(verdict.score):
        raise BrokenArtifact(f"The model {scorer.model} gives {verdict.score} as score of a clip that is fine.")
