"""Synthetic machines in a hall, a detector trained on their healthy clips, and faults whose time and band are known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from audio_pipeline.clip import Clip, decode, to_flac
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit
from audio_pipeline.embedding import embed_clip
from audio_pipeline.encoder import DEFAULT_ENCODER, Encoder
from audio_pipeline.reference import Reference
from audio_pipeline.scoring import Scorer
from audio_pipeline.synth import Fault, Rendering, draw_machine, factory_noise, mix, render
from audio_pipeline.synth.machine import Machine

KINDS = ("pump", "bearing", "gearbox")
NORMALS = 24
SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class Sound:
    """A clip, and what is wrong in it."""

    clip: Clip
    rendering: Rendering


@dataclass(frozen=True, eq=False)
class Site:
    """Machines, and the detector that knows them."""

    scorer: Scorer
    reference: Reference
    machines: dict[str, Machine]

    def record(self, kind: str, seed: int, fault: Fault | None = None, seconds: float = SECONDS) -> Sound:
        return _record(self.machines[kind], kind, seed, fault, seconds)


def name(kind: str) -> str:
    return f"{kind}/id_00"


def make_site() -> Site:
    encoder = Encoder.load(DEFAULT_ENCODER)
    machines = {kind: draw_machine(kind, np.random.default_rng([5, n])) for n, kind in enumerate(KINDS)}
    recorded = [(kind, n, _record(machines[kind], kind, n).clip) for kind in KINDS for n in range(NORMALS)]
    rows = [(kind, n, clip, embed_clip(encoder, clip)) for kind, n, clip in recorded]
    text = lambda values: np.array(list(values), np.str_)  # noqa: E731 - a column's type, said once
    reference = Reference(
        vectors=np.concatenate([embedded.vectors for *_, embedded in rows]),
        targets=np.zeros(len(rows), bool),
        clips=text(clip.sha256 for _, _, clip, _ in rows),
        paths=text(f"{kind}_{n}.flac" for kind, n, _, _ in rows),
        machines=text(name(kind) for kind, *_ in rows),
        domains=text("" for _ in rows),
        splits=text("" for _ in rows),
        groups=text(f"{kind}/{n}" for kind, n, *_ in rows),
        starts_s=np.zeros(len(rows)),
        ends_s=np.full(len(rows), SECONDS),
        levels_db=np.zeros(len(rows)),
        encoder_name=encoder.manifest.name,
        encoder_sha256=encoder.manifest.sha256,
    )
    graph, manifest = fit(reference, encoder.manifest, false_alarm_rate=0.05)
    version = f"model-{hashlib.sha256(graph).hexdigest()[:12]}"
    return Site(Scorer(encoder, Classifier.from_bytes(graph, manifest, version), version), reference, machines)


def _record(machine: Machine, kind: str, seed: int, fault: Fault | None = None, seconds: float = SECONDS) -> Sound:
    rng = np.random.default_rng([11, KINDS.index(kind), seed])
    rendering = render(machine, seconds, rng, fault)
    hall = factory_noise(seconds, np.random.default_rng([13, KINDS.index(kind)]))
    start = int(rng.integers(len(hall)))
    heard = mix(rendering.samples, np.roll(hall, start), 6.0, usual_rms=0.1)
    return Sound(decode(to_flac(np.asarray(0.3 * heard, np.float32))), rendering)
