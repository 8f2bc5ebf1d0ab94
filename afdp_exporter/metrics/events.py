"""What is special about a time, as metric families: sales, freezes, incidents and the like."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from afdp_exporter.model import CalendarEntry

_LABELS = ("event", "kind")
_MOST_EVENTS = 200  # shown, those that start last


class Events(Collector):
    """Holds the events, replaced as a whole; of two with the same name and kind the later one is shown.

    Under a cap: whoever may report incidents may name them as they like, and each name is a series.
    """

    def __init__(self) -> None:
        self._occasions: tuple[CalendarEntry, ...] = ()

    def show(self, occasions: Iterable[CalendarEntry]) -> None:
        """Show these instead of those before."""
        self._occasions = tuple(occasions)

    def describe(self) -> Iterator[Metric]:
        """The names, for whoever asks for some of them only."""
        return iter(_families())

    def collect(self) -> Iterator[Metric]:
        """Both families, where there are events."""
        starts, ends = _families()
        ordered = sorted(self._occasions, key=lambda occasion: occasion.start)
        newest = {(occasion.name, occasion.kind.value): occasion for occasion in ordered}
        kept = sorted(newest.items(), key=lambda item: item[1].start)[-_MOST_EVENTS:]
        for labels, occasion in kept:
            starts.add_metric(labels, occasion.start.timestamp())
            ends.add_metric(labels, occasion.end.timestamp())
        return iter([starts, ends] if self._occasions else [])


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily(
            "afdp_event_timestamp_seconds",
            "When an event of the calendar, such as a sale or an incident, starts.",
            labels=_LABELS,
        ),
        GaugeMetricFamily(
            "afdp_event_end_timestamp_seconds",
            "When an event of the calendar, such as a sale or an incident, ends.",
            labels=_LABELS,
        ),
    )
