"""*Cause and effect*: one deployment, each metric that it moved, and the money."""

from grafana_foundation_sdk.builders import dashboard as build

import deployment_tables
from frame import ONE, dashboard, metrics_of_the_deployment, one_deployment, report_address
from panels import band, bars, number, section, word

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
        )
    )
    board.with_panel(
        number(
            "Started",
            "When the rollout began.",
            f"max(afdp_deployment_timestamp_seconds{{{ONE}}}) * 1000",
            "dateTimeAsIso",
        )
    )
    board.with_panel(
        number(
            "Rollout took",
            "From the start to the end of the rollout; empty while it runs.",
            f"max(afdp_deployment_end_timestamp_seconds{{{ONE}}}) - max(afdp_deployment_timestamp_seconds{{{ONE}}})",
            "s",
        )
    )
    board.with_panel(
        number(
            "Metrics moved",
            "How many metrics have a measured change.",
            f"count(max by (metric) (afdp_impact_change{{{ONE}}}))",
            "none",
        )
    )


def _cost_and_blame(board: build.Dashboard) -> None:
    board.with_panel(
        bars(
            "Attribution",
            "How sure it is that this deployment did it, by metric.",
            f"max by (metric) (afdp_impact_attribution_ratio{{{ONE}}})",
            "percentunit",
            legend="{{metric}}",
        ).max(1)
    )
    board.with_panel(
        band(
            "Cost per hour",
            "Estimated loss per hour over time with its 5 % and 95 % points, in the currency that the table names.",
            f"max(afdp_cost_per_hour{{{ONE}}})",
            f"max(afdp_cost_per_hour_lower{{{ONE}}})",
            f"max(afdp_cost_per_hour_upper{{{ONE}}})",
        )
    )


def _each_metric(board: build.Dashboard) -> None:
    board.with_panel(
        band(
            "$metric",
            "Measured change over time with its 5 % and 95 % points: it firms up from look to look. In the unit that"
            " ends the metric's name.",
            f"max(afdp_impact_change{{{_THIS_METRIC}}})",
            f"max(afdp_impact_change_lower{{{_THIS_METRIC}}})",
            f"max(afdp_impact_change_upper{{{_THIS_METRIC}}})",
            width=8,
        )
        .repeat("metric")
        .repeat_direction("h")
        .max_per_row(3)
    )
