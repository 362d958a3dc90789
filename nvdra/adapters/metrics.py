"""Prometheus: time in state, objects per state, orders that failed, requests to the API server and of the kubelet."""

import asyncio
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from nvdra.adapters.http.server import Answer, Handler, Request
from nvdra.engine.queue import Queue

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


class Metrics:
    """The numbers of one process; names begin with nvdra_, and with nvidia_dra_ where the Go driver has the same."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._time = Histogram(
            "nvdra_time_in_state_seconds",
            "Seconds an object stayed in a state, counted when it leaves",
            ["statechart", "state"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._objects = Gauge(
            "nvdra_objects", "Objects in each state now", ["statechart", "state"], registry=self.registry
        )
        self._failed = Counter(
            "nvdra_order_failures_total",
            "Orders that could not be carried out, by what the engine does next",
            ["statechart", "thing", "next"],
            registry=self.registry,
        )
        self._requests = Counter(
            "nvdra_api_requests_total",
            "Requests to the API server (code 0: no answer)",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self._calls = Histogram(
            "nvidia_dra_request_duration_seconds",
            "Calls of the kubelet, by outcome",
            ["driver", "operation", "outcome"],
            registry=self.registry,
        )

    def entered(self, statechart: str, source: str | None, target: str | None, seconds: float) -> None:
        """An object changed its state."""
        if source is not None:
            self._objects.labels(statechart, source).dec()
            self._time.labels(statechart, source).observe(seconds)
        if target is not None:
            self._objects.labels(statechart, target).inc()

    def failed(self, statechart: str, thing: str, kind: str) -> None:
        """An order could not be carried out."""
        self._failed.labels(statechart, thing, kind).inc()

    def requested(self, verb: str, resource: str, code: int, _seconds: float) -> None:
        """The API server answered."""
        self._requests.labels(verb, resource, str(code)).inc()

    def called(self, driver: str, operation: str, outcome: str, seconds: float) -> None:
        """The kubelet was answered."""
        self._calls.labels(driver, operation, outcome).observe(seconds)

    def watch_queue(self, queue: Queue) -> None:
        """Show how many keys wait."""
        self.registry.register(_QueueDepth(queue))

    def routes(self, path: str = "/metrics") -> Mapping[str, Handler]:
        """Where Prometheus scrapes."""

        async def scrape(_: Request) -> Answer:
            body = await asyncio.to_thread(generate_latest, self.registry)
            return Answer(200, body, "text/plain; version=0.0.4; charset=utf-8")

        return {path: scrape}


class _QueueDepth(Collector):
    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("nvdra_queue_keys", "Keys that wait for a look", value=len(self._queue))
