"""What `/metrics` tells: of the deployments (`board.py`) and of the exporter itself. A scrape reads memory only."""

import platform
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import disable_created_metrics
from prometheus_client.samples import Sample
from pydantic import Field

from afdp_exporter import __version__
from afdp_exporter.errors import SourceError, SourceUnavailable
from afdp_exporter.metrics.board import Board
from afdp_exporter.metrics.events import Events
from afdp_exporter.metrics.notifications import Notifications
from afdp_exporter.metrics.outlook import Outlook
from afdp_exporter.metrics.stability import StabilityBoard
from afdp_exporter.model import Deployment, Impact
from afdp_exporter.settings import STRICT

_PLAIN = ""
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_EOF = b"# EOF\n"
_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How much is shown on `/metrics`: the newest deployments of each service, under a cap on all series."""

    __pydantic_config__: ClassVar = STRICT

    deployments_per_service: Annotated[int, Field(ge=1, le=1000)] = 20
    series: Annotated[int, Field(ge=1000)] = 25_000


class Instruments:
    """What the exporter tells of the deployments and of itself, in a registry of its own."""

    def __init__(self, exposure: Exposure) -> None:
        disable_created_metrics()
        self._board = Board(per_service=exposure.deployments_per_service, cap=exposure.series)
        self._boards = CollectorRegistry()
        self._boards.register(self._board)
        self._rendered: dict[str, tuple[int, bytes]] = {}
        self.outlook = Outlook()
        self._registry = own = CollectorRegistry()
        own.register(self.outlook)
        self.stability = StabilityBoard()
        own.register(self.stability)
        self.events = Events()
        own.register(self.events)
        self.notifications = Notifications(own)
        ProcessCollector(registry=own)
        version = {"version": __version__, "python_version": platform.python_version()}
        Info("afdp_build", "The version that runs.", registry=own).info(version)
        self._source_up = _gauge(own, "afdp_source_up", "Whether the source answered the last query.", "source")
        self._query_seconds = Histogram(
            "afdp_source_query_duration_seconds",
            "How long the queries took that were answered.",
            ["source"],
            buckets=_DURATIONS,
            registry=own,
        )
        self._query_failures = _counter(
            own, "afdp_source_query_failures", "Queries without answer.", "source", "reason"
        )
        self._received, self._rejected, self._ignored, self._feed_up = _told(own)
        self._analyses = _counter(
            own, "afdp_analyses", "Finished looks, by the strongest verdict among the metrics.", "verdict"
        )
        self._analysis_seconds = Histogram(
            "afdp_analysis_duration_seconds", "How long an analysis took.", buckets=_DURATIONS, registry=own
        )
        self._pending = Gauge("afdp_analyses_pending", "Looks whose time has come, without answer.", registry=own)
        self._oldest = Gauge(
            "afdp_oldest_pending_analysis_timestamp_seconds",
            "When the oldest look without answer was due; 0 where none is.",
            registry=own,
        )
        self._reloaded = Gauge("afdp_config_last_reload_successful", "Whether the last reload worked.", registry=own)
        self._reloaded_at = Gauge(
            "afdp_config_last_reload_success_timestamp_seconds", "When the configuration was last read.", registry=own
        )
        self._store_size = Gauge("afdp_store_size_bytes", "What the store takes on disk.", registry=own)
        self._dropped = _counter(own, "afdp_series_dropped", "Series that scrapes did not show because of the cap.")
        self._false_alarms = _gauge(own, "afdp_false_alarm_ratio", "Share of placebo deployments blamed.", "metric")
        self._placebos = _gauge(own, "afdp_false_alarm_placebos", "Placebo deployments behind the ratio.", "metric")
        self._lag = Histogram("afdp_event_loop_lag_seconds", "How late a timer was.", buckets=_LAGS, registry=own)

    def queried(self, source: str, seconds: float) -> None:
        """A source answered a query."""
        self._source_up.labels(source).set(1)
        self._query_seconds.labels(source).observe(seconds)

    def query_failed(self, source: str, error: SourceError) -> None:
        """A source did not answer a query; one that refuses a question is up all the same."""
        self._source_up.labels(source).set(not isinstance(error, SourceUnavailable))
        self._query_failures.labels(source, error.reason).inc()

    def received(self, kind: str) -> None:
        """An annotation was kept; `kind` is that of its sender: `api`, `github`, ..."""
        self._received.labels(kind).inc()

    def rejected(self, kind: str, reason: str) -> None:
        """An annotation was refused; `reason` is one of a few short words."""
        self._rejected.labels(kind, reason).inc()

    def ignored(self, kind: str, count: int) -> None:
        """So many events of a sender, or parts of them, were left out on purpose."""
        self._ignored.labels(kind).inc(count)

    def fed(self, feed: str, *, well: bool) -> None:
        """A feed was read up to the present, or could not be."""
        self._feed_up.labels(feed).set(well)

    def looked(self, verdict: str, seconds: float) -> None:
        """An analysis has ended: with an outcome, or as `failed`."""
        self._analyses.labels(verdict).inc()
        self._analysis_seconds.observe(seconds)

    def reloaded(self, at: datetime | None) -> None:
        """The configuration was read `at` that time; None: it was wrong, and the one before stays."""
        self._reloaded.set(at is not None)
        if at is not None:
            self._reloaded_at.set(at.timestamp())

    def lagged(self, seconds: float) -> None:
        """A timer of the event loop was that late."""
        self._lag.observe(seconds)

    def expose(self, exposure: Exposure) -> None:
        """Obey other limits from the next deployment on."""
        self._board.limit(per_service=exposure.deployments_per_service, cap=exposure.series)

    def show(self, deployment: Deployment, impact: Impact | None = None) -> None:
        """Show a deployment from now on, as it is now; an impact that is known already stays."""
        self._dropped.inc(self._board.show(deployment, impact))

    def measured(self, impact: Impact) -> None:
        """Show what a deployment did, as long as it is shown at all."""
        self._dropped.inc(self._board.measured(impact))

    def replayed(self, metric: str, *, blamed: int, placebos: int) -> None:
        """Placebo deployments were replayed on a metric's series."""
        self._placebos.labels(metric).set(placebos)
        if placebos:
            self._false_alarms.labels(metric).set(blamed / placebos)

    def stored(self, *, size_bytes: int, pending: int, oldest_pending_at: datetime | None) -> None:
        """What the store takes on disk, and the looks that are due in it without an answer."""
        self._store_size.set(size_bytes)
        self._pending.set(pending)
        self._oldest.set(oldest_pending_at.timestamp() if oldest_pending_at else 0)

    def samples(self, *names: str) -> list[Sample]:
        """What these names of the exporter itself show now."""
        families = self._registry.restricted_registry(names).collect()
        return [sample for family in families for sample in family.samples if sample.name in names]

    def render(self, accept: str = "", names: Collection[str] = ()) -> tuple[bytes, str]:
        """The page in the format that an Accept header asks for, and its content type.

        Where `names` are given, only the families of these names are there. After a change the first call may take a
        while: call this off the event loop.
        """
        kind = _OPENMETRICS if any(map(_is_openmetrics, accept.split(","))) else _PLAIN
        deployments = _render(self._boards, kind, names) if names else self._deployments(kind)
        body = _render(self._registry, kind, names) + deployments
        return body + (_EOF if kind == _OPENMETRICS else b""), choose_encoder(kind)[1]

    def _deployments(self, kind: str) -> bytes:
        version, page = self._rendered.get(kind, (-1, b""))
        if version != self._board.version:
            version = self._board.version
            page = _render(self._boards, kind)
            self._rendered[kind] = (version, page)
        return page


