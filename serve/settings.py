"""Everything about the service that can be set, read once into one typed object.

Here: names, defaults, what is refused. Not here: what the settings do.

Every field is an environment variable (`WHEELTAPPER_PORT=9000`), or a line in `.env`; only the database has the name
that every platform uses, `DATABASE_URL`, and the folders those of the command line.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from audio_pipeline.errors import SettingsError

MIN_KEY_LENGTH = 16
_PLACEHOLDERS = frozenset({"changeme", "change-me", "changethis", "change-this", "secret", "password"})


class Settings(BaseSettings):
    """The service's settings.

    Raises
    ------
    SettingsError
        The service would listen beyond this machine without a usable key.
    """

    model_config = SettingsConfigDict(
        env_prefix="WHEELTAPPER_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    api_key: SecretStr | None = None
    data_dir: Path = Field(Path("data"), validation_alias="WHEELTAPPER_DATA")
    artifacts_dir: Path = Field(Path("artifacts"), validation_alias="WHEELTAPPER_ARTIFACTS")
    database_url: str | None = Field(None, validation_alias="DATABASE_URL")
    """SQLAlchemy's URL; empty: SQLite in `data_dir`."""

    max_upload_bytes: int = Field(50 * 2**20, gt=0)
    max_duration_s: float = Field(600.0, gt=0)
    min_duration_s: float = Field(0.25, gt=0)
    workers: int | None = Field(None, ge=1)
    """Threads that decode and score; empty: one for each processor this process may use."""
    queue_length: int = Field(32, ge=1)
    """Clips that may wait for a thread; the next one is answered 503."""
    max_body_bytes_held: int = Field(512 * 2**20, gt=0)
    """Bytes of requests held at once, being read or waiting; beyond it 503."""

    @property
    def exposed(self) -> bool:
        """Whether the service listens to other machines than this one."""
        return not is_loopback(self.host)

    @property
    def database(self) -> str:
        """The database's URL, with the driver that is installed here."""
        if not self.database_url:
            return f"sqlite:///{self.data_dir / 'wheeltapper.db'}"
        scheme, separator, rest = self.database_url.partition("://")
        if scheme in ("postgres", "postgresql"):
            scheme = "postgresql+psycopg"
        return scheme + separator + rest

    @model_validator(mode="after")
    def _exposed_needs_a_key(self) -> Settings:
        key = self.api_key.get_secret_value() if self.api_key else ""
        if key.lower() in _PLACEHOLDERS:
            raise SettingsError("WHEELTAPPER_API_KEY still has its placeholder: set it to a random string.")
        if self.exposed and len(key) < MIN_KEY_LENGTH:
            raise SettingsError(
                f"Listening on {self.host} lets other machines in: a key of {MIN_KEY_LENGTH} characters or more is "
                "needed: set WHEELTAPPER_API_KEY (say, to the output of `openssl rand -hex 32`), "
                "or listen on 127.0.0.1."
            )
        return self


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine and cannot be reached from another."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**given: Any) -> Settings:  # noqa: ANN401  (each value is validated by its field)
    """Read the settings from the environment and `.env`; what is given wins, None counts as not given.

    Raises
    ------
    SettingsError
        A value cannot be used; the sentence names each.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError(f"A setting of the service cannot be used: {wrong}.") from error
