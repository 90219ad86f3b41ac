"""`wheeltapper portal`: the web app, until it is told to stop.

Here: the options and Streamlit's. Not here: the app (`portal`).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from audio_pipeline.errors import SettingsError
from portal.settings import PortalSettings, load_settings

app = typer.Typer(add_completion=False)

_APP = Path(__file__).resolve().parents[2] / "portal" / "app.py"
_ZIP_MB = 2048  # a zip of reference clips; clips themselves are limited where they are chosen


@app.command()
def portal(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; beyond loopback changes want the key.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port.")] = None,
    service: Annotated[str | None, typer.Option(help="Where the service is, say http://127.0.0.1:8080.")] = None,
) -> None:
    """Start the portal.

    Every option has its environment variable, which it overrides: WHEELTAPPER_PORTAL_HOST, WHEELTAPPER_PORTAL_PORT,
    WHEELTAPPER_SERVE_URL; more in portal/settings.py.
    """
    given = {"PORTAL_HOST": host, "PORTAL_PORT": None if port is None else str(port), "SERVE_URL": service}
    os.environ.update({f"WHEELTAPPER_{name}": value for name, value in given.items() if value})
    settings = load_settings()
    if importlib.util.find_spec("streamlit") is None:
        raise SettingsError("The portal needs Streamlit: pip install -c requirements.lock -e '.[portal]'")
    # One process, so that whoever started us ends it.
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(_APP), *streamlit_options(settings)])


def streamlit_options(settings: PortalSettings) -> list[str]:
    """Return Streamlit's options: nothing is sent anywhere, nothing is asked on the terminal."""
    options = {
        "server.address": settings.portal_host,
        "server.port": settings.portal_port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": _ZIP_MB,
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        "theme.light.primaryColor": "#2563eb",
        "theme.dark.primaryColor": "#3b82f6",
    }
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]
