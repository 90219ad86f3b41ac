"""The false-alarm rate that a user asks for against the one there is, on healthy clips that nothing has seen.

A plant of four synthetic machines in a synthetic hall, clips of two seconds. Each of 20 draws calibrates on clips of
its own, 40 a machine; 2 000 further healthy clips are judged by each. With and without ten confirmed faults a machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit
from audio_pipeline.encoder import Encoder, EncoderManifest
from audio_pipeline.reference import Reference
from audio_pipeline.synth import Fault, draw_machine, factory_noise, mix, render
from audio_pipeline.synth.signals import rms
from benchmarks.detection.trials import reference_of

KINDS = ("fan", "valve", "bearing", "propeller")
DRAWS, NORMALS, FRESH, FAULTS = 20, 40, 500, 10
"""Draws; healthy clips a machine that each calibrates on, and that are judged; confirmed faults a machine."""
RATES = (0.01, 0.05, 0.1)
_SECONDS, _SNR_DB = 2.0, 0.0
_SEED = 1_607


@dataclass(frozen=True)
class Realised:
    """Share of fresh healthy clips that raised an alarm, by draw.

    Attributes
    ----------
    rate
        Asked for.
    confirmed
        Faults a machine that the detector knew.
    shares
        float64[draws].
    """

    rate: float
    confirmed: int
    shares: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Over draws."""
        return float(self.shares.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, of the mean over draws."""
        error = 1.96 * float(self.shares.std(ddof=1)) / np.sqrt(len(self.shares))
        return self.mean - error, self.mean + error


def realised(encoder: Encoder, cache: Path) -> list[Realised]:
    """Measure, for each rate, without and with confirmed faults."""
    machines = [_clips(encoder, kind, cache) for kind in KINDS]
    shares: dict[tuple[float, int], list[float]] = {}
    for number in range(DRAWS):
        own = slice(FRESH + number * NORMALS, FRESH + (number + 1) * NORMALS)
        for confirmed in (0, FAULTS):
            classifier = _fitted(
                [healthy[own] for healthy, _ in machines], [f[:confirmed] for _, f in machines], encoder.manifest
            )
            fresh = np.concatenate([healthy[:FRESH] for healthy, _ in machines])
            p_value = classifier.score(fresh, np.repeat(KINDS, FRESH).tolist()).p_value
            for rate in RATES:
                shares.setdefault((rate, confirmed), []).append(float((p_value <= np.float32(rate)).mean()))
    return [Realised(rate, confirmed, np.array(found)) for (rate, confirmed), found in shares.items()]


def _fitted(
    healthy: Sequence[NDArray[np.float32]], faulty: Sequence[NDArray[np.float32]], encoder: EncoderManifest
) -> Classifier:
    parts: list[tuple[str, NDArray[np.float32], bool]] = []
    for kind, normals, faults in zip(KINDS, healthy, faulty, strict=True):
        parts += [(kind, normals, False), (kind, faults, True)]
    known: Reference = reference_of(
        np.concatenate([rows for _, rows, _ in parts]),
        np.concatenate([np.full(len(rows), fault) for _, rows, fault in parts]),
        [kind for kind, rows, _ in parts for _ in rows],
        [f"{kind}/{fault}/{row}" for kind, rows, fault in parts for row in range(len(rows))],
        encoder,
    )
    return Classifier.from_bytes(*fit(known, encoder))


def _clips(encoder: Encoder, kind: str, cache: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of a machine's healthy clips, those that are judged first, and of its faulty ones."""
    path = cache / encoder.manifest.sha256[:12] / f"false alarms {kind}.npz"
    if not path.exists():
        origin = [_SEED, KINDS.index(kind)]
        machine = draw_machine(kind, np.random.default_rng([*origin, 0]))
        hall = factory_noise(120.0, np.random.default_rng([_SEED, 99]))
        level = rms(render(machine, 10.0, np.random.default_rng([*origin, 1])).samples)

        def heard(number: int, fault: Fault | None) -> NDArray[np.float32]:
            chance = np.random.default_rng([*origin, 2 if fault is None else 3, number])
            samples = render(machine, _SECONDS, chance, fault).samples
            start = int(chance.integers(len(hall) - len(samples)))
            clip = mix(samples, hall[start : start + len(samples)], _SNR_DB, usual_rms=level)
            return np.asarray(encoder.embed(clip[None]).vectors[0])

        faults = [Fault(machine.faults[number % len(machine.faults)], 0.5) for number in range(FAULTS)]
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            healthy=np.stack([heard(number, None) for number in range(FRESH + DRAWS * NORMALS)]),
            faulty=np.stack([heard(number, fault) for number, fault in enumerate(faults)]),
        )
    stored = np.load(path)
    return stored["healthy"], stored["faulty"]