def _is_openmetrics(accepted: str) -> bool:
    kind, *parameters = (part.strip() for part in accepted.split(";"))
    versions = [part for part in parameters if part.startswith("version=")]
    return kind == "application/openmetrics-text" and versions in ([], ["version=1.0.0"])


def _told(registry: CollectorRegistry) -> tuple[Counter, Counter, Counter, Gauge]:
    received = _counter(registry, "afdp_annotations_received", "Annotations that were kept.", "kind")
    rejected = _counter(registry, "afdp_annotations_rejected", "Annotations refused, and why.", "kind", "reason")
    ignored = _counter(registry, "afdp_annotations_ignored", "Events that tell of no deployment.", "kind")
    feed_up = _gauge(registry, "afdp_feed_up", "Whether the feed was read up to the present.", "feed")
    return received, rejected, ignored, feed_up


def _gauge(registry: CollectorRegistry, name: str, meaning: str, *labels: str) -> Gauge:
    return Gauge(name, meaning, labels, registry=registry)


def _counter(registry: CollectorRegistry, name: str, meaning: str, *labels: str) -> Counter:
    return Counter(name, meaning, labels, registry=registry)


def _render(registry: CollectorRegistry, accept: str, names: Collection[str] = ()) -> bytes:
    chosen = registry.restricted_registry(names) if names else registry
    return choose_encoder(accept)[0](chosen).removesuffix(_EOF)
