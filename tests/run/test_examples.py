"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("audio_pipeline", "serve", "wheeltapper", "portal")
NEEDS_TRAIN = ("audio_pipeline.torch_encoders", "audio_pipeline.pretraining", "audio_pipeline.export")
# Alembic's scripts run when they are imported, and only Alembic may do that.
MODULES = sorted(
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}.", onerror=lambda _name: None)
    if ".migrations." not in module.name and not module.name.endswith(".__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.startswith(NEEDS_TRAIN):
        pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[train]'")
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS, raise_on_error=False)
    assert result.failed == 0
