"""PromQL that more than one dashboard asks."""

MOVED = 'verdict=~"attributed|transient|gradual"'
"""The verdicts that say: this deployment moved the metric."""


def of_moved(metric: str, selector: str, *, by: str) -> str:
    """A figure of the metrics that a deployment moved; of several samples with the same labels, the largest one."""
    moved = f"max by ({by}) (afdp_impact_verdict{{{selector}, {MOVED}}})"
    return f"max by ({by}) ({metric}{{{selector}}}) and on ({by}) {moved}"


def per_second(counter: str, labels: str) -> str:
    """The rate of a counter by the given labels."""
    return f"sum by ({labels}) (rate({counter}[$__rate_interval]))"


def mean(histogram: str, labels: str = "") -> str:
    """The mean of what a histogram or summary observed lately, by the given labels."""
    of = f" by ({labels})" if labels else ""
    return f"sum{of} (rate({histogram}_sum[$__rate_interval])) / sum{of} (rate({histogram}_count[$__rate_interval]))"
