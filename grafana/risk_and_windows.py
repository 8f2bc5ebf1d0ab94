"""*Risk and windows*: what the next deployment may do, and when it does least."""

from grafana_foundation_sdk.builders import dashboard as build

from frame import PICKED, dashboard, report_address
from panels import Column, bars, course, grid, number, section

_PREDICTED = "deployment_id, service, environment, metric"
_PRICED = "deployment_id, service, environment, currency"


def board() -> build.Dashboard:
    """Before a deployment."""
    board = dashboard("risk-and-windows", "Risk and windows", "What the next deployment may do, and when to make it.")
    board.with_variable(report_address())
    _now(board)
    _predictions(board.with_row(section("Planned and running deployments")))
    _patterns(board.with_row(section("What was learned")))
    return board


def _now(board: build.Dashboard) -> None:
    board.with_panel(
        bars(
            "Risk of deploying now",
            "Predicted share of deployments that hurt, were they made now.",
            f"max by (service, environment) (afdp_deploy_now_risk_ratio{{{PICKED}}})",
            "percentunit",
            legend="{{service}} {{environment}}",
        ).max(1)
    )
    board.with_panel(
        number(
            "Best time to deploy",
            "The start of the coming window with the least predicted risk and cost.",
            f"max by (service, environment) (afdp_best_window_timestamp_seconds{{{PICKED}}}) * 1000",
            "dateTimeAsIso",
            legend="{{service}} {{environment}}",
            width=12,
        ).height(8)
    )
    board.with_panel(
        course(
            "Risk of deploying, over time",
            "How the risk of deploying moves through the day and the week.",
            {"{{service}} {{environment}}": f"afdp_deploy_now_risk_ratio{{{PICKED}}}"},
            "percentunit",
            width=24,
        )
    )


def _predictions(board: build.Dashboard) -> None:
    board.with_panel(
        grid(
            "Predicted risk and cost",
            "For each planned or running deployment: the predicted share that fail, and the predicted loss per hour"
            " with its 5 % and 95 % points.",
            {
                "deployment_id": Column(heading="Deployment"),
                "service": Column(heading="Service"),
                "environment": Column(heading="Environment"),
                "failure": Column(
                    heading="Failure",
                    expr=f"max by (deployment_id, service, environment) (afdp_predicted_failure_ratio{{{PICKED}}})",
                    unit="percentunit",
                ),
                **_quantiles("afdp_predicted_cost_per_hour", _PRICED),
                "currency": Column(heading="Currency"),
            },
        )
    )
    board.with_panel(
        grid(
            "Predicted change by metric",
            "In the unit that ends the metric's name, with its 5 % and 95 % points.",
            {
                "deployment_id": Column(heading="Deployment"),
                "service": Column(heading="Service"),
                "environment": Column(heading="Environment"),
                "metric": Column(heading="Metric"),
                **_quantiles("afdp_predicted_change", _PREDICTED),
            },
        )
    )
    board.with_panel(
        grid(
            "Gate",
            "What pipelines were told about each deployment.",
            {
                "deployment_id": Column(heading="Deployment"),
                "service": Column(heading="Service"),
                "environment": Column(heading="Environment"),
                "verdict": Column(heading="Verdict"),
                "told": Column(
                    heading="Told",
                    expr=f"max by (deployment_id, service, environment, verdict) (afdp_gate_verdict{{{PICKED}}})",
                ),
            },
            hidden=("told",),
            height=7,
        )
    )


def _patterns(board: build.Dashboard) -> None:
    board.with_panel(
        grid(
            "Patterns",
            "Conditions under which deployments hurt more, with the deployments behind them and how many times dearer"
            " they are.",
            {
                "pattern": Column(heading="Pattern"),
                "deployments": Column(heading="Deployments", expr="max by (pattern) (afdp_pattern_deployments)"),
                "multiplier": Column(heading="Cost, times", expr="max by (pattern) (afdp_pattern_cost_multiplier)"),
            },
        )
    )
    board.with_panel(
        course(
            "Loss prevented",
            "Sum of the losses avoided by deployments that were held or moved, as estimated.",
            {
                "{{service}} {{environment}} {{currency}}": "sum by (service, environment, currency)"
                f" (afdp_prevented_cost_total{{{PICKED}}})"
            },
            "none",
            width=24,
        )
    )


def _quantiles(metric: str, labels: str) -> dict[str, Column]:
    headings = {"Low": "0.05", "Median": "0.5", "High": "0.95"}
    return {
        heading.lower(): Column(
            heading=heading, expr=f'max by ({labels}) ({metric}{{{PICKED}, quantile="{quantile}"}})'
        )
        for heading, quantile in headings.items()
    }
