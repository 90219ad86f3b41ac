"""What the service tells Prometheus.

Here: names, labels, buckets. Not here: where they are counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_STAGE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Scores are normalised by the healthy ones: around 0 healthy, the threshold a few deviations up.
_SCORE = (-3.0, -2.0, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0, 50.0)
_LAG = (30.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 8 * 3600.0, 86_400.0, 3 * 86_400.0, 7 * 86_400.0)
_P_VALUE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_LEVEL_DB = (-90.0, -80.0, -70.0, -60.0, -50.0, -45.0, -40.0, -35.0, -30.0, -25.0, -20.0, -15.0, -10.0, -5.0, 0.0)


class Metrics:
    """One service's metrics, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "wheeltapper_requests", "Answered requests.", ("method", "route", "status"), registry=registry
        )
        self.latency = Histogram(
            "wheeltapper_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ("method", "route", "status"),
            buckets=_LATENCY,
            registry=registry,
        )
        self.stages = Histogram(
            "wheeltapper_stage_seconds",
            "Parts of a prediction: receive, parse, decode (with the sensor measured), embed, classify, store.",
            ("stage",),
            buckets=_STAGE,
            registry=registry,
        )
        self.queue_depth = Gauge("wheeltapper_queue_depth", "Clips that wait for a thread.", registry=registry)
        self.held_bytes = Gauge("wheeltapper_held_bytes", "Bytes of requests in memory.", registry=registry)
        self.rejections = Counter(
            "wheeltapper_rejections",
            "Requests refused for overload, and clips refused, by code.",
            ("code",),
            registry=registry,
        )
        self.predictions = Counter(
            "wheeltapper_predictions", "Predictions stored.", ("verdict", "model"), registry=registry
        )
        self.scores = Histogram(
            "wheeltapper_score", "Anomaly score of a clip.", ("model",), buckets=_SCORE, registry=registry
        )
        self.p_values = Histogram(
            "wheeltapper_p_value", "p-value of a clip.", ("model",), buckets=_P_VALUE, registry=registry
        )
        self.sensor_findings = Counter(
            "wheeltapper_sensor_findings",
            "Defects of recordings, by what the sensor check calls them; a clip may have several.",
            ("code", "fatal"),
            registry=registry,
        )
        self.levels = Histogram(
            "wheeltapper_clip_level_db",
            "Level of the clips, RMS in dB of full scale.",
            buckets=_LEVEL_DB,
            registry=registry,
        )
        self.model_info = Gauge(
            "wheeltapper_model_info", "The model that serves (1).", ("model", "encoder"), registry=registry
        )
        self.model_broken = Gauge(
            "wheeltapper_model_broken", "1 while artifacts/current.json names what cannot be loaded.", registry=registry
        )
        self.swaps = Counter(
            "wheeltapper_model_swaps", "Models put into service, the first included.", registry=registry
        )
        self.retrains = Counter(
            "wheeltapper_retrains", "Retrains that ended, by what came of them.", ("status",), registry=registry
        )
        # For Prometheus a series that begins at 1 has not risen: what alerts ask about is there from the start.
        for status in ("promoted", "kept_champion", "failed"):
            self.retrains.labels(status)
        self.rejections.labels("silent")
        self.retrain_running = Gauge("wheeltapper_retrain_running", "1 while a retrain runs.", registry=registry)

        self.answers = Counter(
            "wheeltapper_answers",
            "Answers stored here, by what was said and what the model had said; replaced ones counted again.",
            ("answer", "verdict", "source"),
            registry=registry,
        )
        self.answer_lag = Histogram(
            "wheeltapper_answer_lag_seconds",
            "From a prediction to its first answer.",
            buckets=_LAG,
            registry=registry,
        )
        self.agreement = Gauge(
            "wheeltapper_answer_agreement",
            "Share of answers (anomaly or normal) that agree with the verdict, of the last 200; NaN: none yet.",
            registry=registry,
        )
        self.agreement.set(math.nan)
        self.questions = Gauge("wheeltapper_questions", "Questions, by state.", ("state",), registry=registry)
        self.questions_opened = Counter(
            "wheeltapper_questions_opened", "Questions opened here, by reason.", ("reason",), registry=registry
        )
        self.questions_withheld = Counter(
            "wheeltapper_questions_withheld",
            "Predictions worth a question that got none: the budget is kept for better ones, or spent.",
            ("reason",),
            registry=registry,
        )
        self.outbox_depth = Gauge("wheeltapper_outbox_messages", "Messages not delivered yet.", registry=registry)
        self.outbox_age = Gauge(
            "wheeltapper_outbox_oldest_seconds", "Age of the oldest of them; 0: none.", registry=registry
        )
        self.deliveries = Counter(
            "wheeltapper_deliveries", "Messages tried, by outcome.", ("kind", "outcome"), registry=registry
        )
        self.table_broken = Gauge(
            "wheeltapper_prod_data_broken", "1 while prod_data.csv cannot be written.", registry=registry
        )
        self.table_behind = Gauge(
            "wheeltapper_prod_data_behind",
            "Changes of answers that prod_data.csv does not show yet.",
            registry=registry,
        )
        self.confirmed = Gauge(
            "wheeltapper_confirmed_faults", "Confirmed faults that clips are compared with.", registry=registry
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a part of the work."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.stages.labels(name).observe(time.perf_counter() - begun)

    def watch(self, waiting: Callable[[], float], held: Callable[[], float]) -> None:
        """Read the gauges of the queue when they are asked for."""
        self.queue_depth.set_function(waiting)
        self.held_bytes.set_function(held)

    def text(self) -> bytes:
        """Render them all in Prometheus's text format."""
        return generate_latest(self.registry)
