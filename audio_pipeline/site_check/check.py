"""`check_site`: trained on two thirds of the healthy pieces, tried on the rest, three times around."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.detector.backends import MIN_NORMALS
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit
from audio_pipeline.embedding import embed_windows
from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import TrainingError
from audio_pipeline.intervals import share_interval
from audio_pipeline.reference import Reference, is_held_out
from audio_pipeline.scoring import Scorer
from audio_pipeline.site_check.pieces import Piece, SensorCount, gather
from audio_pipeline.site_check.trials import LEVELS_DB, TRIALS, FaultResult, changes, mixed, result, seconds_of
from audio_pipeline.windows import Window

FOLDS = 3
HOURS_A_WEEK = 168.0
_TRIED = 12  # pieces a machine that each fault is mixed into

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FalseAlarms:
    """Healthy pieces that raised an alarm under a detector that had not heard them.

    Parameters
    ----------
    alarms, tried
        Counted.
    interval
        95 % interval of the share, if pieces were independent of each other; pieces of one recording are not quite.
    asked, used
        False-alarm rate that was asked for, and the one that so few pieces support.
    reachable
        The lowest rate that the detector can promise which `wheeltapper train` makes of the pieces: of those whose
        recordings are not held out.
    per_week, per_week_interval
        False alarms a week that the share and its interval amount to.
    """

    alarms: int
    tried: int
    interval: tuple[float, float]
    asked: float
    used: float
    reachable: float
    per_week: float
    per_week_interval: tuple[float, float]


@dataclass(frozen=True)
class MachineCheck:
    """One machine.

    Parameters
    ----------
    machine
        `type/section`; empty: no name.
    pieces, recordings
        Healthy ones.
    false_alarms
        Of this machine alone.
    faults
        What was mixed into pieces that raised no alarm as they were, in the order of `TRIALS`.
    own_faults
        (found, tried) of the recordings that the folder itself calls anomalous; None: there are none.
    """

    machine: str
    pieces: int
    recordings: int
    false_alarms: FalseAlarms
    faults: tuple[FaultResult, ...]
    own_faults: tuple[int, int] | None


@dataclass(frozen=True)
class SiteCheck:
    """The whole check.

    Parameters
    ----------
    folder, recordings, minutes
        What was read.
    skipped
        Path and reason.
    sensor
        Defects of microphones and cables.
    clips_per_hour
        Assumed, of each machine.
    levels_db
        At which faults were mixed in.
    false_alarms
        Of all machines together.
    machines
        One by one.
    scores
        (score over its threshold) of every healthy piece, for the plot.
    encoder
        What made the vectors.
    """

    folder: str
    recordings: int
    minutes: float
    skipped: tuple[tuple[str, str], ...]
    sensor: tuple[SensorCount, ...]
    clips_per_hour: float
    levels_db: tuple[float, ...]
    false_alarms: FalseAlarms
    machines: tuple[MachineCheck, ...]
    scores: tuple[float, ...]
    encoder: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def check_site(
    folder: Path,
    encoder: Encoder,
    *,
    machine: str | None = None,
    false_alarm_rate: float = 0.01,
    clips_per_hour: float = 6.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> SiteCheck:
    """Find out what the detector would do in a hall, from healthy recordings made there.

    Parameters
    ----------
    folder
        Healthy recordings, ten minutes or more a machine; those that the folder calls abnormal are tried, never
        trained on.
    encoder
        The one that would serve.
    machine
        Of all recordings, whatever their folders say.
    false_alarm_rate
        Share of healthy clips that may raise an alarm.
    clips_per_hour
        That would be judged of each machine.
    seed
        Of folds and faults.
    progress
        Called with what is being done, how far, of how much.

    Raises
    ------
    DatasetError
        There is no healthy recording that can be used.
    TrainingError
        There are too few.
    """
    report = progress or (lambda _what, _done, _of: None)
    material = gather(folder, machine, lambda done, of: report("reading", done, of))
    normals = [piece for piece in material.pieces if not piece.target]
    anomalies = [piece for piece in material.pieces if piece.target]
    least = FOLDS * MIN_NORMALS
    if len(normals) < least:
        raise TrainingError(
            f"{folder} holds {len(normals)} healthy pieces of 10 s; at least {least} are needed, and ten minutes of "
            "each machine (60 pieces) tell much more. Record longer."
        )
    fold = _deal(normals, seed)
    report("embedding", 0, len(normals))
    vectors = _embedded(encoder, [piece.samples for piece in normals])
    own_faults = _embedded(encoder, [piece.samples for piece in anomalies])
    scorers = []
    for number in range(FOLDS):
        report("training", number, FOLDS)
        inside = fold != number
        scorers.append(
            _trained(encoder, vectors[inside], [p for p, i in zip(normals, inside, strict=True) if i], false_alarm_rate)
        )
    judged = [_alarm(scorers[fold[n]], vectors[n], piece.machine) for n, piece in enumerate(normals)]
    machines = sorted({piece.machine for piece in normals})
    tried = _Tried(encoder, scorers, seed, report, len(machines))
    used = max(scorer.classifier.manifest.false_alarm_rate.used for scorer in scorers)
    training = sum(not is_held_out(piece.recording) for piece in normals)
    rates = (false_alarm_rate, used, 1 / (training + 1), clips_per_hour)
    checks = []
    for name in machines:
        rows = [n for n, piece in enumerate(normals) if piece.machine == name]
        ill = [n for n, piece in enumerate(anomalies) if piece.machine == name]
        found = [_alarm(scorers[n % FOLDS], own_faults[n], name)[0] for n in ill]
        # A piece that raises an alarm as it is would do so with any fault in it.
        quiet = [n for n in rows if not judged[n][0]] or rows
        checks.append(
            MachineCheck(
                machine=name,
                pieces=len(rows),
                recordings=len({normals[n].recording for n in rows}),
                false_alarms=_false_alarms([judged[n][0] for n in rows], *rates),
                faults=tried.faults([normals[n] for n in quiet], [int(fold[n]) for n in quiet]),
                own_faults=(sum(found), len(found)) if found else None,
            )
        )
    alarms = [alarm for alarm, _ in judged]
    return SiteCheck(
        folder=str(folder),
        recordings=material.recordings,
        minutes=material.seconds / 60,
        skipped=material.skipped,
        sensor=material.sensor,
        clips_per_hour=clips_per_hour,
        levels_db=LEVELS_DB,
        false_alarms=_false_alarms(alarms, *rates[:3], clips_per_hour * len(machines)),
        machines=tuple(checks),
        scores=tuple(margin for _, margin in judged),
        encoder=encoder.manifest.name,
    )


class _Tried:
    """Mixes faults into pieces and lets the detector judge that has not heard those pieces."""

    def __init__(self, encoder: Encoder, scorers: Sequence[Scorer], seed: int, report: Progress, machines: int) -> None:
        self._encoder = encoder
        self._scorers = scorers
        self._seed = seed
        self._report = report
        self._done, self._of = 0, machines * len(TRIALS)

    def faults(self, pieces: Sequence[Piece], fold: Sequence[int]) -> tuple[FaultResult, ...]:
        chosen = np.unique(np.linspace(0, len(pieces) - 1, min(_TRIED, len(pieces))).round().astype(int)).tolist()
        longest = max(seconds_of(pieces[n].samples) for n in chosen)
        results = []
        for trial in TRIALS:
            self._report("mixing faults in", self._done, self._of)
            sounds = changes(trial, longest, self._seed)
            found = []
            for level in LEVELS_DB:
                ill = [
                    mixed(pieces[n].samples, sounds[turn % len(sounds)], level, start=turn * 4001)
                    for turn, n in enumerate(chosen)
                ]
                vectors = _embedded(self._encoder, ill)
                found.append(
                    sum(
                        _alarm(self._scorers[fold[n]], vector, pieces[n].machine)[0]
                        for n, vector in zip(chosen, vectors, strict=True)
                    )
                )
            results.append(result(trial, len(chosen), found))
            self._done += 1
        return tuple(results)


def _deal(pieces: Sequence[Piece], seed: int) -> NDArray[np.int64]:
    """Deal pieces to folds, machine by machine; all of a recording together where there are recordings enough."""
    fold = np.zeros(len(pieces), np.int64)
    rng = np.random.default_rng(seed)
    for machine in sorted({piece.machine for piece in pieces}):  # a set's own order is another in every process
        rows = [n for n, piece in enumerate(pieces) if piece.machine == machine]
        recordings = list(dict.fromkeys(pieces[n].recording for n in rows))
        if len(recordings) >= FOLDS * 2:
            turn = dict(zip(recordings, rng.permutation(len(recordings)) % FOLDS, strict=True))
            fold[rows] = [turn[pieces[n].recording] for n in rows]
        else:  # one long recording: in stretches, so that neighbours stay together
            for number, stretch in enumerate(np.array_split(np.array(rows), FOLDS)):
                fold[stretch] = number
    return fold


def _embedded(encoder: Encoder, sounds: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return embed_windows(encoder, [Window(0.0, seconds_of(sound), sound) for sound in sounds])


def _trained(encoder: Encoder, vectors: NDArray[np.float32], pieces: Sequence[Piece], rate: float) -> Scorer:
    """A detector as `wheeltapper train` would make it, of exactly these rows: the folds hold out, not the names."""
    names: dict[str, str] = {}
    number = 0
    for piece in pieces:
        if piece.recording not in names:
            while is_held_out(f"check-site/{number}"):
                number += 1
            names[piece.recording] = f"check-site/{number}"
            number += 1
    empty = np.full(len(pieces), "")
    graph, manifest = fit(
        Reference(
            vectors=vectors,
            targets=np.zeros(len(pieces), bool),
            clips=empty,
            paths=empty,
            machines=np.array([piece.machine for piece in pieces], np.str_),
            domains=empty,
            splits=empty,
            groups=np.array([names[piece.recording] for piece in pieces], np.str_),
            starts_s=np.zeros(len(pieces)),
            ends_s=np.array([seconds_of(piece.samples) for piece in pieces]),
            levels_db=np.full(len(pieces), np.nan),
            encoder_name=encoder.manifest.name,
            encoder_sha256=encoder.manifest.sha256,
        ),
        encoder.manifest,
        false_alarm_rate=rate,
    )
    return Scorer(encoder, Classifier.from_bytes(graph, manifest), "check-site")


def _alarm(scorer: Scorer, vector: NDArray[np.float32], machine: str) -> tuple[bool, float]:
    """Whether a piece raises an alarm, and its score less the threshold."""
    decision = scorer.judge(vector[None], machine)
    return decision.anomaly, decision.score - decision.threshold


def _false_alarms(
    alarms: Sequence[bool], asked: float, used: float, reachable: float, clips_per_hour: float
) -> FalseAlarms:
    count, tried = sum(alarms), len(alarms)
    low, high = share_interval(count, tried) or (0.0, 1.0)
    week = clips_per_hour * HOURS_A_WEEK
    return FalseAlarms(
        alarms=count,
        tried=tried,
        interval=(low, high),
        asked=asked,
        used=used,
        reachable=max(asked, reachable),
        per_week=count / tried * week,
        per_week_interval=(low * week, high * week),
    )
