"""Tables of deployments and of what they did, for any selector."""

from grafana_foundation_sdk.builders import table

from panels import Column, grid, labels, largest, moved
from queries import of_moved

_ONE_METRIC = "deployment_id, service, environment, metric"
_ONSET = "afdp_impact_onset_timestamp_seconds"
_BACK = "afdp_impact_recovered_timestamp_seconds"


def deployments(selector: str, *, height: int = 9) -> table.Panel:
    """One line a deployment: who, what, when, its outcome and its cost."""
    facts = "deployment_id, service, environment, version, team, strategy, change_type"
    costs = "deployment_id, currency"
    columns = {
        **labels("deployment_id", "service", "environment", "version", "team", "strategy", "change_type", "outcome"),
        "started": _started(selector),
        "low": largest("Cost per hour, low", "afdp_cost_per_hour_lower", selector, by=costs),
        "median": largest("Cost per hour", "afdp_cost_per_hour", selector, by=costs),
        "high": largest("Cost per hour, high", "afdp_cost_per_hour_upper", selector, by=costs),
        "total": largest("Cost so far or in all", "afdp_cost_total", selector, by=costs),
        **labels("currency"),
        "active": largest("Goes on", "afdp_impact_active", selector, by="deployment_id", unit="bool_yes_no"),
        "as of": _instant("As of", "afdp_deployment_measured_timestamp_seconds", selector),
        "facts": largest("Facts", "afdp_deployment_info", selector, by=facts),
        "judged": largest("Judged", "afdp_deployment_outcome", selector, by="deployment_id, outcome"),
    }
    description = (
        "The newest deployments of each service with outcome, loss per hour while it goes on (a gain is negative; low"
        " and high are the 5 % and 95 % points), the loss so far or in all, and whether the harm goes on, as of the"
        " last check. A click on a deployment leads to its details."
    )
    return grid("Deployments", description, columns, hidden=("facts", "judged"), height=height)


def stories(selector: str, *, height: int = 7) -> table.Panel:
    """One line a deployment: what it did, in words."""
    columns = {
        **labels("deployment_id", "story"),
        "started": _started(selector),
        "told": largest("Told", "afdp_deployment_story", selector, by="deployment_id, story"),
    }
    description = "What each deployment did, in words, with ranges; the report has the whole of it and the evidence."
    return grid("Stories", description, columns, hidden=("told",), height=height)


def sequence(selector: str, *, height: int = 7) -> table.Panel:
    """What moved, in order of time."""
    columns = {
        **labels("metric"),
        "onset": Column(
            heading="Began", expr=f"({of_moved(_ONSET, selector, by='metric')}) * 1000", unit="dateTimeAsIso"
        ),
        "lag": Column(
            heading="After the start",
            expr=f"({of_moved(_ONSET, selector, by='metric')})"
            f" - on () group_left () max(afdp_deployment_timestamp_seconds{{{selector}}})",
            unit="s",
        ),
        "change": moved("Change", "afdp_impact_change", selector, by="metric"),
        "lasted": moved("Lasted", "afdp_impact_duration_seconds", selector, by="metric", unit="s"),
        "back": Column(
            heading="Back at", expr=f"({of_moved(_BACK, selector, by='metric')}) * 1000", unit="dateTimeAsIso"
        ),
    }
    description = (
        "The changes of this deployment in order of time. Order is no proof of cause: the report says which followed"
        " which, how surely, and how often that was so before."
    )
    return grid("Sequence", description, columns, sort="onset", height=height)


def impacts(selector: str, *, height: int = 9) -> table.Panel:
    """One line a metric that a deployment moved."""
    columns = {
        **labels("deployment_id", "service", "environment", "metric"),
        "low": moved("Low", "afdp_impact_change_lower", selector, by=_ONE_METRIC),
        "change": moved("Change", "afdp_impact_change", selector, by=_ONE_METRIC),
        "high": moved("High", "afdp_impact_change_upper", selector, by=_ONE_METRIC),
        "ratio": moved("Relative", "afdp_impact_change_ratio", selector, by=_ONE_METRIC, unit="percentunit"),
        "attribution": moved(
            "Attribution", "afdp_impact_attribution_ratio", selector, by=_ONE_METRIC, unit="percentunit"
        ),
        "active": moved("Goes on", "afdp_impact_active", selector, by=_ONE_METRIC, unit="bool_yes_no"),
        "duration": moved("Lasted", "afdp_impact_duration_seconds", selector, by=_ONE_METRIC, unit="s"),
    }
    description = (
        "The metrics that the deployments moved, in the unit that ends the metric's name; low and high are the 5 % and"
        " 95 % points of the change, attribution is the chance that this deployment did it, and harm that goes on says"
        " so, as of the last check."
    )
    return grid("What they did", description, columns, height=height)


def _started(selector: str) -> Column:
    return _instant("Started", "afdp_deployment_timestamp_seconds", selector)


def _instant(heading: str, metric: str, selector: str) -> Column:
    return largest(heading, metric, selector, by="deployment_id", unit="dateTimeAsIso", times=1000)
