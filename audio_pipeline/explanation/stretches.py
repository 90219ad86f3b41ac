"""Which seconds made the score: candidates from the encoder's frames, judged by cutting them out.

A stretch is a reason when the rest of the window, without it, scores less. Candidates come from two sides: the
interval whose frames differ most from the other frames of the same window (an epidemic change point, found over all
intervals by cumulative sums), and the run of short pieces that the detector finds odd on their own. The first sees
edges sharply, the second hears what the detector hears. The detector decides among them.

Here: candidates, the choice, and the curve over frames. Not here: bands (`bands`), other windows of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.clip import SAMPLE_RATE
from audio_pipeline.explanation.rescoring import Rescorer, Samples

Floats = NDArray[np.float64]
Interval = tuple[float, float]

_CELL_S = 0.1  # frames are averaged over so long: strokes and beats below it are texture, not events
_CELLS = 100  # of a shorter window, so many cells, as far as frames go
_SHORTEST_CELLS = 3
_LONGEST_SHARE = 0.6  # of the window: what lasts longer is found as the complement of the rest
_CANDIDATES = 5
_PIECES_S = (1.0, 2.0)
_JOIN_S = 0.01  # cross-fade where the ends of a cut meet
_LENGTH_COST = 0.4  # share of the score that a stretch as long as the window must take away to be worth naming
_WORTH_NAMING = 0.3  # share of the score that has to go with the stretch
_MOST_STRETCHES = 3
_SMOOTH_S = 0.25


@dataclass(frozen=True)
class Stretch:
    """Seconds of the clip, and how much of the score goes away with them."""

    start_s: float
    end_s: float
    strength: float


@dataclass(frozen=True)
class TimeReasons:
    """What `find` found.

    Parameters
    ----------
    stretches
        In order of time, seconds within the window. One that covers the whole window: the sound is odd throughout.
        None: nothing stands out.
    frame_strength
        float64[T]: how much each frame is like the suspicious stretches rather than the rest, in units of score.
    throughout
        No stretch takes the score away: it lies in the whole window.
    """

    stretches: tuple[Stretch, ...]
    frame_strength: Floats
    throughout: bool


def find(
    samples: Samples, frames: NDArray[np.float32], hop_s: float, score: float, typical: float, rescore: Rescorer
) -> TimeReasons:
    """Find the stretches of one window that its score comes from.

    Parameters
    ----------
    samples
        float32[n], the window.
    frames
        float32[T, d], the encoder's, one every `hop_s`.
    score, typical
        The window's, and that of a usual healthy window of this machine.
    rescore
        The detector.
    """
    duration = len(samples) / SAMPLE_RATE
    excess = score - typical
    nothing = np.zeros(len(frames))
    if excess <= 0:
        return TimeReasons((), nothing, throughout=False)
    whole = TimeReasons((Stretch(0.0, duration, excess),), np.full(len(frames), excess), throughout=True)
    cells, cell_s = _cells(frames, hop_s, duration)
    if len(cells) < 4 * _SHORTEST_CELLS:
        return whole
    named: list[Interval] = []
    remaining = score
    candidates = [[interval] for interval in _change_points(cells, cell_s, duration)]
    candidates += [_complement(candidates[0], duration)] if candidates else []
    candidates += [[interval] for interval in _odd_pieces(samples, rescore, duration)]
    while candidates and len(named) < _MOST_STRETCHES and remaining - typical > _WORTH_NAMING * excess:
        tried = [_union([*named, *candidate], duration) for candidate in candidates]
        kept = [_without(samples, intervals) for intervals in tried]
        usable = [number for number, sound in enumerate(kept) if len(sound) >= 0.15 * len(samples)]
        if not usable:
            break
        scores = rescore([kept[number] for number in usable])
        lengths = np.array([sum(end - start for start, end in tried[number]) for number in usable])
        worth = (remaining - scores) / excess - _LENGTH_COST * (lengths - _length(named)) / duration
        best = int(worth.argmax())
        if (remaining - scores[best]) / excess < _WORTH_NAMING or worth[best] <= 0:
            break
        chosen = usable[best]
        named, remaining = tried[chosen], float(scores[best])
        candidates.pop(chosen)
    if not named:
        return whole
    taken = max(score - remaining, 0.0)
    curve = _curve(frames, hop_s, named) * taken
    return TimeReasons(tuple(_measured(samples, named, score, rescore)), curve, throughout=False)


def _measured(samples: Samples, named: Sequence[Interval], score: float, rescore: Rescorer) -> list[Stretch]:
    """Each stretch with what goes away when it alone is cut out; of several, each for its share of what all take."""
    without = rescore([_without(samples, [interval]) for interval in named])
    return [
        Stretch(start, end, max(float(score - rest), 0.0)) for (start, end), rest in zip(named, without, strict=True)
    ]


def _cells(frames: NDArray[np.float32], hop_s: float, duration: float) -> tuple[Floats, float]:
    """Average frames over short cells; float64[cells, d] in robust deviations of each column, and a cell's length."""
    each = max(1, round(min(_CELL_S, duration / _CELLS) / hop_s))
    count = len(frames) // each
    cells = frames[: count * each].reshape(count, each, -1).mean(1, dtype=np.float64) if count else np.zeros((0, 1))
    if not count:
        return cells, each * hop_s
    centre = np.median(cells, axis=0)
    deviation = 1.4826 * np.median(np.abs(cells - centre), axis=0)
    usual = float(np.median(deviation)) or 1.0
    # One cell must not outweigh the rest; a column that hardly moves must not turn rounding into news.
    return np.clip((cells - centre) / (deviation + 0.1 * usual), -6, 6), each * hop_s


