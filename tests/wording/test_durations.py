"""How a history that is too short is put into words."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.wording.numbers import short_history

READY = datetime(2026, 3, 2, 14, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("there", "needed", "text"),
    [
        (timedelta(minutes=6), timedelta(minutes=20), "6 of 20 minutes"),
        (timedelta(minutes=2.9), timedelta(minutes=5.25), "2 of 6 minutes"),
        (timedelta(seconds=90), timedelta(seconds=105), "90 of 105 seconds"),
        (timedelta(hours=2.5), timedelta(hours=21), "2 of 21 hours"),
    ],
)
def test_what_is_there_and_what_is_needed_have_one_unit(there: timedelta, needed: timedelta, text: str) -> None:
    ready = "deployments from 2026-03-02 14:20 UTC on can be judged"
    assert short_history(there, needed, READY) == f"{text} of history; {ready}"


@given(st.floats(0, 0.999), st.integers(1, 10**6), st.integers(0, 59))
def test_it_never_reads_as_if_enough_were_there(share: float, seconds: int, late: int) -> None:
    needed = timedelta(seconds=seconds)
    text = short_history(share * needed, needed, READY - timedelta(seconds=late))
    there, whole = (int(word) for word in text.split(" of history")[0].split() if word.isdigit())
    assert there < whole
    assert "from 2026-03-02 14:20 UTC on" in text
