"""*Risk and windows*: what the next deployment may do, and when it does least."""

from functools import partial

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import table

from frame import PICKED, dashboard, report_address
from panels import Column, bars, course, grid, labels, largest, number, section

_PLACE = "service, environment"
_ONE = f"deployment_id, {_PLACE}"
_PLANNED = "afdp_deployment_planned_timestamp_seconds"
_AVOIDED = "afdp_best_window_loss_avoided_per_hour"


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
    board.with_panel(_against_the_best_window())
    board.with_panel(
        course(
            "Risk of deploying, over time",
            "How the risk of deploying moves through the day and the week.",
            {"{{service}} {{environment}}": f"afdp_deploy_now_risk_ratio{{{PICKED}}}"},
            "percentunit",
            width=24,
        )
    )


def _against_the_best_window() -> table.Panel:
    risk = partial(largest, selector=PICKED, by=_PLACE, unit="percentunit")
    return grid(
        "Now against the best window",
        "The risk of degradation or failure of a deployment now, with its 5 % and 95 % points, beside that in the"
        " best of the coming windows, and the expected loss per hour that waiting for it avoids. A basis of cold"
        " means that nothing is known yet: the risk is a prior.",
        {
            **labels("service", "environment"),
            "low": risk("Low", "afdp_deploy_now_risk_ratio_lower"),
            "risk": risk("Risk now", "afdp_deploy_now_risk_ratio"),
            "high": risk("High", "afdp_deploy_now_risk_ratio_upper"),
            "best": risk("Risk in the best window", "afdp_best_window_risk_ratio"),
            "avoided": largest("Loss avoided per hour", _AVOIDED, PICKED, by=f"{_PLACE}, currency"),
            **labels("currency"),
            "rests": largest("Of deployments", "afdp_deploy_now_deployments", PICKED, by=f"{_PLACE}, basis"),
            **labels("basis"),
        },
        height=7,
    )


def _predictions(board: build.Dashboard) -> None:
    board.with_panel(_risk_and_cost())
    board.with_panel(
        grid(
            "Predicted change by metric",
            "In the unit that ends the metric's name, with its 5 % and 95 % points.",
            {
                **labels("deployment_id", "service", "environment", "metric"),
                **_quantiles("Change", "afdp_predicted_change", by=f"{_ONE}, metric"),
            },
        )
    )
    board.with_panel(
        grid(
            "Patterns that speak of them",
            "Planned or running deployments that meet the conditions of a learned pattern of more risk or cost.",
            {
                **labels("deployment_id", "service", "environment", "pattern"),
                "matched": largest("Matched", "afdp_pattern_matched", PICKED, by=f"{_ONE}, pattern"),
            },
            hidden=("matched",),
            height=7,
        )
    )


def _risk_and_cost() -> table.Panel:
    return grid(
        "Predicted risk and cost",
        "For each planned or running deployment: the risk of degradation or failure and the loss per hour, each"
        " with its 5 % and 95 % points, and the past deployments that this rests on.",
        {
            **labels("deployment_id", "service", "environment"),
            "planned": largest("Planned for", _PLANNED, PICKED, by=_ONE, unit="dateTimeAsIso", times=1000),
            **_quantiles("Risk", "afdp_predicted_risk_ratio", by=_ONE, unit="percentunit"),
            "failure": largest("Failure", "afdp_predicted_failure_ratio", PICKED, by=_ONE, unit="percentunit"),
            **_quantiles("Loss per hour", "afdp_predicted_cost_per_hour", by=f"{_ONE}, currency"),
            **labels("currency"),
            "rests": largest("Of deployments", "afdp_prediction_deployments", PICKED, by=f"{_ONE}, basis"),
            **labels("basis"),
        },
    )


def _patterns(board: build.Dashboard) -> None:
    board.with_panel(
        grid(
            "Patterns",
            "Conditions under which deployments hurt more, with the deployments behind them and how many times dearer"
            " they are.",
            {
                **labels("pattern"),
                "deployments": largest("Deployments", "afdp_pattern_deployments", by="pattern"),
                "multiplier": largest("Cost, times", "afdp_pattern_cost_multiplier", by="pattern"),
            },
        )
    )


def _quantiles(heading: str, metric: str, *, by: str, unit: str = "none") -> dict[str, Column]:
    points = {f"{heading}, low": "0.05", heading: "0.5", f"{heading}, high": "0.95"}
    return {
        name: largest(name, metric, f'{PICKED}, quantile="{point}"', by=by, unit=unit) for name, point in points.items()
    }
