"""Everything about the portal that can be set, read once into one typed object.

Here: names, defaults, and where the service is. Not here: what the settings do.

Every field is an environment variable or a line in `.env`, as for the service.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from audio_pipeline.addresses import is_loopback
from audio_pipeline.errors import SettingsError


class PortalSettings(BaseSettings):
    """The portal's settings."""

    model_config = SettingsConfigDict(
        env_prefix="WHEELTAPPER_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    portal_host: str = "127.0.0.1"
    portal_port: int = Field(default=8081, ge=1, le=65535)
    serve_url: str = ""
    """Where the service is; empty: on this machine, at the service's own port."""
    serve_port: int = Field(default=8080, validation_alias=AliasChoices("serve_port", "WHEELTAPPER_PORT"))
    serve_host: str = Field(default="127.0.0.1", validation_alias=AliasChoices("serve_host", "WHEELTAPPER_HOST"))
    monitoring_url: str = "http://127.0.0.1:8082"
    """Where a person's browser finds Evidently."""
    api_key: SecretStr | None = None
    language: Literal["en", "fr"] = "en"
    demo_clips: Path = Path("data/demo/clips")
    """Folder of clips to try, offered where it exists."""
    max_upload_bytes: int = Field(default=50 * 2**20, gt=0)
    """As the service's: refused here before anything is sent."""

    @property
    def service(self) -> str:
        """The service's address, without a slash at its end."""
        if self.serve_url:
            return self.serve_url.rstrip("/")
        # A service that listens on every address is reached on loopback.
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.serve_host, self.serve_host)
        return f"http://{host}:{self.serve_port}"

    @property
    def exposed(self) -> bool:
        """Whether other machines reach the portal: then it does not lend its key to whoever comes."""
        return not is_loopback(self.portal_host)


def load_settings() -> PortalSettings:
    """Read the settings from the environment and `.env`.

    Raises
    ------
    SettingsError
        A value cannot be used; the sentence names each.
    """
    try:
        return PortalSettings()
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError(f"A setting of the portal cannot be used: {wrong}.") from error
