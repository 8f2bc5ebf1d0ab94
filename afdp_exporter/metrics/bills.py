"""How bills compare with list prices, as metric families."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from afdp_exporter.model import BillRatio

_FAMILIES = {
    "afdp_bill_ratio": "What is billed for a cloud, over the list prices of the same days.",
    "afdp_bill_ratio_lower": "5 % point of the bill over list prices.",
    "afdp_bill_ratio_upper": "95 % point of the bill over list prices.",
    "afdp_bill_days": "Days that a bill was compared with list prices on.",
}


class Bills(Collector):
    """Holds what is known of the bills, replaced as a whole."""

    def __init__(self) -> None:
        self._known: tuple[BillRatio, ...] = ()

    def show(self, known: Mapping[str, BillRatio]) -> None:
        """Show these instead of those before."""
        self._known = tuple(known.values())

    def describe(self) -> Iterator[Metric]:
        """The names, for a request for some of them only."""
        return iter(_families().values())

    def collect(self) -> Iterator[Metric]:
        """All families, where a bill is known."""
        found = _families()
        for each in self._known:
            values = (each.ratio.median, each.ratio.low, each.ratio.high, float(each.days))
            for family, value in zip(found.values(), values, strict=True):
                family.add_metric((each.bill,), value)
        return iter(found.values() if self._known else ())


def _families() -> dict[str, GaugeMetricFamily]:
    return {name: GaugeMetricFamily(name, text, labels=("bill",)) for name, text in _FAMILIES.items()}
