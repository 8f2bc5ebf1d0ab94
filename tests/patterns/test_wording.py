"""Words: figures as people say them, never more certain than they are."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.model import Condition, Context, Estimate
from afdp_exporter.patterns.wording import condition, figure, moment_words, money, percent, percents, subject


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.012"), (1.26, "1.3"), (15.4, "15"), (1234.0, "1,200"), (999_999.0, "1,000,000")],
)
def test_a_figure_keeps_the_digits_that_matter(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        (1200.0, "USD", "$1,200"),
        (-950.0, "EUR", "-€950"),
        (15.0, "CHF", "15 CHF"),
        (8.6, "USD", "$8.60"),
        (-0.0, "USD", "$0"),
    ],
)
def test_money_has_its_sign_or_its_code(value: float, currency: str, text: str) -> None:
    assert money(value, currency) == text


@given(st.floats(1e-9, 1.0, exclude_max=True))
def test_a_risk_is_never_rounded_to_certainty(ratio: float) -> None:
    assert percent(ratio) not in {"0 %", "100 %"}


def test_a_ratio_comes_with_its_range() -> None:
    assert percents(Estimate(low=0.05, median=0.1, high=0.2)) == "10 % (90 %: 5 % to 20 %)"


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (Condition(trait="weekday", op="=", value="Monday"), "on Mondays"),
        (Condition(trait="event", op="=", value="sale"), "during sale events"),
        (Condition(trait="traits.table_rows", op=">=", value=1e6), "with table_rows of 1,000,000 or more"),
        (Condition(trait="in_flight", op="<", value=2.0), "with in_flight under 2"),
        (Condition(trait="traits.hotfix", op="=", value=True), "with hotfix"),
        (Condition(trait="traits.lane", op="=", value="fast"), "with lane fast"),
        (Condition(trait="hour", op="=", value="night"), "at night"),
        (Condition(trait="hour", op="=", value="morning"), "in the morning"),
        (Condition(trait="strategy", op="=", value="canary"), "by canary rollout"),
        (Condition(trait="holiday", op="=", value=True), "on public holidays"),
    ],
)
def test_a_condition_reads_as_part_of_a_sentence(one: Condition, text: str) -> None:
    assert condition(one) == text


def test_a_kind_of_change_is_what_a_sentence_speaks_of() -> None:
    database = Condition(trait="change_types", op="has", value="database")
    monday = Condition(trait="weekday", op="=", value="Monday")
    rows = Condition(trait="traits.table_rows", op=">=", value=1e6)
    assert subject([database, monday]) == "Database changes on Mondays"
    assert subject([rows, monday]) == "Deployments with table_rows of 1,000,000 or more on Mondays"


def test_a_moment_is_named_by_what_it_is() -> None:
    monday = Context(at=datetime(2026, 3, 2, 9, tzinfo=UTC), load_ratio=1.4)
    words = {trait: moment_words(trait, monday) for trait in ("weekday", "hour", "event", "holiday", "load_ratio")}
    assert words == {
        "weekday": "Monday",
        "hour": "morning",
        "event": "no event",
        "holiday": "no holiday",
        "load_ratio": "load 1.4 times its mean",
    }
