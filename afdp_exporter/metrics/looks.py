"""How looking at deployments goes, and how often an innocent one is blamed."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from afdp_exporter.metrics.queries import SECONDS


class Looks:
    """Counts and times the looks, and tells of those that wait."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._analyses = Counter(
            "afdp_analyses",
            "Finished checks of deployments, by the strongest verdict among the metrics.",
            ["verdict"],
            registry=registry,
        )
        self._seconds = Histogram(
            "afdp_analysis_duration_seconds", "How long an analysis took.", buckets=SECONDS, registry=registry
        )
        self._pending = Gauge("afdp_analyses_pending", "Checks that are due and not finished.", registry=registry)
        self._oldest = Gauge(
            "afdp_oldest_pending_analysis_timestamp_seconds",
            "When the oldest unfinished check was due; 0 where none is.",
            registry=registry,
        )
        self._false_alarms = Gauge(
            "afdp_false_alarm_ratio",
            "Share of placebo deployments that were blamed; absent where none could be judged.",
            ["metric"],
            registry=registry,
        )
        self._placebos = Gauge(
            "afdp_false_alarm_placebos",
            "Placebo deployments behind the false alarm ratio.",
            ["metric"],
            registry=registry,
        )

    def looked(self, verdict: str, seconds: float) -> None:
        """An analysis has ended: with an outcome, or as `failed`."""
        self._analyses.labels(verdict).inc()
        self._seconds.observe(seconds)

    def waiting(self, count: int, oldest_due_at: datetime | None) -> None:
        """So many looks are due without an answer."""
        self._pending.set(count)
        self._oldest.set(oldest_due_at.timestamp() if oldest_due_at else 0)

    def replayed(self, metric: str, *, blamed: int, placebos: int) -> None:
        """So many placebo deployments could be judged on a metric's series, and so many of them were blamed."""
        self._placebos.labels(metric).set(placebos)
        if placebos:
            self._false_alarms.labels(metric).set(blamed / placebos)
        else:
            self._false_alarms.remove_by_labels({"metric": metric})
