"""A deployment's words in a query: present, and unable to change what it asks."""

import re
from datetime import timedelta

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.errors import SourceRefused
from afdp_exporter.sources._promql import prepared, substitute

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(value=anything, template=st.sampled_from(['up{a="$service"}', "up{a='$service'}", "up{a=`$service`}"]))
def test_any_value_is_matched_literally(value: str, template: str) -> None:
    matcher = promql_parser.parse(substitute(template, {"service": value})).matchers.matchers[0]
    assert matcher.value == value


specials = st.text(st.sampled_from(list('ab.*+?()[]{}|^$\\"')), max_size=12)


@given(value=specials, other=specials)
def test_behind_a_regex_matcher_no_character_has_a_meaning(value: str, other: str) -> None:
    query = substitute('up{a=~"$service"}', {"service": value})
    pattern = promql_parser.parse(query).matchers.matchers[0].value
    assert re.fullmatch(pattern, value)
    assert (re.fullmatch(pattern, other) is not None) is (other == value)


def test_a_value_with_a_closing_quote_stays_a_value() -> None:
    attack = "x'} or vector(42) or up{a='"
    query = substitute("up{a='$service'}", {"service": attack})
    assert promql_parser.parse(query).matchers.matchers[0].value == attack


def test_outside_of_quotes_only_a_plain_name_may_stand() -> None:
    assert substitute("sum($service_total)", {"service_total": "shop_total"}) == "sum(shop_total)"
    with pytest.raises(SourceRefused, match="no plain name"):
        substitute("sum($service)", {"service": "a) or vector(1"})


def test_a_missing_value_is_named() -> None:
    with pytest.raises(SourceRefused, match=r"\$version"):
        substitute('up{v="$version"}', {"service": "x"})


def test_the_references_of_label_replace_are_left_alone() -> None:
    query = 'label_replace(up{s="$service"}, "a", "$1", "b", "(.*)")'
    assert '"$1"' in substitute(query, {"service": "x"})
    assert prepared(query).variables == {"service"}


def test_what_is_not_promql_is_refused() -> None:
    with pytest.raises(SourceRefused, match="not PromQL"):
        prepared("sum(rate(x[2m])")


def test_a_misspelt_variable_is_found() -> None:
    with pytest.raises(SourceRefused, match=r"^\$srvice is unknown; known: .*\$environment, .*\$service"):
        prepared('up{a="$srvice", b="$label_team"}')


RATES = {
    '3600 * sum(rate(revenue_usd_total{service="$service"}[2m])) or vector(0)': timedelta(minutes=2),
    "sum(increase(requests_total[90s])) - sum(rate(errors_total[5m]))": timedelta(minutes=5),
    "-(clamp_min(sum by (job) (irate(requests_total[1m])), 0)) / 60": timedelta(minutes=1),
    "sum(rate(errors_total[2m])) / sum(rate(requests_total[2m]))": None,
    "histogram_quantile(0.95, sum by (le) (rate(latency_bucket[2m])))": None,
    "max_over_time(queue_jobs[30m])": None,
    "count($service)": None,
    'sum(job_service:requests:rate5m{service="$service"})': timedelta(minutes=5),
    "-job:requests:sum_irate1h30m / 60": timedelta(minutes=90),
    "job:errors:rate5m / job:requests:rate5m": None,
    "job:errors_per_requests:ratio_rate5m": None,
    "cluster_quantile:latency_seconds:rate5m": None,
    "job:latency_seconds:mean5m": None,
    "requests:rate": None,
    "requests_rate5m": None,
}


@pytest.mark.parametrize(("query", "window"), RATES.items())
def test_the_window_of_a_rate_is_known_where_the_value_follows_it(query: str, window: timedelta | None) -> None:
    assert prepared(query).rate_window == window


MEANS = {
    'sum(rate(revenue_usd_total{service="$service"}[2m])) or vector(0)': timedelta(minutes=2),
    "sum(rate(errors_total[2m])) / sum(rate(requests_total[5m]))": timedelta(minutes=5),
    "histogram_quantile(0.95, sum by (le) (rate(latency_bucket[2m])))": timedelta(minutes=2),
    "-(clamp_min(sum by (job) (irate(requests_total[1m])), 0)) / 60": None,
    "avg_over_time(rate(requests_total[5m])[30m:1m])": timedelta(minutes=35),
    "max_over_time(rate(requests_total[5m])[30m:1m])": timedelta(minutes=5),
    "max_over_time(queue_jobs[30m])": None,
    "count($service)": None,
    'sum(job_service:requests:rate5m{service="$service"})': timedelta(minutes=5),
    "job:errors_per_requests:ratio_rate5m": timedelta(minutes=5),
    "job:latency_seconds:mean5m": timedelta(minutes=5),
    "avg_over_time(job:requests:rate5m[30m])": timedelta(minutes=35),
    "job:requests:irate5m": None,
    "job:queue_jobs:max5m": None,
    "job:slo:availability5x": None,
    "requests_rate5m": None,
}


@pytest.mark.parametrize(("query", "window"), MEANS.items())
def test_the_window_over_which_a_value_is_a_mean_is_known(query: str, window: timedelta | None) -> None:
    assert prepared(query).averages_over == window


@given(value=st.text(st.sampled_from("ab\ufffd\u2028\U0001f600\x00"), max_size=6))
def test_a_character_that_a_parser_may_refuse_is_escaped(value: str) -> None:
    bound = prepared('up{a="$service"}').bind({"service": value}).text
    assert not set(bound) & set("\ufffd\u2028\x00")
    assert promql_parser.parse(bound).matchers.matchers[0].value == value


def test_the_ranges_of_raw_samples_are_known_with_their_selectors() -> None:
    query = (
        'sum(rate(a_total{job="$service", path="/x offset 5m"}[5m] offset 1h)) / sum(rate(a_total{job="$service"}[1m]))'
        " + max_over_time(sum(rate(b[30s]))[10m:1m]) + c"
    )
    assert prepared(query).bind({"service": "shop"}).ranges == (
        ('a_total{job="shop",path="/x offset 5m"}', timedelta(minutes=5)),
        ('a_total{job="shop"}', timedelta(minutes=1)),
        ("b", timedelta(seconds=30)),
    )
    assert prepared("sum(c)").bind({}).ranges == ()
