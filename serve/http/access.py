"""Who may call what: the bearer key, and what replaces it on loopback.

Here: the decision for one request. Not here: where it is asked (`edge`).

Off loopback every call but health needs the key. On loopback `POST /predict` and reading need none, everything else
does. Without a key, a page in the user's own browser is the one stranger that can reach loopback: its requests carry
another site's name as `Host` (DNS rebinding) or as `Origin` (a form posted across sites), and are refused.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from audio_pipeline.addresses import is_loopback
from serve.http.problems import Refused
from serve.settings import Settings


@dataclass(frozen=True)
class Access:
    """The rule, for one service.

    Attributes
    ----------
    key
        The bearer key, None when there is none.
    exposed
        Whether other machines reach the service.
    """

    key: bytes | None
    exposed: bool

    @classmethod
    def of(cls, settings: Settings) -> Access:
        """Read the rule off the settings."""
        key = settings.api_key.get_secret_value().encode() if settings.api_key else None
        return cls(key or None, settings.exposed)

    def check(self, method: str, path: str, request: HTTPConnection) -> None:
        """Let a request pass, or not.

        Raises
        ------
        Refused
            401 without the key where one is needed, 403 from another site.
        """
        if path.startswith("/health/") or self._has_key(request):
            return
        if not self.exposed:
            _refuse_other_sites(request)
            if method in ("GET", "HEAD", "OPTIONS") or (method, path) == ("POST", "/predict"):
                return
        if self.key is None:
            detail = (
                f"{method} {path} needs a key, and the service has none: set WHEELTAPPER_API_KEY and start it again."
            )
        else:
            detail = (
                f"{method} {path} needs the key (WHEELTAPPER_API_KEY): send the header 'Authorization: Bearer KEY'."
            )
        raise Refused(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})

    def _has_key(self, request: HTTPConnection) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if self.key is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), self.key)


def _refuse_other_sites(request: HTTPConnection) -> None:
    host = request.headers.get("host", "")
    if not is_loopback(_name(f"//{host}")):
        detail = f"The service is open on this machine only, as localhost, and was asked for as '{host[:100]}'."
        raise Refused(403, "foreign_host", detail)
    origin = request.headers.get("origin")
    if origin is not None and not is_loopback(_name(origin)):
        raise Refused(403, "foreign_origin", f"A page of '{origin[:100]}' may not use the service on this machine.")


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
