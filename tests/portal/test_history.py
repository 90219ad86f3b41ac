"""What the history remembers of a visit, by Streamlit alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from streamlit.testing.v1 import AppTest

from portal.views import history


def filters() -> None:
    from portal import session
    from portal.views import history

    history._filters(session.here())


def test_more_lines_stay_while_time_goes_by_and_go_with_another_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return now.astimezone(tz)

    monkeypatch.setattr(history, "datetime", Clock)
    monkeypatch.setenv("WHEELTAPPER_SERVE_URL", "http://127.0.0.1:9")
    page = AppTest.from_function(filters, default_timeout=60).run()
    page.selectbox(key="history_period").select("week").run()
    page.session_state["history_pages"] = 3  # "Show more", twice
    now += timedelta(minutes=1)
    assert page.run().session_state["history_pages"] == 3
    page.selectbox(key="history_verdict").select("anomaly").run()
    assert page.session_state["history_pages"] == 1
    assert not page.exception
