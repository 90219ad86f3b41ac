"""The playbook: what the plant's people know about each machine, in a TOML file that they write.

Here: reading it, and finding what holds for a machine. Not here: messages (`facts`).
"""

from __future__ import annotations

import logging
import threading
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from audio_pipeline.errors import SettingsError

logger = logging.getLogger(__name__)

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "demo" / "playbook.toml"
Language = Literal["en", "fr"]
UNKNOWN_MACHINE: Final[dict[Language, str]] = {"en": "an unknown machine", "fr": "une machine inconnue"}


class Entry(BaseModel):
    """One table of the file; what is None is taken from the next wider one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name_en: str | None = None
    name_fr: str | None = None
    likely_en: list[str] | None = None
    likely_fr: list[str] | None = None
    steps_en: list[str] | None = None
    steps_fr: list[str] | None = None
    contact: str | None = None


@dataclass(frozen=True)
class Advice:
    """What is known about one machine, in one language.

    Attributes
    ----------
    name
        What people call it.
    likely, steps
        What it may be, what to do.
    contact
        Whom to call; None: nobody is named.
    """

    name: str
    likely: tuple[str, ...]
    steps: tuple[str, ...]
    contact: str | None


class Playbook:
    """The file, read again whenever it was changed.

    Parameters
    ----------
    path
        The plant's; where it does not exist, the one that is shipped for the demo's machines.

    Raises
    ------
    SettingsError
        The file is there and cannot be understood. One that is spoilt later is told in the log, and the content before
        stays.

    Examples
    --------
    >>> Playbook(SHIPPED).advice("fan/id_00", "fr").name
    'ventilateur 00 (démo)'
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen = _state(self._file())
        self._entries = _read(self._file())

    def advice(self, machine: str, language: Language) -> Advice:
        """Return what holds for a machine (`type/section`; empty: unknown): its own table, its type's, the default."""
        self._look()
        names = (machine, machine.partition("/")[0], "default")
        tables = [self._entries[name] for name in names if name in self._entries]

        def first(key: str) -> list[str] | str | None:
            found = (getattr(table, key) for table in tables)
            return next((value for value in found if value is not None), None)

        # A table that names a type or everything cannot name the machine of an unknown type better than its own name.
        own = first(f"name_{language}") if any(name in self._entries for name in names[:2] if name) else None
        name = str(own) if own else machine or str(first(f"name_{language}") or UNKNOWN_MACHINE[language])
        contact = first("contact")
        return Advice(
            name=name,
            likely=tuple(first(f"likely_{language}") or ()),
            steps=tuple(first(f"steps_{language}") or ()),
            contact=str(contact) if contact else None,
        )

    def _file(self) -> Path:
        return self._path if self._path.exists() else SHIPPED

    def _look(self) -> None:
        with self._lock:
            seen = _state(self._file())
            if seen == self._seen:
                return
            self._seen = seen
            try:
                self._entries = _read(self._file())
            except SettingsError as error:
                logger.error("%s What it held before stays.", error.message)  # noqa: TRY400


def _read(path: Path) -> dict[str, Entry]:
    try:
        return {
            name: Entry.model_validate(table) for name, table in tomllib.loads(path.read_text(encoding="utf-8")).items()
        }
    except FileNotFoundError:  # an installation without the demo's data
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The playbook {path} cannot be read: {error}.") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError(
            f"The playbook {path} has something that is not understood ({wrong}): see data/demo/playbook.toml."
        ) from error


def _state(path: Path) -> tuple[str, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_mtime_ns, found.st_size
