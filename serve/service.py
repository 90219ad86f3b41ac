"""The parts of one running service, under one name.

Here: what there is. Not here: how the parts are made and ended (`app`).
"""

from __future__ import annotations

from dataclasses import dataclass

from audio_pipeline.clip import ClipLimits
from serve.clips import ClipStore
from serve.database.connection import Database
from serve.engine import Engine
from serve.metrics import Metrics
from serve.models import ServedModel
from serve.settings import Settings
from serve.upload import HeldBytes


@dataclass(frozen=True)
class Service:
    """What routes and workers work with.

    Attributes
    ----------
    settings, limits
        As started; what a clip may be.
    metrics, database, clips, engine, model, held
        The parts, each explained by its own class.
    """

    settings: Settings
    limits: ClipLimits
    metrics: Metrics
    database: Database
    clips: ClipStore
    engine: Engine
    model: ServedModel
    held: HeldBytes
