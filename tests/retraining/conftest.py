from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from serve.settings import Settings
from tests.serve.clips import KEY, NOWHERE
from tests.serve.conftest import artifacts, database_url, postgres_server, trained, versions
from tests.serve.server import serving

__all__ = ["artifacts", "database_url", "postgres_server", "trained", "versions"]


@pytest.fixture
def settings(tmp_path: Path, artifacts: Path, trained: tuple[Path, tuple[str, str]]) -> Callable[..., Settings]:
    """Settings of a service whose reference is what the first model was trained on; no automatic retrain."""
    data = tmp_path / "data"
    shutil.copytree(trained[0].parent / "data-0", data, ignore=shutil.ignore_patterns("cache", "*.db*"))

    def make(**different: object) -> Settings:
        values = {
            "data_dir": data,
            "artifacts_dir": artifacts,
            "api_key": KEY,
            "workers": 2,
            "n8n_url": NOWHERE,
            "audit_share": 0,  # no question that nobody asked, now and then
            "retrain_every": 0,
        }
        return Settings(_env_file=None, **{**values, **different})  # type: ignore[arg-type]

    return make


@pytest.fixture
def client_of_each(settings: Callable[..., Settings], database_url: str) -> Iterator[httpx.Client]:
    """A running service, once with SQLite and once with PostgreSQL."""
    with serving(settings(database_url=database_url)) as running:
        yield running


@pytest.fixture
def client(settings: Callable[..., Settings]) -> Iterator[httpx.Client]:
    """A running service with SQLite."""
    with serving(settings()) as running:
        yield running
