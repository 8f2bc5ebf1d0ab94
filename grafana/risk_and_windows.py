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
        grid(
            "Now against the best window",
            "The risk of degradation or failure of a deployment now, with its 5 % and 95 % points, beside that in the"
            " best of the coming windows, and the expected loss per hour that waiting for it avoids. A basis of cold"
            " means that nothing is known yet: the risk is a prior.",
            {
                "service": Column(heading="Service"),
                "environment": Column(heading="Environment"),
                "low": _of_place("Low", "afdp_deploy_now_risk_ratio_lower", "percentunit"),
                "risk": _of_place("Risk now", "afdp_deploy_now_risk_ratio", "percentunit"),
                "high": _of_place("High", "afdp_deploy_now_risk_ratio_upper", "percentunit"),
                "best": _of_place("Risk in the best window", "afdp_best_window_risk_ratio", "percentunit"),
                "avoided": _of_place(
                    "Loss avoided per hour", "afdp_best_window_loss_avoided_per_hour", more=", currency"
                ),
                "currency": Column(heading="Currency"),
                "rests": _of_place("Of deployments", "afdp_deploy_now_deployments", more=", basis"),
                "basis": Column(heading="Basis"),
            },
            height=7,
        )
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
            "For each planned or running deployment: the risk of degradation or failure and the loss per hour, each"
            " with its 5 % and 95 % points, and the past deployments that this rests on.",
            {
                "deployment_id": Column(heading="Deployment"),
                "service": Column(heading="Service"),
                "environment": Column(heading="Environment"),
                "planned": Column(
                    heading="Planned for",
                    expr="max by (deployment_id, service, environment)"
                    f" (afdp_deployment_planned_timestamp_seconds{{{PICKED}}}) * 1000",
                    unit="dateTimeAsIso",
                ),
                **_quantiles("afdp_predicted_risk_ratio", "deployment_id, service, environment", "Risk", "percentunit"),
                "failure": Column(
                    heading="Failure",
                    expr=f"max by (deployment_id, service, environment) (afdp_predicted_failure_ratio{{{PICKED}}})",
                    unit="percentunit",
                ),
                **_quantiles("afdp_predicted_cost_per_hour", _PRICED, "Loss per hour"),
                "currency": Column(heading="Currency"),
                "rests": Column(
                    heading="Of deployments",
                    expr="max by (deployment_id, service, environment, basis)"
                    f" (afdp_prediction_deployments{{{PICKED}}})",
                ),
                "basis": Column(heading="Basis"),
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
                **_quantiles("afdp_predicted_change", _PREDICTED, "Change"),
            },
        )
    )
    board.with_panel(
        grid(
            "Patterns that speak of them",
            "Planned or running deployments that meet the conditions of a learned pattern of more risk or cost.",
            {
                "deployment_id": Column(heading="Deployment"),
                "service": Column(heading="Service"),
                "environment": Column(heading="Environment"),
                "pattern": Column(heading="Pattern"),
                "matched": Column(
                    heading="Matched",
                    expr=f"max by (deployment_id, service, environment, pattern) (afdp_pattern_matched{{{PICKED}}})",
                ),
            },
            hidden=("matched",),
            height=7,
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


def _of_place(heading: str, metric: str, unit: str = "none", *, more: str = "") -> Column:
    return Column(heading=heading, expr=f"max by (service, environment{more}) ({metric}{{{PICKED}}})", unit=unit)


def _quantiles(metric: str, labels: str, what: str, unit: str = "none") -> dict[str, Column]:
    quantiles = {"low": "0.05", "median": "0.5", "high": "0.95"}
    return {
        f"{metric} {word}": Column(
            heading=what if word == "median" else f"{what}, {word}",
            expr=f'max by ({labels}) ({metric}{{{PICKED}, quantile="{quantile}"}})',
            unit=unit,
        )
        for word, quantile in quantiles.items()
    }
