"""Which clips train, which are confirmed, which are tested; the same tested clips for every count of confirmed faults.

Here: the draws, the detector fitted to each, and the simple statistics on the same clips. Not here: the clips (`sets`),
the autoencoder (`autoencoder`), tables (`report`).

A draw of a plant: half of each machine's healthy recordings train, the rest is tested. Half of its faulty recordings
may be confirmed, the other half is tested: so a cell is blank where half of the recordings are fewer than the count.
Of a recording one clip is confirmed at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit
from audio_pipeline.encoder import EncoderManifest
from audio_pipeline.reference import Reference, is_held_out
from benchmarks.detection.sets import Machine
from benchmarks.encoders.scores import backends, plain_fusion

COUNTS = (0, 1, 2, 5, 10, 20)
SEEDS = 10
RATE = 0.1
"""False alarms asked for: five normals a machine, as the smallest sets have, support no 1 %."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Draw:
    """One machine's clips in one draw.

    Attributes
    ----------
    trained, tested
        bool[clips].
    confirmable
        int64[...]: clips in the order in which they are confirmed, one of each recording.
    """

    machine: Machine
    trained: NDArray[np.bool_]
    tested: NDArray[np.bool_]
    confirmable: NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """One machine's tested clips as the detector judged them."""

    column: str
    machine: str
    seed: int
    confirmed: int
    fault: NDArray[np.bool_]
    score: Floats
    p_value: Floats
    probability: Floats
    alarm: NDArray[np.bool_]


def draw(machine: Machine, seed: int) -> Draw:
    """Deal a machine's recordings."""
    random = np.random.default_rng([seed, 16])
    healthy = random.permutation(np.unique(machine.recording[~machine.fault]))
    faulty = random.permutation(np.unique(machine.recording[machine.fault]))
    trained = np.isin(machine.recording, healthy[: len(healthy) // 2]) & ~machine.fault
    may_be_known = faulty[: len(faulty) // 2]
    tested = ~trained & ~(np.isin(machine.recording, may_be_known) & machine.fault)
    one_each = [random.choice(np.flatnonzero((machine.recording == name) & machine.fault)) for name in may_be_known]
    return Draw(machine, trained, tested, np.array(one_each, np.int64))


def detector_cells(plant: Sequence[Machine], encoder: EncoderManifest, seed: int) -> Iterator[Cell]:
    """Fit the detector with every count of confirmed faults a machine that the plant supports."""
    draws = [draw(machine, seed) for machine in plant]
    for confirmed in COUNTS:
        if confirmed > max(len(dealt.confirmable) for dealt in draws):
            return
        graph, manifest = fit(_reference(draws, confirmed, encoder), encoder, false_alarm_rate=RATE)
        classifier = Classifier.from_bytes(graph, manifest)
        for dealt in draws:
            if confirmed > len(dealt.confirmable):
                continue
            machine, rows = dealt.machine, dealt.tested
            scores = classifier.score(machine.vectors[rows], [machine.name] * int(rows.sum()))
            yield Cell(
                machine.column,
                machine.name,
                seed,
                confirmed,
                machine.fault[rows],
                scores.score.astype(np.float64),
                scores.p_value.astype(np.float64),
                scores.probability.astype(np.float64),
                scores.score > manifest.thresholds["known"],
            )


def simple_scores(dealt: Draw) -> dict[str, Floats]:
    """Scores of the tested clips by every simple statistic, as `benchmarks.encoders` has them."""
    known, new = (dealt.machine.statistics[rows] for rows in (dealt.trained, dealt.tested))
    names = ("mean", "std", "peak")
    rows = {
        f"log-mel {name}, {backend}": score
        for number, name in enumerate(names)
        for backend, score in backends(known[:, number], new[:, number]).items()
    }
    by_name = [{f"logmel_{name}": table[:, number] for number, name in enumerate(names)} for table in (known, new)]
    return rows | {"log-mel, plain fusion": plain_fusion(*by_name)}


def _reference(draws: Sequence[Draw], confirmed: int, encoder: EncoderManifest) -> Reference:
    chosen = [np.flatnonzero(dealt.trained) for dealt in draws]
    faults = [dealt.confirmable[: confirmed if confirmed <= len(dealt.confirmable) else 0] for dealt in draws]
    rows = [np.concatenate([own, known]).astype(np.int64) for own, known in zip(chosen, faults, strict=True)]
    machines = [dealt.machine for dealt in draws]
    pairs = list(zip(machines, rows, strict=True))
    return reference_of(
        np.concatenate([machine.vectors[own] for machine, own in pairs]),
        np.concatenate([machine.fault[own] for machine, own in pairs]),
        [machine.name for machine, own in pairs for _ in own],
        [f"{machine.name}/{machine.fault[i]}/{machine.recording[i]}" for machine, own in pairs for i in own],
        encoder,
    )


def reference_of(
    vectors: NDArray[np.float32],
    faults: NDArray[np.bool_],
    machines: Sequence[str],
    recordings: Sequence[str],
    encoder: EncoderManifest,
) -> Reference:
    """Make a reference set of vectors, none of it held out: what is tested was taken out before."""
    empty = np.array([""] * len(vectors))
    return Reference(
        vectors=vectors,
        targets=faults.astype(bool),
        clips=np.array([f"{row:064x}" for row in range(len(vectors))]),
        paths=np.array(recordings),
        machines=np.array(machines),
        domains=empty,
        splits=empty,
        groups=np.array([_trains(name) for name in recordings]),
        starts_s=np.zeros(len(vectors)),
        ends_s=np.full(len(vectors), 10.0),
        levels_db=np.full(len(vectors), -30.0),
        encoder_name=encoder.name,
        encoder_sha256=encoder.sha256,
    )


def _trains(recording: str) -> str:
    """The recording under a name that is not held out: the draw has dealt already."""
    return next(name for number in count() if not is_held_out(name := f"{recording}#{number}"))
