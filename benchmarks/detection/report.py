"""Cells → tables and the picture of learning curves. Not here: measuring (`trials`), running (`__main__`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from audio_pipeline.metrics import measure
from benchmarks.detection.false_alarms import Realised
from benchmarks.detection.trials import COUNTS, RATE, Cell

Figures = dict[str, float]
AUTOENCODER = "autoencoder (DCASE Task 2)"
_SHORT = {
    "dcase_valve/valve": "valve (DCASE)",
    "mimii_m6dB/fan": "fan −6 dB",
    "mimii_m6dB/pump": "pump −6 dB",
    "mimii_m6dB/slider": "slider −6 dB",
    "mimii_m6dB/valve": "valve −6 dB",
    "ladder -9 dB": "ladder −9 dB",
    "ladder -12 dB": "ladder −12 dB",
    "ladder -15 dB": "ladder −15 dB",
    "ladder -18 dB": "ladder −18 dB",
    "dcase2020_id00": "fan (DCASE 2020)",
}
_ONE_FAULT = "dcase2020_id00"
"""A set of one faulty clip: its AUC is in the table, and in no mean."""


@dataclass(frozen=True)
class Baseline:
    """A simple score of one machine's tested clips in one draw."""

    column: str
    seed: int
    name: str
    fault: NDArray[np.bool_]
    score: NDArray[np.float64]


def figures(cell: Cell) -> Figures:
    """Of one machine in one draw; NaN where undefined."""
    own = measure(cell.machine, cell.fault, cell.score, cell.alarm)
    values = {name: getattr(own, name) for name in ("auc", "pauc", "f1", "recall", "false_alarm_rate")}
    return {name: np.nan if value is None else float(value) for name, value in values.items()}


class Results:
    """All cells and baselines, and their means over machines and draws."""

    def __init__(self, cells: Sequence[Cell], baselines: Sequence[Baseline], alarms: Sequence[Realised]) -> None:
        self.cells, self.baselines, self.alarms = cells, baselines, alarms
        self.columns = list(dict.fromkeys(cell.column for cell in cells))
        self._of_cell = [figures(cell) for cell in cells]

    def by_seed(self, name: str, column: str, confirmed: int) -> NDArray[np.float64]:
        """float64[seeds]: a figure of the detector, the mean over a column's machines; empty for a blank cell."""
        found: dict[int, list[float]] = {}
        for cell, own in zip(self.cells, self._of_cell, strict=True):
            if (cell.column, cell.confirmed) == (column, confirmed):
                found.setdefault(cell.seed, []).append(own[name])
        return np.array([np.mean(values) for _, values in sorted(found.items())])

    def baseline(self, name: str, column: str, top: float | None = None) -> float:
        """AUC (with `top`, pAUC) of a baseline, the mean over machines and draws."""
        return float(
            np.mean(
                [
                    roc_auc_score(one.fault, one.score, max_fpr=top)
                    for one in self.baselines
                    if (one.name, one.column) == (name, column)
                ]
            )
        )

    def simple(self) -> tuple[str, ...]:
        """Names of the simple statistics."""
        return tuple(dict.fromkeys(one.name for one in self.baselines if one.name != AUTOENCODER))

    def averaged(self) -> list[str]:
        """The columns that means are taken over."""
        return [column for column in self.columns if column != _ONE_FAULT]


