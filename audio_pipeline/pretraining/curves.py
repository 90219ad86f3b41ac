"""The training log as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure


def draw_curves(log: Path, target: Path) -> None:
    """Both losses against the step, smoothed over 50 steps, as PNG.

    Parameters
    ----------
    log
        CSV rows of step, contrast, retained.
    """
    rows = np.array([[float(cell) for cell in row] for row in csv.reader(log.open())]).reshape(-1, 3)
    figure = Figure(figsize=(8, 4), layout="constrained")
    for axis, column, name in zip(figure.subplots(1, 2), (1, 2), ("contrast", "retained mixture"), strict=True):
        window = max(1, min(50, len(rows) // 4))
        smooth = np.convolve(rows[:, column], np.ones(window) / window, mode="valid")
        axis.plot(rows[:, 0], rows[:, column], color="0.8", linewidth=0.5)
        axis.plot(rows[window - 1 :, 0], smooth, color="tab:blue")
        axis.set(xlabel="step", ylabel=f"{name} loss")
    figure.savefig(target, dpi=120)
