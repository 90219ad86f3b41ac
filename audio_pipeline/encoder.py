"""The encoder that serves: an ONNX graph from samples to an embedding, under ONNX Runtime.

Here: loading a folder with `encoder.onnx` and `encoder.json`, verifying it, running it. Not here: training or exporting
one (`audio_pipeline.torch_encoders`, extra `train`), cutting clips into windows (`windows`), or what the vectors mean
(`detector`).

Example
-------
>>> encoder = Encoder.load(DEFAULT_ENCODER)
>>> embedding = encoder.embed(np.random.default_rng(0).normal(size=(2, 16000)).astype("float32"))
>>> embedding.vectors.shape == (2, encoder.manifest.dimensions)
True
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from audio_pipeline.errors import BrokenArtifact
from audio_pipeline.onnx_session import open_session

ENCODER_FILE = "encoder.onnx"
MANIFEST_FILE = "encoder.json"
DEFAULT_ENCODER = Path(__file__).resolve().parent.parent / "artifacts" / "encoders" / "default"
"""The encoder shipped in the repository. An image that installs the package elsewhere passes its own folder."""


class ColumnGroup(BaseModel):
    """A half-open range of columns of the embedding or of the frames that belong together."""

    model_config = ConfigDict(frozen=True)

    start: int
    stop: int
    source: str
    """What was pooled: `logmel` (computed in the graph) or `wav2vec2` (the network's hidden states)."""
    pooling: str
    """How it was pooled over time: `mean`, `std`, `peak`; `none` for frames."""
    top_hz: float | None = None
    """Where columns are bands on Slaney's mel scale, from 0 Hz to here."""
    absolute: bool = False
    """Whether training gave distances in it a unit. Others are measured in each machine's own deviations."""

    @property
    def columns(self) -> slice:
        """The range as a slice."""
        return slice(self.start, self.stop)


class EncoderManifest(BaseModel):
    """What `encoder.json` says.

    Raises
    ------
    ValidationError
        If the groups do not cover the columns once, in order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    """Of encoder.onnx, hexadecimal."""
    sample_rate: int = 16_000
    dimensions: int
    groups: dict[str, ColumnGroup]
    frame_dimensions: int
    frame_groups: dict[str, ColumnGroup]
    frame_hop_s: float
    precision: str = "fp32"
    description: str
    source: dict[str, Any] = {}
    """Where the weights come from: checkpoint or training run, layer, seed."""
    parity: dict[str, Any] = {}
    """Largest absolute difference between torch and ONNX Runtime, by length in seconds and batch."""

    @model_validator(mode="before")
    @classmethod
    def _drop_stand_in(cls, told: object) -> object:
        # Every encoder.json written before has it: whether the network was never trained.
        return {key: value for key, value in told.items() if key != "stand_in"} if isinstance(told, dict) else told

    @model_validator(mode="after")
    def _groups_cover_the_columns(self) -> EncoderManifest:
        for groups, width in ((self.groups, self.dimensions), (self.frame_groups, self.frame_dimensions)):
            edges = [0, *(edge for group in groups.values() for edge in (group.start, group.stop)), width]
            if edges[::2] != edges[1::2]:
                raise ValueError(f"column groups {edges} do not cover 0 to {width} once, in order")
        return self


@dataclass(frozen=True)
class Embedding:
    """One batch, embedded.

    Attributes
    ----------
    vectors
        float32[batch, n]: one embedding a clip.
    frames
        float32[batch, T, d]: what was pooled over time, one row every `frame_hop_s`, for explanations.
    """

    vectors: NDArray[np.float32]
    frames: NDArray[np.float32]


_DEAD = 512  # samples, half of a frame: every frame of zeros holds such a block whole


class Encoder:
    """An ONNX encoder, loaded once and safe to call from several threads.

    Use `Encoder.load(folder)`, then `embed` on batches of equal length.
    """

    def __init__(self, session: ort.InferenceSession, manifest: EncoderManifest) -> None:
        self._session = session
        self.manifest = manifest

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> Encoder:
        """Load and verify an encoder folder.

        Parameters
        ----------
        folder
            Holds `encoder.onnx` and `encoder.json`.
        threads
            ONNX Runtime's threads inside one call (0: as many as it likes).

        Raises
        ------
        BrokenArtifact
            If a file is missing, does not fit its hash, or is no encoder.
        """
        manifest = read_manifest(folder)
        try:
            model = (folder / ENCODER_FILE).read_bytes()
        except OSError as e:
            raise BrokenArtifact(f"The encoder {folder / ENCODER_FILE} cannot be read ({e.strerror}).") from e
        found = hashlib.sha256(model).hexdigest()
        if found != manifest.sha256:
            raise BrokenArtifact(
                f"The encoder {folder / ENCODER_FILE} is not the file that its manifest names (sha256 {found[:12]}, "
                f"expected {manifest.sha256[:12]}). Restore the folder from a backup or export the encoder again."
            )
        return cls(open_session(model, f"The encoder {folder / ENCODER_FILE}", threads), manifest)

    def embed(self, batch: NDArray[np.float32]) -> Embedding:
        """Embed clips of equal length.

        Parameters
        ----------
        batch
            float32[batch, samples] at 16 kHz, at least 0.1 s long.

        Returns
        -------
        Embedding
            A row's result does not depend on the other rows.
        """
        vectors, frames = self._session.run(["embedding", "frames"], {"audio": without_dead_silence(batch)})
        return Embedding(vectors, frames)


def without_dead_silence(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put faint noise where a clip holds nothing but zeros for a while: the logarithm of nothing is no number.

    Gated recordings, lost packets and generated sounds have such stretches. The noise lies 80 dB below the clip, about
    where a microphone's own would be, and is the same every time. Clips without such a stretch stay as they are.

    Parameters
    ----------
    batch
        float32[batch, samples].

    Examples
    --------
    >>> beep = np.zeros((1, 4096), np.float32)
    >>> beep[0, :100] = 0.5
    >>> bool((without_dead_silence(beep)[0, :100] == 0.5).all()), float(np.abs(without_dead_silence(beep)).min()) > 0
    (True, True)
    """
    whole = batch.shape[1] // _DEAD * _DEAD
    sounds = (batch[:, :whole].reshape(len(batch), -1, _DEAD) != 0).max(axis=2, initial=False)
    dead: NDArray[np.bool_] = ~sounds.min(axis=1, initial=True)
    if not dead.any():
        return batch
    noise = np.random.default_rng(0).standard_normal(batch.shape[1], np.float32)
    level = np.maximum(1e-4 * np.sqrt(np.mean(batch**2, axis=1, keepdims=True)), np.float32(1e-7))
    return np.where(dead[:, None] & (batch == 0), level * noise, batch)


def read_manifest(folder: Path) -> EncoderManifest:
    """Read `encoder.json` in an encoder's folder.

    Raises
    ------
    BrokenArtifact
        If it is missing or does not hold what it should.
    """
    path = folder / MANIFEST_FILE
    try:
        return EncoderManifest.model_validate(json.loads(path.read_text()))
    except OSError as e:
        raise BrokenArtifact(
            f"There is no encoder in {folder} ({MANIFEST_FILE}: {e.strerror}). Name a folder made by "
            "'wheeltapper export-encoder' or 'wheeltapper pretrain', or leave the option out for the shipped one."
        ) from e
    except (ValueError, ValidationError) as e:
        raise BrokenArtifact(f"The encoder's manifest {path} cannot be used: {e}") from e
