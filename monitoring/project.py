"""Evidently's workspace and project on disk: made once, found again, kept small; and the dashboard's panels.

Here: the project. Not here: what its snapshots hold (`reports`).
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evidently.core.report import Snapshot
from evidently.sdk.models import DashboardPanelPlot, PanelMetric
from evidently.sdk.panels import bar_plot_panel, counter_panel, line_plot_panel
from evidently.ui.workspace import Project, Workspace

from audio_pipeline.errors import SettingsError
from monitoring.reports import ANSWERED, DRIFT, MACHINES, METHODS, QUALITY

NAME = "Wheeltapper"
_TAB = "Quality and drift"


class MonitoringProject:
    """The project in a workspace.

    Parameters
    ----------
    folder
        The workspace; made when it is not there.
    most_snapshots
        Older ones are deleted.

    Raises
    ------
    SettingsError
        The folder cannot be used.
    """

    def __init__(self, folder: Path, most_snapshots: int = 500) -> None:
        self._folder = folder
        self._most = most_snapshots
        with self._one_at_a_time(make=True):
            self._workspace = Workspace.create(str(folder))
            found = self._workspace.search_project(NAME)
            self.project = found[0] if found else self._make()
            self._show_panels()

    def add(self, snapshots: Sequence[Snapshot]) -> str:
        """Keep snapshots, forget the oldest, and return the project's id.

        Raises
        ------
        SettingsError
            The folder cannot be written.
        """
        with self._one_at_a_time():
            for snapshot in snapshots:
                self._workspace.add_run(self.project.id, snapshot, include_data=False)
            # Their names are made from the moment of their making: in order of text, in order of time.
            names = sorted(map(str, self._workspace.list_runs(self.project.id)))
            for name in names[: max(0, len(names) - self._most)]:
                self._workspace.delete_run(self.project.id, name)
        return str(self.project.id)

    @contextmanager
    def _one_at_a_time(self, *, make: bool = False) -> Iterator[None]:
        """Two monitors that start together make one project."""
        try:
            if make:
                self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as e:
            raise SettingsError(
                f"The folder of Evidently's reports {self._folder} cannot be used ({e.strerror}): make room there, or "
                "let WHEELTAPPER_MONITORING_WORKSPACE name another."
            ) from e

    def _make(self) -> Project:
        return self._workspace.create_project(
            NAME, description="Quality of the answered predictions, and whether production sounds like the reference."
        )

    def _show_panels(self) -> None:
        """Put the panels in; those of an earlier version give way to this one's."""
        wanted, dashboard = panels(), self.project.dashboard
        if [_known(panel) for panel in dashboard.model().panels] == [_known(panel) for panel in wanted]:
            return
        dashboard.clear_dashboard()
        for panel in wanted:
            dashboard.add_panel(panel, tab=_TAB)


def _known(panel: DashboardPanelPlot) -> dict[str, Any]:
    return {name: value for name, value in panel.dict().items() if name != "id"}


