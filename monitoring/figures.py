"""Evidently's metrics that it does not bring itself: figures that may be unknown, and what our own test found.

Here: three metrics. Not here: which reports use them (`reports`).

Evidently has no balanced accuracy, and its F1, precision and recall are 0 where the answers do not define them. These
are NaN there, which its dashboard shows as no value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from evidently.core.metric_types import SingleValue, SingleValueCalculation, SingleValueMetric

from monitoring.quality import figures

if TYPE_CHECKING:
    from evidently.core.datasets import Dataset
    from evidently.core.report import Context


class AnswerFigure(SingleValueMetric):
    """A figure of `quality.QualityFigures`, of the columns `target` and `prediction`."""

    class Config:
        """Evidently's name of it."""

        type_alias = "evidently:metric_v2:WheeltapperAnswerFigure"

    figure: str


class AnswerFigureCalculation(SingleValueCalculation[AnswerFigure]):
    """Computes it."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:  # noqa: ARG002
        """Compute the figure of the current data."""
        table: Any = current_data.as_dataframe()
        found = figures(table["target"].to_numpy(bool), table["prediction"].to_numpy(bool))
        value = getattr(found, self.metric.figure)
        return self.result(math.nan if value is None else value)

    def display_name(self) -> str:
        """Name it for a person."""
        return str(self.metric.figure).replace("_", " ").capitalize()


class GivenFigure(SingleValueMetric):
    """A number that was computed elsewhere: by the drift test, or by the service from its questions.

    It is read from the first row of the column of its name, so that the metric is the same at every look.
    """

    class Config:
        """Evidently's name of it."""

        type_alias = "evidently:metric_v2:WheeltapperGivenFigure"

    figure: str


class GivenFigureCalculation(SingleValueCalculation[GivenFigure]):
    """Hands it on."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:  # noqa: ARG002
        """Read the number."""
        table: Any = current_data.as_dataframe()
        return self.result(float(np.asarray(table[self.metric.figure], np.float64)[0]))

    def display_name(self) -> str:
        """Name it for a person."""
        return str(self.metric.figure).replace("_", " ").capitalize()


class MachineFigure(SingleValueMetric):
    """A figure of one machine, computed elsewhere and read like `GivenFigure`: column `<figure> of <machine>`."""

    class Config:
        """Evidently's name of it."""

        type_alias = "evidently:metric_v2:WheeltapperMachineFigure"

    figure: str
    machine: str


class MachineFigureCalculation(SingleValueCalculation[MachineFigure]):
    """Hands it on."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:  # noqa: ARG002
        """Read the number."""
        table: Any = current_data.as_dataframe()
        column = machine_column(self.metric.figure, self.metric.machine)
        return self.result(float(np.asarray(table[column], np.float64)[0]))

    def display_name(self) -> str:
        """Name it for a person."""
        return f"{self.metric.machine}: {self.metric.figure.replace('_', ' ')}"


def machine_column(figure: str, machine: str) -> str:
    """Name the column of a machine's figure."""
    return f"{figure} of {machine}"
