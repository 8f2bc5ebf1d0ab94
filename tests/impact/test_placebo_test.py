"""How far to trust the verdicts on one's own series: measured on series whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.impact.placebo_test import (
    FalseAlarms,
    PlaceboTest,
    empirical_detectable_effect,
    false_alarms,
)
from afdp_exporter.model import Floats

DAY = 86_400.0
TIMES = np.arange(0, 4 * DAY, 300.0)


def noise(seed: int, scale: float = 1.0) -> Floats:
    return np.asarray(50 + np.random.default_rng(seed).normal(0, scale, TIMES.size))


def replay(values: Floats, after: float = 3600.0) -> PlaceboTest:
    return PlaceboTest(times=TIMES, values=values, control=None, step=300.0, history=2 * DAY, after=after)


def at_the_end(days: float) -> Floats:
    """Noise that was only measured in the last so many days."""
    return np.where(TIMES[-1] - days * DAY <= TIMES, noise(4), np.nan)


def test_placebos_have_history_before_and_data_after_them_and_keep_clear_of_deployments() -> None:
    known = [2.5 * DAY, 3 * DAY]
    instants = replay(noise(1)).instants(known, 50)
    assert instants.size
    assert instants.min() >= 1.9 * DAY
    assert instants.max() <= TIMES[-1] - 3600
    assert min(abs(instant - deployed) for instant in instants for deployed in known) > 3600


@pytest.mark.parametrize("hours", [0.0, 1.0, 2.7])
def test_where_too_little_was_measured_there_is_no_placebo(hours: float) -> None:
    values = at_the_end(hours / 24) if hours else np.full(TIMES.size, np.nan)
    assert replay(values).instants([], 50).size == 0


@given(st.floats(2.9, 90.0))
def test_where_little_was_measured_placebos_lie_where_they_can_be_judged(hours: float) -> None:
    young = replay(at_the_end(hours / 24))
    instants = young.instants([], 100)
    began = TIMES[-1] - hours * 3600
    assert instants.size
    assert instants.min() >= began + 21 * 300
    assert all(young.judged(instant) is not None for instant in instants[:3])
    assert np.diff(instants).min(initial=300.0) >= 300


def test_noise_alone_raises_hardly_an_alarm() -> None:
    found = [false_alarms(each, each.instants([], 60)) for each in map(replay, map(noise, range(3)))]
    assert {alarms.n for alarms in found} == {60}
    assert sum(alarms.count for alarms in found) <= 9


def test_a_placebo_that_cannot_be_judged_does_not_count() -> None:
    gap = np.where(abs(TIMES - 3 * DAY - 1800) < 1800, np.nan, noise(2))
    assert false_alarms(replay(gap), np.array([3 * DAY])) == FalseAlarms(count=0, n=0)
    assert false_alarms(replay(gap), np.array([3 * DAY, 3.5 * DAY])).n == 1


def test_an_alarm_is_counted_where_the_series_really_jumps_at_a_placebo() -> None:
    instants = replay(noise(1)).instants([], 3)
    jumps = noise(1) + np.where(instants[1] <= TIMES, 20.0, 0.0)
    assert false_alarms(replay(jumps), instants[1:2]) == FalseAlarms(count=1, n=1)


def test_what_comes_and_goes_at_a_placebo_is_an_alarm_too() -> None:
    away = noise(1) + np.where((3 * DAY <= TIMES) & (3 * DAY + 1800 > TIMES), 25.0, 0.0)
    assert false_alarms(replay(away, after=7200.0), np.array([3 * DAY])) == FalseAlarms(count=1, n=1)


def test_the_smallest_visible_change_grows_with_the_noise_and_is_seen() -> None:
    instants = replay(noise(2)).instants([], 12)
    quiet, loud = (empirical_detectable_effect(replay(noise(2, scale)), instants) for scale in (1.0, 5.0))
    assert quiet is not None
    assert loud is not None
    assert 3 < loud / quiet < 8
    seen = [found.verdict.moved for each in instants if (found := replay(noise(2)).judged(each, 1.3 * quiet))]
    assert np.mean(seen) >= 0.7


def test_a_constant_series_has_no_size_to_report() -> None:
    instants = replay(noise(1)).instants([], 5)
    assert empirical_detectable_effect(replay(np.full(TIMES.size, 7.0)), instants) is None


def test_a_share_of_few_placebos_is_no_size() -> None:
    assert empirical_detectable_effect(replay(noise(1)), replay(noise(1)).instants([], 50)[:4]) is None
