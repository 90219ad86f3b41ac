"""`wheeltapper serve`: the HTTP service, until it is told to stop.

Here: the options and uvicorn's. Not here: the service (`serve`).
"""

from __future__ import annotations

import ctypes
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from serve.app import create_app
from serve.http.draining import DrainingServer
from serve.settings import load_settings
from wheeltapper.database import answering

app = typer.Typer(add_completion=False)

# Longer than a full queue takes: what was taken on is answered, then the process ends.
_FINISH_S = 60
# glibc's mallopt: its numbers for two limits, in bytes. The first may be no higher.
_M_MMAP_THRESHOLD, _MMAP_ABOVE = -3, 32 * 2**20
_M_TRIM_THRESHOLD, _TRIM_ABOVE = -1, 64 * 2**20


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; beyond loopback it needs a key.")] = None,
    port: Annotated[int | None, typer.Option(help="Port.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads that decode and score; by default one a processor.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of clips and the embedded database.")] = None,
    artifacts: Annotated[Path | None, typer.Option(help="Folder of encoders and models.")] = None,
) -> None:
    """Start the HTTP service.

    Every option has its environment variable, which it overrides: WHEELTAPPER_HOST, WHEELTAPPER_PORT,
    WHEELTAPPER_WORKERS, WHEELTAPPER_DATA, WHEELTAPPER_ARTIFACTS; more in serve/settings.py.
    SIGTERM and Ctrl-C finish what was taken on, after WHEELTAPPER_DRAIN_S seconds.
    """
    settings = load_settings(host=host, port=port, workers=workers, data_dir=data, artifacts_dir=artifacts)
    _reuse_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    served = create_app(settings)
    with answering():  # the service does it too when it starts, but uvicorn shows what it meets there as a traceback
        served.state.service.database.migrate()
    config = uvicorn.Config(
        served,
        host=settings.host,
        port=settings.port,
        access_log=False,  # /metrics counts, and every prediction has its own line
        log_config=None,
        timeout_graceful_shutdown=_FINISH_S,
    )
    server = DrainingServer(config, served.state.service.draining, settings.drain_s)
    with suppress(KeyboardInterrupt):  # uvicorn raises again what it was stopped by
        server.run()
    if not server.started:
        raise typer.Exit(3)  # uvicorn has said why


def _reuse_memory() -> None:
    """Let the C library keep freed memory for the next clip.

    Each clip needs the same tens of megabytes. Given back to the system in between, they come again page by page:
    about 1000 page faults a clip, 1 to 2 ms of processor time (measured, of 20).
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _MMAP_ABOVE)
            mallopt(_M_TRIM_THRESHOLD, _TRIM_ABOVE)
