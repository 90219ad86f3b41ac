"""One prediction: what was found, what to look at and listen to, whom to ask, what was answered.

Here: the detail that Inspect and History share. Not here: lists of predictions.
"""

from __future__ import annotations

from html import escape

import streamlit as st

from portal import charts, clips, wording
from portal.client import ServiceError
from portal.formats import plain
from portal.listener import listener_data, show
from portal.records import Explanation, Prediction, Question, Summary
from portal.session import Here
from portal.views.parts import show_line, show_problem, show_verdict

_REFRESH_S = 2.0
_NEAREST_SHOWN = 4
_NAME = "operator"  # who answers, kept for the visit
# A clip of one window has nothing to compare over time.
_FEWEST_WINDOWS = 2


def show_prediction(prediction_id: str, visit: Here, *, play: bool = False) -> None:
    """Show everything about one prediction.

    Parameters
    ----------
    prediction_id
        As the service named it.
    visit
        Whom to ask, and how to say it.
    play
        Begin to play at once.
    """
    texts, formats = visit.texts, visit.formats
    try:
        prediction = visit.service.prediction(prediction_id)
    except ServiceError as error:
        show_problem(error, texts)
        return
    machine, length = plain(formats.machine(prediction.machine)), formats.seconds(prediction.duration_s)
    st.caption(f"{machine} · {formats.moment(prediction.created)} · {length}")
    for found in prediction.sensor.findings:
        show_line(wording.finding(found, texts))
    if not prediction.sensor.ok:
        st.error(texts("sensor.worthless"), icon=":material/mic_off:")
    elif not prediction.sensor.findings:
        st.caption(f":material/mic: {texts('sensor.fine')}")
    show_verdict(prediction, visit)
    st.markdown(wording.p_value(prediction.p_value, texts, formats))
    explanation = _explanation(prediction, visit)
    _picture(prediction, explanation, visit, play)
    if explanation and prediction.anomaly:
        st.markdown("\n".join(f"- {line}" for line in wording.explained(explanation, texts, formats)))
    if len(prediction.windows) >= _FEWEST_WINDOWS:
        st.markdown(f"**{texts('detail.windows')}**")
        st.vega_lite_chart(spec=charts.windows(prediction, texts), width="stretch", key=f"windows-{prediction_id}")
    left, right = st.columns(2, gap="large")
    with left:
        _people(prediction, visit)
    with right:
        if explanation and explanation.nearest:
            _nearest(explanation, visit)
    _figures(prediction, visit)


def _explanation(prediction: Prediction, visit: Here) -> Explanation | None:
    kept: dict[str, Explanation] = st.session_state.setdefault("explanations", {})
    if prediction.prediction_id not in kept:
        try:
            found = visit.service.explanation(prediction.prediction_id)
        except ServiceError as error:
            st.caption(wording.problem(error, visit.texts))
            return None
        while len(kept) >= 20:  # so that a long visit stays small
            kept.pop(next(iter(kept)))
        kept[prediction.prediction_id] = found
    return kept[prediction.prediction_id]


def _picture(prediction: Prediction, explanation: Explanation | None, visit: Here, play: bool) -> None:
    path = f"/predictions/{prediction.prediction_id}/audio"
    try:
        clip = clips.fetch(visit.settings.service, path)
    except ServiceError as error:
        show_problem(error, visit.texts)
        return
    # What is odd is marked where there is something odd; a healthy clip's oddest second would only frighten.
    marked = explanation if prediction.anomaly else None
    key = f"clip-{prediction.prediction_id}"
    show(listener_data(key, clip.picture, marked, visit.texts, visit.formats), clip.wav, play)


def _nearest(explanation: Explanation, visit: Here) -> None:
    st.subheader(visit.texts("detail.nearest"))
    st.caption(visit.texts("detail.nearest_help"))
    for known in explanation.nearest[:_NEAREST_SHOWN]:
        st.markdown(wording.neighbour(known, visit.texts, visit.formats))
        try:
            st.audio(clips.fetch(visit.settings.service, known.audio_url).wav, format="audio/wav")
        except ServiceError as error:
            gone = error.kind == "gone"
            st.caption(visit.texts("neighbour.gone") if gone else wording.problem(error, visit.texts))


def _people(prediction: Prediction, visit: Here) -> None:
    st.subheader(visit.texts("detail.people"))
    asked: dict[str, str] = st.session_state.setdefault("asked", {})
    question_id = prediction.question.question_id if prediction.question else asked.get(prediction.prediction_id)
    if question_id is None and prediction.answer is None:
        st.caption(visit.texts("ask.help"))
        if st.button(
            visit.texts("ask.button"),
            type="primary" if prediction.anomaly else "secondary",
            icon=":material/notifications_active:",
            key=f"ask-{prediction.prediction_id}",
        ):
            try:
                # Within an episode the question that comes back is about another clip, and this one has none.
                asked[prediction.prediction_id] = visit.service.ask(prediction.prediction_id).question_id
            except ServiceError as error:
                show_problem(error, visit.texts)
            else:
                st.rerun()
    if question_id is not None:
        _question(question_id, prediction.prediction_id, visit)
    if prediction.answer is None:
        with st.expander(visit.texts("answer.open"), icon=":material/fact_check:"):
            _answer_form(prediction, visit)
    else:
        _receipt(prediction, visit)
        with st.expander(visit.texts("answer.correct"), icon=":material/edit:"):
            _answer_form(prediction, visit)


