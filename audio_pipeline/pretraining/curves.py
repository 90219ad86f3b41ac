"""The training log as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from audio_pipeline.pretraining.loop import LOSSES


def draw_curves(log: Path, target: Path) -> None:
    """Every loss against the step, smoothed over 100 steps, as PNG.

    Parameters
    ----------
    log
        CSV rows of step and the losses of `LOSSES`.
    """
    rows = np.array([[float(cell) for cell in row] for row in csv.reader(log.open())]).reshape(-1, 1 + len(LOSSES))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    window = max(1, min(100, len(rows) // 4))
    for column, name in enumerate(LOSSES, start=1):
        smooth = np.convolve(rows[:, column], np.ones(window) / window, mode="valid")
        axis.plot(rows[window - 1 :, 0], smooth, label=name)
    axis.set(xlabel="step", ylabel=f"loss, mean of {window} steps")
    axis.legend()
    figure.savefig(target, dpi=120)
