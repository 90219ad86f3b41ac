"""The portal's settings and its start."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio_pipeline.errors import SettingsError
from portal.session import from_elsewhere
from portal.settings import load_settings
from wheeltapper.commands.portal import streamlit_options


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("WHEELTAPPER_HOST", "WHEELTAPPER_PORT", "WHEELTAPPER_SERVE_URL", "WHEELTAPPER_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_the_service_is_looked_for_where_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().service == "http://127.0.0.1:8080"
    monkeypatch.setenv("WHEELTAPPER_PORT", "9000")
    monkeypatch.setenv("WHEELTAPPER_HOST", "0.0.0.0")
    assert load_settings().service == "http://127.0.0.1:9000"
    monkeypatch.setenv("WHEELTAPPER_SERVE_URL", "http://serve:8080/")
    assert load_settings().service == "http://serve:8080"


def test_the_key_is_read_from_env_file_and_shown_to_nobody() -> None:
    Path(".env").write_text("WHEELTAPPER_API_KEY=a-secret-of-the-plant\n")
    settings = load_settings()
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "a-secret-of-the-plant"
    assert "a-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("host", "exposed"),
    [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("hall-7", True)],
)
def test_a_portal_that_others_reach_knows_it(monkeypatch: pytest.MonkeyPatch, host: str, exposed: bool) -> None:
    monkeypatch.setenv("WHEELTAPPER_PORTAL_HOST", host)
    assert load_settings().exposed is exposed


@pytest.mark.parametrize(
    ("headers", "elsewhere"),
    [
        ({"Host": "127.0.0.1:8081"}, False),
        ({"host": "localhost:8081"}, False),
        ({"Host": "[::1]:8081"}, False),
        ({"Host": "portal.plant.example"}, True),
        ({"Host": "127.0.0.1:8081", "X-Forwarded-For": "192.0.2.7"}, True),
        ({"Host": "not a host]"}, True),
    ],
)
def test_who_comes_through_a_proxy_comes_from_elsewhere(headers: dict[str, str], elsewhere: bool) -> None:
    assert from_elsewhere(headers) is elsewhere


def test_a_setting_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELTAPPER_LANGUAGE", "latin")
    with pytest.raises(SettingsError, match="language"):
        load_settings()


def test_streamlit_sends_nothing_anywhere_and_listens_where_it_is_told() -> None:
    words = streamlit_options(load_settings())
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert options["--browser.gatherUsageStats"] == "false"
    assert options["--server.address"] == "127.0.0.1"
    assert options["--server.port"] == "8081"
