"""Which environment variables our programs read: a name that none of them reads is a mistake in a deployment."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from monitoring.settings import MonitoringSettings
from portal.settings import PortalSettings
from serve.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def unread(names: Iterable[str]) -> list[str]:
    """Those of the names that no program of ours reads."""
    fields = {f"WHEELTAPPER_{field}".upper() for of in (Settings, PortalSettings, MonitoringSettings)
              for field in of.model_fields}  # fmt: skip
    text = "".join((ROOT / file).read_text() for file in ("serve/settings.py", "automation/settings.py"))
    return [name for name in names if name not in fields and f'"{name}"' not in text]
