"""Receiving mail: any sender, any recipient, no password; meant for loopback.

Here: `receive(store, host, port)`. Not here: keeping (`store`).
"""

from __future__ import annotations

from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from automation.inbox.store import MailStore

MAX_BYTES = 25 * 2**20


class _Handler:
    def __init__(self, store: MailStore) -> None:
        self.store = store

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        self.store.add(content, tuple(envelope.rcpt_tos))
        return "250 Message kept"


def receive(store: MailStore, host: str, port: int) -> Controller:
    """Start an SMTP server in a thread of its own and return it; `stop()` ends it."""
    options: dict[str, Any] = {"data_size_limit": MAX_BYTES, "enable_SMTPUTF8": True, "ident": "Wheeltapper inbox"}
    controller = Controller(_Handler(store), hostname=host, port=port, **options)
    controller.start()
    return controller
