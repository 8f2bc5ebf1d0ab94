"""What comes in, and how the feeds go that are asked for it."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Annotations:
    """Counts what senders tell; `kind` is that of the sender: `api`, `github`, ..."""

    def __init__(self, registry: CollectorRegistry) -> None:
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
            "afdp_feed_up", "Whether the feed was read up to the present.", ["feed"], registry=registry
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
        self._feed_up.labels(feed).set(well)

    def feeds_changed(self) -> None:
        """Other feeds are followed from now on: nothing is known of any until it is read."""
        self._feed_up.clear()
