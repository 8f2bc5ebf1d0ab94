"""How telling other programs goes."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge


class Notifications:
    """Counts what receivers were told, and what waits for them."""

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
