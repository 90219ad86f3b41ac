"""Everything about the service that can be set, read once into one typed object.

Here: names, defaults, what is refused. Not here: what the settings do.

Every field is an environment variable (`WHEELTAPPER_PORT=9000`), or a line in `.env`; only the database has the name
that every platform uses, `DATABASE_URL`, and the folders those of the command line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from audio_pipeline.addresses import is_loopback
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
    drain_s: float = Field(0.0, ge=0)
    """Seconds to go on after SIGTERM, no longer ready: behind a load balancer, until it sends elsewhere."""
    max_body_bytes_held: int = Field(512 * 2**20, gt=0)
    """Bytes of requests held at once, being read or waiting; beyond it 503."""

    keep_clips_days: float = Field(90.0, gt=0)
    """A clip that was last sent longer ago is dropped, unless it is answered, asked about or reference."""
    keep_clips_bytes: int = Field(50 * 2**30, gt=0)
    """Of all kept clips; beyond it the oldest are dropped, with the same exceptions."""

    n8n_url: str = "http://127.0.0.1:5678"
    """Where the service reaches n8n's webhooks."""
    webhook_url: str = Field("http://127.0.0.1:5678/", validation_alias="WEBHOOK_URL")
    """n8n's public address, as n8n itself calls the variable: links in messages begin with it."""
    webhook_token: SecretStr | None = None
    """What n8n's webhooks ask for, in the header X-Wheeltapper-Token."""
    portal_url: str = "http://127.0.0.1:8081"

    operator_name: str = ""
    operator_email: str = "operator@localhost"
    escalation_email: str | None = None
    """Who is asked when the operator does not answer; empty: nobody."""
    manager_email: str = "manager@localhost"
    """Who is told of promotions, kept champions and drift."""
    language: Literal["en", "fr"] = "en"
    """Of messages."""
    playbook: Path | None = None
    """What to look at on each machine; empty: `playbook.toml` in the data folder, else the demo's."""

    ask_on_alarm: bool = False
    """Whether alarms and doubtful verdicts become questions by themselves."""
    audit_share: float = Field(0.02, ge=0, le=1)
    """Share of "normal" verdicts that are asked about, drawn at random."""
    questions_per_day: int = Field(20, ge=0)
    """Most questions a day that the service asks by itself; a person's are always asked, and count."""
    remind_after_s: float = Field(14_400, gt=0)
    escalate_after_s: float = Field(28_800, gt=0)
    expire_after_s: float = Field(259_200, gt=0)
    """All three counted from when the question was sent."""
    episode_gap_s: float = Field(1_800, gt=0)
    """Alarms of one machine that follow each other within this time are one episode: one question."""

    max_reference_bytes: int = Field(2 * 2**30, gt=0)
    """Of an archive of reference recordings, packed and unpacked."""
    retrain_every: int = Field(20, ge=0, validation_alias="RETRAIN_EVERY")
    """New answers after which a retrain starts by itself; 0: never."""
    retrain_mode: Literal["scratch", "warm", "finetune"] = Field("scratch", validation_alias="RETRAIN_MODE")
    """From nothing, from the last model, or with the encoder fine-tuned."""
    finetune_steps: int = Field(200, ge=1)
    """Of the optimiser, when RETRAIN_MODE=finetune."""

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

    @property
    def playbook_file(self) -> Path:
        """Where the plant's playbook lies, or would."""
        return self.playbook or self.data_dir / "playbook.toml"

    @field_validator("escalation_email", "playbook", "webhook_token", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("n8n_url", "webhook_url", "portal_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
            raise ValueError(f"'{value}' is no address; it looks like http://host:port/")
        return value.rstrip("/")

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
