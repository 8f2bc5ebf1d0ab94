"""How the process goes: its version, its configuration, its store, its event loop."""

import platform
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge, Histogram, Info, ProcessCollector

from afdp_exporter import __version__

_LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)


class Process:
    """Tells of the exporter's own process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        version = {"version": __version__, "python_version": platform.python_version()}
        Info("afdp_build", "The version that runs.", registry=registry).info(version)
        self._reloaded = Gauge(
            "afdp_config_last_reload_successful", "Whether the last reload worked.", registry=registry
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
        self._lag = Histogram("afdp_event_loop_lag_seconds", "How late a timer was.", buckets=_LAGS, registry=registry)

    def reloaded(self, at: datetime | None) -> None:
        """The configuration was read `at` that time; None: it was wrong, and the one before stays."""
        self._reloaded.set(at is not None)
        if at is not None:
            self._reloaded_at.set(at.timestamp())

    def stored(self, size_bytes: int, *, writable: bool) -> None:
        """The store takes so much on disk, and takes in more or not."""
        self._store_size.set(size_bytes)
        self._store_writable.set(writable)

    def lagged(self, seconds: float) -> None:
        """A timer of the event loop was that late."""
        self._lag.observe(seconds)
