"""Inspect: clips in, verdicts out.

Here: choosing clips, sending them, the list of this visit's verdicts. Not here: one verdict in detail (`detail`).

What was sent is dropped from this process: a visit remembers names and verdicts, clips are read again from the service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from portal import clips, session, uploads, wording
from portal.client import Service, ServiceError
from portal.formats import plain
from portal.listener import listener_data, show
from portal.recorder import forget_recording, show_recorder
from portal.records import Prediction
from portal.session import Here
from portal.views.detail import show_prediction
from portal.views.parts import choose_clip, show_line

_KEPT = 500
_LISTED = 40
_AT_ONCE = 4


@dataclass(frozen=True)
class Waiting:
    """A clip that was chosen and not sent yet."""

    name: str
    size: int
    read: Callable[[], bytes]
    upload: UploadedFile | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one clip: a verdict, or why there is none."""

    name: str
    prediction: Prediction | None = None
    error: ServiceError | None = None


@dataclass
class Judged:
    """A visit's clips: what became of those that were sent, newest first, and those that are on their way.

    Kept from run to run of the page, which a click elsewhere ends wherever it asks Streamlit for something.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    running: list[Future[Outcome]] = field(default_factory=list)

    def take(self) -> list[Outcome]:
        """Take over what has come of those on their way, and return it; in one go, so that each is told once."""
        sent, self.running = self.running, []
        new = [one.result() for one in sent]
        self.outcomes = [*new, *self.outcomes][:_KEPT]
        return new


def page() -> None:
    """Show the page."""
    visit = session.here()
    texts = visit.texts
    linked = st.query_params.get("prediction") or st.query_params.get("prediction_id")
    if linked:
        st.title(texts("inspect.linked"))
        st.button(texts("inspect.new"), icon=":material/arrow_back:", on_click=st.query_params.clear)
        show_prediction(linked, visit)
        return
    st.title(texts("inspect.title"))
    st.caption(texts("inspect.help"))
    waiting, machine = _choose(visit)
    judged: Judged = st.session_state.setdefault("judged", Judged())
    if waiting and not judged.running:
        _preview(waiting, visit)
        label = texts("inspect.predict") if len(waiting) == 1 else texts("inspect.predict_many", count=len(waiting))
        if st.button(label, type="primary", icon=":material/graphic_eq:", key="predict"):
            st.session_state["round"] = st.session_state.get("round", 0) + 1  # a new, empty uploader
            forget_recording()
            judged.running = _send(waiting, machine, visit.service)
            uploads.drop(clip.upload for clip in waiting if clip.upload is not None)
    if judged.running:
        _wait(judged, visit)
        st.rerun()
    _outcomes(judged.outcomes, visit)


def _choose(visit: Here) -> tuple[list[Waiting], str]:
    """Return the chosen clips and the machine they are said to come from."""
    texts, turn = visit.texts, st.session_state.get("round", 0)
    demo = clips.demo_clips(visit.settings.demo_clips)
    sources = ["upload", "record", *(["demo"] if demo else [])]
    source = st.segmented_control(
        texts("inspect.source"),
        sources,
        default="upload",
        format_func=lambda name: texts(f"source.{name}"),
        key="source",
        label_visibility="collapsed",
        required=True,
    )
    waiting: list[Waiting] = []
    given_machine = ""
    if source == "upload":
        files = st.file_uploader(
            texts("upload.label"),
            # Any file: what cannot be read is refused with a sentence that says what to do, say, for a phone's M4A.
            accept_multiple_files=True,
            key=f"upload-{turn}",
            help=texts("upload.help"),
            max_upload_size=max(1, visit.settings.max_upload_bytes // 2**20),
        )
        waiting = [Waiting(file.name, file.size, file.getvalue, file) for file in files]
    elif source == "record":
        st.caption(texts("record.help"))
        recording = show_recorder(texts, f"record-{turn}")
        if recording is not None:
            if recording.cleaned:
                st.warning(texts("record.cleaned"), icon=":material/mic:")
            wav = recording.wav
            waiting = [Waiting(texts("record.name"), len(wav), lambda: wav)]
    else:
        chosen = st.selectbox(
            texts("demo.label"),
            demo,
            index=None,
            placeholder=texts("demo.placeholder"),
            format_func=lambda clip: texts(
                "demo.line", machine=clip.machine, kind=texts.get(f"demo.{clip.kind}", clip.kind), name=clip.name
            ),
            key=f"demo-{turn}",
        )
        if chosen is not None:
            given_machine = chosen.machine
            waiting = [Waiting(chosen.name, chosen.path.stat().st_size, chosen.path.read_bytes)]
    machines = sorted({*session.known_machines(visit.settings.service), *([given_machine] if given_machine else [])})
    machine = st.selectbox(
        texts("inspect.machine"),
        machines,
        index=machines.index(given_machine) if given_machine else None,
        placeholder=texts("inspect.machine_unknown"),
        accept_new_options=True,
        help=texts("inspect.machine_help"),
        key=f"machine-{given_machine}",
    )
    return waiting, machine or ""


def _preview(waiting: Sequence[Waiting], visit: Here) -> None:
    texts = visit.texts
    chosen = waiting[0]
    if len(waiting) > 1:
        # Text only: Streamlit keeps what a widget was made with, functions and all they hold, until the visit ends.
        labels = [
            f"{number}. {clip.name} · {visit.formats.size(clip.size)}" for number, clip in enumerate(waiting, start=1)
        ]
        chosen = waiting[labels.index(st.selectbox(texts("inspect.preview", count=len(waiting)), labels))]
    clip = clips.read_file(chosen.read(), chosen.name, visit.settings.max_upload_bytes)
    if isinstance(clip, clips.Unreadable):
        st.error(wording.refusal(clip.code, clip.detail, texts))
        return
    st.caption(
        f"{plain(chosen.name)} · {visit.formats.seconds(clip.picture.duration_s)} · {visit.formats.size(chosen.size)}"
    )
    show(listener_data("preview", clip.picture, None, texts, visit.formats), clip.wav)


def _send(waiting: Sequence[Waiting], machine: str, service: Service) -> list[Future[Outcome]]:
    """Begin to send the clips, a few at once; one that is refused does not stop the others."""
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="judging")
    running = [pool.submit(_judge, service, machine, clip) for clip in waiting]
    pool.shutdown(wait=False)
    return running


def _wait(judged: Judged, visit: Here) -> None:
    """Show how many are judged until all are; the next run of the page goes on here if this one is ended."""
    texts, count = visit.texts, len(judged.running)
    bar = st.progress(0.0, texts("inspect.sending", done=0, count=count))
    for done, _ in enumerate(as_completed(judged.running), start=1):
        bar.progress(done / count, texts("inspect.sending", done=done, count=count))
    bar.empty()
    st.session_state["opened"] = _first_to_open(judged.take())


def _judge(service: Service, machine: str, clip: Waiting) -> Outcome:
    try:
        return Outcome(clip.name, service.predict(clip.read(), clip.name, machine))
    except ServiceError as error:
        return Outcome(clip.name, error=error)


def _first_to_open(outcomes: Sequence[Outcome]) -> str | None:
    """Return the oddest clip's prediction: what a person wants to see first."""
    judged = [outcome.prediction for outcome in outcomes if outcome.prediction]
    return min(judged, key=_oddness).prediction_id if judged else None