def markdown(results: Results, minutes: float, encoder: str) -> str:
    """Return RESULTS.md."""
    columns, names = results.columns, [_SHORT.get(column, column) for column in results.columns]
    lines = [
        "# Detection, from normals alone and with confirmed faults",
        "",
        f"Made by `python -m benchmarks.detection DATA` in {minutes:.0f} min (two shared cores, vectors cached). "
        f"Encoder {encoder}.",
        "Ten draws: half of each machine's healthy recordings train, half of its faulty ones may be confirmed, the "
        "rest is tested, the same for every count; means, ± the standard deviation over draws. Blank: more than half "
        "of the set's faulty recordings. Backends, fusion and the supervised head were chosen on synthetic plants "
        "(`benchmarks.detection.choose`), not on these clips.",
        "",
    ]
    head = [_line(["", *names, "mean"]), _line(["---"] * (len(names) + 2))]

    def detector_rows(name: str, of: Callable[[NDArray[np.float64]], str]) -> list[str]:
        rows = []
        for confirmed in COUNTS:
            found = {column: results.by_seed(name, column, confirmed) for column in columns}
            kept = [found[column].mean() for column in results.averaged() if len(found[column])]
            whole = f"{np.mean(kept):.3f}" if len(kept) == len(results.averaged()) else ""
            rows.append(_line([f"{confirmed} confirmed", *(of(v) if len(v) else "" for v in found.values()), whole]))
        return rows

    def baseline_rows(top: float | None = None) -> list[str]:
        rows = []
        for name in (*results.simple(), AUTOENCODER):
            values = {column: results.baseline(name, column, top) for column in columns}
            mean = np.mean([values[column] for column in results.averaged()])
            rows.append(_line([name, *(f"{value:.3f}" for value in values.values()), f"{mean:.3f}"]))
        return rows

    lines += ["AUC:", "", *head, *detector_rows("auc", lambda v: f"{v.mean():.3f} ± {v.std():.3f}"), *baseline_rows()]
    lines += [
        "",
        "pAUC (p = 0.1):",
        "",
        *head,
        *detector_rows("pauc", lambda v: f"{v.mean():.3f}"),
        *baseline_rows(0.1),
    ]
    lines += ["", f"F1 at the threshold for {RATE:.0%} false alarms:", "", *head]
    lines += detector_rows("f1", lambda v: f"{v.mean():.3f}")
    lines += ["", f"Realised false-alarm rate, asked for {RATE:.0%}:", "", *head]
    lines += detector_rows("false_alarm_rate", lambda v: f"{v.mean():.3f}")
    lines += ["", "AUC above that from normals alone, paired by draw; brackets: 95 % interval of the mean:", "", *head]
    for confirmed in COUNTS[1:]:
        cells = []
        for column in columns:
            gain = _gains(results, column, confirmed)
            error = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
            cells.append(
                f"{gain.mean():+.3f} [{gain.mean() - error:+.3f}, {gain.mean() + error:+.3f}]" if len(gain) else ""
            )
        lines.append(_line([f"{confirmed} confirmed", *cells, ""]))
    lines += ["", "Share of the way from there to 1.0:", "", *head]
    for confirmed in COUNTS[1:]:
        cells = []
        for column in columns:
            room, gain = 1 - results.by_seed("auc", column, 0), _gains(results, column, confirmed)
            cells.append(f"{gain.mean() / room.mean():.0%}" if len(gain) and room.mean() > 0.0005 else "")
        lines.append(_line([f"{confirmed} confirmed", *cells, ""]))
    return "\n".join([*lines, "", *_calibration(results), "", *_synthetic(results), ""])


def _gains(results: Results, column: str, confirmed: int) -> NDArray[np.float64]:
    found = results.by_seed("auc", column, confirmed)
    return found - results.by_seed("auc", column, 0) if len(found) else found


def _calibration(results: Results) -> list[str]:
    lines = ["Calibration on the real clips, pooled over all sets and draws:", ""]
    lines += [
        _line(
            [
                "",
                "tested normals",
                "p ≤ 0.10",
                "p ≤ 0.20",
                "p ≤ 0.50",
                "Brier score",
                "said 0–¼: faulty",
                "¼–½",
                "½–¾",
                "¾–1",
            ]
        ),
        _line(["---"] * 10),
    ]
    for confirmed in COUNTS:
        own = [cell for cell in results.cells if cell.confirmed == confirmed]
        p_value = np.concatenate([cell.p_value[~cell.fault] for cell in own])
        rates = [f"{(p_value <= rate + 1e-6).mean():.3f}" for rate in (0.1, 0.2, 0.5)]
        lines.append(_line([f"{confirmed} confirmed", str(len(p_value)), *rates, *_reliability(own, confirmed)]))
    return [
        *lines,
        "",
        "Probabilities are of equally many faulty and healthy clips (weights), as the detector states them; Brier: 0 "
        "is perfect, 0.25 is a coin.",
    ]


