"""Samples that a source repeats are found, and nothing else is taken for repetition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.detectors.sampling import drop_stale_samples, sampling_interval


@given(st.integers(1, 12), st.integers(0, 11), st.integers(0, 2**32 - 1))
def test_the_rhythm_of_new_samples_is_found_wherever_it_begins(stride: int, first: int, seed: int) -> None:
    samples = np.random.default_rng(seed).normal(size=60)
    course = np.repeat(samples, stride)[(stride - first) % stride :]
    assert sampling_interval([course]) == (stride, first % stride)


def test_gaps_and_calm_series_do_not_hide_it() -> None:
    course = np.repeat(np.random.default_rng(3).normal(size=200), 5)
    course[300:325] = np.nan
    calm = np.repeat([0.0, 1.0], [417, 583])
    assert sampling_interval([course, calm]) == (5, 0)


@pytest.mark.parametrize("other", [1, 3])
def test_series_of_different_rhythms_keep_the_finest(other: int) -> None:
    chance = np.random.default_rng(4)
    coarse, fine = np.repeat(chance.normal(size=60), 5), np.repeat(chance.normal(size=300), other)[:300]
    assert sampling_interval([coarse, fine]) == (1, 0)


def test_a_count_that_rarely_changes_says_nothing_about_it() -> None:
    replicas = np.repeat([2.0, 3.0, 2.0, 4.0], [120, 60, 240, 180])
    assert sampling_interval([replicas]) is None


@pytest.mark.parametrize("step", [15.0, 30.0, 60.0])
def test_a_last_sample_that_the_server_repeats_is_counted_once(step: float) -> None:
    values = np.random.default_rng(5).normal(size=500)
    repeats = int(300.0 / step)
    times = step * np.arange(500 + repeats)
    measured = drop_stale_samples(times, np.concatenate([values, np.full(repeats, values[-1])]))
    assert np.array_equal(measured[:500], values)
    assert np.isnan(measured[500:]).all()


@pytest.mark.parametrize(
    "end",
    [
        np.zeros(20),  # an outage: the series has never been at zero
        np.full(40, 5.0),  # longer than any lookback
        np.repeat([4.0, 6.0], 3),  # a gauge that often stays
    ],
)
def test_what_is_measured_again_and_again_stays(end: np.ndarray) -> None:
    before = np.repeat(np.random.default_rng(6).integers(3, 8, 200).astype(float), 3)
    values = np.concatenate([before, end])
    assert np.array_equal(drop_stale_samples(15.0 * np.arange(len(values)), values), values)


def test_what_has_no_time_repeats_nothing() -> None:
    times, values = np.full(30, -8e307), np.ones(30)
    times[-1], values[0] = 1e308, 0.0
    assert np.array_equal(drop_stale_samples(times, values), values)
