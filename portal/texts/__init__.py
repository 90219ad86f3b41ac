"""What the portal says, in English and French.

Here: looking a sentence up. Not here: the sentences (`english`, `french`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from portal.texts.english import ENGLISH
from portal.texts.french import FRENCH

Language = Literal["en", "fr"]
TABLES: Final[dict[Language, dict[str, str]]] = {"en": ENGLISH, "fr": FRENCH}
NAMES: Final[dict[Language, str]] = {"en": "English", "fr": "Français"}


@dataclass(frozen=True)
class Texts:
    """The sentences of one language.

    Examples
    --------
    >>> Texts("en")("verdict.anomaly"), Texts("fr")("verdict.anomaly")
    ('ANOMALY', 'ANOMALIE')
    """

    language: Language

    def __call__(self, key: str, **values: object) -> str:
        """Return the sentence of that key with the values in it.

        Raises
        ------
        KeyError
            There is no such sentence: a mistake in the code, found by the tests.
        """
        sentence = TABLES[self.language][key]
        return sentence.format(**values) if values else sentence

    def get(self, key: str, otherwise: str) -> str:
        """Return the sentence of a key that the service chose, something else where it is new to us."""
        return TABLES[self.language].get(key, otherwise)
