"""What a server counts: the events, and their form for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from ocrhpi.backends.base import Effective

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
FILL_BUCKETS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)

DESCRIPTIONS = {
    "requests": "Requests, by route and HTTP status.",
    "request_seconds": "Time from the first byte of a request to the last of its answer, by route.",
    "lines": "Lines that were read.",
    "queue_seconds": "Time that a line waited in the queue.",
    "queued_lines": "Lines that wait in the queue.",
    "batch_fill": "Lines handed to the reader at once, as a share of the most that may be.",
    "engine_seconds": "Time in which the reader read such a batch: tensors, engine and decoding.",
}
"""Name of a metric, without ``ocrhpi_`` -> what it tells."""


class Metrics(Protocol):
    """Is told of what happens in a server; called from the event loop only."""

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Take note of a request that was answered after so many seconds."""

    def queued(self, lines: int) -> None:
        """Take note of how many lines wait."""

    def batched(self, waited_s: list[float], most: int) -> None:
        """Take note of lines that are handed to the reader, of how long each waited, and of how many it could be."""

    def read(self, lines: int, seconds: float) -> None:
        """Take note of a batch that was read."""


class PrometheusMetrics:
    """Metrics of one server, in a registry of its own.

    Args:
        model: Name of the model.
        effective: What runs it.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, model: str, effective: Effective) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

        def name(metric: str) -> tuple[str, str]:
            return f"ocrhpi_{metric}", DESCRIPTIONS[metric]

        self._requests = Counter(*name("requests"), ("route", "status"), registry=registry)
        self._request_seconds = Histogram(
            *name("request_seconds"), ("route",), buckets=SECONDS_BUCKETS, registry=registry
        )
        self._lines = Counter(*name("lines"), registry=registry)
        self._queue_seconds = Histogram(*name("queue_seconds"), buckets=SECONDS_BUCKETS, registry=registry)
        self._queued = Gauge(*name("queued_lines"), registry=registry)
        self._fill = Histogram(*name("batch_fill"), buckets=FILL_BUCKETS, registry=registry)
        self._engine_seconds = Histogram(*name("engine_seconds"), buckets=SECONDS_BUCKETS, registry=registry)
        about = Gauge(
            "ocrhpi_model", "What runs; always 1.", ("model", "backend", "device", "precision"), registry=registry
        )
        about.labels(model, effective.backend, effective.device, effective.precision).set(1)

    def answered(self, route: str, status: int, seconds: float) -> None:  # noqa: D102 - the protocol's
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def queued(self, lines: int) -> None:  # noqa: D102 - the protocol's
        self._queued.set(lines)

    def batched(self, waited_s: list[float], most: int) -> None:  # noqa: D102 - the protocol's
        for seconds in waited_s:
            self._queue_seconds.observe(seconds)
        self._fill.observe(len(waited_s) / most)

    def read(self, lines: int, seconds: float) -> None:  # noqa: D102 - the protocol's
        self._lines.inc(lines)
        self._engine_seconds.observe(seconds)

    def page(self) -> bytes:
        """Return everything in Prometheus' text format; `content_type` is its type."""
        return generate_latest(self._registry)
