"""Messages as files in a folder, and what of them is shown.

Here: `MailStore` and reading a message's parts. Not here: SMTP (`smtp`), HTML around it (`pages`).
"""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from pathlib import Path

KEPT = 500  # newest; a demo's inbox, not an archive
_ID = re.compile(r"[0-9a-f]{24}")
_HEADERS = 16_384  # bytes that a message's headers fit into


@dataclass(frozen=True)
class Part:
    """One attachment or inline picture of a message."""

    number: int
    name: str
    content_type: str
    content_id: str
    content: bytes


@dataclass(frozen=True)
class Mail:
    """A received message.

    Attributes
    ----------
    mail_id
        Made of its Message-ID and recipients: the same message sent twice is one mail with two copies.
    copies
        How often it was received.
    received
        When first.
    """

    mail_id: str
    copies: int
    received: datetime
    sender: str
    recipients: str
    subject: str
    message_id: str
    text: str
    html: str
    parts: tuple[Part, ...]
    size: int


@dataclass(frozen=True)
class Line:
    """What the list says of a message: as in `Mail`, of its headers alone."""

    mail_id: str
    copies: int
    received: datetime
    recipients: str
    subject: str


class MailStore:
    """Messages in a folder, `<id>.eml`, further copies `<id>.<n>.eml`.

    Parameters
    ----------
    folder
        Made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()

    def add(self, content: bytes, recipients: tuple[str, ...]) -> str:
        """Keep a message and return its id; the oldest goes when there are too many."""
        message_id = str(message_from_bytes(content, policy=policy.compat32)["Message-ID"] or "")
        key = message_id.strip() or content.decode("latin-1")
        mail_id = hashlib.sha256("\n".join([key, *sorted(recipients)]).encode()).hexdigest()[:24]
        with self._lock:
            first = self.folder / f"{mail_id}.eml"
            copies = (self.folder / f"{mail_id}.{n}.eml" for n in itertools.count(2))
            target = next(path for path in itertools.chain([first], copies) if not path.exists())
            half = target.with_suffix(".part")
            half.write_bytes(content)
            half.replace(target)
            for old in self._files()[KEPT:]:
                old.unlink(missing_ok=True)
        return mail_id

    def lines(self) -> list[Line]:
        """Return what the list says, newest first; recordings and pictures, half a megabyte a message, stay unread."""
        files = self._files()
        copies = Counter(_id_of(path) for path in files)
        found = []
        for path in files:
            if path.name.count(".") == 1:
                with path.open("rb") as file:
                    message = BytesHeaderParser(policy=policy.default).parsebytes(file.read(_HEADERS))
                received = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                name = _id_of(path)
                found.append(Line(name, copies[name], received, *_to_and_subject(message)))
        return found

    def mails(self) -> list[Mail]:
        """Return all, newest first."""
        found = [self.mail(_id_of(path)) for path in self._files() if path.name.count(".") == 1]
        return [mail for mail in found if mail is not None]

    def mail(self, mail_id: str) -> Mail | None:
        """Return one, None when there is none of that id."""
        path = self.folder / f"{mail_id}.eml"
        if not _ID.fullmatch(mail_id) or not path.exists():
            return None
        content = path.read_bytes()
        message = message_from_bytes(content, policy=policy.default)
        recipients, subject = _to_and_subject(message)
        return Mail(
            mail_id=mail_id,
            copies=len(list(self.folder.glob(f"{mail_id}*.eml"))),
            received=datetime.fromtimestamp(path.stat().st_mtime, UTC),
            sender=str(message["From"] or ""),
            recipients=recipients,
            subject=subject,
            message_id=str(message["Message-ID"] or "").strip(),
            text=_body(message, "plain"),
            html=_body(message, "html"),
            parts=_parts(message),
            size=len(content),
        )

    def clear(self) -> None:
        """Delete all."""
        with self._lock:
            for path in self._files():
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _id_of(path: Path) -> str:
    return path.name.partition(".")[0]


def _to_and_subject(message: Message) -> tuple[str, str]:
    return str(message["To"] or ""), str(message["Subject"] or "(no subject)")


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, UnicodeError):  # a charset that nobody knows
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _parts(message: EmailMessage) -> tuple[Part, ...]:
    bodies = {id(message.get_body(preferencelist=(kind,))) for kind in ("plain", "html")}
    leaves = [part for part in message.walk() if not part.is_multipart() and id(part) not in bodies]
    found = []
    for number, part in enumerate(leaves):
        payload = part.get_payload(decode=True)
        found.append(
            Part(
                number=number,
                name=part.get_filename() or f"part-{number}",
                content_type=part.get_content_type(),
                content_id=str(part["Content-ID"] or "").strip().strip("<>"),
                content=payload if isinstance(payload, bytes) else b"",
            )
        )
    return tuple(found)
