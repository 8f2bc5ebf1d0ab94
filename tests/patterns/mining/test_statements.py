"""Conditions and moments as parts of sentences."""

from datetime import UTC, datetime

import pytest

from afdp_exporter.model import Condition, Context
from afdp_exporter.patterns.mining.statements import condition_words, context_words, subject_words


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (Condition(trait="weekday", op="=", value="Monday"), "on Mondays"),
        (Condition(trait="event", op="=", value="sale"), "during sale events"),
        (Condition(trait="traits.table_rows", op=">=", value=1e6), "with 1,000,000 table rows or more"),
        (Condition(trait="in_flight", op="<", value=2.0), "with less than 2 other deployments under way"),
        (Condition(trait="traits.hotfix", op="=", value=True), "with hotfix"),
        (Condition(trait="traits.lane", op="=", value="fast"), "with lane fast"),
        (Condition(trait="hour", op="=", value="night"), "at night"),
        (Condition(trait="hour", op="=", value="early"), "in the early morning"),
        (Condition(trait="hour", op="=", value="morning"), "in the morning"),
        (Condition(trait="strategy", op="=", value="canary"), "by canary rollout"),
        (Condition(trait="holiday", op="=", value=True), "on public holidays"),
    ],
)
def test_a_condition_reads_as_part_of_a_sentence(one: Condition, text: str) -> None:
    assert condition_words(one) == text


def test_a_kind_of_change_is_what_a_sentence_speaks_of() -> None:
    database = Condition(trait="change_types", op="has", value="database")
    monday = Condition(trait="weekday", op="=", value="Monday")
    rows = Condition(trait="traits.table_rows", op=">=", value=1e6)
    assert subject_words([database, monday]) == "Database changes on Mondays"
    assert subject_words([rows, monday]) == "Deployments with 1,000,000 table rows or more on Mondays"


def test_a_moment_is_named_by_what_it_is() -> None:
    monday = Context(at=datetime(2026, 3, 2, 9, tzinfo=UTC), load_ratio=1.4)
    words = {trait: context_words(trait, monday) for trait in ("weekday", "hour", "event", "holiday", "load_ratio")}
    assert words == {
        "weekday": "Monday",
        "hour": "morning",
        "event": "no event",
        "holiday": "no holiday",
        "load_ratio": "load 1.4 times its mean",
    }
