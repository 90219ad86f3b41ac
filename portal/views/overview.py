"""Overview: how much is heard, how often it alarms, how often that is right, whether the sound drifts.

Here: the page. Not here: the figures (the service's), their sentences (`wording`).
"""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from portal import charts, clips, session, wording
from portal.client import ServiceError
from portal.formats import plain
from portal.records import Models, Monitoring, Stats
from portal.session import Here
from portal.views.parts import show_line, show_problem

_DAYS = (1, 7, 30)
_WAITING = ("queued", "sent", "reminded", "escalated")
_HISTORY_SHOWN = 12
_DRIFTED_SHOWN = 4


def page() -> None:
    """Show the page."""
    visit = session.here()
    texts = visit.texts
    st.title(texts("overview.title"))
    days = st.segmented_control(
        texts("filter.period"),
        _DAYS,
        default=7,
        format_func=lambda count: texts(f"overview.days.{count}"),
        key="overview_days",
        label_visibility="collapsed",
        required=True,
    )
    _figures(int(days or 7), visit)


@st.fragment(run_every=30)
def _figures(days: int, visit: Here) -> None:
    try:
        stats = session.stats(visit.settings.service, days)
    except ServiceError as error:
        show_problem(error, visit.texts)
        return
    texts = visit.texts
    if stats.predictions == 0:
        st.info(texts("overview.empty"), icon=":material/hearing:")
    _numbers(stats, visit)
    if stats.predictions:
        left, right = st.columns(2, gap="large")
        with left:
            st.subheader(texts("overview.by_day"))
            spec = charts.by_day(stats.by_day, stats.since.date(), datetime.now(UTC).date(), texts)
            st.vega_lite_chart(spec=spec, width="stretch", key="by_day")
        with right:
            st.subheader(texts("overview.by_machine"))
            spec = charts.by_machine(stats.by_machine, texts, visit.formats)
            st.vega_lite_chart(spec=spec, width="stretch", key="by_machine")
        st.subheader(texts("overview.scores"))
        st.caption(texts("overview.scores_help"))
        spec = charts.score_histogram(stats.score_histogram, texts)
        st.vega_lite_chart(spec=spec, width="stretch", key="scores")
    left, right = st.columns(2, gap="large")
    with left:
        _people(stats, visit)
    with right:
        _drift(stats, visit)
    _production(stats, visit)


def _numbers(stats: Stats, visit: Here) -> None:
    texts, formats = visit.texts, visit.formats
    waiting = sum(stats.questions.get(state, 0) for state in _WAITING)
    confirmed, audit = stats.confirmed, stats.audit
    figures = [
        (texts("overview.clips"), f"{stats.predictions}", texts("overview.clips_help")),
        (texts("overview.alert_rate"), formats.percent(stats.alert_rate), texts("overview.alert_rate_help")),
        (texts("overview.waiting"), f"{waiting}", texts("overview.waiting_help")),
        (texts("overview.precision"), formats.percent(confirmed.precision), texts("overview.precision_help")),
        (texts("overview.recall"), formats.percent(audit.recall), texts("overview.recall_help")),
        (texts("overview.false_alarms"), formats.percent(audit.false_alarm_rate), texts("overview.false_alarms_help")),
    ]
    intervals = [
        "",
        "",
        "",
        *(
            formats.interval(i)
            for i in (confirmed.precision_interval, audit.recall_interval, audit.false_alarm_interval)
        ),
    ]
    with st.container(key="figures"):
        for (label, value, help_text), interval in zip(figures, intervals, strict=True):
            st.metric(
                label,
                value,
                delta=interval or None,
                delta_color="off",
                delta_arrow="off",
                help=help_text,
                border=True,
                height="stretch",
            )


