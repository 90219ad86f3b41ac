from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from audio_pipeline.addresses import is_loopback
from audio_pipeline.errors import SettingsError
from serve.http.access import Access
from serve.http.problems import Refused
from serve.settings import Settings, load_settings

KEY = "k" * 32


def outcome(access: Access, method: str, path: str, **headers: str) -> int:
    scope = {
        "type": "http",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    try:
        access.check(method, path, HTTPConnection(scope))
    except Refused as refused:
        return refused.status
    return 200


LOCAL = {"host": "127.0.0.1:8080"}
OUTSIDE = {"host": "plant.example:8080"}
GOOD = {"authorization": f"Bearer {KEY}"}
BAD = {"authorization": "Bearer wrong"}
ON_LOOPBACK = Access(KEY.encode(), exposed=False)
EXPOSED = Access(KEY.encode(), exposed=True)


@pytest.mark.parametrize(
    ("access", "method", "path", "headers", "status"),
    [
        (ON_LOOPBACK, "GET", "/predictions", LOCAL, 200),
        (ON_LOOPBACK, "GET", "/metrics", LOCAL, 200),
        (ON_LOOPBACK, "POST", "/predict", LOCAL, 200),
        (ON_LOOPBACK, "POST", "/predict", {"host": "localhost"}, 200),
        (ON_LOOPBACK, "POST", "/predict", {"host": "[::1]:8080"}, 200),
        (ON_LOOPBACK, "POST", "/predict", {**LOCAL, "origin": "http://localhost:8081"}, 200),
        (ON_LOOPBACK, "POST", "/feedback", LOCAL, 401),
        (ON_LOOPBACK, "POST", "/feedback", {**LOCAL, **BAD}, 401),
        (ON_LOOPBACK, "POST", "/feedback", {**LOCAL, **GOOD}, 200),
        (ON_LOOPBACK, "DELETE", "/predictions", LOCAL, 401),
        # DNS rebinding, and forms posted across sites
        (ON_LOOPBACK, "GET", "/predictions", {"host": "evil.example"}, 403),
        (ON_LOOPBACK, "GET", "/predictions", {"host": "127.0.0.1.evil.example"}, 403),
        (ON_LOOPBACK, "GET", "/predictions", {}, 403),
        (ON_LOOPBACK, "POST", "/predict", {**LOCAL, "origin": "https://evil.example"}, 403),
        (ON_LOOPBACK, "POST", "/predict", {**LOCAL, "origin": "null"}, 403),
        # a proxy that has the key may use its own name
        (ON_LOOPBACK, "GET", "/predictions", {**OUTSIDE, **GOOD}, 200),
        (EXPOSED, "GET", "/health/live", OUTSIDE, 200),
        (EXPOSED, "GET", "/health/ready", OUTSIDE, 200),
        (EXPOSED, "GET", "/predictions", OUTSIDE, 401),
        (EXPOSED, "GET", "/metrics", OUTSIDE, 401),
        (EXPOSED, "GET", "/docs", OUTSIDE, 401),
        (EXPOSED, "POST", "/predict", OUTSIDE, 401),
        (EXPOSED, "POST", "/predict", LOCAL, 401),
        (EXPOSED, "POST", "/predict", {**OUTSIDE, **BAD}, 401),
        (EXPOSED, "POST", "/predict", {**OUTSIDE, "authorization": f"Basic {KEY}"}, 401),
        (EXPOSED, "POST", "/predict", {**OUTSIDE, "authorization": f"bearer {KEY}"}, 200),
        (Access(None, exposed=False), "POST", "/feedback", {**LOCAL, "authorization": "Bearer "}, 401),
    ],
)
def test_who_may_call_what(access: Access, method: str, path: str, headers: dict[str, str], status: int) -> None:
    assert outcome(access, method, path, **headers) == status


@pytest.mark.parametrize("key", [None, "", "short", "changeme"])
def test_the_service_does_not_listen_to_other_machines_without_a_real_key(key: str | None) -> None:
    with pytest.raises(SettingsError, match="WHEELTAPPER_API_KEY"):
        Settings(_env_file=None, host="0.0.0.0", api_key=key)  # type: ignore[call-arg]


def test_a_placeholder_is_no_key_on_loopback_either() -> None:
    with pytest.raises(SettingsError, match="placeholder"):
        Settings(_env_file=None, api_key="change-me")  # type: ignore[call-arg]


def test_the_key_is_not_shown_where_settings_are_printed() -> None:
    assert KEY not in repr(Settings(_env_file=None, api_key=KEY))  # type: ignore[call-arg]


def test_a_setting_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELTAPPER_QUEUE_LENGTH", "many")
    with pytest.raises(SettingsError, match=r"queue_length.*integer"):
        load_settings()


def test_a_plain_postgresql_address_is_given_the_driver_that_is_installed() -> None:
    settings = Settings(_env_file=None, database_url="postgresql://u:p@h/d")  # type: ignore[call-arg]
    assert settings.database == "postgresql+psycopg://u:p@h/d"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("LOCALHOST", True), ("0.0.0.0", False), ("::", False),
     ("localhost.evil.example", False), ("", False)],
)  # fmt: skip
def test_loopback_is_this_machine_only(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
