"""*Cause and effect*: one deployment, each metric that it moved, and the money."""

from grafana_foundation_sdk.builders import dashboard as build

import deployment_tables
from frame import ONE, dashboard, metrics_of_the_deployment, one_deployment, report_address
from panels import band, bars, number, section, word
from queries import MOVED

_THIS_METRIC = f'{ONE}, metric="$metric"'


def board() -> build.Dashboard:
    """What one deployment did."""
    board = dashboard("cause-and-effect", "Cause and effect", "One deployment: what it moved, and what that costs.")
    board.with_variable(report_address()).with_variable(one_deployment()).with_variable(metrics_of_the_deployment())
    _summary(board)
    board.with_panel(deployment_tables.deployments(ONE, height=5))
    board.with_panel(deployment_tables.stories(ONE, height=5))
    board.with_panel(deployment_tables.sequence(ONE))
    board.with_panel(deployment_tables.impacts(ONE))
    _cost_and_blame(board)
    _each_metric(board.with_row(section("Each metric")))
    return board


def _summary(board: build.Dashboard) -> None:
    board.with_panel(
        word(
            "Outcome",
            "What became of the deployment, as far as it is known by now.",
            f"max by (outcome) (afdp_deployment_outcome{{{ONE}}})",
            "outcome",
            width=4,
        )
    )
    board.with_panel(
        number(
            "Started",
            "When the rollout began.",
            f"max(afdp_deployment_timestamp_seconds{{{ONE}}}) * 1000",
            "dateTimeAsIso",
            width=4,
        )
    )
    board.with_panel(
        number(
            "Rollout took",
            "From the start to the end of the rollout; empty while it runs.",
            f"max(afdp_deployment_end_timestamp_seconds{{{ONE}}}) - max(afdp_deployment_timestamp_seconds{{{ONE}}})",
            "s",
            width=4,
        )
    )
    board.with_panel(
        number(
            "Metrics moved",
            "How many metrics this deployment moved; empty as long as it is not measured.",
            f"count(max by (metric) (afdp_impact_verdict{{{ONE}, {MOVED}}}))"
            f" or 0 * count(max by (metric) (afdp_impact_verdict{{{ONE}}}))",
            "none",
            width=4,
        )
    )
    board.with_panel(
        number(
            "Harm goes on",
            "How many metrics are still worse because of this deployment, as of the last check; 0 once all is over.",
            f"sum(max by (metric) (afdp_impact_active{{{ONE}}}))",
            "none",
            width=4,
        )
    )
    board.with_panel(
        number(
            "As of",
            "Up to when the deployment was measured: every figure here is as of then.",
            f"max(afdp_deployment_measured_timestamp_seconds{{{ONE}}}) * 1000",
            "dateTimeAsIso",
            width=4,
        )
    )


def _cost_and_blame(board: build.Dashboard) -> None:
    board.with_panel(
        bars(
            "Attribution",
            "Chance that the metric changed and that this deployment did it.",
            f"max by (metric) (afdp_impact_attribution_ratio{{{ONE}}})",
            "percentunit",
            legend="{{metric}}",
        ).max(1)
    )
    board.with_panel(
        band(
            "Cost per hour",
            "Estimated loss per hour, while it goes on, with its 5 % and 95 % points; the table names the currency.",
            f"max(afdp_cost_per_hour{{{ONE}}})",
            f"max(afdp_cost_per_hour_lower{{{ONE}}})",
            f"max(afdp_cost_per_hour_upper{{{ONE}}})",
        )
    )


def _each_metric(board: build.Dashboard) -> None:
    board.with_panel(
        band(
            "$metric",
            "Measured change over time with its 5 % and 95 % points: surer with each check. In the unit that ends"
            " the metric's name.",
            f"max(afdp_impact_change{{{_THIS_METRIC}}})",
            f"max(afdp_impact_change_lower{{{_THIS_METRIC}}})",
            f"max(afdp_impact_change_upper{{{_THIS_METRIC}}})",
            width=8,
        )
        .repeat("metric")
        .repeat_direction("h")
        .max_per_row(3)
    )
