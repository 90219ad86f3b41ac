"""The parts of one running service, under one name.

Here: what there is. Not here: how the parts are made and ended (`app`).
"""

from __future__ import annotations

from dataclasses import dataclass

from audio_pipeline.clip import ClipLimits
from serve.answers.confirmed import ConfirmedFaults
from serve.answers.production import ProductionWriter
from serve.asking.delivery import Deliverer
from serve.asking.links import Links
from serve.asking.playbook import Playbook
from serve.asking.questions import Asker
from serve.asking.tokens import Tokens
from serve.database.connection import Database
from serve.http.draining import Draining
from serve.http.upload import HeldBytes
from serve.models.current import ServedModel
from serve.models.promotion import Promotion
from serve.models.reference_files import ReferenceFiles
from serve.observability.metrics import Metrics
from serve.observability.monitoring import MonitoringCollector
from serve.prediction.clips import ClipStore
from serve.prediction.engine import Engine
from serve.prediction.explanation import Explanations
from serve.prediction.retention import Retention
from serve.retraining.dispatcher import Retraining
from serve.settings import Settings


@dataclass(frozen=True)
class Service:
    """What routes and workers work with.

    Attributes
    ----------
    settings, limits
        As started; what a clip may be.
    metrics, database, clips, retention, engine, model, held, draining
    explaining
        An engine of its own for explanations: they wait for each other, and predictions must not wait behind them.
    asker, confirmed, production, deliverer, tokens, links, playbook
    reference, promotion, retraining, explanations, monitoring
        The parts, each explained by its own class.
    """

    settings: Settings
    limits: ClipLimits
    metrics: Metrics
    database: Database
    clips: ClipStore
    retention: Retention
    engine: Engine
    explaining: Engine
    model: ServedModel
    held: HeldBytes
    draining: Draining
    asker: Asker
    confirmed: ConfirmedFaults
    production: ProductionWriter
    deliverer: Deliverer
    tokens: Tokens
    links: Links
    playbook: Playbook
    reference: ReferenceFiles
    promotion: Promotion
    retraining: Retraining
    explanations: Explanations
    monitoring: MonitoringCollector
