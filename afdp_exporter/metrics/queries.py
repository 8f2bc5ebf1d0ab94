"""How asking the sources goes."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from afdp_exporter.errors import SourceError, SourceUnavailable

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Queries:
    """Counts and times the queries to each source."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge("afdp_source_up", "Whether the source answered the last query.", ["source"], registry=registry)
        self._seconds = Histogram(
            "afdp_source_query_duration_seconds",
            "How long the queries took that were answered.",
            ["source"],
            buckets=SECONDS,
            registry=registry,
        )
        self._failures = Counter(
            "afdp_source_query_failures", "Queries without answer.", ["source", "reason"], registry=registry
        )

        self._skew = Gauge(
            "afdp_source_clock_skew_seconds",
            "By how much the source's clock is ahead of the exporter's, as of its last answer; negative: behind it.",
            ["source"],
            registry=registry,
        )

    def queried(self, source: str, seconds: float) -> None:
        """A source answered a query."""
        self._up.labels(source).set(1)
        self._seconds.labels(source).observe(seconds)

    def query_failed(self, source: str, error: SourceError) -> None:
        """A source did not answer a query; one that refuses a question is up all the same."""
        self._up.labels(source).set(not isinstance(error, SourceUnavailable))
        self._failures.labels(source, error.reason).inc()

    def skewed(self, source: str, seconds: float) -> None:
        """By so much the clock of a source is ahead of ours."""
        self._skew.labels(source).set(seconds)

    def changed(self) -> None:
        """Other sources may be asked from now on: nothing is known of any until it is asked."""
        self._up.clear()
        self._skew.clear()
