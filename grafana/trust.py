"""*Trust*: how often it is wrong, and whether it works at all."""

from functools import partial

from grafana_foundation_sdk.builders import dashboard as build

import health
from frame import dashboard
from panels import course, grid, labels, largest, number, section
from queries import mean, per_second

_OLDEST = "(time() - min(afdp_oldest_pending_analysis_timestamp_seconds > 0)) or 0 * sum(afdp_analyses_pending)"


def board() -> build.Dashboard:
    """How far to believe the other dashboards."""
    board = dashboard("trust", "Trust", "How often it is wrong, and whether it works at all.", since="now-24h")
    _calibration(board)
    _looks(board.with_row(section("Looks")))
    _inputs(board.with_row(section("Inputs")))
    _process(board.with_row(section("Process")))
    return board


def _calibration(board: build.Dashboard) -> None:
    of_service = partial(largest, selector='service=~"$service"', by="service")
    board.with_panel(
        grid(
            "False alarms",
            "Share of placebo deployments, set into quiet times of your own series, that were blamed for a change, and"
            " how many there were.",
            {
                **labels("metric"),
                "blamed": largest("Blamed", "afdp_false_alarm_ratio", by="metric", unit="percentunit"),
                "placebos": largest("Of", "afdp_false_alarm_placebos", by="metric"),
            },
            width=12,
            height=8,
        )
    )
    board.with_panel(
        grid(
            "Predictions",
            "How well predictions came true, and of how many deployments: the share of outcomes between the predicted"
            " 5 % and 95 % points (about 90 % is right), and the Brier score, the mean squared error of the predicted"
            " risks (0 is perfect, 0.25 is what a coin gets).",
            {
                **labels("service"),
                "covered": of_service("Covered", "afdp_prediction_coverage_ratio", unit="percentunit"),
                "brier": of_service("Brier score", "afdp_prediction_brier_score"),
                "scored": of_service("Of", "afdp_predictions_scored"),
            },
            width=12,
            height=8,
        )
    )


def _looks(board: build.Dashboard) -> None:
    pending = {"due and not done": "sum(afdp_analyses_pending)"}
    board.with_panel(course("Pending looks", "Analyses that are due and not done.", pending, "none", width=6))
    oldest = {"oldest": _OLDEST}
    board.with_panel(course("Oldest pending look", "How long the oldest one has waited.", oldest, "s", width=6))
    board.with_panel(
        course(
            "Verdicts",
            "Judgements of single metrics, by verdict.",
            {"{{verdict}}": per_second("afdp_analyses_total", "verdict")},
            "ops",
            width=6,
        )
    )
    board.with_panel(
        course(
            "Time per look",
            "Mean time from taking a look to its answer.",
            {"mean": mean("afdp_analysis_duration_seconds")},
            "s",
            width=6,
        )
    )


def _inputs(board: build.Dashboard) -> None:
    board.with_panel(health.sources(6))
    board.with_panel(
        course(
            "Time per query",
            "Mean time of a query to each source.",
            {"{{source}}": mean("afdp_source_query_duration_seconds", "source")},
            "s",
            width=6,
        )
    )
    board.with_panel(health.failed_queries(6)).with_panel(health.annotations(6))


def _process(board: build.Dashboard) -> None:
    board.with_panel(
        number(
            "Last reload of the configuration",
            "1 when the configuration in force is the one in the file.",
            "min(afdp_config_last_reload_successful)",
            "none",
        )
    )
    board.with_panel(
        number(
            "Configuration of",
            "When the configuration in force was read.",
            "max(afdp_config_last_reload_success_timestamp_seconds) * 1000",
            "dateTimeAsIso",
        )
    )
    board.with_panel(number("Store", "Size of the database file.", "sum(afdp_store_size_bytes)", "bytes"))
    board.with_panel(
        number(
            "Series left out",
            "Series not exposed because of the cap, since the start.",
            "sum(afdp_series_dropped_total)",
            "none",
        )
    )
