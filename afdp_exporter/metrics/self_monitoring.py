"""How the exporter itself goes: what comes in and is refused, the sources, the checks, the receivers, the process."""

import platform
from collections.abc import Callable, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from afdp_exporter import __version__
from afdp_exporter.errors import SourceError, SourceUnavailable
from afdp_exporter.metrics.exemplars import of_deployment


class Annotations:
    """Counts what senders report; `kind` is that of the sender: `api`, `github`, ...

    `fed_well` says of each feed that was read whether that went well the last time.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.fed_well: dict[str, bool] = {}
        self._received = Counter(
            "afdp_annotations_received",
            "Deployments and events that were received and kept.",
            ["kind"],
            registry=registry,
        )
        self._rejected = Counter(
            "afdp_annotations_rejected",
            "Deployments and events that were refused.",
            ["kind", "reason"],
            registry=registry,
        )
        self._ignored = Counter(
            "afdp_annotations_ignored", "Received events that are no deployment.", ["kind"], registry=registry
        )
        self._feed_up = Gauge(
            "afdp_feed_up", "Whether a feed was read up to the present the last time.", ["feed"], registry=registry
        )

    def received(self, kind: str) -> None:
        """An annotation was kept."""
        self._received.labels(kind).inc()

    def rejected(self, kind: str, reason: str) -> None:
        """An annotation was refused; `reason` is one of a few short words."""
        self._rejected.labels(kind, reason).inc()

    def ignored(self, kind: str, count: int) -> None:
        """So many events of a sender, or parts of them, were left out on purpose."""
        self._ignored.labels(kind).inc(count)

    def fed(self, feed: str, *, well: bool) -> None:
        """A feed was read up to the present, or could not be."""
        self.fed_well[feed] = well
        self._feed_up.labels(feed).set(well)

    def feeds_changed(self) -> None:
        """Other feeds are followed from now on: nothing is known of any until it is read."""
        self.fed_well.clear()
        self._feed_up.clear()


SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Queries:
    """Counts and times the queries to each source.

    `answering` says of each source that was asked whether it answered the last query, `unanswered` counts the failures.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answering: dict[str, bool] = {}
        self.unanswered = 0
        self._up = Gauge("afdp_source_up", "Whether the source answered the last query.", ["source"], registry=registry)
        self._seconds = Histogram(
            "afdp_source_query_duration_seconds",
            "How long a source took to answer a query.",
            ["source"],
            buckets=SECONDS,
            registry=registry,
        )
        self._failures = Counter(
            "afdp_source_query_failures",
            "Queries to a source that got no answer.",
            ["source", "reason"],
            registry=registry,
        )

        self._skew = Gauge(
            "afdp_source_clock_skew_seconds",
            "By how much the source's clock is ahead of the exporter's, as of its last answer; negative: behind it.",
            ["source"],
            registry=registry,
        )

    def queried(self, source: str, seconds: float) -> None:
        """A source answered a query."""
        self._answered(source, True)
        self._seconds.labels(source).observe(seconds)

    def query_failed(self, source: str, error: SourceError) -> None:
        """A source did not answer a query; one that refuses a question is up all the same."""
        self._answered(source, not isinstance(error, SourceUnavailable))
        self.unanswered += 1
        self._failures.labels(source, error.reason).inc()

    def skewed(self, source: str, seconds: float) -> None:
        """By so much the clock of a source is ahead of ours."""
        self._skew.labels(source).set(seconds)

    def changed(self) -> None:
        """Other sources may be asked from now on: nothing is known of any until it is asked."""
        self._up.clear()
        self.answering.clear()
        self._skew.clear()

    def _answered(self, source: str, well: bool) -> None:
        self.answering[source] = well
        self._up.labels(source).set(well)


