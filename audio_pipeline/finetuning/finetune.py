"""`finetune`: train, export, judge, publish if better."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from audio_pipeline.artifacts import find_encoder
from audio_pipeline.clip import SAMPLE_RATE, Clip
from audio_pipeline.comparison import Comparison, compare
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit
from audio_pipeline.embedding import embed_windows
from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import ReferenceDataError
from audio_pipeline.finetuning.tuning import MIN_CLIPS, Samples, Tuning, tune
from audio_pipeline.finetuning.weights import load
from audio_pipeline.reembedding import Recordings
from audio_pipeline.reference import Reference
from audio_pipeline.scoring import Scorer
from audio_pipeline.site_check.trials import INDIVIDUALS, TRIALS, change, mixed
from audio_pipeline.torch_encoders.export import export_encoder
from audio_pipeline.torch_encoders.machine_encoder import FRAME_HOP_S
from audio_pipeline.windows import WINDOW_S, split

NAME = "tuned"
LEVELS_DB = (-15.0, -10.0, -5.0)
"""At which faults are mixed into held-out clips, in turn."""
_MOST_SECONDS = 60.0  # of one recording: more of the same teaches nothing
_PARITY_SECONDS = (0.25, 1.0, WINDOW_S)  # the same network was checked at more lengths when it was made
_MOST_HELD_OUT = 200  # healthy clips with a fault mixed in

Report = Callable[[str, int, int], None]
Confirmed = Sequence[tuple[str, str, str, Samples]]
"""Faults that people confirmed: (clip's sha256, recording group, machine, samples float32[n])."""


@dataclass(frozen=True, eq=False)
class Finetuned:
    """What came of it.

    Parameters
    ----------
    folder
        Of the published encoder; None: it was no better, and nothing was kept.
    comparison
        Of detectors on both encoders.
    """

    folder: Path | None
    comparison: Comparison


@dataclass(frozen=True, eq=False)
class _Held:
    """A clip to learn from or to judge: float32[n], and what a row of a reference says about it."""

    name: str
    group: str
    machine: str
    target: bool
    samples: Samples


def finetune(
    reference: Reference,
    artifacts: Path,
    recordings: Recordings,
    *,
    taught: Confirmed = (),
    confirmed: Confirmed = (),
    tuning: Tuning | None = None,
    report: Report = lambda _what, _done, _of: None,
) -> Finetuned:
    """Fit the encoder that made a reference to the reference's machines.

    Held-out clips train nothing. The encoder does not serve: `serve.models.reembedding` lets it take over.

    Parameters
    ----------
    reference
        The plant's clips, as the encoder in service embedded them.
    artifacts
        Where that encoder is, and where the new one goes.
    recordings
        The reference's clips to hear.
    taught
        Faults beside the reference's own that the two detectors learn from.
    confirmed
        Further faults, held out, that judge them.
    tuning
        How long and how fast; None: as measured best.
    report
        Called with what is done, how far, of how much.

    Returns
    -------
    Finetuned
        The encoder is published as `artifacts/encoders/tuned-<first 12 of its sha256>`, if it is better: if a detector
        on it is better than one on the old encoder, both trained on the same clips, at telling held-out healthy clips
        from the same clips with synthetic faults mixed in (of another kind than those tuned on, at `LEVELS_DB`) and
        from held-out confirmed faults, by the rule of `audio_pipeline.comparison`.

    Raises
    ------
    SettingsError
        The encoder is no network that can be fine-tuned.
    TrainingError
        Too few healthy clips of every machine.
    ReferenceDataError
        The recordings are gone.
    """
    tuning = tuning or Tuning()
    folder = find_encoder(artifacts, reference.encoder_sha256)
    module = load(folder)
    known, held_out = _heard(reference, recordings, report)
    known += _faults(taught)
    sounds: dict[str, list[Samples]] = {}
    for clip in known:
        if not clip.target:
            sounds.setdefault(clip.machine, []).append(clip.samples[: round(_MOST_SECONDS * SAMPLE_RATE)])
    fitted = [len(clips) for clips in sounds.values() if len(clips) >= MIN_CLIPS]
    tune(module, sounds, tuning, lambda step, _loss: report("training", step, tuning.steps))
    held_out += _faults(confirmed)
    to_judge = [*held_out, *_with_faults([clip for clip in held_out if not clip.target], tuning.seed)]
    place = artifacts / "encoders" / f".{NAME}.{secrets.token_hex(4)}.tmp"
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        report("export", 0, 1)
        before = Encoder.load(folder)
        manifest = export_encoder(
            module,
            place,
            name=NAME,
            frame_hop_s=FRAME_HOP_S,
            description=f"{before.manifest.name}, its upper layers fine-tuned on {len(fitted)} machine(s) of a plant.",
            source={
                "parent": before.manifest.name,
                "parent_sha256": before.manifest.sha256,
                "reference_sha256": reference.sha256,
                "steps": tuning.steps,
                "clips": sum(fitted),
            },
            parity_seconds=_PARITY_SECONDS,
        )
        after = Encoder.load(place)
        scorers, judged = [], []
        for number, encoder in enumerate((before, after)):
            report("judging", number, 2)
            scorers.append(_scorer(encoder, _rows(encoder, known)))
            judged.append(_rows(encoder, to_judge))
        comparison = compare(scorers[0], scorers[1], judged[0], judged[1])
        if not comparison.better:
            return Finetuned(None, comparison)
        target = artifacts / "encoders" / f"{NAME}-{manifest.sha256[:12]}"
        if not target.exists():
            place.rename(target)
        return Finetuned(target, comparison)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _heard(reference: Reference, recordings: Recordings, report: Report) -> tuple[list[_Held], list[_Held]]:
    """Read the reference's clips: those that train, and those held out."""
    known: list[_Held] = []
    held_out: list[_Held] = []
    first = np.sort(np.unique(reference.clips, return_index=True)[1]).tolist()
    apart = reference.held_out
    for number, row in enumerate(first):
        report("reading", number, len(first))
        clip: Clip | None = recordings.read(str(reference.clips[row]), str(reference.paths[row]))
        if clip is None:
            continue
        held = _Held(
            str(reference.clips[row]),
            str(reference.groups[row]),
            str(reference.machines[row]),
            bool(reference.targets[row]),
            clip.samples,
        )
        (held_out if apart[row] else known).append(held)
    if not known:
        raise ReferenceDataError(
            "None of the reference's recordings is left to fine-tune on, neither in the clip store nor where it was "
            "read from: put them back."
        )
    return known, held_out


def _faults(confirmed: Confirmed) -> list[_Held]:
    return [_Held(sha256, group, machine, True, samples) for sha256, group, machine, samples in confirmed]


def _with_faults(healthy: Sequence[_Held], seed: int) -> list[_Held]:
    """The same clips with a synthetic fault mixed in, each another one."""
    made = []
    sound = cache(lambda trial, individual: change(trial, WINDOW_S, seed, individual))  # a second each
    for number, clip in enumerate(healthy[:_MOST_HELD_OUT]):
        trial = TRIALS[number % len(TRIALS)]
        added = sound(trial, number // len(TRIALS) % INDIVIDUALS)
        level = LEVELS_DB[number % len(LEVELS_DB)]
        ill = mixed(clip.samples, added, level, start=4001 * number)
        name = f"{clip.name}+{trial.kind}/{trial.fault}"
        made.append(_Held(name, f"{clip.group}+{trial.kind}/{trial.fault}", clip.machine, True, ill))
    return made


def _rows(encoder: Encoder, clips: Sequence[_Held]) -> Reference:
    """The clips as an encoder embeds them, one row a window."""
    cut = [split(clip.samples) for clip in clips]
    counts = [len(of_clip) for of_clip in cut]
    windows = [window for of_clip in cut for window in of_clip]

    def repeated(values: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
        return np.repeat(np.array(values, np.str_), counts)

    return Reference(
        vectors=embed_windows(encoder, windows),
        targets=np.repeat(np.array([clip.target for clip in clips], bool), counts),
        clips=repeated([clip.name for clip in clips]),
        paths=repeated([clip.name for clip in clips]),
        machines=repeated([clip.machine for clip in clips]),
        domains=repeated([""] * len(clips)),
        splits=repeated([""] * len(clips)),
        groups=repeated([clip.group for clip in clips]),
        starts_s=np.array([window.start_s for window in windows]),
        ends_s=np.array([window.end_s for window in windows]),
        levels_db=np.full(len(windows), np.nan),
        encoder_name=encoder.manifest.name,
        encoder_sha256=encoder.manifest.sha256,
    )


def _scorer(encoder: Encoder, rows: Reference) -> Scorer:
    graph, manifest = fit(rows, encoder.manifest, false_alarm_rate=0.05)
    return Scorer(encoder, Classifier.from_bytes(graph, manifest), encoder.manifest.name)
