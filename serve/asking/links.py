"""Addresses that people are sent to.

Here: how they are written. Not here: who gets them.
"""

from __future__ import annotations

import uuid
from urllib.parse import urlencode

from serve.asking.playbook import UNKNOWN_MACHINE
from serve.asking.tokens import Tokens
from serve.database.tables import Question
from serve.settings import Settings

_FORMS = {"en": "wheeltapper-answer", "fr": "wheeltapper-reponse"}


class Links:
    """Writes the links of messages.

    Parameters
    ----------
    settings
        The public addresses, the language.
    tokens
        Sign the questions.
    """

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._settings = settings
        self._tokens = tokens

    def form(self, question: Question) -> str:
        """Return the address of n8n's form, filled in for one question."""
        language = self._settings.language
        fields = {
            "question_id": str(question.id),
            "prediction_id": str(question.prediction_id),
            "token": self._tokens.sign(question.id),
            "machine": question.machine or UNKNOWN_MACHINE[language],  # to be read, nothing else
            "language": language,
        }
        return f"{self._settings.webhook_url}/form/{_FORMS[language]}?{urlencode(fields)}"

    def portal(self, prediction_id: uuid.UUID) -> str:
        """Return the address of one prediction in the portal."""
        return f"{self._settings.portal_url}/?{urlencode({'prediction': str(prediction_id)})}"
