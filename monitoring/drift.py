"""Whether production still sounds like the reference: the decision, as pure functions.

Here: what is compared, when it counts, what is said. Not here: the test (`kernel_test`), what the drift looks like
(`cause`), where the clips come from (`service`, `sample`).

Looking again and again. Each look spends an equal part of a budget: with 720 looks (a month of hourly ones) at most
`budget` = 5 % of such series hold a false alarm, because the union bound holds whatever the looks have in common (the
reference, most of the clips). Several machines share a look's part. A look without new clips is none.
Meaning something. With enough clips any difference is significant; drift is one that can also be heard: a clip of
production can be told from one of the reference with a chance of at least `least_effect`.
Machines with few clips are too few by themselves and count in the comparison of all together, which shuffles clips
among those of one machine only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from monitoring.cause import Cause, SpectrumColumns, cause_of
from monitoring.kernel_test import TwoSamples, compare
from monitoring.sample import Sample, joined

Status = Literal["ok", "drift", "too_few"]
Pair = tuple[Sample, Sample]  # of the reference, of production

METHOD = "maximum mean discrepancy, permutation test, union bound over looks"
_MOST_SHUFFLINGS = 400_000
_MOST_SHOWN = 20
_DOUBTFUL = 0.01  # p-value below which "sounds like the reference" would say too much


@dataclass(frozen=True)
class Rule:
    """When a difference is drift.

    Attributes
    ----------
    budget, looks
        Chance of any false alarm in so many looks.
    least_clips
        Of a machine, in production and in the reference.
    least_recordings
        Of a machine, in each: clips of one recording count once.
    least_in_pool
        Recordings of a machine, in each, that take part in the comparison of all machines together; it needs
        `least_clips` and `least_recordings` of all of them, too.
    newest
        Clips of production that a look compares, of each machine.
    most_reference
        Clips of the reference that a look compares, of each machine.
    most_compared
        Clips of all machines together that are compared at once, of each side.
    least_effect
        See `TwoSamples.effect`.
    """

    budget: float = 0.05
    looks: int = 720
    least_clips: int = 20
    least_recordings: int = 8
    least_in_pool: int = 4
    newest: int = 100
    most_reference: int = 200
    most_compared: int = 400
    least_effect: float = 0.65

    @property
    def level(self) -> float:
        """Part of the budget that one look spends."""
        return self.budget / self.looks


@dataclass(frozen=True)
class Finding:
    """The outcome of one comparison.

    Attributes
    ----------
    status
        `too_few`: nothing was compared.
    score, threshold
        -log10 of the p-value and of what one look may spend.
    p_value
        Times the number of comparisons of the look.
    effect, share_of_columns
        See `TwoSamples`.
    rows, reference_rows
        Clips compared.
    message
        For a person.
    """

    status: Status
    message: str
    rows: int
    reference_rows: int
    score: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    effect: float | None = None
    share_of_columns: float | None = None
    cause: Cause | None = None
    method: str = METHOD


@dataclass(frozen=True)
class DriftedClip:
    """A clip of production that is unlike the reference, and the reference's clip that is nearest to it."""

    clip: str
    nearest: str


@dataclass(frozen=True)
class Judgement:
    """One look.

    Attributes
    ----------
    overall
        All machines together.
    machines
        Each machine by itself.
    drifted
        Clips to listen to, the most unlike first; empty without drift.
    """

    overall: Finding
    machines: Mapping[str, Finding] = field(default_factory=dict)
    drifted: tuple[DriftedClip, ...] = ()


