"""The filters of the templates: what people read."""

import pytest

from afdp_exporter.handlers.pages.filters import figure, in_words


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("worse: latency_seconds, revenue_usd_per_hour", "worse: latency, revenue"),
        ("db_latency_seconds and latency_seconds_max stay", "db_latency_seconds and latency_seconds_max stay"),
        ("nothing moved", "nothing moved"),
    ],
)
def test_the_metrics_of_a_sentence_are_called_as_people_call_them_and_no_other_word_is(
    sentence: str, expected: str
) -> None:
    assert in_words(sentence, ["latency_seconds", "revenue_usd_per_hour"]) == expected
    assert in_words(sentence, []) == sentence


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5.916e-230, "about 0"),
        (-1e-9, "about 0"),
        (0.0, "0"),
        (0.6572, "0.6572"),
        ("2026-11-30T05:05:30+00:00", "2026-11-30 05:05 UTC"),
        ("20261130", "20261130"),
        ([1200, True], "1,200, yes"),
    ],
)
def test_a_figure_is_short_and_a_time_has_its_zone(value: object, expected: str) -> None:
    assert figure(value) == expected
