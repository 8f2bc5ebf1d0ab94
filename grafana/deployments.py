"""*Deployments*: what was deployed, what became of it, what it costs."""

from functools import partial

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import table

import deployment_tables
import health
from frame import PICKED, dashboard, report_address
from panels import course, grid, labels, largest, number, section

_RATIO = f"max by (service, environment) (afdp_change_failure_ratio{{{PICKED}}})"
_JUDGED = f"max by (service, environment) (afdp_change_failure_deployments{{{PICKED}}})"


def board() -> build.Dashboard:
    """The way in: all deployments of the picked services."""
    board = dashboard("deployments", "Deployments", "What was deployed, what it did, what it costs.")
    board.with_variable(report_address())
    _totals(board)
    board.with_panel(deployment_tables.deployments(PICKED))
    board.with_panel(deployment_tables.stories(PICKED))
    board.with_panel(deployment_tables.impacts(PICKED))
    board.with_panel(_stability())
    _courses(board)
    _exporter(board.with_row(section("Exporter")))
    return board


def _totals(board: build.Dashboard) -> None:
    board.with_panel(
        number(
            "Deployments",
            "How many deployments are exposed for the picked services: the newest ones of each.",
            f"count(max by (deployment_id) (afdp_deployment_timestamp_seconds{{{PICKED}}}))",
            "none",
        )
    )
    board.with_panel(
        number(
            "Change failure rate",
            "Share of the judged deployments of the last 30 days that failed, over all picked services; the table of"
            " stability has each service with its range.",
            f"sum({_RATIO} * {_JUDGED}) / sum({_JUDGED})",
            "percentunit",
        )
    )
    board.with_panel(
        number(
            "Being lost now, per hour",
            "The loss per hour of all deployments whose impact goes on, less what others gain, by currency; empty where"
            " nothing goes on.",
            f"sum by (currency) (max by (deployment_id, currency) (afdp_cost_per_hour{{{PICKED}}}))",
            "none",
            legend="{{currency}}",
        )
    )
    board.with_panel(health.pending())


def _stability() -> table.Panel:
    of_place = partial(largest, selector=PICKED, by="service, environment")
    columns = {
        **labels("service", "environment"),
        "ratio": of_place("Change failure rate", "afdp_change_failure_ratio", unit="percentunit"),
        "low": of_place("Low", "afdp_change_failure_ratio_lower", unit="percentunit"),
        "high": of_place("High", "afdp_change_failure_ratio_upper", unit="percentunit"),
        "judged": of_place("Of deployments", "afdp_change_failure_deployments"),
        "restore": of_place("Time to restore", "afdp_time_to_restore_seconds", unit="s"),
        "restored": of_place("Of failures", "afdp_time_to_restore_deployments"),
    }
    description = (
        "DORA's measures of stability over the last 30 days: the share of judged deployments that failed, with its 5 %"
        " and 95 % points, and the median time until a failed one was restored."
    )
    return grid("Stability", description, columns, height=7)


def _courses(board: build.Dashboard) -> None:
    board.with_panel(
        course(
            "Impact by metric, relative",
            "Change of each metric relative to what was expected without the deployment.",
            {"{{deployment_id}} {{metric}}": f"afdp_impact_change_ratio{{{PICKED}}}"},
            "percentunit",
        )
    )
    board.with_panel(
        course(
            "Cost per hour with its range",
            "Loss per hour of each deployment while it goes on, with its 5 % and 95 % points; a gain is negative.",
            {
                "{{deployment_id}} {{currency}}": f"afdp_cost_per_hour{{{PICKED}}}",
                "{{deployment_id}} {{currency}} low": f"afdp_cost_per_hour_lower{{{PICKED}}}",
                "{{deployment_id}} {{currency}} high": f"afdp_cost_per_hour_upper{{{PICKED}}}",
            },
            "none",
        )
    )


def _exporter(board: build.Dashboard) -> None:
    board.with_panel(health.sources(8)).with_panel(health.failed_queries(8)).with_panel(health.annotations(8))
