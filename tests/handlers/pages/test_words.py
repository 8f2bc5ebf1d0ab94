"""The filters of the templates: what people read."""

import pytest

from afdp_exporter.handlers.pages.words import in_words


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
