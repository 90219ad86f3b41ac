"""What the service tells Prometheus.

Here: names, labels, buckets. Not here: where they are counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_STAGE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Scores are normalised by the healthy ones: around 0 healthy, the threshold a few deviations up.
_SCORE = (-3.0, -2.0, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0, 50.0)
_P_VALUE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


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
        self.model_info = Gauge(
            "wheeltapper_model_info", "The model that serves (1).", ("model", "encoder", "stand_in"), registry=registry
        )
        self.model_broken = Gauge(
            "wheeltapper_model_broken", "1 while artifacts/current.json names what cannot be loaded.", registry=registry
        )
        self.swaps = Counter(
            "wheeltapper_model_swaps", "Models put into service, the first included.", registry=registry
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
