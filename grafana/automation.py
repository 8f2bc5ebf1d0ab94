"""*Automation*: what the gate says, what is under way, what was done about it, and how far automation goes."""

from functools import partial

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import table

from frame import PICKED, dashboard, report_address
from panels import Column, course, grid, labels, largest, number, section
from queries import mean, per_second

_PLACE = "service, environment"
_ONE = f"deployment_id, {_PLACE}"


def board() -> build.Dashboard:
    """The gate and what follows from it."""
    board = dashboard("automation", "Automation", "What the gate says, what was done, and how far automation goes.")
    board.with_variable(report_address())
    _worth(board)
    _under_way(board.with_row(section("Canaries and greens under way")))
    _gate(board.with_row(section("Gate")))
    _actions(board.with_row(section("Actions and levels")))
    return board


def _worth(board: build.Dashboard) -> None:
    spared = f"sum by (currency) (afdp_prevented_cost_total{{{PICKED}}})"
    spent = f"sum by (currency) (afdp_automation_cost_total{{{PICKED}}})"
    money = partial(number, unit="none", legend="{{currency}}")
    board.with_panel(
        money(
            "Spared",
            "What rollbacks and holds have surely spared, at its lower point, booked once that was confirmed.",
            f"{spared} or vector(0)",
        )
    )
    board.with_panel(
        money(
            "Spent", "What automation itself has cost: rollbacks, waiting, and what was wrong.", f"{spent} or vector(0)"
        )
    )
    board.with_panel(
        money("Net", "Spared less spent.", f"({spared} - {spent}) or {spared} or (0 - {spent}) or vector(0)")
    )
    board.with_panel(
        number(
            "Executors stopped",
            "1 as long as somebody has stopped all executors.",
            "max(afdp_automation_paused)",
            "none",
        )
    )


def _under_way(board: build.Dashboard) -> None:
    of_one = partial(largest, selector=PICKED, by=_ONE)
    board.with_panel(
        grid(
            "How sure it is that going on does no harm",
            "A canary beside the stable version, or green beside earlier greens of the same age, and the share of the"
            " traffic that a canary has.",
            {
                **labels("deployment_id", "service", "environment"),
                "sure": of_one("Confidence", "afdp_rollout_confidence_ratio", unit="percentunit"),
                "share": of_one("Traffic", "afdp_rollout_traffic_ratio", unit="percentunit"),
                **_quantiles("Loss per hour at full traffic", "afdp_rollout_cost_per_hour", by=f"{_ONE}, currency"),
                **labels("currency"),
            },
        )
    )
    board.with_panel(_metrics())


def _metrics() -> table.Panel:
    of_metric = f"{_ONE}, metric"
    return grid(
        "Canary by metric",
        "Each metric beside the stable version's, and its change at full traffic in the unit that ends its name, with"
        " its 5 % and 95 % points.",
        {
            **labels("deployment_id", "metric", "verdict"),
            "known": largest("Known", "afdp_rollout_verdict", PICKED, by=f"{of_metric}, verdict"),
            **_quantiles("Change", "afdp_rollout_change", by=of_metric),
        },
        hidden=("known",),
    )


def _gate(board: build.Dashboard) -> None:
    board.with_panel(
        course(
            "Questions",
            "Questions that the gate answered, a second, by who asked and what it thinks; in shadow everything passes.",
            {"{{caller}}: {{verdict}} ({{mode}})": per_second("afdp_gate_requests_total", "caller, verdict, mode")},
            "reqps",
        )
    )
    board.with_panel(
        course(
            "Time to answer",
            "How long an answer takes, without the time that a caller asked the gate to wait.",
            {"mean": mean("afdp_gate_decision_seconds")},
            "s",
        )
    )
    board.with_panel(
        grid(
            "Verdicts",
            "The newest verdict on each deployment: the one to obey.",
            {
                **labels("deployment_id", "service", "environment", "verdict"),
                "known": largest("Known", "afdp_gate_verdict", PICKED, by=f"{_ONE}, verdict"),
            },
            hidden=("known",),
        )
    )


def _actions(board: build.Dashboard) -> None:
    board.with_panel(
        grid(
            "Actions",
            "The newest actions and when they came into their state. Unknown: it was begun, and its end was not seen; a"
            " breaker kept it from being begun where one is named.",
            {
                **labels("deployment_id", "service", "environment", "executor", "state", "breaker"),
                "since": largest(
                    "Since", "afdp_action_timestamp_seconds", PICKED, by=f"{_ONE}, executor, state, breaker",
                    unit="dateTimeAsIso", times=1000,
                ),
            },
        )
    )  # fmt: skip
    board.with_panel(
        course(
            "Steps of actions",
            "How many actions came into each state.",
            {"{{executor}}: {{state}}": "sum by (executor, state) (afdp_actions_total)"},
            "none",
        )
    )
    board.with_panel(
        course(
            "Automation level",
            "0 observe, 1 alert, 2 gate in shadow, 3 gate, 4 rollback where it is severe, 5 without asking.",
            {"{{service}} {{environment}}": f"max by ({_PLACE}) (afdp_automation_level{{{PICKED}}})"},
            "none",
        )
    )


def _quantiles(heading: str, metric: str, *, by: str) -> dict[str, Column]:
    points = {f"{heading}, low": "0.05", heading: "0.5", f"{heading}, high": "0.95"}
    return {name: largest(name, metric, f'{PICKED}, quantile="{point}"', by=by) for name, point in points.items()}
