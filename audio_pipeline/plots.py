"""Pictures as PNG: ROC curve, histogram of scores.

Here: drawing, with matplotlib's object interface (no global state, safe in a service's threads). Not here: the figures
drawn (`evaluation`), or where files go.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from audio_pipeline.metrics import PARTIAL_AUC_RATE

# Okabe and Ito (2008): told apart with any colour vision; shape and label say it once more.
NORMAL, ANOMALY, THRESHOLD = "#0072B2", "#D55E00", "#000000"


def roc_png(targets: NDArray[np.bool_], scores: NDArray[np.floating[Any]], machines: NDArray[np.str_]) -> bytes:
    """Draw a ROC curve a machine; machines without both normals and anomalies have none.

    Parameters
    ----------
    targets, scores, machines
        bool[N], float[N], str[N].
    """
    figure, axes = _figure(6.4, 5.6)
    styles = ("-", "--", "-.", ":")
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
    drawn = 0
    for name in np.unique(machines):
        rows = machines == name
        if targets[rows].all() or not targets[rows].any():
            continue
        false_alarms, hits, _ = roc_curve(targets[rows], scores[rows])
        style = styles[drawn // len(colours) % len(styles)]
        axes.plot(false_alarms, hits, style, color=colours[drawn % len(colours)], lw=1.8, label=name or "unknown")
        drawn += 1
    axes.plot([0, 1], [0, 1], color="0.6", lw=1, ls=":", label="chance")
    axes.axvspan(0, PARTIAL_AUC_RATE, color="0.9", zorder=0, label=f"pAUC: up to {PARTIAL_AUC_RATE:.0%}")
    axes.set(xlabel="false-alarm rate", ylabel="share of anomalies found", xlim=(0, 1), ylim=(0, 1.01), title="ROC")
    axes.legend(loc="lower right", fontsize=8, ncols=1 + drawn // 12)
    return _png(figure)


def histogram_png(targets: NDArray[np.bool_], scores: NDArray[np.floating[Any]], threshold: float | None) -> bytes:
    """Draw how the scores of normals and of anomalies are spread, and the threshold if there is one for all.

    Parameters
    ----------
    targets, scores
        bool[N], float[N].
    threshold
        On the scale of the scores.
    """
    figure, axes = _figure(6.4, 4.2)
    # A few clips far out must not squeeze all others into one bar: the last bar holds everything beyond.
    top = float(np.quantile(scores, 0.99)) * 1.1 if len(scores) else 1.0
    edges = np.linspace(float(scores.min()) if len(scores) else 0.0, max(top, (threshold or 0) * 1.1, 1e-9), 41)
    shown = np.clip(scores, edges[0], edges[-1])
    axes.hist(shown[~targets], edges, color=NORMAL, alpha=0.75, label=f"normal ({int((~targets).sum())})")
    label = f"anomaly ({int(targets.sum())})"
    axes.hist(shown[targets], edges, histtype="step", lw=1.8, hatch="///", color=ANOMALY, label=label)
    if threshold is not None:
        axes.axvline(threshold, color=THRESHOLD, ls="--", lw=1.4, label=f"threshold {threshold:.3g}")
    axes.set(xlabel="anomaly score (last bar: and higher)", ylabel="count", title="Scores")
    axes.legend(fontsize=9)
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
