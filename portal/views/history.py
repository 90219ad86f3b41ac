"""History: every prediction, to filter, sort, search, open, play, correct and download.

Here: the list. Not here: one prediction in detail (`detail`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from portal import session
from portal.client import ServiceError
from portal.cliplist import Choice
from portal.export import csv_of
from portal.formats import plain
from portal.records import Summary
from portal.session import Here
from portal.views.detail import give_answer, show_prediction
from portal.views.parts import choose_clip, show_problem

_PAGE = 25
_OPENED = "history_opened"
_MOST_DOWNLOADED = 20_000

_PERIODS = {"day": 1, "week": 7, "month": 30, "all": None}
_SORTS = {
    "newest": ("created", "desc"),
    "oldest": ("created", "asc"),
    "highest": ("score", "desc"),
    "oddest": ("p_value", "asc"),
}
_ANSWERED: dict[str, dict[str, Any]] = {
    "any": {},
    "open": {"answered": False},
    "anomaly": {"answer": "anomaly"},
    "normal": {"answer": "normal"},
    "unsure": {"answer": "unsure"},
}


def page() -> None:
    """Show the page."""
    visit = session.here()
    st.title(visit.texts("history.title"))
    with st.container(key="filters"):
        wanted = _filters(visit)
    lines, more = _lines(wanted, visit)
    if lines is None:
        return
    if not lines:
        _empty(wanted, visit)
        return
    opened = st.session_state.get(_OPENED)
    choice = choose_clip(lines, opened, "history-list", visit)
    if choice:
        st.session_state[_OPENED] = choice.prediction_id
    left, right = st.columns(2)
    with left:
        if more and st.button(visit.texts("history.more"), icon=":material/expand_more:", key="more"):
            st.session_state["history_pages"] = st.session_state.get("history_pages", 1) + 1
            st.rerun()
    with right:
        st.download_button(
            visit.texts("history.download"),
            functools.partial(_download, wanted, visit),
            file_name="wheeltapper-predictions.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            help=visit.texts("history.download_help", most=_MOST_DOWNLOADED),
        )
    if choice is not None:
        _open(choice, next(line for line in lines if line.prediction_id == choice.prediction_id), visit)


def _filters(visit: Here) -> dict[str, Any]:
    texts = visit.texts
    search, verdict, answered = st.columns([2, 1, 1])
    with search:
        words = st.text_input(
            texts("history.search"), placeholder=texts("history.search_hint"), max_chars=200, key="history_search"
        )
    with verdict:
        said = st.selectbox(
            texts("field.verdict"),
            ("any", "anomaly", "normal"),
            format_func=lambda name: texts("filter.any") if name == "any" else texts(f"verdict.{name}"),
            key="history_verdict",
        )
    with answered:
        answer = st.selectbox(
            texts("field.answer"),
            tuple(_ANSWERED),
            format_func=lambda name: texts.get(f"filter.answer.{name}", name),
            key="history_answered",
        )
    machine, period, order = st.columns([2, 1, 1])
    with machine:
        machines = session.known_machines(visit.settings.service)
        of_machine = st.selectbox(
            texts("field.machine"),
            machines,
            index=None,
            placeholder=texts("filter.any"),
            key="history_machine",
        )
    with period:
        days = _PERIODS[
            st.selectbox(
                texts("filter.period"),
                tuple(_PERIODS),
                index=len(_PERIODS) - 1,
                format_func=lambda name: texts(f"period.{name}"),
                key="history_period",
            )
        ]
    with order:
        sort, direction = _SORTS[
            st.selectbox(
                texts("filter.sort"), tuple(_SORTS), format_func=lambda name: texts(f"sort.{name}"), key="history_sort"
            )
        ]
    # Whole minutes: the same question within a minute is the same request.
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    wanted: dict[str, Any] = {
        "search": words.strip(),
        "anomaly": None if said == "any" else said == "anomaly",
        "machine": of_machine,
        "since": now - timedelta(days=days) if days else None,
        # Left out where it is the service's own order, which every version has.
        "sort": None if (sort, direction) == _SORTS["newest"] else sort,
        "order": None if (sort, direction) == _SORTS["newest"] else direction,
        **_ANSWERED[answer],
    }
    # By the days that were chosen: the moment that they reach back to moves on with the clock.
    chosen = {**wanted, "since": days}
    if st.session_state.get("history_chosen") != chosen:
        st.session_state["history_chosen"] = chosen
        st.session_state["history_pages"] = 1
    return wanted


def _lines(wanted: dict[str, Any], visit: Here) -> tuple[list[Summary] | None, bool]:
    """Return the lines of as many pages as were asked for, None when they cannot be read; whether more follow."""
    lines: list[Summary] = []
    cursor: str | None = None
    try:
        for _ in range(st.session_state.get("history_pages", 1)):
            part = visit.service.predictions(**wanted, cursor=cursor, limit=_PAGE)
            lines += part.predictions
            cursor = part.next_cursor
            if cursor is None:
                break
    except ServiceError as error:
        show_problem(error, visit.texts)
        return None, False
    return lines, cursor is not None


def _empty(wanted: dict[str, Any], visit: Here) -> None:
    filtered = any(value not in (None, "") for name, value in wanted.items() if name not in ("sort", "order"))
    if filtered:
        st.info(visit.texts("history.nothing_found"), icon=":material/filter_alt_off:")
    else:
        st.info(visit.texts("history.empty"), icon=":material/hearing:")


def _open(choice: Choice, line: Summary, visit: Here) -> None:
    st.divider()
    with st.container(key=f"opened-{line.prediction_id}"):
        st.subheader(plain(line.filename or line.prediction_id))
        if line.answer is None:
            _review(line, visit)
        show_prediction(line.prediction_id, visit, play=choice.play)


def _review(line: Summary, visit: Here) -> None:
    """Let a person who knows say so with one click."""
    texts = visit.texts
    with st.container(horizontal=True):
        if line.anomaly:
            for answer, icon in (("anomaly", ":material/check:"), ("normal", ":material/close:")):
                if st.button(texts(f"review.{answer}"), icon=icon, key=f"{answer}-{line.prediction_id}"):
                    give_answer(line, answer, visit)
        elif st.button(
            texts("history.was_faulty"),
            icon=":material/report:",
            help=texts("history.was_faulty_help"),
            key=f"faulty-{line.prediction_id}",
        ):
            give_answer(line, "anomaly", visit)


def _download(wanted: dict[str, Any], visit: Here) -> bytes:
    """Fetch every line that the filters let through, up to a limit, as CSV."""

    def all_lines() -> Iterator[Summary]:
        cursor: str | None = None
        count = 0
        while count < _MOST_DOWNLOADED:
            part = visit.service.predictions(**wanted, cursor=cursor, limit=500)
            yield from part.predictions
            count += len(part.predictions)
            cursor = part.next_cursor
            if cursor is None:
                return

    return csv_of(all_lines())
