"""How far to trust the verdicts on one's own series: measured on series whose truth is known."""

import numpy as np
import pytest

from afdp_exporter.impact.trust import FalseAlarms, Replay, false_alarms, placebo_instants, smallest_visible_change
from afdp_exporter.model import Floats

DAY = 86_400.0
TIMES = np.arange(0, 4 * DAY, 300.0)


def noise(seed: int, scale: float = 1.0) -> Floats:
    return np.asarray(50 + np.random.default_rng(seed).normal(0, scale, TIMES.size))


def replay(values: Floats, after: float = 3600.0) -> Replay:
    return Replay(times=TIMES, values=values, control=None, history=2 * DAY, after=after)


def test_placebos_have_history_before_and_data_after_them_and_keep_clear_of_deployments() -> None:
    known = [2.5 * DAY, 3 * DAY]
    instants = placebo_instants(TIMES, known, history=2 * DAY, after=3600, most=50)
    assert instants.size
    assert instants.min() >= 2 * DAY
    assert instants.max() <= TIMES[-1] - 3600
    assert min(abs(instant - deployed) for instant in instants for deployed in known) > 3600


@pytest.mark.parametrize("days", [0.0, 1.0])
def test_a_series_without_enough_history_has_no_placebos(days: float) -> None:
    times = TIMES[days * DAY > TIMES]
    assert placebo_instants(times, [], history=2 * DAY, after=3600, most=50).size == 0


def test_noise_alone_raises_hardly_an_alarm() -> None:
    instants = placebo_instants(TIMES, [], history=2 * DAY, after=3600, most=60)
    found = [false_alarms(replay(noise(seed)), instants) for seed in range(3)]
    assert {alarms.n for alarms in found} == {60}
    assert sum(alarms.count for alarms in found) <= 6


def test_an_alarm_is_counted_where_the_series_really_jumps_at_a_placebo() -> None:
    instants = placebo_instants(TIMES, [], history=2 * DAY, after=3600, most=3)
    jumps = noise(1) + np.where(instants[1] <= TIMES, 20.0, 0.0)
    assert false_alarms(replay(jumps), instants[1:2]) == FalseAlarms(count=1, n=1)


def test_the_smallest_visible_change_grows_with_the_noise_and_is_seen() -> None:
    instants = placebo_instants(TIMES, [], history=2 * DAY, after=3600, most=12)
    quiet, loud = (smallest_visible_change(replay(noise(2, scale)), instants) for scale in (1.0, 5.0))
    assert quiet is not None
    assert loud is not None
    assert 3 < loud / quiet < 8
    seen = [replay(noise(2)).blames(instant, 1.3 * quiet) for instant in instants]
    assert np.mean(seen) >= 0.7


def test_a_constant_series_has_no_size_to_tell() -> None:
    instants = placebo_instants(TIMES, [], history=2 * DAY, after=3600, most=5)
    assert smallest_visible_change(replay(np.full(TIMES.size, 7.0)), instants) is None
    assert smallest_visible_change(replay(noise(1)), instants[:0]) is None