def _reliability(cells: Sequence[Cell], confirmed: int) -> list[str]:
    both = [cell for cell in cells if cell.fault.any() and confirmed]
    if not both:
        return [""] * 5
    said = np.concatenate([cell.probability for cell in both])
    fault = np.concatenate([cell.fault for cell in both])
    weight = np.concatenate(
        [np.where(cell.fault, 0.5 / cell.fault.mean(), 0.5 / (~cell.fault).mean()) for cell in both]
    )
    brier = float(np.average((said - fault) ** 2, weights=weight))
    part = np.minimum((said * 4).astype(int), 3)
    shares = [
        f"{np.average(fault[part == i], weights=weight[part == i]):.2f}" if (part == i).any() else "" for i in range(4)
    ]
    return [f"{brier:.3f}", *shares]


def _synthetic(results: Results) -> list[str]:
    if not results.alarms:
        return []
    lines = [
        "Realised false-alarm rate on fresh synthetic normals, 20 calibration draws × 2 000 clips; 95 % interval of "
        "the mean over draws:",
        "",
        _line(["asked for", "faults confirmed a machine", "mean", "interval", "lowest to highest draw"]),
        _line(["---"] * 5),
    ]
    for one in results.alarms:
        low, high = one.interval
        ends = f"{one.shares.min():.2%} to {one.shares.max():.2%}"
        lines.append(
            _line([f"{one.rate:.0%}", str(one.confirmed), f"{one.mean:.2%}", f"[{low:.2%}, {high:.2%}]", ends])
        )
    return lines


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def as_json(results: Results) -> Mapping[str, Any]:
    """Return what results.json holds."""
    return {
        "detector": {
            column: {
                str(confirmed): {
                    name: results.by_seed(name, column, confirmed).round(5).tolist()
                    for name in ("auc", "pauc", "f1", "recall", "false_alarm_rate")
                    if np.isfinite(results.by_seed(name, column, confirmed)).all()
                }
                for confirmed in COUNTS
                if len(results.by_seed("auc", column, confirmed))
            }
            for column in results.columns
        },
        "baselines": {
            name: {column: round(results.baseline(name, column), 5) for column in results.columns}
            for name in (*results.simple(), AUTOENCODER)
        },
        "false_alarms": [
            {"rate": one.rate, "confirmed": one.confirmed, "mean": one.mean, "interval": one.interval}
            for one in results.alarms
        ],
    }


def learning_curves(results: Results, path: Path) -> None:
    """Draw AUC against the number of confirmed faults, a panel a column."""
    columns = results.averaged()
    best = max(results.simple(), key=lambda name: np.mean([results.baseline(name, column) for column in columns]))
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    axes = figure.subplots(2, (len(columns) + 1) // 2, sharey=True).flatten()
    for axis, column in zip(axes, columns, strict=False):
        curves = {at: results.by_seed("auc", column, n) for at, n in enumerate(COUNTS)}
        shown = {at: values for at, values in curves.items() if len(values)}
        mean, spread = (np.array([f(values) for values in shown.values()]) for f in (np.mean, np.std))
        axis.plot(list(shown), mean, marker="o", color="tab:blue", label="Wheeltapper")
        axis.fill_between(list(shown), mean - spread, np.minimum(mean + spread, 1), color="tab:blue", alpha=0.15)
        axis.axhline(results.baseline(best, column), color="tab:grey", linestyle="--", label=f"{best} (normals)")
        axis.axhline(results.baseline(AUTOENCODER, column), color="tab:red", linestyle=":", label=f"{AUTOENCODER}")
        axis.set(title=_SHORT.get(column, column), xlim=(-0.2, len(COUNTS) - 0.8), ylim=(0.4, 1.02))
        axis.set_xticks(range(len(COUNTS)), [str(n) for n in COUNTS])
    for axis in axes[len(columns) :]:
        axis.set_visible(False)
    axes[0].set_ylabel("AUC")
    axes[0].legend(loc="lower right", fontsize=7)
    figure.supxlabel("confirmed faults a machine")
    figure.savefig(path, dpi=110)
