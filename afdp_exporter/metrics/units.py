"""Changes under names that end in their unit, so that series of one name can be added up."""

from afdp_exporter.wording.metrics import dimension_of


def absolute_change(metric: str) -> tuple[str, tuple[str, ...]] | None:
    """The unit that ends the name, and the values of the labels `metric` and, of money, `currency`.

    None where the metric has none of the units that can be added up.
    """
    dimension = dimension_of(metric)
    if dimension is None:
        return None
    unit, currency = dimension
    return unit, (metric,) if currency is None else (metric, currency)
