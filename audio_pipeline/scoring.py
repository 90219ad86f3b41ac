"""From a decoded clip to a verdict: the one pipeline of the command line, the service, evaluation and benchmarks.

    Clip ─► windows ─► embedding ─► classifier ─► decision ─► Verdict
            └──── embed_clip ────┘  └────── Scorer.classify ───────┘

Here: the order of the steps, and the verdict. Not here: the steps themselves (`embedding`, `detector`, `decision`,
`sensor`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.artifacts import ModelStore, find_encoder
from audio_pipeline.clip import Clip
from audio_pipeline.decision import Decision, decide
from audio_pipeline.detector.classifier import Classifier, Scores
from audio_pipeline.embedding import EmbeddedClip, embed_clip
from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import BrokenArtifact
from audio_pipeline.sensor import SensorReport, check


@dataclass(frozen=True)
class WindowScore:
    """One window's part in a verdict: where it lies (seconds), how odd it sounds, how rare that is among normals."""

    start_s: float
    end_s: float
    score: float
    p_value: float


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is said about one clip.

    Parameters
    ----------
    anomaly
        The verdict.
    score, threshold
        Of the clip, and what it has to exceed for an alarm, at the clip's number of windows.
    p_value
        At most this share of healthy clips would sound at least this odd.
    sensor
        What is wrong with the recording itself.
    machine
        As asked for; empty = unknown.
    model_version, encoder
        What judged, by name.
    duration_s
        Of the file.
    windows
        In order of time.
    vectors
        float32[W, n], their embeddings.
    deciding_window
        Position of the highest score in `windows`.
    rate_asked, rate_used
        False-alarm rate a clip asked for, and the one that the number of normals supports.
    """

    anomaly: bool
    score: float
    threshold: float
    p_value: float
    sensor: SensorReport
    machine: str
    model_version: str
    encoder: str
    duration_s: float
    windows: tuple[WindowScore, ...]
    vectors: NDArray[np.float32]
    deciding_window: int
    rate_asked: float
    rate_used: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values in the shape of the service's answer."""
        return {
            "anomaly": self.anomaly,
            "score": self.score,
            "threshold": self.threshold,
            "p_value": self.p_value,
            "sensor": {"ok": self.sensor.ok, "findings": [asdict(finding) for finding in self.sensor.findings]},
            "machine": self.machine,
            "model_version": self.model_version,
            "encoder": self.encoder,
            "duration_s": self.duration_s,
            "windows": [asdict(window) for window in self.windows],
            "deciding_window": self.deciding_window,
            "false_alarm_rate": self.rate_asked,
            "false_alarm_rate_used": self.rate_used,
        }


class Scorer:
    """An encoder and the classifier trained on its vectors.

    Parameters
    ----------
    encoder, classifier
        Of each other: the classifier's manifest names the encoder's sha256.
    model
        The version's name.
    """

    def __init__(self, encoder: Encoder, classifier: Classifier, model: str) -> None:
        self.encoder = encoder
        self.classifier = classifier
        self.model = model

    @classmethod
    def load(cls, artifacts: Path, threads: int = 1, model: str | None = None) -> Scorer:
        """Load what serves: `current.json`, its model and its encoder, every file verified.

        Parameters
        ----------
        artifacts
            The artifacts folder.
        threads
            ONNX Runtime's, inside one call.
        model
            Another version than the one that serves.

        Raises
        ------
        BrokenArtifact
            No model serves yet, or a file is missing or is not what was published.
        SettingsError
            There is no version of that name.
        """
        store = ModelStore(artifacts)
        if model is None:
            current = store.current()
            if current is None:
                raise BrokenArtifact(f"No model serves in {artifacts} yet: run `wheeltapper train`.")
            model = current.model
        version = store.load(model)
        encoder = Encoder.load(find_encoder(artifacts, version.encoder_sha256), threads)
        return cls(encoder, Classifier.load(version.folder), version.version)

    @property
    def encoder_name(self) -> str:
        """The encoder's name."""
        return self.encoder.manifest.name

    def score(self, clip: Clip, machine: str = "", confirmed: NDArray[np.float32] | None = None) -> Verdict:
        """Judge a clip: `embed_clip`, then `classify`.

        Parameters
        ----------
        clip
            Decoded.
        machine
            `type/section`; empty or unknown to the model: compared with every machine it knows.
        confirmed
            float32[M, n], faults confirmed since the model was trained.
        """
        return self.classify(clip, embed_clip(self.encoder, clip), machine, confirmed)

    def classify(
        self,
        clip: Clip,
        embedded: EmbeddedClip,
        machine: str = "",
        confirmed: NDArray[np.float32] | None = None,
    ) -> Verdict:
        """Judge a clip that is embedded already.

        Parameters
        ----------
        clip, embedded
            The clip, and what `embed_clip` made of it with this scorer's encoder.
        machine, confirmed
            As in `score`.
        """
        scores, decision = self._judge(embedded.vectors, machine, confirmed)
        spans = zip(embedded.starts_s.tolist(), embedded.ends_s.tolist(), strict=True)
        return Verdict(
            anomaly=decision.anomaly,
            score=decision.score,
            threshold=decision.threshold,
            p_value=decision.p_value,
            sensor=check(clip.sensor, self.classifier.manifest.levels_db.get(machine)),
            machine=machine,
            model_version=self.model,
            encoder=self.encoder_name,
            duration_s=clip.duration_s,
            windows=tuple(
                WindowScore(start_s, end_s, score, p_value)
                for (start_s, end_s), score, p_value in zip(
                    spans, scores.score.tolist(), scores.p_value.tolist(), strict=True
                )
            ),
            vectors=embedded.vectors,
            deciding_window=decision.deciding_window,
            rate_asked=decision.rate_asked,
            rate_used=decision.rate_used,
        )

    def judge(
        self, vectors: NDArray[np.float32], machine: str = "", confirmed: NDArray[np.float32] | None = None
    ) -> Decision:
        """Decide about a clip from its vectors alone, as evaluation does with those of a reference.

        Parameters
        ----------
        vectors
            float32[W, n], all windows of one clip.
        machine, confirmed
            As in `score`.
        """
        return self._judge(vectors, machine, confirmed)[1]

    def _judge(
        self, vectors: NDArray[np.float32], machine: str, confirmed: NDArray[np.float32] | None
    ) -> tuple[Scores, Decision]:
        manifest = self.classifier.manifest
        scores = self.classifier.score(vectors, [machine] * len(vectors), confirmed)
        decision = decide(
            scores.score.tolist(),
            scores.p_value.tolist(),
            manifest.calibration_of(machine),
            manifest.false_alarm_rate.asked,
        )
        return scores, decision