def _people(stats: Stats, visit: Here) -> None:
    texts = visit.texts
    st.subheader(texts("overview.people"))
    confirmed, audit = stats.confirmed, stats.audit
    st.markdown(
        texts(
            "overview.confirmed",
            answered=confirmed.answered,
            true=confirmed.true_alarms,
            false=confirmed.false_alarms,
            unsure=confirmed.unsure,
        )
    )
    st.markdown(texts("overview.audit", asked=audit.asked, answered=audit.answered))
    if audit.answered == 0:
        st.caption(texts("overview.audit_unknown"))
    waiting = [
        f"- {texts(f'overview.questions.{state}', count=stats.questions[state])}"
        for state in _WAITING
        if stats.questions.get(state)
    ]
    st.markdown("\n".join(waiting))
    if stats.budget:
        st.caption(texts("overview.budget", used=stats.budget.used_today, per_day=stats.budget.per_day))


def _drift(stats: Stats, visit: Here) -> None:
    texts, found = visit.texts, stats.monitoring
    st.subheader(texts("overview.drift"))
    if found is None or found.drift is None:
        st.info(texts("overview.drift_none"), icon=":material/pending:")
    else:
        show_line(wording.drift(found.drift, texts))
        for machine, drift in found.machines.items():
            if drift.status == "drift" and drift.message != found.drift.message:
                st.markdown(f"- **{plain(visit.formats.machine(machine))}**: {wording.drift(drift, texts).text}")
        st.caption(texts("overview.drift_at", at=visit.formats.moment(found.created), rows=found.rows or 0))
        _drifted(found, visit)
    url = (found.report_url if found else None) or visit.settings.monitoring_url
    st.markdown(f"[{texts('overview.evidently')}]({url})")


def _drifted(found: Monitoring, visit: Here) -> None:
    """Let a person hear what drifted beside what it is compared with."""
    if not found.drifted:
        return
    texts = visit.texts
    with st.expander(texts("overview.drifted"), icon=":material/hearing:"):
        st.caption(texts("overview.drifted_help"))
        for pair in found.drifted[:_DRIFTED_SHOWN]:
            with st.container(border=True):
                try:
                    recent = visit.service.prediction(pair.prediction_id)
                except ServiceError as error:
                    st.caption(wording.problem(error, texts))
                    continue
                name, link = plain(recent.filename or recent.prediction_id), f"/?prediction={pair.prediction_id}"
                machine = plain(visit.formats.machine(recent.machine))
                st.markdown(texts("overview.drifted_recent", name=name, link=link, machine=machine))
                _play(f"/predictions/{pair.prediction_id}/audio", visit)
                if pair.nearest_clip_id:
                    st.markdown(texts("overview.drifted_nearest"))
                    _play(f"/reference/{pair.nearest_clip_id}/audio", visit)


def _play(path: str, visit: Here) -> None:
    try:
        st.audio(clips.fetch(visit.settings.service, path).wav, format="audio/wav")
    except ServiceError as error:
        gone = error.kind == "gone"
        st.caption(visit.texts("overview.drifted_gone") if gone else wording.problem(error, visit.texts))


def _production(stats: Stats, visit: Here) -> None:
    texts, formats = visit.texts, visit.formats
    st.subheader(texts("overview.model"))
    if stats.model:
        st.markdown(texts("overview.serves", model=stats.model.version, encoder=stats.model.encoder or "?"))
    retrain = stats.retrain
    if retrain.running:
        show_line(wording.job_outcome(retrain.running, texts, formats))
    if retrain.every and retrain.answers_since is not None:
        share = min(1.0, retrain.answers_since / retrain.every)
        st.progress(share, texts("overview.next_retrain", answers=retrain.answers_since, every=retrain.every))
    if retrain.last:
        st.markdown(texts("overview.last_retrain", at=formats.moment(retrain.last.finished or retrain.last.created)))
        show_line(wording.job_outcome(retrain.last, texts, formats))
    try:
        models = visit.service.models()
    except ServiceError as error:
        st.caption(wording.problem(error, texts))
        return
    _ledger(models, visit)


def _ledger(models: Models, visit: Here) -> None:
    entries = wording.ledger(models, visit.texts, visit.formats)[:_HISTORY_SHOWN]
    if entries:
        st.markdown(f"**{visit.texts('overview.ledger')}**")
        st.dataframe(entries, hide_index=True, key="ledger")
