from __future__ import annotations

from tests.serve.conftest import artifacts, trained

__all__ = ["artifacts", "trained"]
