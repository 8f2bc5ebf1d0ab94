"""From a raw series to a regular grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from afdp_exporter.detectors.regular_series import RegularSeries, despike, regularize, smooth, standardise


def prepared(times: np.ndarray, values: np.ndarray, at: float, **given: object) -> RegularSeries | None:
    asked = {"finished_at": None, "control": None, "step": None, "respond_within": None, **given}
    return regularize(times, values, at, **asked)  # type: ignore[arg-type]


def test_a_short_gap_counts_as_measured_and_a_long_one_does_not() -> None:
    times = 60.0 * np.delete(np.arange(200), [*range(50, 53), *range(100, 110)])
    grid = prepared(times, np.sin(times), 9000.0)
    assert grid is not None
    assert grid.n == 200
    assert grid.measured[50:53].all()
    assert not grid.measured[100:110].any()


def test_of_two_values_at_one_time_the_last_one_counts() -> None:
    times = np.array([*(60.0 * np.arange(10)), 300.0])
    values = np.array([*np.zeros(10), 7.0])
    grid = prepared(times, values, 540.0)
    assert grid is not None
    assert grid.centre + grid.scale * grid.values[5] == pytest.approx(7.0)


def test_the_window_reaches_from_the_rollout_to_a_quarter_of_an_hour_after_its_end() -> None:
    times = 60.0 * np.arange(500)
    grid = prepared(times, np.cos(times), 24_000.0, finished_at=24_600.0)
    assert grid is not None
    assert (grid.deployed, grid.finished, grid.last_onset) == (400, 410, 425)


def test_a_slow_response_widens_the_window() -> None:
    times = 60.0 * np.arange(500)
    grid = prepared(times, np.cos(times), 24_000.0, respond_within=3600.0)
    assert grid is not None
    assert grid.last_onset == 460


@pytest.mark.parametrize("power", [-200, -10, 0, 10, 300])
def test_values_of_any_size_are_standardised_without_overflow(power: int) -> None:
    values = np.random.default_rng(1).normal(size=100)
    plain, _, scale = standardise(values, 80)
    huge, _, wide = standardise(np.ldexp(values, power), 80)
    assert huge == pytest.approx(plain)
    assert wide == pytest.approx(np.ldexp(scale, power))


def test_a_wild_point_disappears_and_a_step_stays_where_it_is() -> None:
    values = np.concatenate([np.zeros(10), np.ones(10)])
    wild = values.copy()
    wild[4] = 100.0
    assert np.array_equal(despike(wild), values)
    assert np.array_equal(despike(values), values)


def test_without_two_usable_points_there_is_no_grid() -> None:
    assert prepared(np.array([1.0]), np.array([1.0]), 1.0) is None
    assert prepared(np.arange(9.0), np.full(9, np.nan), 1.0) is None
    assert prepared(np.full(9, 5.0), np.arange(9.0), 5.0) is None


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6)))
def test_smooth_is_the_median_of_five_with_the_ends_repeated(values: np.ndarray) -> None:
    padded = np.concatenate([np.repeat(values[:1], 2), values, np.repeat(values[-1:], 2)])
    assert list(smooth(values)) == [float(np.median(padded[k : k + 5])) for k in range(len(values))]
