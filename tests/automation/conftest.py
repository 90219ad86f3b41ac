from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults import asking
from benchmarks.faults.asking_running import HOW, Asking, available
from tests.serve.conftest import trained  # noqa: F401  (the same model as the service's tests)


@pytest.fixture(scope="session")
def chain(trained: tuple[Path, tuple[str, str]]) -> Iterator[Asking]:  # noqa: F811
    """Serve, n8n behind a TLS proxy, a mail server and a language model: all real but the model."""
    if not available():
        warnings.warn(HOW, stacklevel=1)
        pytest.skip(HOW)
    running = asking.asking(trained[0])
    yield running
    running.end()


@pytest.fixture
def artifacts(chain: Asking, trained: tuple[Path, tuple[str, str]]) -> Path:  # noqa: F811
    """The folder that the chain was started with."""
    return trained[0]
