from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["DO_NOT_TRACK"] = "1"  # before evidently is imported anywhere

import httpx
import pytest

from monitoring.settings import MonitoringSettings
from serve.settings import Settings
from tests.serve.clips import KEY
from tests.serve.conftest import artifacts, settings, trained  # noqa: F401 - fixtures
from tests.serve.server import serving


@pytest.fixture
def client(
    settings: Callable[..., Settings],  # noqa: F811
    trained: tuple[Path, tuple[str, str]],  # noqa: F811
    tmp_path: Path,
) -> Iterator[httpx.Client]:
    """A running service beside the reference that its model was trained on; nothing retrains after answers."""
    shutil.copytree(trained[0].parent / "data-0", tmp_path / "data")
    with serving(settings(retrain_every=0)) as running:
        yield running


@pytest.fixture
def monitoring_settings(client: httpx.Client, tmp_path: Path) -> MonitoringSettings:
    given = {"serve_url": str(client.base_url), "api_key": KEY, "data_dir": tmp_path / "data"}
    return MonitoringSettings(_env_file=None, **given)
