"""Figures as people read them."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.model import Estimate
from afdp_exporter.wording.metrics import display_name, format_change, format_value
from afdp_exporter.wording.numbers import (
    format_duration,
    format_factor,
    format_money,
    format_money_between,
    format_number,
    format_p_value,
    format_share,
    format_share_range,
)


def size(low: float, middle: float, high: float) -> Estimate:
    return Estimate(low=low, median=middle, high=high)


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("request_latency_p95_seconds", "request latency p95"),
        ("revenue_usd_per_hour", "revenue"),
        ("cart_abandonment_ratio", "cart abandonment ratio"),
        ("error_ratio", "error ratio"),
        ("http_requests_total", "http requests"),
        ("request_duration_seconds_count", "request duration"),
        ("orders_new_per_hour", "orders new"),
        ("job:errors:rate5m", "job errors rate5m"),
        ("seconds", "seconds"),
    ],
)
def test_a_metric_is_called_by_its_name_without_its_unit(metric: str, name: str) -> None:
    assert display_name(metric) == name


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
        ("pause_seconds", size(-9e-10, 0.0, 9e-10), None, "0 ns [-0.9, 0.9]"),
        ("pause_seconds", size(0.0, 0.0, 0.0), None, "0 s"),
        ("mood", size(float("-inf"), 2.0, float("inf")), None, "2 [unknown, unknown]"),
    ],
)
def test_a_change_is_reported_in_the_unit_of_its_metric_with_its_range(
    metric: str, estimate: Estimate, before: float | None, text: str
) -> None:
    assert format_change(metric, estimate, before) == text


def test_money_has_its_sign_its_currency_and_its_range() -> None:
    assert format_money("EUR", size(-310, -290, -270), per_hour=True) == "-€290 an hour [-€310, -€270]"
    assert format_money("SEK", size(1000, 1200, 1500)) == "1,200 SEK [1,000 SEK, 1,500 SEK]"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 second"), (45, "45 seconds"), (60, "1 minute"), (90, "1.5 minutes"), (240, "4 minutes"),
        (3600, "1 hour"), (9000, "2.5 hours"), (86400, "1 day"), (200000, "2.3 days"),
    ],
)  # fmt: skip
def test_a_length_of_time_has_one_unit(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.text(max_size=30), st.lists(st.floats(allow_nan=False), min_size=3, max_size=3), st.none() | st.floats())
def test_no_figure_and_no_name_is_too_odd_to_be_written(metric: str, ends: list[float], before: float | None) -> None:
    low, middle, high = sorted(ends)
    text = format_change(metric, size(low, middle, high), before)
    assert text
    assert "nan" not in text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(1234.5, "₹1,230"), (0.86, "₹0.86"), (15.0, "₹15"), (8.6, "₹8.60"), (-0.001, "-₹0.00100"), (0.0, "₹0")],
)
def test_an_amount_without_a_range_has_three_digits_and_whole_cents(amount: float, text: str) -> None:
    assert format_money("INR", amount) == text


def test_amounts_from_one_to_another_are_rounded_as_their_range() -> None:
    assert format_money_between("USD", 950.4, 1460.2) == "$950 to $1,460"
    assert format_money_between("CHF", 950.0, 950.0) == "950 CHF"


@pytest.mark.parametrize(
    ("metric", "estimate", "text"),
    [
        ("mobile_sessions", size(-21.0, -17.0, -13.0), "-1.7 % [-2.1, -1.3]"),
        ("error_ratio", size(0.07, 0.0836, 0.097), "+8.4 points [7, 9.7]"),
        ("error_ratio", size(0.006, 0.01, 0.014), "+1 point [0.6, 1.4]"),
        ("error_ratio", size(0.01, 0.01, 0.01), "+1 point"),
        ("response_time_seconds", size(-0.018, 0.0, 0.018), "0 ms [-18, 18]"),
        ("revenue_usd_per_hour", size(950.0, 1203.0, 1460.0), "+$1,200 an hour [$950, $1,460]"),
    ],
)
def test_a_signed_change_has_the_sign_of_its_value_and_its_ends_have_theirs(
    metric: str, estimate: Estimate, text: str
) -> None:
    assert format_change(metric, estimate, 1000.0, signed=True) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("request_latency_p95_seconds", 0.2119, "212 ms"),
        ("error_ratio", 0.0317, "3.17 %"),
        ("disk_free_bytes", 7.391e5, "722 KiB"),
        ("revenue_usd_per_hour", 61000.0, "$61,000"),
        ("sessions", 739100.0, "739,100"),
    ],
)
def test_a_value_has_the_unit_of_its_metric(metric: str, value: float, text: str) -> None:
    assert format_value(metric, value) == text


@given(st.floats(1e-9, 1.0, exclude_max=True))
def test_a_share_is_never_rounded_to_certainty(ratio: float) -> None:
    assert format_share(ratio) not in {"0 %", "100 %"}


def test_a_share_has_whole_percent_unless_its_range_bears_more() -> None:
    assert [format_share(share) for share in (0.0, 0.004, 0.27, 0.999, 1.0)] == [
        "0 %", "under 1 %", "27 %", "over 99 %", "100 %",
    ]  # fmt: skip
    assert format_share(float("nan")) == "unknown"
    assert format_share_range(size(0.07, 0.27, 0.59)) == "27 % [7, 59]"
    assert format_share_range(size(0.001, 0.004, 0.009)) == "0.4 % [0.1, 0.9]"
    assert format_share_range(size(0.0, 0.002, 0.3)) == "under 1 % [0, 30]"
    assert format_share_range(size(0.5, 0.5, 0.5)) == "50 %"


def test_numbers_factors_and_p_values_are_written_without_powers_of_ten() -> None:
    assert [format_number(value) for value in (0.0, 4.08e-5, 1.264, 15.4, 1234.0)] == [
        "0", "0.0000408", "1.26", "15.4", "1,230",
    ]  # fmt: skip
    assert format_number(999_999.0, 2) == "1,000,000"
    assert format_factor(size(312.0, 518.0, 871.0)) == "500 [300, 900]"
    assert format_factor(size(2.6, 3.04, 3.5)) == "3 [2.6, 3.5]"
    written = [format_p_value(p).replace("\N{NO-BREAK SPACE}", " ") for p in (0.0, 8.1e-5, 0.00066, 0.9, None)]
    assert written == ["< 0.0001", "< 0.0001", "0.00066", "0.9", "none"]


@given(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3), st.sampled_from(["USD", "SEK", "INR"]))
def test_an_amount_and_a_change_of_the_same_money_are_written_alike(ends: list[float], currency: str) -> None:
    amount = size(*sorted(ends))
    metric = f"revenue_{currency.lower()}_per_hour"
    assert format_money(currency, amount, per_hour=True) == format_change(metric, amount)


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_no_more_digits_are_written_than_the_range_bears(ends: list[float]) -> None:
    low, middle, high = sorted(ends)
    text = format_change("pulse", size(low, middle, high))
    step = (high - low) / 600
    written = [float(part.replace(",", "")) for part in re.findall(r"-?\d[\d,]*\.?\d*", text)]
    decimals = max(len(part.partition(".")[2]) for part in re.findall(r"\d[\d,]*\.?\d*", text))
    if low < high:
        assert decimals == 0 or 10.0**-decimals >= step
        assert all(abs(value - true) <= high - low for value, true in zip(written, (middle, low, high), strict=True))
