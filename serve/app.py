"""Puts the service together: `create_app(settings)` gives what uvicorn runs.

Here: making the parts, starting and ending them. Not here: what any of them does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from audio_pipeline.clip import ClipLimits
from audio_pipeline.errors import SettingsError
from audio_pipeline.processors import available_processors
from serve.answers.confirmed import ConfirmedFaults
from serve.answers.production import ProductionTable, ProductionWriter
from serve.asking.delivery import Deliverer
from serve.asking.links import Links
from serve.asking.playbook import Playbook
from serve.asking.questions import Asker
from serve.asking.tokens import Tokens
from serve.database.connection import Database
from serve.http.access import Access
from serve.http.draining import Draining
from serve.http.edge import Edge
from serve.http.problems import add_problem_handlers
from serve.http.upload import HeldBytes
from serve.models.current import ServedModel
from serve.models.promotion import Promotion
from serve.models.reference_files import ReferenceFiles
from serve.observability.metrics import Metrics
from serve.observability.monitoring import MonitoringCollector
from serve.observability.state_metrics import EVERY_S as STATE_EVERY_S
from serve.observability.state_metrics import read_state
from serve.prediction.clips import ClipStore
from serve.prediction.engine import Engine
from serve.prediction.explanation import Explanations
from serve.prediction.retention import SWEEP_EVERY_S, Retention
from serve.retraining.dispatcher import Retraining
from serve.routes import (
    explanation,
    feedback,
    models,
    monitoring,
    operations,
    predict,
    predictions,
    questions,
    reference,
    retrain,
    stats,
    threshold,
)
from serve.service import Service
from serve.settings import Settings

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
# Threads that answer about explanations: one is worked out at a time, those that are remembered need not wait for it.
_EXPLAINING = 4


def create_app(settings: Settings) -> FastAPI:
    """Make the service; its models are loaded and its database brought up to date when it starts.

    Parameters
    ----------
    settings
        Read once, by the caller (`settings.load_settings`).

    Raises
    ------
    SettingsError
        The data folder or the database cannot be used.
    """
    metrics = Metrics()
    app = FastAPIOffline(  # its /docs needs no internet
        redoc_url=None,
        title="Wheeltapper",
        version=version("wheeltapper"),
        summary="Listens to machine sounds and flags the abnormal ones.",
        lifespan=_lifespan,
    )
    app.state.service = service = _service(settings, metrics)
    metrics.watch(lambda: service.engine.waiting, lambda: service.held.held)
    add_problem_handlers(app)
    app.add_middleware(Edge, access=Access.of(settings), metrics=metrics, draining=service.draining)
    metrics.registry.register(service.monitoring)
    # monitoring before predictions: /predictions/vectors is no prediction's id.
    for module in (predict, monitoring, predictions, explanation, feedback, questions, operations):
        app.include_router(module.router)
    for module in (models, threshold, retrain, reference, stats):
        app.include_router(module.router)
    return app


def _service(settings: Settings, metrics: Metrics) -> Service:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The data folder {settings.data_dir} cannot be made ({error.strerror}): let WHEELTAPPER_DATA name another."
        ) from error
    database = Database(settings.database)
    clips, model = ClipStore(settings.data_dir / "clips"), ServedModel(settings.artifacts_dir, metrics)
    confirmed = ConfirmedFaults(database, settings.artifacts_dir, metrics)
    promotion = Promotion(database, settings)
    reference_files = ReferenceFiles(settings.data_dir, clips)
    tokens = Tokens(settings.api_key.get_secret_value() if settings.api_key else None)
    return Service(
        settings=settings,
        limits=ClipLimits(
            min_s=settings.min_duration_s, max_s=settings.max_duration_s, max_bytes=settings.max_upload_bytes
        ),
        metrics=metrics,
        database=database,
        clips=clips,
        retention=Retention(clips.folder, database, settings.keep_clips_days, settings.keep_clips_bytes),
        engine=Engine(settings.workers or available_processors(), settings.queue_length),
        explaining=Engine(_EXPLAINING, settings.queue_length),
        model=model,
        held=HeldBytes(settings.max_body_bytes_held),
        draining=Draining(),
        asker=Asker(database, settings, metrics),
        confirmed=confirmed,
        production=ProductionWriter(ProductionTable(database, settings.data_dir, settings.artifacts_dir), metrics),
        deliverer=Deliverer(database, settings, metrics),
        tokens=tokens,
        links=Links(settings, tokens),
        playbook=Playbook(settings.playbook_file),
        reference=reference_files,
        promotion=promotion,
        retraining=Retraining(settings, database, promotion, metrics),
        explanations=Explanations(settings.artifacts_dir, clips, model, database, confirmed, reference_files),
        monitoring=MonitoringCollector(database),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    await asyncio.to_thread(service.database.migrate)
    # Without a model the service starts all the same, and says what is missing: it may be trained next.
    await asyncio.to_thread(service.model.look)
    service.production.start()
    service.deliverer.start()

    def follow_answers() -> None:
        if service.model.serves:  # what is confirmed to another process
            service.confirmed.refresh(service.model.scorer)

    def follow_state() -> None:
        read_state(service.database, service.production, service.metrics)
        service.monitoring.look()

    tasks = (
        service.model.follow(),
        _repeat(_LOOK_EVERY_S, follow_answers),
        _repeat(STATE_EVERY_S, follow_state),
        _repeat(_LOOK_EVERY_S, service.retraining.look),
        _repeat(SWEEP_EVERY_S, service.retention.sweep),
    )
    following = [asyncio.create_task(task) for task in tasks]
    try:
        yield
    finally:
        for task in following:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*following)
        await asyncio.to_thread(service.retraining.close)
        await asyncio.to_thread(service.engine.close)
        await asyncio.to_thread(service.explaining.close)
        await asyncio.to_thread(service.deliverer.close)
        await asyncio.to_thread(service.production.close)
        service.database.close()


async def _repeat(seconds: float, work: Callable[[], object]) -> None:
    """Do `work` in a thread for ever, whatever it raises."""
    while True:
        try:
            await asyncio.to_thread(work)
        except Exception:
            logger.exception("What is done every %g s met an error nobody expected; it goes on", seconds)
        await asyncio.sleep(seconds)
