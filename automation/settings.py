"""What can be set about n8n and its mail, read once from the environment into one typed object.

Here: names, defaults, what is refused. Not here: n8n's own variables (`environment`), installing and starting (`n8n`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from audio_pipeline.errors import SettingsError


@dataclass(frozen=True)
class AutomationSettings:
    """n8n's settings.

    Attributes
    ----------
    home
        Where n8n is installed; 2.3 GB.
    folder
        Where n8n keeps its database, its encryption key and its log.
    host, port
        Where it listens.
    public_url
        How people reach it, with a slash at the end; the links in e-mails begin with it.
    service_url
        Wheeltapper's service, as n8n reaches it.
    api_key, webhook_token
        What n8n shows the service, and what the service shows n8n.
    owner_email, owner_password
        Of n8n's owner, made without clicking. Without a password the first visitor of n8n becomes the owner.
    llm_url, llm_model, llm_key, llm_timeout_ms
        An OpenAI-compatible chat-completions endpoint (`…/v1`); an empty URL means that the template writes.
    smtp_host, smtp_port, smtp_user, smtp_password, smtp_secure, mail_from
        The mail server; `smtp_secure` is TLS from the first byte (port 465), otherwise STARTTLS where it is offered.
    remind_cron
        When *remind* asks the service what is due, as n8n's cron (seconds first).
    timezone
        Of n8n's schedules; empty: the machine's.
    proxy_hops
        Reverse proxies in front of n8n.
    """

    home: Path
    folder: Path
    host: str
    port: int
    public_url: str
    service_url: str
    api_key: str
    webhook_token: str
    owner_email: str
    owner_password: str
    llm_url: str
    llm_model: str
    llm_key: str
    llm_timeout_ms: int
    smtp_host: str
    smtp_port: int
    smtp_user: str
    smtp_password: str
    smtp_secure: bool
    mail_from: str
    remind_cron: str
    timezone: str
    proxy_hops: int

    @property
    def local_url(self) -> str:
        """Where this machine reaches n8n, without a slash at the end."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{host}:{self.port}"

    @property
    def loopback_links(self) -> bool:
        """Whether the links in e-mails work on this machine only."""
        return (urlsplit(self.public_url).hostname or "") in ("localhost", "127.0.0.1", "::1")


def read_settings(values: Mapping[str, str | None]) -> AutomationSettings:
    """Read the settings from environment variables (or lines of `.env`).

    Raises
    ------
    SettingsError
        A value cannot be used, or a secret is missing.

    Examples
    --------
    >>> settings = read_settings({"WHEELTAPPER_API_KEY": "k" * 32, "WHEELTAPPER_WEBHOOK_TOKEN": "t" * 32})
    >>> settings.local_url, settings.public_url, settings.llm_url
    ('http://127.0.0.1:5678', 'http://127.0.0.1:5678/', '')
    """

    def text(name: str, default: str = "") -> str:
        return (values.get(name) or default).strip()

    def number(name: str, default: int) -> int:
        try:
            return int(text(name, str(default)))
        except ValueError:
            raise SettingsError(f"{name} must be a whole number, not '{text(name)}'.") from None

    for secret in ("WHEELTAPPER_API_KEY", "WHEELTAPPER_WEBHOOK_TOKEN"):
        if not text(secret):
            raise SettingsError(f"n8n needs {secret}, the same as the service has (`make run` makes one in .env).")
    port = number("WHEELTAPPER_N8N_PORT", 5678)
    public_url = text("WEBHOOK_URL", f"http://127.0.0.1:{port}/")
    if urlsplit(public_url).scheme not in ("http", "https"):
        raise SettingsError(f"WEBHOOK_URL must begin with http:// or https://, not '{public_url}'.")
    service_port = number("WHEELTAPPER_PORT", 8080)
    return AutomationSettings(
        home=Path(text("WHEELTAPPER_N8N_HOME", str(Path(sys.prefix) / "n8n"))),
        folder=Path(text("WHEELTAPPER_N8N_DATA") or Path(text("WHEELTAPPER_DATA", "data")) / "n8n").resolve(),
        host=text("WHEELTAPPER_N8N_HOST", "127.0.0.1"),
        port=port,
        public_url=public_url.rstrip("/") + "/",
        service_url=text("WHEELTAPPER_SERVE_URL", f"http://127.0.0.1:{service_port}").rstrip("/"),
        api_key=text("WHEELTAPPER_API_KEY"),
        webhook_token=text("WHEELTAPPER_WEBHOOK_TOKEN"),
        owner_email=text("WHEELTAPPER_N8N_OWNER", "owner@wheeltapper.local"),
        owner_password=text("WHEELTAPPER_N8N_PASSWORD"),
        llm_url=text("LLM_BASE_URL").rstrip("/"),
        llm_model=text("LLM_MODEL", "gemma3-270m"),
        llm_key=text("LLM_API_KEY", "none"),
        llm_timeout_ms=number("LLM_TIMEOUT_MS", 20_000),
        smtp_host=text("SMTP_HOST", "127.0.0.1"),
        smtp_port=number("SMTP_PORT", 1025),
        smtp_user=text("SMTP_USER"),
        smtp_password=text("SMTP_PASSWORD"),
        smtp_secure=text("SMTP_SECURE", "false").lower() in ("1", "true", "yes"),
        mail_from=text("SMTP_FROM", "Wheeltapper <wheeltapper@localhost>"),
        remind_cron=text("WHEELTAPPER_REMIND_CRON", "0 */5 * * * *"),
        timezone=text("GENERIC_TIMEZONE", text("TZ")),
        proxy_hops=number("N8N_PROXY_HOPS", 0),
    )
