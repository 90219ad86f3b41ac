"""A trained classifier under ONNX Runtime: vectors in, scores and p-values out.

Here: loading, checking and running the graph. Not here: making it (`graph`, `training`), deciding about a clip
(`audio_pipeline.decision`). Serving imports this: no scikit-learn, no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from audio_pipeline.detector.manifest import CLASSIFIER_FILE, ModelManifest, read_manifest
from audio_pipeline.errors import BrokenArtifact
from audio_pipeline.onnx_session import open_session

_CHUNK_ROWS = 512  # at once: bounds the memory of comparing rows with every machine and calibration score


@dataclass(frozen=True)
class Scores:
    """What the graph says about rows.

    Parameters
    ----------
    score
        float32[N]: around 0 for a healthy machine, higher = odder.
    p_value
        float32[N]: how rare so high a score is among healthy windows.
    probability
        float32[N]: of a fault, where as many faulty clips as healthy ones are heard; NaN before any fault is confirmed
        (a p-value alone says nothing about faults), and from models of before it was given.
    """

    score: NDArray[np.float32]
    p_value: NDArray[np.float32]
    probability: NDArray[np.float32]


class Classifier:
    """A classifier, loaded once and safe to call from several threads.

    Use `Classifier.load(folder)`, then `score`.
    """

    def __init__(self, session: ort.InferenceSession, manifest: ModelManifest, version: str = "") -> None:
        self._session = session
        self.manifest = manifest
        self.version = version

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> Classifier:
        """Load and verify the folder of a model version.

        Parameters
        ----------
        folder
            Holds `classifier.onnx` and `model.json`; its name is the version.
        threads
            ONNX Runtime's threads inside one call (0: as many as it likes).

        Raises
        ------
        BrokenArtifact
            If a file is missing, does not fit its hash, or is no classifier.
        """
        manifest = read_manifest(folder)
        path = folder / CLASSIFIER_FILE
        try:
            graph = path.read_bytes()
        except OSError as error:
            raise BrokenArtifact(f"The classifier {path} cannot be read ({error.strerror}): train again.") from error
        found, expected = hashlib.sha256(graph).hexdigest(), manifest.files.get(CLASSIFIER_FILE, "none")
        if found != expected:
            raise BrokenArtifact(
                f"The classifier {path} is not the file that its manifest names (sha256 {found[:12]}, expected "
                f"{expected[:12]}): put the file back, promote another version or train again."
            )
        return cls.from_bytes(graph, manifest, folder.name, threads)

    @classmethod
    def from_bytes(cls, graph: bytes, manifest: ModelManifest, version: str = "", threads: int = 1) -> Classifier:
        """Load a graph that is not on disk (yet).

        Raises
        ------
        BrokenArtifact
            If ONNX Runtime cannot load it, or it is no classifier as the manifest describes.
        """
        session = open_session(graph, f"The classifier {version or CLASSIFIER_FILE}", threads)
        inputs = {argument.name: argument.shape[1:] for argument in session.get_inputs()}
        outputs = {argument.name for argument in session.get_outputs()}
        wide = [manifest.dimensions]
        if inputs != {"embedding": wide, "machine": [], "confirmed": wide} or not outputs >= {"score", "p_value"}:
            raise BrokenArtifact(
                f"The graph {version or CLASSIFIER_FILE} is no classifier of {manifest.dimensions} columns (its inputs "
                f"are {inputs}): put the file back, promote another version or train again."
            )
        return cls(session, manifest, version)

    def score(
        self,
        vectors: NDArray[np.float32],
        machines: Sequence[str] | NDArray[np.int64],
        confirmed: NDArray[np.float32] | None = None,
    ) -> Scores:
        """Score rows; each row's result depends on that row alone.

        Parameters
        ----------
        vectors
            float32[N, n], from the encoder that the manifest names.
        machines
            N names (one that the manifest does not list is an unknown machine), or int64[N] of indices.
        confirmed
            float32[M, n], faults confirmed since the model was trained; near twins of them score higher.

        Raises
        ------
        BrokenArtifact
            The vectors are not of this model's encoder: another width, or values that are not finite or too large.
        """
        known = self._checked(np.zeros((0, self.manifest.dimensions), np.float32) if confirmed is None else confirmed)
        rows = self._checked(vectors)
        if isinstance(machines, np.ndarray) and machines.dtype.kind in "iu":
            indices = machines.astype(np.int64)
        else:
            index = {machine: position for position, machine in enumerate(self.manifest.machines, start=1)}
            indices = np.array([index.get(str(machine), 0) for machine in machines], dtype=np.int64)
        if len(indices) != len(rows):
            raise BrokenArtifact(f"{len(rows)} vectors came with {len(indices)} machines: one each is needed.")
        outputs = [argument.name for argument in self._session.get_outputs()]
        found = {name: np.full(len(rows), np.nan, np.float32) for name in ("score", "p_value", "probability")}
        for first in range(0, len(rows), _CHUNK_ROWS):
            part = slice(first, first + _CHUNK_ROWS)
            inputs = {"embedding": rows[part], "machine": indices[part], "confirmed": known}
            for name, values in zip(outputs, self._session.run(outputs, inputs), strict=True):
                found[name][part] = values
        if not np.isfinite(found["score"]).all():  # squares of what float32 cannot square
            raise BrokenArtifact(
                f"The encoder {self.manifest.encoder_name} gave values too large to be scored: use another encoder."
            )
        return Scores(**found)

    def _checked(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if vectors.ndim != 2 or vectors.shape[1] != self.manifest.dimensions:
            raise BrokenArtifact(
                f"The vectors have the shape {vectors.shape}, the model takes {self.manifest.dimensions} columns "
                f"(encoder {self.manifest.encoder_name}): embed with that encoder, or train again."
            )
        if not np.isfinite(vectors).all():
            raise BrokenArtifact(
                f"The encoder {self.manifest.encoder_name} gave values that are not finite: use another encoder."
            )
        return np.ascontiguousarray(vectors, dtype=np.float32)
