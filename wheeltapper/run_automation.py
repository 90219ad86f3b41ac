"""The parts of `wheeltapper run` that ask people: the local inbox, the small language model, n8n.

Here: their rows. Not here: starting them (`run`), what they are (`automation`).
"""

from __future__ import annotations

from collections.abc import Mapping

from audio_pipeline.errors import SettingsError
from automation import n8n as program
from automation.settings import read_settings
from wheeltapper import extras
from wheeltapper.parts import Part, Preparation


def automation_parts(serve: str, wheeltapper: str, values: Mapping[str, str | None]) -> list[Part]:
    """Return the inbox, the language model when it is installed, and n8n.

    Parameters
    ----------
    serve
        Where this machine reaches the service.
    wheeltapper
        The command.
    values
        Environment variables and lines of `.env`.

    Raises
    ------
    SettingsError
        One of them cannot be used.
    """
    n8n = read_settings({"WHEELTAPPER_API_KEY": "-", "WHEELTAPPER_WEBHOOK_TOKEN": "-", **values})
    mail_port = number_of(values, "WHEELTAPPER_MAIL_PORT", 8025)
    llm_port = number_of(values, "WHEELTAPPER_LLM_PORT", 8091)
    inbox, llm = f"http://127.0.0.1:{mail_port}", f"http://127.0.0.1:{llm_port}/v1"
    local_mail = n8n.smtp_host in ("127.0.0.1", "localhost")
    local_llm = not n8n.llm_url and not extras.missing("llm")
    arrives = inbox if local_mail else n8n.smtp_host
    parts = []
    if local_mail:
        parts.append(
            Part(
                name="mail",
                command=(wheeltapper, "mail"),
                ready_url=inbox,
                url=inbox,
                what="the e-mails that are sent; nothing leaves this machine",
                environment={"WHEELTAPPER_MAIL_PORT": str(mail_port), "SMTP_PORT": str(n8n.smtp_port)},
                ports={"WHEELTAPPER_MAIL_PORT": mail_port, "SMTP_PORT": n8n.smtp_port},
                prepare=extras.preparation("automation", "the local inbox and Node (about 60 MB)"),
                hint="Try this later: it fills when n8n is ready and somebody presses Notify.",
            )
        )
    if local_llm:
        parts.append(
            Part(
                name="llm",
                command=(wheeltapper, "llm"),
                ready_url=f"{llm}/models",
                url=f"{llm}/models",
                what="the small language model that words the e-mails",
                environment={"WHEELTAPPER_LLM_PORT": str(llm_port)},
                ports={"WHEELTAPPER_LLM_PORT": llm_port},
            )
        )
    parts.append(
        Part(
            name="n8n",
            command=(wheeltapper, "n8n", "start"),
            ready_url=f"{n8n.local_url}/healthz",
            ready=lambda: program.ready(n8n.local_url),
            ready_within_s=600.0,  # the first start imports the workflows
            url=n8n.local_url,
            what=f"the workflows; log in as {n8n.owner_email} with WHEELTAPPER_N8N_PASSWORD of .env",
            environment={"WHEELTAPPER_SERVE_URL": serve, **({"LLM_BASE_URL": llm} if local_llm else {})},
            ports={"WHEELTAPPER_N8N_PORT": n8n.port},
            prepare=Preparation(
                "n8n (2.3 GB, about four minutes)",
                (wheeltapper, "n8n", "install"),
                lambda: not program.installed(n8n.home),
            ),
            hint=f"Try this: 'Notify' beside a clip in the portal, then answer the e-mail that arrives at {arrives}.",
        )
    )
    return parts


def number_of(values: Mapping[str, str | None], name: str, default: int) -> int:
    """Read a whole number from the environment.

    Raises
    ------
    SettingsError
        It is none.
    """
    text = values.get(name) or str(default)
    if not text.isdigit():
        raise SettingsError(f"{name} must be a whole number, not '{text}'.")
    return int(text)