class Looks:
    """Counts and times the looks and those that wait; `verdicts` counts what the finished ones found."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.verdicts: dict[str, int] = {}
        self._analyses = Counter(
            "afdp_analyses",
            "Finished checks of deployments, by the strongest verdict among the metrics.",
            ["verdict"],
            registry=registry,
        )
        self._seconds = Histogram(
            "afdp_analysis_duration_seconds",
            "How long the check of a deployment took.",
            buckets=SECONDS,
            registry=registry,
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

    def looked(self, deployment_id: str, verdict: str, seconds: float) -> None:
        """An analysis of a deployment has ended: with an outcome, or as `failed`."""
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
        exemplar = of_deployment(deployment_id)
        self._analyses.labels(verdict).inc(exemplar=exemplar)
        self._seconds.observe(seconds, exemplar=exemplar)

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


class Notifications:
    """Counts what was sent to receivers, and what waits for them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sent = Counter(
            "afdp_notifications", "Notifications delivered to a receiver.", ["receiver"], registry=registry
        )
        self._failures = Counter(
            "afdp_notification_failures",
            "Notifications that could not be delivered.",
            ["receiver", "reason"],
            registry=registry,
        )
        self._pending = Gauge(
            "afdp_notifications_pending", "Notifications that wait for delivery.", ["receiver"], registry=registry
        )

    def notified(self, receiver: str) -> None:
        """A notice has arrived."""
        self._sent.labels(receiver).inc()

    def notification_failed(self, receiver: str, reason: str) -> None:
        """A notice has not arrived this time."""
        self._failures.labels(receiver, reason).inc()

    def waiting(self, pending: Mapping[str, int]) -> None:
        """So many notices wait for each receiver; one that is not named is none any more."""
        self._pending.clear()
        for receiver, count in pending.items():
            self._pending.labels(receiver).set(count)


class Refusals:
    """Counts what was refused; `reason` is one of a few short words, none of them from outside."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "afdp_refusals",
            "Connections that were closed and requests that were refused.",
            ["reason"],
            registry=registry,
        )

    def refused(self, reason: str) -> None:
        """One more."""
        self._refused.labels(reason).inc()


_LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)


class Process:
    """The exporter's own process: whether its last reload went well, and when the configuration was last read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reloaded_well = False
        self.reloaded_at: datetime | None = None
        ProcessCollector(registry=registry)
        version = {"version": __version__, "python_version": platform.python_version()}
        Info("afdp_build", "Version of the exporter and of Python; always 1.", registry=registry).info(version)
        self._reloaded = Gauge(
            "afdp_config_last_reload_successful",
            "Whether the last reload of the configuration worked.",
            registry=registry,
        )
        self._reloaded_at = Gauge(
            "afdp_config_last_reload_success_timestamp_seconds",
            "When the configuration was last read.",
            registry=registry,
        )
        self._store_size = Gauge("afdp_store_size_bytes", "What the store takes on disk.", registry=registry)
        self._store_writable = Gauge(
            "afdp_store_writable",
            "Whether the store takes in anything; 0 after a start on a disk that is full or can only be read.",
            registry=registry,
        )
        self._leader = Gauge(
            "afdp_leader",
            "1 where this process does what one of several replicas does: `metrics` shows the deployments here.",
            ("task",),
            registry=registry,
        )
        self._lag = Histogram(
            "afdp_event_loop_lag_seconds", "How late a timer of the event loop was.", buckets=_LAGS, registry=registry
        )

    def leads(self, task: str, leads: Callable[[], bool]) -> None:
        """Whether this process leads a task, asked at each scrape: a lease may end at any time."""
        self._leader.labels(task).set_function(leads)

    def reloaded(self, at: datetime | None) -> None:
        """The configuration was read `at` that time; None: it was wrong, and the one before stays."""
        self.reloaded_well = at is not None
        self._reloaded.set(at is not None)
        if at is not None:
            self.reloaded_at = at
            self._reloaded_at.set(at.timestamp())

    def stored(self, size_bytes: int, *, writable: bool) -> None:
        """The store takes so much on disk, and takes in more or not."""
        self._store_size.set(size_bytes)
        self._store_writable.set(writable)

    def lagged(self, seconds: float) -> None:
        """A timer of the event loop was that late."""
        self._lag.observe(seconds)
