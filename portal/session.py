"""What every page needs of this process and this browser: settings, the service, the language, the time zone.

Here: reading them, once each. Not here: what pages show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import streamlit as st

from audio_pipeline.addresses import is_loopback
from portal.client import Service, ServiceError
from portal.formats import Formats, zone_named
from portal.records import Health, Stats
from portal.settings import PortalSettings, load_settings
from portal.texts import TABLES, Language, Texts

LANGUAGE = "language"
TYPED_KEY = "typed_key"


@dataclass(frozen=True)
class Here:
    """This visit: whom the portal talks to and how the visitor reads."""

    settings: PortalSettings
    service: Service
    texts: Texts
    formats: Formats


@st.cache_resource(show_spinner=False)
def settings() -> PortalSettings:
    """Read the settings once a process."""
    return load_settings()


@st.cache_resource(show_spinner=False, max_entries=16)
def service_at(address: str, key: str | None) -> Service:
    """Open the service once, for all visitors: connections are kept."""
    return Service(address, key)


def here() -> Here:
    """Gather what this run of a page needs."""
    known = settings()
    texts = Texts(language())
    return Here(known, service_at(known.service, own_key()), texts, Formats(texts, zone_named(st.context.timezone)))


def own_key() -> str | None:
    """Return the portal's own bearer key."""
    key = settings().api_key
    return key.get_secret_value() if key else None


def keep_typed_key() -> None:
    """Keep the key that was typed on one page while others are looked at: Streamlit drops what a page does not show."""
    if TYPED_KEY in st.session_state:
        st.session_state[TYPED_KEY] = st.session_state[TYPED_KEY]


def engineer(visit: Here) -> Service | None:
    """Return the service as it may be changed by this visitor, None when a key has to be typed first.

    On this machine the portal's own key is the visitor's. A portal that other machines reach lends it for asking and
    answering, and wants the key typed for what changes models and data.
    """
    typed = st.session_state.get(TYPED_KEY)
    if typed:
        return service_at(visit.settings.service, str(typed))
    return visit.service if lends_key(visit) else None


def lends_key(visit: Here) -> bool:
    """Whether the portal's own key is this visitor's."""
    return own_key() is not None and not visit.settings.exposed and not from_elsewhere(st.context.headers)


def from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a request came through a proxy: then the portal is reached from elsewhere, wherever it listens itself.

    Examples
    --------
    >>> from_elsewhere({"Host": "127.0.0.1:8081"}), from_elsewhere({"Host": "portal.plant.example"})
    (False, True)
    """
    given = {name.lower(): value for name, value in headers.items()}
    if any(name in given for name in ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")):
        return True
    try:
        return not is_loopback(urlsplit(f"//{given.get('host', 'localhost')}").hostname or "")
    except ValueError:  # no host that a browser would send
        return True


def language() -> Language:
    """Return the visitor's language: chosen, else in the address, else that of the settings."""
    chosen = st.session_state.get(LANGUAGE) or st.query_params.get("language") or settings().language
    return cast(Language, chosen) if chosen in TABLES else "en"


@st.cache_data(ttl=5, show_spinner=False)
def health(address: str) -> Health | ServiceError:
    """Ask whether the service works, at most every five seconds for all visitors together."""
    try:
        return service_at(address, own_key()).health()
    except ServiceError as error:
        return error


@st.cache_data(ttl=30, show_spinner=False)
def known_machines(address: str) -> list[str]:
    """Return the machines that the reference or the history knows; empty when neither can be read."""
    service = service_at(address, own_key())
    names: set[str] = set()
    try:
        names.update(machine.machine for machine in service.reference().machines)
    except ServiceError:
        try:
            names.update(line.machine for line in service.predictions(limit=200).predictions)
        except ServiceError:
            return []
    return sorted(name for name in names if name)


@st.cache_data(ttl=5, show_spinner=False)
def stats(address: str, days: int) -> Stats:
    """Read the overview's figures, at most every five seconds for all visitors together."""
    return service_at(address, own_key()).stats(days)
