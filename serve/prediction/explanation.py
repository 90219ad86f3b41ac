"""Why a prediction came out as it did: worked out when somebody asks, with the model that judged it.

Here: which model, which known clips, and remembering the answers. Nothing is stored: an explanation can be made again
from the clip as long as the clip is kept, and its nearest clips change with every answer.
Not here: the explaining (`audio_pipeline.explanation`).
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from pathlib import Path

import numpy as np

from audio_pipeline.clip import Clip
from audio_pipeline.errors import BrokenArtifact, ReferenceDataError, SettingsError
from audio_pipeline.explanation import Explanation, KnownClips, explain
from audio_pipeline.scoring import Scorer
from serve.answers.confirmed import ConfirmedFaults
from serve.database import answers
from serve.database.connection import Database
from serve.database.tables import Prediction
from serve.http.problems import Refused
from serve.models.current import ServedModel
from serve.models.reference_files import ReferenceFiles
from serve.prediction.clips import ClipStore

_REMEMBERED = 128  # explanations, some 10 kB each
_ANSWERED = 2000  # the newest answers that a clip is compared with


class Explanations:
    """Explains predictions; safe to call from several threads.

    Parameters
    ----------
    artifacts
        The folder of models.
    clips
        Where the recordings are.
    model
        What serves.
    database, confirmed
        Where the answers are, and what clips were scored with.
    reference
        The reference set.
    """

    def __init__(
        self,
        artifacts: Path,
        clips: ClipStore,
        model: ServedModel,
        database: Database,
        confirmed: ConfirmedFaults,
        reference: ReferenceFiles,
    ) -> None:
        self._artifacts = artifacts
        self._clips = clips
        self._model = model
        self._database = database
        self._confirmed = confirmed
        self._files = reference
        self._lock = threading.Lock()
        self._busy: dict[uuid.UUID, threading.Lock] = {}
        # Explaining takes the processor time of many clips: side by side, a few questions at once held up predictions.
        self._one_at_a_time = threading.Lock()
        self._answers: OrderedDict[tuple[uuid.UUID, str, str, int], Explanation] = OrderedDict()
        self._former: Scorer | None = None
        self._known: tuple[str, KnownClips | None] = ("", None)

    def of(self, prediction: Prediction) -> Explanation:
        """Explain a prediction; takes about half a second the first time.

        Raises
        ------
        Refused
            404: its recording is no longer kept.
        BrokenArtifact
            No model works.
        """
        with self._lock:
            busy = self._busy.setdefault(prediction.id, threading.Lock())
        try:
            with busy:  # the portal, the e-mail and the picture ask at the same moment: once is enough
                return self._explained(prediction)
        finally:
            with self._lock:
                if not busy.locked():
                    self._busy.pop(prediction.id, None)

    def _explained(self, prediction: Prediction) -> Explanation:
        scorer = self._scorer(prediction.model_version)
        encoder_sha256 = scorer.encoder.manifest.sha256
        reference_sha256, known = self._reference(encoder_sha256)
        with self._database.read() as session:
            revision = answers.revision(session)
        key = prediction.id, scorer.model, reference_sha256, revision
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        confirmed = self._confirmed.before(scorer, prediction.created) if prediction.confirmed else None
        known = self._joined(known, encoder_sha256, prediction.id)
        with self._one_at_a_time:
            answer = explain(scorer, self._clip(prediction), prediction.machine, known, confirmed)
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return answer

    def _clip(self, prediction: Prediction) -> Clip:
        clip = self._clips.read(prediction.clip.path)
        if clip is None:
            detail = f"The clip of prediction {prediction.id} is no longer kept: it cannot be explained any more."
            raise Refused(404, "clip_gone", detail)
        return clip

    def _scorer(self, version: str) -> Scorer:
        """The model that judged, as long as it is there; otherwise the one in service."""
        serving = self._model.scorer
        if serving.model == version:
            return serving
        with self._lock:
            if self._former is not None and self._former.model == version:
                return self._former
        try:
            former = Scorer.load(self._artifacts, model=version)
        except (BrokenArtifact, SettingsError):
            return serving
        with self._lock:
            self._former = former
        return former

    def _joined(self, known: KnownClips | None, encoder_sha256: str, but: uuid.UUID) -> KnownClips | None:
        """The reference's clips and the answered predictions, without the one that is explained."""
        with self._database.read() as session:
            found = answers.answered_windows(session, encoder_sha256, _ANSWERED)
        found = [window for window in found if window.prediction_id != but]
        if not found:
            return known
        told = KnownClips(
            vectors=np.array([window.vector for window in found], np.float32),
            targets=np.array([window.target for window in found], bool),
            machines=np.array([window.machine for window in found], np.str_),
            kinds=np.full(len(found), "prediction"),
            ids=np.array([str(window.prediction_id) for window in found], np.str_),
            titles=np.array([_title(window) for window in found], np.str_),
        )
        return told if known is None else known.joined(told)

    def _reference(self, encoder_sha256: str) -> tuple[str, KnownClips | None]:
        """The reference's sha256 and clips; nothing without a reference of this encoder."""
        try:
            reference = self._files.read()
        except ReferenceDataError:
            return "", None
        if reference.encoder_sha256 != encoder_sha256:
            return "", None
        with self._lock:
            if self._known[0] != reference.sha256:
                self._known = reference.sha256, KnownClips.of(reference)
            return self._known


def _title(window: answers.AnsweredWindow) -> str:
    """What to call an answered prediction: its fault, its file, or its moment."""
    name = window.filename or f"{window.created:%Y-%m-%d %H:%M}"
    return f"{window.fault} ({name})" if window.fault else name
