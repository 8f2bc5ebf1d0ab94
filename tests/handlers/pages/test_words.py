"""The filters of the templates: what people read."""

import pytest

from afdp_exporter.handlers.pages.words import chance, in_words, times
from afdp_exporter.model import Estimate


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("worse: latency_seconds, revenue_usd_per_hour", "worse: latency, revenue"),
        ("db_latency_seconds and latency_seconds_max stay", "db_latency_seconds and latency_seconds_max stay"),
        ("nothing moved", "nothing moved"),
    ],
)
def test_the_metrics_of_a_sentence_are_called_as_people_call_them_and_no_other_word_is(
    sentence: str, told: str
) -> None:
    assert in_words(sentence, ["latency_seconds", "revenue_usd_per_hour"]) == told
    assert in_words(sentence, []) == sentence


def test_a_factor_and_a_chance_are_told_without_powers_of_ten() -> None:
    assert times(Estimate(low=312.0, median=518.0, high=871.0)) == "520 [310, 870]"
    assert times(Estimate(low=2.6, median=3.04, high=3.5)) == "3.0 [2.6, 3.5]"
    told = [chance(p).replace("\N{NO-BREAK SPACE}", " ") for p in (0.0, 8.1e-5, 0.00066, 0.9, None)]
    assert told == ["< 0.0001", "< 0.0001", "0.00066", "0.9", "none"]