def judge(
    reference: Sample,
    production: Sample,
    rule: Rule | None = None,
    columns: SpectrumColumns | None = None,
    seed: int = 0,
) -> Judgement:
    """Compare production's newest clips with the reference, machine by machine and all together.

    Parameters
    ----------
    reference
        Healthy clips.
    production
        In the order of time, any number.
    rule
        When it counts.
    columns
        Where the embedding holds a spectrum, for the cause.
    seed
        Of the draws and shufflings.
    """
    rule = rule or Rule()
    rng = np.random.default_rng(seed)
    pairs: dict[str, Pair] = {}
    pool: dict[str, Pair] = {}
    machines: dict[str, Finding] = {}
    for machine in sorted({str(name) for name in production.machines}):
        ours = reference.select(reference.machines == machine)
        newest = production.select(production.machines == machine)
        newest = newest.select(np.arange(max(0, len(newest) - rule.newest), len(newest)))
        ours = _at_most(ours, rule.most_reference, rng)
        if min(_recordings(ours), _recordings(newest)) >= rule.least_in_pool:
            pool[machine] = ours, newest
        short = _too_few(machine, newest, ours, rule)
        if short:
            machines[machine] = short
        else:
            pairs[machine] = ours, newest
    together = None if set(pool) == set(pairs) and len(pairs) == 1 else _together(pool, rule, rng)
    if not pairs and together is None:
        return Judgement(_nothing_to_compare(machines, reference, production, rule), machines)
    comparisons = len(pairs) + (together is not None)
    each = {name: _test(*pair, rule, comparisons, rng) for name, pair in pairs.items()}
    for name, found in each.items():
        ours, newest = pairs[name]
        is_drift = _counts(found, rule, comparisons)
        cause = cause_of([_change(ours, newest)], columns) if is_drift else None
        machines[name] = _finding(found, len(newest), len(ours), rule, comparisons, is_drift, cause, named(name))
    machines = dict(sorted(machines.items()))
    drifting = [name for name in pairs if machines[name].status == "drift"]
    if together is None:
        name = next(iter(pairs))
        return Judgement(machines[name], machines, _worst(pairs, each) if drifting else ())
    whole = _test(*together, rule, comparisons, rng)
    whole_drifts = _counts(whole, rule, comparisons)
    where = ", ".join(named(name) for name in drifting) or "all machines together"
    cause = None
    if drifting or whole_drifts:
        among = {name: pairs[name] for name in drifting} or pool
        cause = cause_of([_change(*pair) for pair in among.values()], columns)
    overall = _finding(
        whole, len(together[1]), len(together[0]), rule, comparisons, bool(drifting) or whole_drifts, cause, where
    )
    if drifting and not whole_drifts:  # one machine among many: its own figures say it
        overall = max((machines[name] for name in drifting), key=lambda finding: finding.score or 0)
    if drifting:
        shown = _worst({name: pairs[name] for name in drifting}, each)
    else:
        shown = _worst({"": together}, {"": whole}) if whole_drifts else ()
    return Judgement(overall, machines, shown)


def named(machine: str) -> str:
    """Name a machine in a sentence."""
    return machine or "machines without a name"


def _at_most(sample: Sample, most: int, rng: np.random.Generator) -> Sample:
    if len(sample) <= most:
        return sample
    return sample.select(np.sort(rng.permutation(len(sample))[:most]))


def _recordings(sample: Sample) -> int:
    return len(np.unique(sample.recordings))


