from __future__ import annotations

import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from audio_pipeline.artifacts import ModelStore
from serve.settings import Settings
from tests.serve import postgres
from tests.serve.clips import KEY, NOWHERE, clip
from tests.serve.server import serving
from wheeltapper.commands.embed import embed
from wheeltapper.commands.train import train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, str]]:
    """An artifacts folder with two models, trained by the real commands, and their versions; the first serves."""
    folder = tmp_path_factory.mktemp("trained")
    versions = []
    for first in (0, 100):
        normals = folder / f"recordings-{first}" / "fan" / "id_00" / "normal"
        normals.mkdir(parents=True)
        for seed in range(first, first + 30):
            (normals / f"{seed:08d}.wav").write_bytes(clip(seed))
        data = folder / f"data-{first}"
        embed([normals.parents[2]], out=data, artifacts=folder / "artifacts", workers=1)
        train(data=data, artifacts=folder / "artifacts", promote=True)
        current = ModelStore(folder / "artifacts").current()
        assert current is not None
        versions.append(current.model)
    ModelStore(folder / "artifacts").set_current(versions[0])
    assert versions[0] != versions[1]
    return folder / "artifacts", (versions[0], versions[1])


@pytest.fixture
def versions(trained: tuple[Path, tuple[str, str]]) -> tuple[str, str]:
    return trained[1]


@pytest.fixture
def artifacts(trained: tuple[Path, tuple[str, str]], tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    return Path(shutil.copytree(trained[0], tmp_path / "artifacts"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
    elif postgres.binaries() is None:
        warnings.warn(postgres.HOW, stacklevel=1)
        pytest.skip(postgres.HOW)
    else:
        with postgres.cluster() as url:
            yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'wheeltapper.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    name = f"test_{uuid.uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield admin.url.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def settings(tmp_path: Path, artifacts: Path) -> Callable[..., Settings]:
    """Settings of a service on loopback with SQLite, and whatever a test wants otherwise."""

    def make(**different: object) -> Settings:
        values = {
            "data_dir": tmp_path / "data",
            "artifacts_dir": artifacts,
            "api_key": KEY,
            "workers": 2,
            "n8n_url": NOWHERE,
            "audit_share": 0,  # no question that nobody asked, now and then
        }
        return Settings(_env_file=None, **{**values, **different})  # type: ignore[arg-type]

    return make


@pytest.fixture
def client(settings: Callable[..., Settings]) -> Iterator[httpx.Client]:
    """A running service with SQLite."""
    with serving(settings()) as running:
        yield running


@pytest.fixture
def client_of_each(settings: Callable[..., Settings], database_url: str) -> Iterator[httpx.Client]:
    """A running service, once with SQLite and once with PostgreSQL."""
    with serving(settings(database_url=database_url)) as running:
        yield running
