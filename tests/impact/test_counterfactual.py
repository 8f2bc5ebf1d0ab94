"""The course that was to be expected: held to the judgement, and to how often it holds what happens."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_traces import cold_caches

from afdp_exporter.impact import judge
from afdp_exporter.impact.counterfactual import counterfactual
from afdp_exporter.model import Floats, Trajectory

STEP = 60.0
DAY = 1440
BEFORE = 5 * DAY


@dataclass(frozen=True)
class World:
    """A series that wanders by itself around a daily rhythm; a deployment of no effect but `shift`."""

    times: Floats
    values: Floats

    @property
    def deployed_at(self) -> float:
        return float(self.times[BEFORE])

    def drawn(self, **words: object) -> Trajectory:
        finding = judge(self.times, self.values, self.deployed_at, step=STEP, **words)
        found = counterfactual(finding, "m", self.times, self.values, self.deployed_at, step=STEP, **words)
        assert found is not None
        return found


def world(seed: int, after: int, *, rhythm: float = 8.0, likeness: float = 0.7, shift: float = 0.0) -> World:
    draws = np.random.default_rng(seed).normal(0, 1, BEFORE + after)
    wander = np.zeros(BEFORE + after)
    for index in range(1, BEFORE + after):
        wander[index] = likeness * wander[index - 1] + draws[index]
    position = np.arange(BEFORE + after)
    start = 1_700_000_000 // 60 * 60
    values = 100 + wander + rhythm * np.sin(2 * np.pi * position / DAY) + shift * (position >= BEFORE)
    return World(times=start + STEP * position, values=values)


@pytest.mark.parametrize("likeness", [0.0, 0.7, 0.95])
def test_nine_of_ten_single_values_after_nothing_lie_in_the_band(likeness: float) -> None:
    inside = []
    for seed in range(40):
        found = world(seed, (15, 60, 180)[seed % 3], likeness=likeness).drawn()
        measured = np.array(found.measured[-len(found.expected) :], dtype=float) - np.array(found.expected)
        inside.append(np.mean((measured >= -found.below) & (measured <= found.above)))
    assert 0.86 <= np.mean(inside) <= 0.97


@pytest.mark.parametrize("shift", [-20.0, 0.0, 20.0])
def test_measured_less_expected_is_the_change_that_was_judged(shift: float) -> None:
    series = world(4, 90, shift=shift)
    finding, found = judge(series.times, series.values, series.deployed_at, step=STEP), series.drawn()
    assert found.level is not None
    assert found.level.measured - found.level.expected == pytest.approx(finding.change)
    assert found.level.measured - found.level.high == pytest.approx(finding.low)
    assert found.level.measured - found.level.low == pytest.approx(finding.high)
    after = np.array(found.measured[-len(found.expected) :], dtype=float)
    assert abs(float(np.mean(after - found.expected)) - shift) < 3.0


def test_what_came_and_went_is_drawn_over_the_level_before_it() -> None:
    series = world(5, 90, rhythm=0.0)
    values = series.values.copy()
    values[BEFORE + 2 : BEFORE + 8] += 40
    away = World(times=series.times, values=values)
    finding, found = judge(series.times, values, series.deployed_at, step=STEP), away.drawn()
    assert finding.verdict == "transient"
    assert found.level is not None
    assert found.level.measured - found.level.expected == pytest.approx(finding.change)
    assert abs(float(np.mean(found.expected)) - 100) < 5


def test_the_rhythm_of_the_day_is_followed() -> None:
    found = world(6, 180, rhythm=60.0, likeness=0.0).drawn()
    after = np.array(found.measured[-len(found.expected) :], dtype=float)
    assert np.ptp(found.expected) > 25
    assert np.abs(after - found.expected).mean() < 4


def test_the_control_is_followed_as_far_as_it_explained_the_series_before() -> None:
    series = world(7, 120, rhythm=0.0, likeness=0.0)
    common = np.cumsum(np.random.default_rng(70).normal(0, 1, series.times.size))
    both = World(times=series.times, values=series.values + 2 * common)
    with_control, alone = both.drawn(control=common + 50), both.drawn()
    after = np.array(alone.measured[-len(alone.expected) :], dtype=float)
    misses = [np.std(after - found.expected) for found in (with_control, alone)]
    assert misses[0] < 0.6 * misses[1]


def test_a_gap_stays_a_gap_and_a_shift_of_an_earlier_deployment_is_shown_as_measured() -> None:
    series = world(8, 60, rhythm=0.0, likeness=0.0)
    values = series.values.copy()
    values[: BEFORE - 40] -= 50
    values[BEFORE - 20 : BEFORE - 10] = np.nan
    found = World(times=series.times, values=values).drawn(earlier_deployments=(float(series.times[BEFORE - 40]),))
    first = len(found.measured) - len(found.expected)
    assert found.measured[first - 20 : first - 10] == (None,) * 10
    assert float(found.measured[0] or 0) < 60 < float(found.measured[first - 1] or 0)


@pytest.mark.parametrize("known", [0, 1, 5, 30])
def test_with_too_little_to_judge_the_series_is_shown_and_nothing_is_expected_of_it(known: int) -> None:
    series = world(9, 30)
    few = World(
        times=series.times, values=np.where(np.arange(series.times.size) >= BEFORE - known, series.values, np.nan)
    )
    if known < 20:
        found = few.drawn()
        assert (found.expected, found.level) == ((), None)
        assert len(found.measured) >= 30
    silent = judge([], [], 0.0)
    assert counterfactual(silent, "m", [], [], 0.0) is None


@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=0, max_size=80),
    at=st.integers(-5, 90),
    scale=st.sampled_from([1e-300, 1.0, 1e250]),
)
def test_whatever_was_measured_every_figure_is_finite(values: list[float], at: int, scale: float) -> None:
    times = STEP * np.arange(len(values))
    with np.errstate(all="ignore"):
        data = np.asarray(values, dtype=float) * scale
        finding = judge(times, data, at * STEP, step=STEP)
        found = counterfactual(finding, "m", times, data, at * STEP, step=STEP)
    if found is None:
        return
    level = (found.level.measured, found.level.expected, found.level.low, found.level.high) if found.level else ()
    figures = [value for value in found.measured if value is not None]
    assert np.isfinite([*figures, *found.expected, found.below, found.above, *level]).all()
    assert len(found.expected) <= len(found.measured)


def test_what_usually_follows_a_deployment_is_expected_after_this_one() -> None:
    row = cold_caches(np.random.default_rng(41), earlier=10)
    known = {"earlier_deployments": row.deployments[:-1]}
    finding = judge(row.times, row.values, row.deployments[-1], **known)
    assert finding.usual is not None
    drawn = counterfactual(finding, "m", row.times, row.values, row.deployments[-1], **known)
    assert drawn is not None
    spike, later = drawn.expected[1], drawn.expected[15]
    assert spike - later == pytest.approx(finding.usual.change, rel=0.5)
    assert drawn.level is not None
    assert drawn.level.measured - drawn.level.expected == pytest.approx(finding.change, abs=1e-6)
