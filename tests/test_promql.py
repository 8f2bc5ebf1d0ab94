"""A deployment's words in a query: present, and unable to change what it asks."""

import re

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter import promql
from afdp_exporter.errors import SourceRefused

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(value=anything, template=st.sampled_from(['up{a="$service"}', "up{a='$service'}", "up{a=`$service`}"]))
def test_any_value_is_matched_literally(value: str, template: str) -> None:
    matcher = promql_parser.parse(promql.substitute(template, {"service": value})).matchers.matchers[0]
    assert matcher.value == value


specials = st.text(st.sampled_from(list('ab.*+?()[]{}|^$\\"')), max_size=12)


@given(value=specials, other=specials)
def test_behind_a_regex_matcher_no_character_has_a_meaning(value: str, other: str) -> None:
    query = promql.substitute('up{a=~"$service"}', {"service": value})
    pattern = promql_parser.parse(query).matchers.matchers[0].value
    assert re.fullmatch(pattern, value)
    assert (re.fullmatch(pattern, other) is not None) is (other == value)


def test_a_value_with_a_closing_quote_stays_a_value() -> None:
    attack = "x'} or vector(42) or up{a='"
    query = promql.substitute("up{a='$service'}", {"service": attack})
    assert promql_parser.parse(query).matchers.matchers[0].value == attack


def test_outside_of_quotes_only_a_plain_name_may_stand() -> None:
    assert promql.substitute("sum($service_total)", {"service_total": "shop_total"}) == "sum(shop_total)"
    with pytest.raises(SourceRefused, match="no plain name"):
        promql.substitute("sum($service)", {"service": "a) or vector(1"})


def test_a_missing_value_is_named() -> None:
    with pytest.raises(SourceRefused, match=r"\$version"):
        promql.substitute('up{v="$version"}', {"service": "x"})


def test_the_references_of_label_replace_are_left_alone() -> None:
    query = 'label_replace(up{s="$service"}, "a", "$1", "b", "(.*)")'
    assert '"$1"' in promql.substitute(query, {"service": "x"})
    promql.check(query)


def test_what_is_not_promql_is_refused() -> None:
    with pytest.raises(SourceRefused, match="not PromQL"):
        promql.check("sum(rate(x[2m])")


def test_a_misspelt_variable_is_found() -> None:
    assert promql.unknown_variables('up{a="$srvice", b="$label_team"}') == ["srvice"]


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ('3600 * sum(rate(revenue_usd_total{service="$service"}[2m])) or vector(0)', 120),
        ("sum(increase(requests_total[90s])) - sum(rate(errors_total[5m]))", 300),
        ("-(clamp_min(sum by (job) (irate(requests_total[1m])), 0)) / 60", 60),
        ("sum(rate(errors_total[2m])) / sum(rate(requests_total[2m]))", None),
        ("histogram_quantile(0.95, sum by (le) (rate(latency_bucket[2m])))", None),
        ("max_over_time(queue_jobs[30m])", None),
        ("count($service)", None),
        ("not PromQL {", None),
    ],
)
def test_the_window_over_which_a_query_takes_a_rate_is_known(query: str, seconds: int | None) -> None:
    window = promql.rate_window(query)
    assert (window and window.total_seconds()) == seconds
