"""`explain`: from a clip and its verdict to the reasons, all asked of the detector that judged."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.clip import Clip
from audio_pipeline.encoder import EncoderManifest
from audio_pipeline.explanation import bands, neighbours, stretches
from audio_pipeline.explanation.bands import Band
from audio_pipeline.explanation.neighbours import GroupScore, KnownClips, Neighbour
from audio_pipeline.explanation.rescoring import Rescorer
from audio_pipeline.explanation.stretches import Stretch
from audio_pipeline.mel import slaney_centres
from audio_pipeline.scoring import Scorer
from audio_pipeline.windows import split


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a clip got its score.

    Parameters
    ----------
    model_version
        What was asked.
    window
        The deciding window, seconds of the clip: what is explained.
    score, typical
        The window's, and the median of the healthy windows that the model was calibrated on.
    frame_hop_s, frame_start_s
        Frame i begins at frame_start_s + i * frame_hop_s.
    frame_strength
        float64[T]: of each frame of the window, in units of score.
    seconds
        The suspicious stretches, in order of time; none when the window sounds like a typical healthy one.
    throughout
        No part of the window is odder than the rest; `seconds` is then the whole window.
    bands
        The suspicious bands, the strongest first.
    groups
        What each group of columns scores alone.
    nearest
        The known clips that it sounds most like.
    """

    model_version: str
    window: tuple[float, float]
    score: float
    typical: float
    frame_hop_s: float
    frame_start_s: float
    frame_strength: NDArray[np.float64]
    seconds: tuple[Stretch, ...]
    throughout: bool
    bands: tuple[Band, ...]
    groups: tuple[GroupScore, ...]
    nearest: tuple[Neighbour, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, rounded to what they are worth."""
        return {
            "model_version": self.model_version,
            "window": {"start_s": self.window[0], "end_s": self.window[1]},
            "score": self.score,
            "typical": self.typical,
            "frame_hop_s": self.frame_hop_s,
            "frame_start_s": self.frame_start_s,
            "frame_strength": np.round(self.frame_strength, 4).tolist(),
            "seconds": [
                {"start_s": round(s.start_s, 3), "end_s": round(s.end_s, 3), "strength": round(s.strength, 4)}
                for s in self.seconds
            ],
            "throughout": self.throughout,
            "bands": [
                {
                    "low_hz": round(band.low_hz),
                    "high_hz": round(band.high_hz),
                    "strength": round(band.strength, 4),
                    "direction": band.direction,
                    "change_db": round(band.change_db, 1),
                }
                for band in self.bands
            ],
            "groups": [asdict(group) for group in self.groups],
            "nearest": [asdict(neighbour) for neighbour in self.nearest],
        }


def explain(
    scorer: Scorer,
    clip: Clip,
    machine: str = "",
    known: KnownClips | None = None,
    confirmed: NDArray[np.float32] | None = None,
) -> Explanation:
    """Explain the score of a clip.

    Parameters
    ----------
    scorer
        What judged, or would judge, the clip.
    clip
        Decoded.
    machine
        As it was judged.
    known
        The reference's windows and confirmed predictions, in vectors of the scorer's encoder (`KnownClips.of`).
        Without them there are no nearest clips, no scores of groups, and no bands for a sound that is odd throughout.
    confirmed
        float32[M, n], confirmed faults it was judged with.
    """
    manifest = scorer.encoder.manifest
    rescore = Rescorer(scorer, machine, confirmed)
    windows = split(clip.samples)
    embedded = [scorer.encoder.embed(window.samples[None]) for window in windows]
    vectors = np.concatenate([embedding.vectors for embedding in embedded])
    scores = rescore.vectors(vectors)
    deciding = int(scores.argmax())
    window, score = windows[deciding], float(scores[deciding])
    typical = _typical(scorer, machine)
    found = stretches.find(window.samples, embedded[deciding].frames[0], manifest.frame_hop_s, score, typical, rescore)
    normals = known.normals_of(machine) if known is not None else np.zeros((0, manifest.dimensions), np.float32)
    suspicious = [(stretch.start_s, stretch.end_s) for stretch in found.stretches]
    beside = _beside_normal_db(vectors[deciding], normals, manifest)
    return Explanation(
        model_version=scorer.model,
        window=(window.start_s, window.end_s),
        score=score,
        typical=typical,
        frame_hop_s=manifest.frame_hop_s,
        frame_start_s=window.start_s,
        frame_strength=found.frame_strength,
        seconds=tuple(
            Stretch(window.start_s + stretch.start_s, window.start_s + stretch.end_s, stretch.strength)
            for stretch in found.stretches
        ),
        throughout=found.throughout,
        bands=bands.find(window.samples, suspicious, beside, rescore),
        groups=neighbours.group_scores(vectors[deciding], normals, manifest, rescore),
        nearest=neighbours.nearest(vectors[deciding], machine, known, manifest, (clip.sha256,)) if known else (),
    )


def _typical(scorer: Scorer, machine: str) -> float:
    """The median of the calibration scores: what a usual healthy window gets."""
    table = scorer.classifier.manifest.calibration_of(machine)
    return float(np.interp(table.rows / 2, table.ranks, table.scores))


def _beside_normal_db(
    vector: NDArray[np.float32], normals: NDArray[np.float32], manifest: EncoderManifest
) -> NDArray[np.float64] | None:
    """How much louder than usual at each of `bands.frequencies()`, in dB up to a constant, from log-mel columns.

    The mean over time tells it where there is one, the near-maximum above: a fault throughout moves both alike.
    """
    spectra = [(group, top_hz) for group in manifest.groups.values() if (top_hz := group.top_hz) is not None]
    if not spectra or not len(normals):
        return None
    hertz = bands.frequencies()
    beside = np.zeros(len(hertz))
    for group, top_hz in sorted(spectra, key=lambda spectrum: spectrum[0].pooling == "mean"):
        louder = vector[group.columns] - np.median(normals[:, group.columns], axis=0)
        reached = hertz <= top_hz
        centres = slaney_centres(len(louder), top_hz)
        beside[reached] = np.interp(hertz[reached], centres, louder * (10 / np.log(10)))
    return beside
