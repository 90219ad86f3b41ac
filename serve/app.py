"""Puts the service together: `create_app(settings)` gives what uvicorn runs.

Here: making the parts, starting and ending them. Not here: what any of them does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from audio_pipeline.clip import ClipLimits
from audio_pipeline.errors import SettingsError
from serve.access import Access
from serve.clips import ClipStore
from serve.database.connection import Database
from serve.edge import Edge
from serve.engine import Engine, available_processors
from serve.metrics import Metrics
from serve.models import ServedModel
from serve.problems import add_problem_handlers
from serve.routes import operations, predict, predictions
from serve.service import Service
from serve.settings import Settings
from serve.upload import HeldBytes


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
    app.add_middleware(Edge, access=Access.of(settings), metrics=metrics)
    for module in (predict, predictions, operations):
        app.include_router(module.router)
    return app


def _service(settings: Settings, metrics: Metrics) -> Service:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The data folder {settings.data_dir} cannot be made ({error.strerror}): let WHEELTAPPER_DATA name another."
        ) from error
    return Service(
        settings=settings,
        limits=ClipLimits(
            min_s=settings.min_duration_s, max_s=settings.max_duration_s, max_bytes=settings.max_upload_bytes
        ),
        metrics=metrics,
        database=Database(settings.database),
        clips=ClipStore(settings.data_dir / "clips"),
        engine=Engine(settings.workers or available_processors(), settings.queue_length),
        model=ServedModel(settings.artifacts_dir, metrics),
        held=HeldBytes(settings.max_body_bytes_held),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    await asyncio.to_thread(service.database.migrate)
    # Without a model the service starts all the same, and says what is missing: it may be trained next.
    await asyncio.to_thread(service.model.look)
    following = asyncio.create_task(service.model.follow())
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await asyncio.to_thread(service.engine.close)
        service.database.close()
