"""Tokens in the links of messages: who holds one may answer that question, and no other.

Here: making and checking them. Not here: the links (`links`), the key of the whole service (`access`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid

_PURPOSE = b"wheeltapper: token of a question, version 1"


class Tokens:
    """Signs question ids.

    Parameters
    ----------
    api_key
        The service's; the signing key is derived from it, so that a token tells nothing about it. None: a random one,
        good for as long as the process lives (without a key nothing can be answered anyway).

    Examples
    --------
    >>> tokens, question = Tokens("a key"), uuid.UUID(int=7)
    >>> tokens.holds(question, tokens.sign(question)), tokens.holds(uuid.UUID(int=8), tokens.sign(question))
    (True, False)
    """

    def __init__(self, api_key: str | None) -> None:
        secret = api_key.encode() if api_key else secrets.token_bytes(32)
        self._key = hmac.digest(secret, _PURPOSE, hashlib.sha256)

    def sign(self, question_id: uuid.UUID) -> str:
        """Return the token of a question: 43 characters that need no escaping in a URL."""
        signature = hmac.digest(self._key, question_id.bytes, hashlib.sha256)
        return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()

    def holds(self, question_id: uuid.UUID, token: str) -> bool:
        """Tell whether `token` is that question's, in a time that does not depend on where they differ."""
        return hmac.compare_digest(self.sign(question_id).encode(), token.encode(errors="replace"))
