"""A small web application with its own metrics, as `prometheus_client` exposes them, and the scrapes of it.

What a request takes and whether it ends in a purchase is drawn by chance, not measured: a busy machine would add to
it. Everything after that is real: the registry, the counters that begin anew with each process, the scrapes.
`python -m real_parts.webshop NAME PORT SELLS SLOWER_MS` is one process of it, in the time of this machine.
"""

import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

from afdp_exporter.model import Series

SCRAPE = timedelta(seconds=15)
_REQUESTS = 15.0  # a second
_USUAL = 0.010  # seconds, the median of a request
_SPREAD = 0.35  # of its logarithm
_BUYS = 0.3  # of the requests
_SPENT = 2.0  # USD
_BUCKETS = tuple(float(bound) for bound in np.arange(1, 41) * 0.0025)  # seconds


class Service:
    """One process at a time, which answers visitors; a release starts another one."""

    def __init__(self, name: str, seed: int, *, sells: bool, slower: timedelta = timedelta(0)) -> None:
        self.name = name
        self._chance = np.random.default_rng(seed)
        self._sells = sells
        self.release(slower=slower)

    def release(self, *, slower: timedelta = timedelta(0)) -> None:
        """A new process: its counters begin at zero, and each of its requests is so much slower than usual."""
        self._slower = slower.total_seconds()
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "http_request_duration_seconds", "Of a request.", buckets=_BUCKETS, registry=self.registry
        )
        self._requests = Counter("http_requests", "Answered.", ["code"], registry=self.registry)
        if self._sells:
            self._revenue = Counter("shop_revenue_usd", "Sold.", registry=self.registry)

    def serve(self, time: timedelta) -> None:
        """Answer all who come in so much time; who waits longer buys less."""
        came = int(self._chance.poisson(_REQUESTS * time.total_seconds()))
        for seconds in np.exp(self._chance.normal(np.log(_USUAL), _SPREAD, came)) + self._slower:
            self._seconds.observe(seconds)
        self._requests.labels("200").inc(came)
        if self._sells:
            buys = _BUYS * (0.6 if self._slower else 1.0)
            self._revenue.inc(_SPENT * int(self._chance.binomial(came, buys)))


class Scraper:
    """Scrapes services every 15 seconds of a time that passes as fast as it is asked to."""

    def __init__(self, began: datetime, *services: Service) -> None:
        self.now = began
        self._services = services
        self._offsets = {service.name: 2.0 + 3.0 * place for place, service in enumerate(services)}

    def until(self, end: datetime) -> Iterator[Series]:
        """What the scrapes up to an instant give."""
        found: dict[tuple[str, str, tuple[tuple[str, str], ...]], list[tuple[float, float]]] = {}
        while self.now + SCRAPE <= end:
            self.now += SCRAPE
            for service in self._services:
                service.serve(SCRAPE)
                at = self.now.timestamp() - self._offsets[service.name]
                for name, labels, value in _samples(service):
                    found.setdefault((service.name, name, labels), []).append((at, value))
        for (job, name, labels), samples in found.items():
            times, values = np.array(samples).T
            target = {"job": job, "instance": f"{job}:8080"}
            yield Series(metric=name, labels={**dict(labels), **target}, times=times, values=values)


def _samples(service: Service) -> Iterator[tuple[str, tuple[tuple[str, str], ...], float]]:
    yield "up", (), 1.0
    for metric in service.registry.collect():
        for sample in metric.samples:
            yield sample.name, tuple(sorted(sample.labels.items())), sample.value


def main(name: str, port: str, sells: str, slower: str) -> None:
    """One process, until it is killed."""
    made = Service(name, time.time_ns(), sells=sells == "True", slower=timedelta(milliseconds=float(slower)))
    start_http_server(int(port), "127.0.0.1", made.registry)
    served = time.monotonic()
    while True:
        time.sleep(1.0)  # visitors come all the time; nothing waits for them
        now = time.monotonic()
        made.serve(timedelta(seconds=now - served))
        served = now


if __name__ == "__main__":
    main(*sys.argv[1:])