def _change_points(cells: Floats, cell_s: float, duration: float) -> list[Interval]:
    """Intervals whose mean differs most from the mean of the rest, the best first, none much like a better one."""
    count = len(cells)
    sums = np.vstack([np.zeros(cells.shape[1]), np.cumsum(cells, axis=0)])
    starts, ends, values = [], [], []
    longest = int(_LONGEST_SHARE * count)
    for start in range(count - _SHORTEST_CELLS + 1):
        stops = np.arange(start + _SHORTEST_CELLS, min(count, start + longest) + 1)
        inside = (stops - start)[:, None]
        own = sums[stops] - sums[start]
        apart = own / inside - (sums[-1] - own) / (count - inside)
        values.append((apart**2).mean(1) * (inside * (count - inside) / count)[:, 0])
        starts.append(np.full(len(stops), start))
        ends.append(stops)
    start_of, end_of, value = np.concatenate(starts), np.concatenate(ends), np.concatenate(values)
    found: list[Interval] = []
    while len(found) < _CANDIDATES and np.isfinite(value).any():
        best = int(value.argmax())
        first, last = start_of[best], end_of[best]
        # The ends of a window are not cells apart from the frames that hang over them.
        found.append((float(first * cell_s), duration if last == count else float(last * cell_s)))
        common = np.minimum(end_of, last) - np.maximum(start_of, first)
        union = np.maximum(end_of, last) - np.minimum(start_of, first)
        value = np.where(common > 0.5 * union, -np.inf, value)
    return found


def _odd_pieces(samples: Samples, rescore: Rescorer, duration: float) -> list[Interval]:
    """Runs of short pieces that score high on their own, around the highest."""
    found = []
    for length in _PIECES_S:
        if duration < 3 * length:
            continue
        hop = length / 4
        starts = np.arange(0.0, duration - length + 1e-9, hop)
        size = round(length * SAMPLE_RATE)
        scores = rescore([samples[(at := round(s * SAMPLE_RATE)) : at + size] for s in starts])
        odd = scores > (np.median(scores) + scores.max()) / 2
        first = last = int(scores.argmax())
        while first > 0 and odd[first - 1]:
            first -= 1
        while last < len(odd) - 1 and odd[last + 1]:
            last += 1
        # The middle half of a piece stands for it; at the window's ends there is no further piece.
        begin = 0.0 if first == 0 else starts[first] + 0.375 * length
        end = duration if last == len(starts) - 1 else starts[last] + 0.625 * length
        if begin < end <= begin + _LONGEST_SHARE * duration:
            found.append((float(begin), float(end)))
    return found


def _complement(intervals: Sequence[Interval], duration: float) -> list[Interval]:
    edges = [0.0, *(edge for interval in intervals for edge in interval), duration]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start > 0.05]


def _union(intervals: Sequence[Interval], duration: float) -> list[Interval]:
    """Merge intervals that touch or overlap, in order of time."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1] + 0.02 * duration:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _length(intervals: Sequence[Interval]) -> float:
    return sum(end - start for start, end in intervals)


def _without(samples: Samples, intervals: Sequence[Interval]) -> Samples:
    """Cut intervals out; the ends meet in a short cross-fade, so that the cut is no click."""
    duration = len(samples) / SAMPLE_RATE
    fade = round(_JOIN_S * SAMPLE_RATE)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    rest = np.zeros(0, np.float32)
    for start, end in _complement(intervals, duration):
        piece = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        if len(rest) >= fade and len(piece) >= fade:
            joint = rest[-fade:] * (1 - ramp) + piece[:fade] * ramp
            rest = np.concatenate([rest[:-fade], joint, piece[fade:]])
        else:
            rest = np.concatenate([rest, piece])
    return rest


def _curve(frames: NDArray[np.float32], hop_s: float, named: Sequence[Interval]) -> Floats:
    """float64[T], around 1 inside the stretches and 0 outside: each frame's place between both means.

    Along the direction that parts them best when columns are taken one by one (diagonal Fisher discriminant).
    """
    times = (np.arange(len(frames)) + 0.5) * hop_s
    inside = np.any([(times >= start) & (times < end) for start, end in named], axis=0)
    if not inside.any() or inside.all():
        return np.asarray(inside, np.float64)
    rows = frames.astype(np.float64)
    own, rest = rows[inside].mean(0), rows[~inside].mean(0)
    variance = (rows - np.where(inside[:, None], own, rest)).var(0)
    direction = (own - rest) / (variance + 0.01 * float(np.median(variance)) + 1e-12)
    place = (rows - rest) @ direction / max(float((own - rest) @ direction), 1e-12)
    width = max(1, round(_SMOOTH_S / hop_s))
    weights = np.ones(width)
    smooth = np.convolve(place, weights, "same") / np.convolve(np.ones(len(place)), weights, "same")
    return np.asarray(np.clip(smooth, 0, None))