def panels() -> list[DashboardPanelPlot]:
    """Return the dashboard, top to bottom."""
    return [
        counter_panel("Answered clips", [_answer("rows", "answers")], size="half"),
        counter_panel(
            "Evidence of drift (1 or less is usual)",
            [_found("evidence", "powers of ten against chance")],
            size="half",
        ),
        line_plot_panel(
            "Quality of the answered predictions",
            [
                _answer("f1", "F1"),
                _answer("balanced_accuracy", "balanced accuracy"),
                _answer("recall", "recall"),
                _answer("precision", "precision"),
            ],
            "prod_data.csv; no point: the answers do not define it yet",
            size="half",
        ),
        bar_plot_panel(
            "Verdicts against people's answers",
            [
                _answer("true_positive", "alarm, real fault"),
                _answer("false_positive", "alarm, false"),
                _answer("false_negative", "missed fault"),
                _answer("true_negative", "normal, confirmed"),
            ],
            "confusion matrix over time",
            size="half",
            stacked=True,
        ),
        line_plot_panel(
            "Does production sound like the reference?",
            [_found("evidence", "evidence of drift"), _found("evidence_that_counts", "from here on it counts")],
            "all recent predictions, one window each; powers of ten against chance",
            size="half",
        ),
        line_plot_panel(
            "How well production can be told from the reference",
            [_found("effect", "share of comparisons"), _found("drifted_columns", "share of columns that moved")],
            "0.5: not at all; 1: every clip",
            size="half",
        ),
        line_plot_panel(
            "Evidence of drift, machine by machine",
            [_of_machine("evidence")],
            "no point: too few clips of it",
            size="half",
        ),
        line_plot_panel(
            "Balanced accuracy, machine by machine",
            [_of_machine("balanced_accuracy")],
            "of the answered clips; no point: only one kind of answer yet",
            size="half",
        ),
        line_plot_panel(
            "Precision, machine by machine",
            [_of_machine("precision")],
            "share of the answered alarms that were real",
            size="half",
        ),
        line_plot_panel(
            "Recall, from clips asked about at random",
            [
                _given("audit_recall", "recall"),
                _given("audit_recall_low", "95 %, low"),
                _given("audit_recall_high", "95 %, high"),
            ],
            "no point: too few such answers yet",
            size="half",
        ),
        line_plot_panel(
            "False alarms, from clips asked about at random",
            [
                _given("audit_false_alarm_rate", "false-alarm rate"),
                _given("audit_false_alarm_rate_low", "95 %, low"),
                _given("audit_false_alarm_rate_high", "95 %, high"),
            ],
            "no point: too few such answers yet",
            size="half",
        ),
        line_plot_panel(
            "Evidently's methods on the same clips",
            [
                _method("mmd", "mean discrepancy"),
                _method("model", "classifier's AUC"),
                _method("ratio", "share of drifted components"),
            ],
            "at its own settings; they trigger nothing (docs/monitoring.md tells why)",
            size="half",
        ),
        line_plot_panel(
            "Scores and verdicts against earlier ones of the same model",
            [
                _value("score", "scores, p of Kolmogorov-Smirnov"),
                _value("verdict", "verdicts, Jensen-Shannon distance"),
            ],
            size="half",
        ),
        line_plot_panel(
            "Answered clips against the reference: not a trigger",
            [_metric("EmbeddingsDrift", "mean discrepancy", ANSWERED)],
            "they were chosen because they looked odd",
            size="half",
        ),
    ]


def _answer(figure: str, legend: str) -> PanelMetric:
    return _metric("WheeltapperAnswerFigure", legend, QUALITY, figure=figure)


def _given(figure: str, legend: str) -> PanelMetric:
    return _metric("WheeltapperGivenFigure", legend, QUALITY, figure=figure)


def _found(figure: str, legend: str) -> PanelMetric:
    return _metric("WheeltapperGivenFigure", legend, DRIFT, figure=figure)


def _of_machine(figure: str) -> PanelMetric:
    return _metric("WheeltapperMachineFigure", "{{machine}}", MACHINES, figure=figure)


def _value(column: str, legend: str) -> PanelMetric:
    return _metric("ValueDrift", legend, DRIFT, column=column)


def _method(name: str, legend: str) -> PanelMetric:
    method = METHODS[name]()
    # The dashboard tells metrics apart by their parameters, as text.
    values = {key: value for key, value in method.dict().items() if value is not None and key != "type"}
    return _metric(
        "EmbeddingsDrift",
        legend,
        DRIFT,
        drift_method=str({"type": f"evidently:drift_method:{type(method).__name__}", **values}),
    )


def _metric(metric: str, legend: str, tag: str, **labels: Any) -> PanelMetric:  # noqa: ANN401 - as Evidently has it
    return PanelMetric(legend=legend, tags=[tag], metric=metric, metric_labels=labels)
