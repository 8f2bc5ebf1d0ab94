"""*Deployments*: what was deployed, what became of it, what it costs."""

from grafana_foundation_sdk.builders import dashboard as build

import deployment_tables
from frame import PICKED, dashboard, report_address
from panels import course, number, section
from queries import per_second

_JUDGED = f'count(max by (deployment_id) (afdp_deployment_outcome{{{PICKED}, outcome!="unknown"}}))'
_HURT = f'count(max by (deployment_id) (afdp_deployment_outcome{{{PICKED}, outcome=~"degradation|failure"}}))'


def board() -> build.Dashboard:
    """The way in: all deployments of the picked services."""
    board = dashboard("deployments", "Deployments", "What was deployed, what it did, what it costs.")
    board.with_variable(report_address())
    _totals(board)
    board.with_panel(deployment_tables.deployments(PICKED))
    board.with_panel(deployment_tables.impacts(PICKED))
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
            "Share of the judged deployments whose outcome is degradation or failure.",
            f"({_HURT} or 0 * {_JUDGED}) / {_JUDGED}",
            "percentunit",
        )
    )
    board.with_panel(
        number(
            "Dearest deployment, per hour",
            "The largest estimated loss per hour of a single deployment, by currency.",
            f"max by (currency) (afdp_cost_per_hour{{{PICKED}}})",
            "none",
            legend="{{currency}}",
        )
    )
    board.with_panel(
        number(
            "Looks not yet answered",
            "Analyses that are due and not done. It comes back to 0 within minutes, or something is wrong.",
            "sum(afdp_analyses_pending)",
            "none",
        )
    )


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
            "Estimated loss per hour of each deployment with its 5 % and 95 % points; a gain is negative.",
            {
                "{{deployment_id}} {{currency}}": f"afdp_cost_per_hour{{{PICKED}}}",
                "{{deployment_id}} {{currency}} low": f"afdp_cost_per_hour_lower{{{PICKED}}}",
                "{{deployment_id}} {{currency}} high": f"afdp_cost_per_hour_upper{{{PICKED}}}",
            },
            "none",
        )
    )


def _exporter(board: build.Dashboard) -> None:
    board.with_panel(
        course(
            "Sources",
            "1 while a metrics source answers; at 0 the looks wait and nothing is judged.",
            {"{{source}}": "min by (source) (afdp_source_up)"},
            "none",
            width=8,
        )
    )
    board.with_panel(
        course(
            "Failed queries",
            "Queries to the sources that failed, by reason.",
            {"{{source}} {{reason}}": per_second("afdp_source_query_failures_total", "source, reason")},
            "reqps",
            width=8,
        )
    )
    board.with_panel(
        course(
            "Annotations",
            "Deployments and events received and rejected, by the kind of their sender.",
            {
                "received {{kind}}": per_second("afdp_annotations_received_total", "kind"),
                "rejected {{kind}} {{reason}}": per_second("afdp_annotations_rejected_total", "kind, reason"),
            },
            "reqps",
            width=8,
        )
    )
