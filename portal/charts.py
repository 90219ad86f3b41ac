"""Charts as Vega-Lite specifications, which Streamlit draws without the internet.

Here: figures → specification, as plain data. Not here: showing them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

from portal.formats import Formats
from portal.records import DayCount, Histogram, MachineCount, Prediction
from portal.texts import Texts

ODD: Final = "#ef4444"
FINE: Final = "#22c55e"
_HEIGHT: Final = 280
_COLOURS: Final = ("#3b82f6", "#f59e0b", "#8b5cf6", "#14b8a6", "#ec4899", "#84cc16")

Spec = dict[str, Any]


def windows(prediction: Prediction, texts: Texts) -> Spec:
    """Chart each window's score over time, with the threshold: red where it is crossed."""
    values = [
        {
            "from": window.start_s,
            "to": window.end_s,
            "score": round(window.score, 4),
            "odd": window.score > prediction.threshold,
        }
        for window in prediction.windows
    ]
    time: Spec = {"field": "from", "type": "quantitative", "title": texts("chart.time")}
    time["scale"] = {"domain": [0, prediction.duration_s], "nice": False}
    score: Spec = {"field": "score", "type": "quantitative", "title": texts("chart.score"), "scale": {"zero": False}}
    colour = {"condition": {"test": "datum.odd", "value": ODD}, "value": FINE}
    tooltip = [
        {"field": "from", "title": texts("chart.from"), "format": ".1f"},
        {"field": "to", "title": texts("chart.to"), "format": ".1f"},
        {"field": "score", "title": texts("chart.score"), "format": ".2f"},
    ]
    bars = {"mark": {"type": "rule", "strokeWidth": 5, "strokeCap": "round"}}
    encoding = {"x": time, "x2": {"field": "to"}, "y": score, "color": colour, "tooltip": tooltip}
    limit = {
        "data": {"values": [{"threshold": prediction.threshold}]},
        "mark": {"type": "rule", "strokeDash": [6, 4], "color": "#9ca3af"},
        "encoding": {"y": {"field": "threshold", "type": "quantitative"}},
    }
    return {"height": 200, "data": {"values": values}, "layer": [{**bars, "encoding": encoding}, limit]}


def by_day(days: Sequence[DayCount], since: date, until: date, texts: Texts) -> Spec:
    """Chart how many clips a day were heard, and how many of them raised an alarm; days without any, too."""
    heard = {day.day: (day.predictions, day.anomalies) for day in days}
    last = max([until, *heard])
    all_days = [since + timedelta(days=n) for n in range((last - since).days + 1)]
    return _stacked([(f"{day:%d/%m}", *heard.get(day, (0, 0))) for day in all_days], texts)


def by_machine(machines: Sequence[MachineCount], texts: Texts, formats: Formats) -> Spec:
    """Chart normal and anomaly by machine."""
    rows = [(formats.machine(line.machine), line.predictions, line.anomalies) for line in machines]
    spec = _stacked(rows, texts)
    encoding = spec["encoding"]
    encoding["x"], encoding["y"] = encoding["y"], {**encoding["x"], "axis": {"labelLimit": 110}}
    spec["height"] = max(_HEIGHT, 34 * len(rows) + 110)
    return spec


def _stacked(rows: Sequence[tuple[str, int, int]], texts: Texts) -> Spec:
    names = {"normal": texts("verdict.normal"), "anomaly": texts("verdict.anomaly")}
    values = []
    for name, predictions, anomalies in rows:
        values.append({"x": name, "kind": names["anomaly"], "count": anomalies})
        values.append({"x": name, "kind": names["normal"], "count": predictions - anomalies})
    x: Spec = {"field": "x", "type": "nominal", "title": None, "sort": None}
    x["axis"] = {"labelAngle": 0, "labelOverlap": True}
    colour = {
        "field": "kind",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(names.values()), "range": [FINE, ODD]},
        "legend": {"orient": "top"},
    }
    return {
        "height": _HEIGHT,
        "data": {"values": values},
        "mark": {"type": "bar", "cornerRadius": 3},
        "encoding": {
            "x": x,
            "y": {"field": "count", "type": "quantitative", "title": texts("chart.clips"), "axis": {"tickMinStep": 1}},
            "color": colour,
            "order": {"field": "kind", "sort": "ascending"},
            "tooltip": [
                {"field": "x", "title": " "},
                {"field": "kind", "title": " "},
                {"field": "count"},
            ],
        },
    }


def score_histogram(histograms: Sequence[Histogram], texts: Texts) -> Spec:
    """Chart how scores are spread, one outline a model version; each sums to one, so that versions compare."""
    values = []
    for histogram in histograms:
        total = sum(histogram.counts)
        values += [
            {
                "model": histogram.model_version,
                "from": round(low, 3),
                "to": round(high, 3),
                "share": round(count / total, 5),
                "count": count,
            }
            for low, high, count in zip(histogram.edges[:-1], histogram.edges[1:], histogram.counts, strict=False)
            if total
        ]
    return {
        "height": 320,
        "data": {"values": values},
        "mark": {"type": "bar", "opacity": 0.6},
        "encoding": {
            "x": {"field": "from", "type": "quantitative", "title": texts("chart.score"), "bin": {"binned": True}},
            "x2": {"field": "to"},
            "y": {
                "field": "share",
                "type": "quantitative",
                "stack": None,
                "title": texts("chart.share"),
                "axis": {"format": "%"},
            },
            "color": {
                "field": "model",
                "type": "nominal",
                "title": None,
                "scale": {"range": list(_COLOURS)},
                "legend": {"orient": "top", "columns": 1, "labelLimit": 300},
            },
            "tooltip": [
                {"field": "model", "title": texts("chart.model")},
                {"field": "from", "title": texts("chart.from")},
                {"field": "to", "title": texts("chart.to")},
                {"field": "count", "title": texts("chart.clips")},
            ],
        },
    }


def bounded_scale(score: float, threshold: float) -> tuple[float, float]:
    """Return where score and threshold lie on a bar from nothing to full, 0 to 1; the threshold never at its end."""
    end = max(1.25 * score, 1.6 * threshold, 1e-9)
    return max(0.0, min(1.0, score / end)), max(0.0, min(1.0, threshold / end))
