"""PromQL that more than one dashboard asks."""


def per_second(counter: str, labels: str) -> str:
    """The rate of a counter by the given labels."""
    return f"sum by ({labels}) (rate({counter}[$__rate_interval]))"


def mean(histogram: str, labels: str = "") -> str:
    """The mean of what a histogram or summary observed lately, by the given labels."""
    of = f" by ({labels})" if labels else ""
    return f"sum{of} (rate({histogram}_sum[$__rate_interval])) / sum{of} (rate({histogram}_count[$__rate_interval]))"
