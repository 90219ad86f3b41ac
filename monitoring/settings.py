"""What can be set about monitoring, read once into one typed object.

Here: names and defaults. Every field is an environment variable or a line in `.env`, as for the service.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from audio_pipeline.errors import SettingsError
from monitoring.drift import Rule


class MonitoringSettings(BaseSettings):
    """The settings of monitoring."""

    model_config = SettingsConfigDict(
        env_prefix="WHEELTAPPER_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    serve_url: str = ""
    """Where the service is; empty: on this machine, at the service's own port."""
    serve_port: int = Field(default=8080, validation_alias=AliasChoices("serve_port", "WHEELTAPPER_PORT"))
    api_key: SecretStr | None = None
    data_dir: Path = Field(Path("data"), validation_alias="WHEELTAPPER_DATA")
    monitoring_host: str = "127.0.0.1"
    monitoring_port: int = Field(default=8082, ge=1, le=65535)
    monitoring_url: str = ""
    """Where a person's browser finds Evidently; empty: on this machine."""
    monitoring_workspace: Path | None = None
    """Evidently's folder; empty: `evidently` in the data folder."""
    monitoring_every_s: float = Field(default=3600.0, gt=0)
    monitoring_snapshots: int = Field(default=500, ge=3)
    """Reports that are kept."""
    monitoring_budget: float = Field(default=0.05, gt=0, lt=1)
    monitoring_looks: int = Field(default=720, ge=1)
    """At most `budget` of the series of so many looks hold a false alarm of drift."""
    monitoring_clips: int = Field(default=100, ge=20)
    """Newest clips of a machine that a look compares, with twice as many of the reference."""

    @property
    def rule(self) -> Rule:
        """When a difference is drift."""
        newest = self.monitoring_clips
        return Rule(
            budget=self.monitoring_budget,
            looks=self.monitoring_looks,
            newest=newest,
            most_reference=2 * newest,
            most_compared=4 * newest,
        )

    @property
    def service(self) -> str:
        """The service's address, without a slash at its end."""
        return self.serve_url.rstrip("/") or f"http://127.0.0.1:{self.serve_port}"

    @property
    def workspace(self) -> Path:
        """Evidently's folder."""
        return self.monitoring_workspace or self.data_dir / "evidently"

    @property
    def dashboard(self) -> str:
        """Where a person finds Evidently."""
        return self.monitoring_url.rstrip("/") or f"http://127.0.0.1:{self.monitoring_port}"


def load_settings() -> MonitoringSettings:
    """Read the settings from the environment and `.env`.

    Raises
    ------
    SettingsError
        A value cannot be used; the sentence names each.
    """
    try:
        return MonitoringSettings()  # type: ignore[call-arg]
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError(f"A setting of monitoring cannot be used: {wrong}.") from error