def _question(question_id: str, prediction_id: str, visit: Here) -> None:
    """Show a question's life; it is asked for again every few seconds until somebody answered."""

    def life() -> None:
        try:
            question = visit.service.question(question_id)
        except ServiceError as error:
            show_problem(error, visit.texts)
            return
        known = st.session_state.get(f"state-{question_id}")
        st.session_state[f"state-{question_id}"] = question.state
        if known is not None and known != question.state and question.state in wording.ENDED_QUESTIONS:
            st.rerun()  # the answer and its receipt belong to the page around
        _show_question(question, prediction_id, visit)

    ended = st.session_state.get(f"state-{question_id}") in wording.ENDED_QUESTIONS
    st.fragment(life, run_every=None if ended else _REFRESH_S, key=f"life-{prediction_id}")()


def _show_question(question: Question, prediction_id: str, visit: Here) -> None:
    texts = visit.texts
    if (
        question.state not in wording.ENDED_QUESTIONS or question.prediction_id != prediction_id
    ):  # else the receipt says it
        show_line(wording.question_state(question, texts, visit.formats))
    if question.count > 1:
        st.caption(texts("question.episode", count=question.count))
    if question.prediction_id != prediction_id:
        st.markdown(texts("question.other", link=f"/?prediction={question.prediction_id}"))
    steps = "".join(
        f"<li><time>{escape(at)}</time>{escape(words)}</li>"
        for at, words in wording.question_steps(question, texts, visit.formats)
    )
    st.html(f'<ul class="steps" data-testid="question-life" data-state="{escape(question.state)}">{steps}</ul>')
    if question.form_url and question.state not in wording.ENDED_QUESTIONS:
        st.markdown(f"[{texts('question.form')}]({question.form_url})")


def _answer_form(prediction: Prediction, visit: Here) -> None:
    texts = visit.texts
    st.caption(texts("answer.help"))
    with st.form(f"answer-{prediction.prediction_id}", border=False):
        answer = st.radio(
            texts("answer.title"),
            ("anomaly", "normal", "unsure"),
            index=None,  # Enter in any field sends the form: nobody is to have said what they did not choose
            format_func=lambda given: wording.answer_name(given, texts),
            horizontal=True,
        )
        operator = st.text_input(texts("answer.operator"), value=st.session_state.get(_NAME, ""), max_chars=100)
        fault = st.text_input(texts("answer.fault"), max_chars=200)
        comment = st.text_area(texts("answer.comment"), max_chars=2000, height=80)
        sent = st.form_submit_button(texts("answer.send"), icon=":material/send:")
    if sent and answer is None:
        st.warning(texts("answer.missing"))
    elif sent:
        st.session_state[_NAME] = operator
        give_answer(prediction, str(answer), visit, comment, fault)


def give_answer(prediction: Prediction | Summary, answer: str, visit: Here, comment: str = "", fault: str = "") -> None:
    """Store an answer, in place of the one that stands if there is one, and show the page again with it."""
    try:
        visit.service.answer(
            prediction.prediction_id,
            answer,
            operator=st.session_state.get(_NAME, ""),
            comment=comment,
            fault=fault,
            # Who corrects an answer has seen it; who saw none must not replace one that came meanwhile.
            override=prediction.answer is not None,
        )
    except ServiceError as error:
        show_problem(error, visit.texts)
        return
    st.toast(visit.texts("answer.stored"), icon=":material/check:")
    st.rerun()


def _receipt(prediction: Prediction, visit: Here) -> None:
    try:
        receipt = visit.service.receipt(prediction.prediction_id)
    except ServiceError as error:
        st.success(wording.answer_name(prediction.answer, visit.texts), icon=":material/task_alt:")
        show_problem(error, visit.texts)
        return
    lines = wording.receipt_lines(receipt, visit.texts, visit.formats)
    st.success(lines[0], icon=":material/task_alt:")
    told = [text for text in (receipt.answer.fault, receipt.answer.comment) if text]
    if told:
        st.caption(plain(" · ".join(told)))
    st.markdown("\n".join(f"- {line}" for line in lines[1:]))


def _figures(prediction: Prediction, visit: Here) -> None:
    texts, formats = visit.texts, visit.formats
    with st.expander(texts("detail.figures"), icon=":material/data_object:"):
        st.markdown(wording.false_alarms(prediction, texts, formats))
        st.table(
            {
                texts("field.filename"): plain(prediction.filename or "–"),
                texts("field.machine"): plain(formats.machine(prediction.machine)),
                texts("field.created"): formats.moment(prediction.created, seconds=True),
                texts("field.duration"): formats.seconds(prediction.duration_s),
                texts("field.score"): formats.number(prediction.score, 4),
                texts("field.threshold"): formats.number(prediction.threshold, 4),
                texts("field.p_value"): formats.number(prediction.p_value, 4),
                texts("field.model"): prediction.model_version,
                texts("field.encoder"): prediction.encoder,
                texts("field.id"): prediction.prediction_id,
            }
        )
