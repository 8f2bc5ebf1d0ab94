"""The scrape interval, read from how many samples there are in each minute."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.model import Floats
from afdp_exporter.proposals.sampling import duration, interval, rate_window, step

MISSED = 0.05  # share of scrapes
USUAL = (1.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0)


def counts(every: float, minutes: float, *, jitter: float = 0.0, missed: float = 0.0, seed: int = 0) -> Floats:
    """Samples in each of the last 60 minutes where scraping began so many minutes ago; NaN where there is none."""
    chance = np.random.default_rng(seed)
    at = np.arange(3600 - 60 * minutes + chance.uniform(0, every), 3600, every)
    at = at[chance.random(at.size) >= missed] + 0.0
    at = at + chance.normal(0, jitter, at.size)
    found, _ = np.histogram(at, np.arange(0, 3601, 60))
    return np.where(found > 0, found.astype(float), np.nan)


@given(every=st.sampled_from(USUAL), minutes=st.floats(25, 60), seed=st.integers(0, 10_000))
def test_it_is_read_whenever_scraping_began(every: float, minutes: float, seed: int) -> None:
    found = interval(counts(every, minutes, jitter=0.02 * every, seed=seed))
    assert found == timedelta(seconds=every)


@given(every=st.sampled_from((5.0, 10.0, 15.0)), minutes=st.floats(2.1, 10), seed=st.integers(0, 10_000))
def test_two_minutes_are_enough_for_the_usual_intervals(every: float, minutes: float, seed: int) -> None:
    assert interval(counts(every, minutes, seed=seed)) == timedelta(seconds=every)


@given(every=st.sampled_from((10.0, 15.0)), seed=st.integers(0, 10_000))
def test_missed_scrapes_and_a_gap_change_nothing(every: float, seed: int) -> None:
    found = counts(every, 60, missed=MISSED, seed=seed)
    found[20:35] = np.nan
    assert interval(found) == timedelta(seconds=every)


def test_an_unusual_interval_is_written_to_the_second() -> None:
    assert interval(counts(7.0, 60)) == timedelta(seconds=7)


@pytest.mark.parametrize("minutes", [0.0, 0.1])
def test_a_sample_or_none_shows_nothing(minutes: float) -> None:
    assert interval(counts(15.0, minutes)) is None


@pytest.mark.parametrize(
    ("scraped", "of_analysis", "of_rates"),
    [(1, "15s", "15s"), (5, "15s", "20s"), (15, "15s", "1m"), (30, "30s", "2m"), (60, "1m", "4m"), (7200, "2h", "8h")],
)
def test_step_and_windows_follow_it(scraped: int, of_analysis: str, of_rates: str) -> None:
    every = timedelta(seconds=scraped)
    assert (duration(step(every)), duration(rate_window(every))) == (of_analysis, of_rates)
