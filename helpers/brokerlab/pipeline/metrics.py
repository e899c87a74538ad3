"""The API server's figures for Prometheus: what it did itself, and what the database says when it is asked."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from brokerlab.pipeline.store import Store

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """The figures of one application, in a registry of their own: a cell may make an application twice."""

    def __init__(self, store: Store, backlog_limit: int) -> None:
        self._registry = CollectorRegistry()
        Gauge(
            "pipeline_backlog_limit",
            "Pictures that may wait before the next is refused",
            registry=self._registry,
        ).set(backlog_limit)
        self.accepted = Counter(
            "pipeline_accepted", "Pictures taken since this server started", registry=self._registry
        )
        self.refused = Counter(
            "pipeline_refused",
            "Pictures refused since this server started",
            ["reason"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "pipeline_post_seconds",
            "Seconds to answer POST /images, refusals included",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_FromDatabase(store))

    def text(self) -> tuple[bytes, str]:
        """Return all figures as Prometheus reads them, and the media type of that."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _FromDatabase(Collector):
    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterator[Metric]:
        """Say nothing in advance: to register must not need the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        counts = self._store.counts()
        gauges = {
            "pipeline_outbox_pending": ("Outbox rows not yet published", counts.unpublished),
            "pipeline_outbox_oldest_seconds": ("Age of the oldest of them", counts.oldest_wait),
            "pipeline_backlog": ("Pictures without an outcome", counts.backlog),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value)
        counters = {
            "pipeline_done": ("Pictures with a result", counts.done),
            "pipeline_dead_lettered": ("Pictures given up", counts.dead_lettered),
            "pipeline_duplicates": ("Outcomes that came again", counts.duplicates),
            "pipeline_duplicate_effects": ("Outcomes stored twice", counts.duplicate_effects),
            "pipeline_strays": ("Records that belong to no picture", counts.strays),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(name, text, value)
