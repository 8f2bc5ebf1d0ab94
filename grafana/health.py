"""Panels about the exporter itself, which more than one dashboard shows."""

from grafana_foundation_sdk.builders import stat, timeseries

from panels import course, number
from queries import per_second


def sources(width: int) -> timeseries.Panel:
    """Which sources and feeds answer."""
    lines = {"{{source}}{{feed}}": "min by (source) (afdp_source_up) or min by (feed) (afdp_feed_up)"}
    description = (
        "1 while a metrics source or a feed answers. At 0 of a source the looks wait and nothing is judged; at 0 of a"
        " feed the deployments that it tells of are not known."
    )
    return course("Sources and feeds", description, lines, "none", width=width)


def failed_queries(width: int) -> timeseries.Panel:
    """What the sources did not answer."""
    lines = {"{{source}} {{reason}}": per_second("afdp_source_query_failures_total", "source, reason")}
    return course("Failed queries", "Queries that failed, by source and reason.", lines, "reqps", width=width)


def annotations(width: int) -> timeseries.Panel:
    """What was sent to the exporter."""
    lines = {
        "received {{kind}}": per_second("afdp_annotations_received_total", "kind"),
        "rejected {{kind}} {{reason}}": per_second("afdp_annotations_rejected_total", "kind, reason"),
    }
    description = "Deployments and events received and rejected, by the kind of their sender."
    return course("Annotations", description, lines, "reqps", width=width)


def pending() -> stat.Panel:
    """What is due and not answered."""
    description = "Analyses that are due and not done. It comes back to 0 within minutes, or something is wrong."
    return number("Looks not yet answered", description, "sum(afdp_analyses_pending)", "none")