def _outcomes(outcomes: Sequence[Outcome], visit: Here) -> None:
    texts = visit.texts
    if not outcomes:
        return
    st.divider()
    refused = [outcome for outcome in outcomes if outcome.error]
    judged = [outcome.prediction for outcome in outcomes if outcome.prediction]
    if len(outcomes) > 1:
        st.subheader(texts("inspect.verdicts"))
        odd = sum(prediction.anomaly for prediction in judged)
        st.markdown(texts("inspect.summary", odd=odd, normal=len(judged) - odd, refused=len(refused)))
    for outcome in refused[:10]:
        assert outcome.error is not None
        show_line(wording.Line(f"**{plain(outcome.name)}**: {wording.problem(outcome.error, texts)}", "warning"))
    play = False
    if len(judged) > 1:
        # A new list for each round: what was chosen in the one before is not what was judged last.
        listed = sorted(judged[:_LISTED], key=_oddness)
        choice = choose_clip(listed, st.session_state.get("opened"), f"verdicts-{st.session_state['round']}", visit)
        if choice:
            st.session_state["opened"], play = choice
        if len(judged) > _LISTED:
            st.caption(texts("inspect.older", count=len(judged) - _LISTED))
    opened = st.session_state.get("opened")
    name = next((p.filename for p in judged if p.prediction_id == opened), None)
    if opened and name is not None:
        with st.container(key=f"opened-{opened}"):
            st.subheader(plain(name))
            show_prediction(opened, visit, play=play)


def _oddness(prediction: Prediction) -> tuple[float, float]:
    return prediction.p_value, -prediction.score
