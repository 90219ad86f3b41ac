"""Models and data: versions, retraining, the false-alarm rate, the reference.

Here: the page. Whatever changes something needs the key: the portal's own on this machine, a typed one otherwise.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from portal import session, uploads, wording
from portal.client import Service, ServiceError
from portal.formats import plain
from portal.records import Job, Model, Preview
from portal.session import Here
from portal.views.parts import show_line, show_problem

_REFRESH_S = 2.0
_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_MODES = ("scratch", "warm", "finetune")


def page() -> None:
    """Show the page."""
    visit = session.here()
    texts = visit.texts
    st.title(texts("models.title"))
    _key(visit)
    tabs = {
        "versions": _versions,
        "retrain": _retraining,
        "threshold": _threshold,
        "reference": _reference,
    }
    chosen = st.segmented_control(
        texts("models.title"),
        tuple(tabs),
        default="versions",
        format_func=lambda name: texts(f"models.tab.{name}"),
        key="models_tab",
        label_visibility="collapsed",
        required=True,
    )
    try:
        tabs[chosen or "versions"](visit)
    except ServiceError as error:
        show_problem(error, texts)


def _key(visit: Here) -> None:
    """Let the visitor type the key where the portal does not lend its own."""
    if session.lends_key(visit):
        return
    st.text_input(
        visit.texts("key.label"), type="password", help=visit.texts("key.help"), key=session.TYPED_KEY, max_chars=200
    )
    if session.engineer(visit) is None:
        st.info(visit.texts("key.needed"), icon=":material/key:")


def _said(sentence: str) -> None:
    """Show a sentence after the page has been drawn anew."""
    st.toast(sentence, icon=":material/check:")
    st.cache_data.clear()
    st.rerun()


# Versions


def _versions(visit: Here) -> None:
    texts, formats = visit.texts, visit.formats
    known = visit.service.models()
    serving = next((model for model in known.models if model.version == known.current), None)
    if serving is None:
        st.info(texts("models.none"))
        return
    st.markdown(texts("models.serves", model=serving.version, created=formats.moment(serving.created)))
    rows = [
        {
            texts("field.model"): model.version,
            texts("models.serving"): "●" if model.version == known.current else "",
            texts("field.created"): formats.moment(model.created),
            texts("models.rate"): formats.percent(model.false_alarm_rate.used) if model.false_alarm_rate else "",
            texts("models.parent"): model.parent or "–",
            texts("models.notes"): wording.notes(model.notes),
        }
        for model in known.models
    ]
    picked = st.dataframe(rows, hide_index=True, on_select="rerun", selection_mode="single-row", key="versions")
    st.caption(texts("models.pick"))
    _roll_back(serving, visit)
    chosen = picked["selection"]["rows"]
    if chosen:
        _version(known.models[chosen[0]], known.current, visit)


def _version(model: Model, current: str | None, visit: Here) -> None:
    texts = visit.texts
    st.subheader(model.version)
    metrics = wording.metrics(model.metrics, visit.formats)
    if metrics:
        st.table(metrics)
    st.markdown("\n".join(f"- {at} · {words}" for at, words in wording.history_of(model, texts, visit.formats)))
    with st.expander(texts("models.manifest"), icon=":material/data_object:"):
        st.json(model.model_dump(mode="json"), expanded=2)
    service = session.engineer(visit)
    if model.version == current:
        return
    reason = st.text_input(texts("models.reason"), max_chars=200, key=f"reason-{model.version}")
    if st.button(
        texts("models.promote", model=model.version), icon=":material/publish:", disabled=service is None, key="promote"
    ):
        assert service is not None
        _change(lambda: service.promote(model.version, reason), texts("models.promoted", model=model.version), visit)


def _roll_back(serving: Model, visit: Here) -> None:
    texts, service = visit.texts, session.engineer(visit)
    with st.popover(texts("models.roll_back"), icon=":material/undo:", disabled=service is None):
        st.markdown(texts("models.roll_back_help", model=serving.version))
        if st.button(texts("models.roll_back_yes"), type="primary", key="roll_back") and service is not None:
            _change(service.roll_back, texts("models.rolled_back"), visit)


def _change(act: Any, sentence: str, visit: Here) -> None:  # noqa: ANN401 - a call without arguments
    try:
        act()
    except ServiceError as error:
        show_problem(error, visit.texts)
    else:
        _said(sentence)


# Retraining


def _retraining(visit: Here) -> None:
    texts, service = visit.texts, session.engineer(visit)
    st.markdown(texts("retrain.help"))
    mode, start = st.columns([2, 1], vertical_alignment="bottom")
    with mode:
        chosen = st.selectbox(
            texts("retrain.mode"), _MODES, format_func=lambda name: texts(f"retrain.mode.{name}"), key="retrain_mode"
        )
    with start:
        clicked = st.button(
            texts("retrain.start"), type="primary", icon=":material/model_training:", disabled=service is None
        )
    if clicked and service is not None:
        _start(service, str(chosen), visit)
    _jobs(visit)


def _start(service: Service, mode: str, visit: Here) -> None:
    try:
        service.retrain(visit.texts("retrain.by_hand"), mode)
    except ServiceError as error:
        show_problem(error, visit.texts)


@st.fragment(run_every=_REFRESH_S)
def _jobs(visit: Here) -> None:
    texts = visit.texts
    try:
        jobs = visit.service.jobs()
    except ServiceError as error:
        show_problem(error, texts)
        return
    if not jobs:
        st.info(texts("retrain.none"))
    for job in jobs:
        _job(job, visit)


def _job(job: Job, visit: Here) -> None:
    texts, formats = visit.texts, visit.formats
    reason = texts.get(f"retrain.reason.{job.reason}", job.reason)
    with st.container(border=True):
        st.markdown(f"**{formats.moment(job.created)}** · {reason}" + (f" · {plain(job.detail)}" if job.detail else ""))
        if job.status not in wording.ENDED_JOBS and job.progress and job.progress.of:
            share = max(0.0, min(1.0, job.progress.step / job.progress.of))
            st.progress(share, job.progress.text or wording.job_outcome(job, texts, formats).text)
        else:
            show_line(wording.job_outcome(job, texts, formats))


# The false-alarm rate


def _threshold(visit: Here) -> None:
    texts, formats = visit.texts, visit.formats
    current = visit.service.threshold()
    rate = current.false_alarm_rate
    st.markdown(texts("threshold.now", asked=formats.percent(rate.asked), used=formats.percent(rate.used)))
    if rate.used > rate.asked:
        st.info(texts("threshold.out_of_reach", used=formats.percent(rate.used)), icon=":material/straighten:")
    options = sorted({*_RATES, rate.asked})
    asked = float(
        st.select_slider(
            texts("threshold.ask"), options, value=rate.asked, format_func=formats.percent, key="threshold_rate"
        )
    )
    try:
        preview = visit.service.preview(asked)
    except ServiceError as error:
        show_problem(error, texts)
    else:
        _preview(preview, visit)
    service = session.engineer(visit)
    st.caption(texts("threshold.version"))
    if st.button(
        texts("threshold.set", rate=formats.percent(asked)),
        type="primary",
        icon=":material/tune:",
        disabled=service is None or asked == rate.asked,
        key="set_threshold",
    ):
        assert service is not None
        _change(lambda: service.set_threshold(asked), texts("threshold.done", rate=formats.percent(asked)), visit)


def _preview(preview: Preview, visit: Here) -> None:
    texts, formats = visit.texts, visit.formats
    if preview.used > preview.rate:
        st.caption(texts("threshold.then_used", used=formats.percent(preview.used)))
    if preview.predictions == 0:
        st.info(texts("threshold.no_clips"))
        return
    with st.container(horizontal=True):
        st.metric(texts("threshold.clips"), preview.predictions, border=True, width=180)
        st.metric(texts("threshold.alarms_now"), preview.alarms_now, border=True, width=180)
        st.metric(
            texts("threshold.alarms_then"),
            preview.alarms_then,
            delta=preview.alarms_then - preview.alarms_now,
            delta_color="off",
            border=True,
            width=180,
        )
    lines = []
    for changed in preview.changed[:10]:
        words = texts("threshold.becomes_anomaly" if changed.anomaly_then else "threshold.becomes_normal")
        name = visit.service.prediction(changed.prediction_id).filename or changed.prediction_id
        lines.append(f"- [{plain(name)}](/?prediction={changed.prediction_id}): {words}")
    st.markdown("\n".join(lines))
    if len(preview.changed) > 10:
        st.caption(texts("threshold.more", count=len(preview.changed) - 10))


# The reference


def _reference(visit: Here) -> None:
    texts = visit.texts
    reference = visit.service.reference()
    st.markdown(texts("reference.size", rows=reference.rows, clips=reference.clips, machines=len(reference.machines)))
    st.dataframe(
        [
            {
                texts("field.machine"): visit.formats.machine(line.machine),
                texts("reference.clips"): line.clips,
                texts("reference.normal"): line.normal,
                texts("reference.anomaly"): line.anomaly,
                texts("reference.held_out"): line.held_out,
                texts("reference.windows"): line.windows,
            }
            for line in reference.machines
        ],
        hide_index=True,
        key="reference",
    )
    st.caption(texts("reference.held_out_help"))
    st.subheader(texts("reference.add"))
    st.markdown(texts("reference.layouts"))
    file = st.file_uploader(
        texts("reference.zip"), type=["zip"], key=f"zip-{st.session_state.get('zip_round', 0)}", max_upload_size=2048
    )
    service = session.engineer(visit)
    if file is not None and st.button(
        texts("reference.send", name=plain(file.name)),
        type="primary",
        disabled=service is None,
        icon=":material/upload:",
    ):
        assert service is not None
        with st.spinner(texts("reference.sending")):
            try:
                job_id = service.add_reference(file.getvalue(), file.name)
            except ServiceError as error:
                show_problem(error, texts)
                return
        uploads.drop([file])
        st.session_state["zip_round"] = st.session_state.get("zip_round", 0) + 1
        st.session_state["reference_job"] = job_id
        st.rerun()
    if st.session_state.get("reference_job"):
        _reference_job(str(st.session_state["reference_job"]), visit)


@st.fragment(run_every=_REFRESH_S)
def _reference_job(job_id: str, visit: Here) -> None:
    try:
        job = visit.service.job(job_id)
    except ServiceError as error:
        show_problem(error, visit.texts)
        return
    _job(job, visit)
    if job.status in wording.ENDED_JOBS and st.session_state.get("reference_told") != job_id:
        st.session_state["reference_told"] = job_id
        st.rerun()  # the figures above have changed
