"""Figures as people read them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.model import Estimate
from afdp_exporter.units import called, change, money, span


def size(low: float, middle: float, high: float) -> Estimate:
    return Estimate(low=low, median=middle, high=high)


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("request_latency_p95_seconds", "request latency p95"),
        ("revenue_usd_per_hour", "revenue"),
        ("cart_abandonment_ratio", "cart abandonment"),
        ("http_requests_total", "http requests"),
        ("request_duration_seconds_count", "request duration"),
        ("orders_new_per_hour", "orders new"),
        ("job:errors:rate5m", "job errors rate5m"),
        ("seconds", "seconds"),
    ],
)
def test_a_metric_is_called_by_its_name_without_its_unit(metric: str, name: str) -> None:
    assert called(metric) == name


@pytest.mark.parametrize(
    ("metric", "estimate", "before", "text"),
    [
        ("response_time_seconds", size(0.012, 0.0151, 0.018), 0.2, "15 ms [12, 18]"),
        ("response_time_seconds", size(1.1, 1.52, 1.9), 0.2, "1.5 s [1.1, 1.9]"),
        ("response_time_milliseconds", size(1100, 1520, 1900), 200, "1.5 s [1.1, 1.9]"),
        ("pause_seconds", size(9e-5, 1e-4, 1.1e-4), None, "100 µs [90, 110]"),
        ("mobile_sessions", size(14, 20, 27), 1000, "2 % [1.4, 2.7]"),
        ("replicas", size(3, 3, 3), 4, "3"),
        ("queued_jobs", size(473, 486, 499), 52, "486 [473, 499]"),
        ("queued_jobs_total", size(30, 40, 52), None, "40 [30, 52]"),
        ("requests_per_second", size(3, 4, 5.2), 8, "4/s [3, 5.2]"),
        ("cart_abandonment_ratio", size(0.021, 0.03, 0.039), 0.68, "3 points [2.1, 3.9]"),
        ("revenue_usd_per_hour", size(950, 1203, 1460), 60000, "$1,200 an hour [$950, $1,460]"),
        ("revenue_chf", size(950, 1203, 1460), None, "1,200 CHF [950 CHF, 1,460 CHF]"),
        ("infra_cost_usd_per_hour", size(1.9, 2.1, 2.3), 9, "$2.10 an hour [$1.90, $2.30]"),
        ("infra_cost_usd_per_hour", size(1.7, 2.0, 2.4), 9, "$2.00 an hour [$1.70, $2.40]"),
        ("revenue_usd", size(4800, 33600, 62400), None, "$34,000 [$5,000, $62,000]"),
        ("revenue_usd", size(3, 33600, 62400), None, "$30,000 [$0, $60,000]"),
        ("heap_bytes", size(2e6, 3e6, 4e6), None, "2.9 MiB [1.9, 3.8]"),
        ("response_time_seconds", size(-0.018, -0.015, -0.012), None, "-15 ms [-18, -12]"),
        ("mood", size(float("-inf"), 2.0, float("inf")), None, "2 [unknown, unknown]"),
    ],
)
def test_a_change_is_told_in_the_unit_of_its_metric_with_its_range(
    metric: str, estimate: Estimate, before: float | None, text: str
) -> None:
    assert change(metric, estimate, before) == text


def test_money_has_its_sign_its_currency_and_its_range() -> None:
    assert money("EUR", size(-310, -290, -270), per_hour=True) == "-€290 an hour [-€310, -€270]"
    assert money("SEK", size(1000, 1200, 1500)) == "1,200 SEK [1,000 SEK, 1,500 SEK]"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 second"), (45, "45 seconds"), (60, "1 minute"), (90, "1.5 minutes"), (240, "4 minutes"),
        (3600, "1 hour"), (9000, "2.5 hours"), (86400, "1 day"), (200000, "2.3 days"),
    ],
)  # fmt: skip
def test_a_length_of_time_has_one_unit(seconds: float, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text


@given(st.text(max_size=30), st.lists(st.floats(allow_nan=False), min_size=3, max_size=3), st.none() | st.floats())
def test_no_figure_and_no_name_is_too_odd_to_be_told(metric: str, ends: list[float], before: float | None) -> None:
    low, middle, high = sorted(ends)
    text = change(metric, size(low, middle, high), before)
    assert text
    assert "nan" not in text
