"""When the level moved.

A drift after the deployment, or a step at another time?
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.detectors.changepoint import (
    Segment,
    best_splits,
    changepoint_posteriors,
    extract,
    extract_raw,
    kernel_changepoints,
    ramp_preferred_to_step,
)
from afdp_exporter.detectors.panel import Panel
from tests.detectors.conftest import GridMaker, lasting


@pytest.mark.parametrize("late", [0, 1, 3])
def test_a_clear_step_is_found_where_it_is(grid: GridMaker, late: int) -> None:
    found = changepoint_posteriors(extract(Panel.of([grid(2, lasting(8.0, 540 + late))])))[0]
    assert found is not None
    assert abs(found.position - 540 - late) <= 1
    assert found.low <= found.position <= found.high
    assert found.share > 0.9


@pytest.mark.parametrize("elsewhere", [500, 520, 560, 575])
def test_a_step_at_another_time_leaves_no_share_for_the_window(grid: GridMaker, elsewhere: int) -> None:
    found = changepoint_posteriors(extract(Panel.of([grid(3, lasting(8.0, elsewhere))])))[0]
    assert found is not None
    assert found.share < 0.05
    assert abs(found.likeliest - elsewhere) <= 2


def test_noise_does_not_put_the_onset_into_the_window_more_often_than_chance(grid: GridMaker) -> None:
    found = [changepoint_posteriors(extract(Panel.of([grid(seed)])))[0] for seed in range(100)]
    assert np.mean([each.share for each in found if each is not None]) < 0.2


def test_a_changepoint_is_seen_at_a_step_and_rarely_in_noise(grid: GridMaker) -> None:
    there = kernel_changepoints(extract_raw(Panel.of([grid(4, lasting(8.0))])))[0]
    assert there is not None
    assert abs(there.position - 540) <= 2
    noise = [kernel_changepoints(extract_raw(Panel.of([grid(seed)])))[0] is not None for seed in range(60)]
    assert np.mean(noise) < 0.3


@given(seed=st.integers(0, 2**31), length=st.integers(3, 90), window=st.tuples(st.integers(-3, 95), st.integers(0, 40)))
def test_the_best_split_is_where_the_onset_is_put(seed: int, length: int, window: tuple[int, int]) -> None:
    values = np.random.default_rng(seed).normal(size=length)
    path = Segment(begin=7, values=values[None], first=window[0], last=window[0] + window[1])
    found = changepoint_posteriors(path)[0]
    split = best_splits(path)
    assert (None if split is None else split[0]) == (None if found is None else found.position)


LENGTH, FIRST, LAST = 240, 120, 136


def path(course: np.ndarray, seed: int) -> Segment:
    noise = np.random.default_rng(seed).standard_normal(LENGTH)
    return Segment(begin=0, values=(course + noise)[None], first=FIRST, last=LAST)


@pytest.mark.parametrize("length", [20, 50, 100])
def test_a_ramp_that_begins_in_the_window_is_a_drift(length: int) -> None:
    course = 5.0 * np.clip((np.arange(LENGTH) - FIRST - 5) / length, 0.0, 1.0)
    assert sum(ramp_preferred_to_step(path(course, seed)) for seed in range(40)) >= 36


@pytest.mark.parametrize("at", [60, 100, 114, 165, 190])
def test_a_step_at_another_time_is_none(at: int) -> None:
    course = 5.0 * (np.arange(LENGTH) >= at)
    assert sum(ramp_preferred_to_step(path(course, seed)) for seed in range(40)) <= 4


def test_a_path_without_room_after_the_deployment_shows_nothing() -> None:
    assert not ramp_preferred_to_step(Segment(begin=0, values=np.arange(10.0)[None], first=7, last=9))
    assert not ramp_preferred_to_step(Segment(begin=0, values=np.arange(10.0)[None], first=9, last=9))