def _together(pool: Mapping[str, Pair], rule: Rule, rng: np.random.Generator) -> Pair | None:
    """Return the clips of all machines, None when all of them are too few."""
    if not pool:
        return None
    for side in (joined([pair[i] for pair in pool.values()]) for i in (0, 1)):
        if len(side) < rule.least_clips or _recordings(side) < rule.least_recordings:
            return None
    share = max(rule.least_clips, rule.most_compared // len(pool))
    # Of production the newest, which are last; of the reference any.
    thinned = [
        (_at_most(ours, share, rng), new.select(np.arange(max(0, len(new) - share), len(new))))
        for ours, new in pool.values()
    ]
    return joined([ours for ours, _ in thinned]), joined([new for _, new in thinned])


def _too_few(machine: str, newest: Sample, ours: Sample, rule: Rule) -> Finding | None:
    for sample, what in ((newest, "clips of production"), (ours, "healthy clips in the reference")):
        recordings = _recordings(sample)
        if len(sample) < rule.least_clips or recordings < rule.least_recordings:
            message = (
                f"{named(machine)}: too few to tell: {len(sample)} {what} from {recordings} recordings, where "
                f"{rule.least_clips} from {rule.least_recordings} are needed."
            )
            return Finding("too_few", message, len(newest), len(ours))
    return None


def _nothing_to_compare(machines: Mapping[str, Finding], reference: Sample, production: Sample, rule: Rule) -> Finding:
    if not machines:
        message = "Too few to tell: nothing has been predicted yet."
    elif len(machines) == 1:
        return next(iter(machines.values()))
    else:
        message = (
            f"Too few to tell: no machine has {rule.least_clips} clips in production and {rule.least_clips} healthy "
            "ones in the reference, nor have those together that have a few."
        )
    return Finding("too_few", message, len(production), len(reference))


def _test(ours: Sample, newest: Sample, rule: Rule, comparisons: int, rng: np.random.Generator) -> TwoSamples:
    needed = comparisons / rule.level
    return compare(
        ours.vectors,
        newest.vectors,
        ours.recordings,
        newest.recordings,
        rng,
        # Enough for the smallest p-value to be well below what counts; of many comparisons, low enough to count at all.
        shufflings=max(min(_MOST_SHUFFLINGS, math.ceil(3 * needed)), math.ceil(needed)),
        first_strata=ours.machines,
        second_strata=newest.machines,
    )


def _counts(found: TwoSamples, rule: Rule, comparisons: int) -> bool:
    return found.p_value * comparisons <= rule.level and found.effect >= rule.least_effect


def _finding(
    found: TwoSamples,
    rows: int,
    reference_rows: int,
    rule: Rule,
    comparisons: int,
    is_drift: bool,
    cause: Cause | None,
    where: str,
) -> Finding:
    p_value = min(1.0, found.p_value * comparisons)
    if is_drift:
        looks_like = {
            "sensor": "It looks like the microphone or what is in front of it, not like the machine.",
            "machine": "It looks like the machine or its surroundings, not like the microphone.",
            "unknown": "Whether microphone or machine cannot be told from the sound.",
        }[cause or "unknown"]
        message = f"{where}: sounds unlike the reference in {100 * found.effect:.0f} of 100 comparisons. {looks_like}"
    elif p_value <= rule.level:
        message = (
            f"{where}: a difference that is certain and small ({100 * found.effect:.0f} of 100): not called drift."
        )
    elif p_value <= _DOUBTFUL:
        message = (
            f"{where}: {rows} clips may sound unlike the reference; not certain enough yet to call it drift "
            f"(evidence {-math.log10(p_value):.1f}, it counts from {-math.log10(rule.level):.1f} on)."
        )
    else:
        message = f"{where}: {rows} clips sound like the reference."
    return Finding(
        status="drift" if is_drift else "ok",
        message=message,
        rows=rows,
        reference_rows=reference_rows,
        score=-math.log10(p_value),
        threshold=-math.log10(rule.level),
        p_value=p_value,
        effect=found.effect,
        share_of_columns=found.share_of_columns,
        cause=cause,
    )


def _change(ours: Sample, newest: Sample) -> NDArray[np.floating[Any]]:
    return np.asarray(newest.vectors.mean(axis=0, dtype=np.float64) - ours.vectors.mean(axis=0, dtype=np.float64))


def _worst(pairs: Mapping[str, Pair], each: Mapping[str, TwoSamples]) -> tuple[DriftedClip, ...]:
    found: list[tuple[float, DriftedClip]] = []
    for name, (ours, newest) in pairs.items():
        spread = np.maximum(ours.vectors.std(axis=0), 1e-6)
        for row in np.argsort(-each[name].closeness)[:_MOST_SHOWN]:
            # To listen to beside it: a clip of the same machine.
            same = np.flatnonzero(ours.machines == newest.machines[row])
            away = (((ours.vectors[same] - newest.vectors[row]) / spread) ** 2).sum(axis=1)
            clip = DriftedClip(str(newest.clips[row]), str(ours.clips[same[int(away.argmin())]]))
            found.append((float(each[name].closeness[row]), clip))
    found.sort(key=lambda pair: -pair[0])
    return tuple(clip for _, clip in found[:_MOST_SHOWN])
