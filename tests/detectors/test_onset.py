"""When the level moved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.detectors.onset import Path, around, around_raw, best_split, changepoint, locate
from tests.detectors.conftest import GridMaker, lasting


@pytest.mark.parametrize("late", [0, 1, 3])
def test_a_clear_step_is_found_where_it_is(grid: GridMaker, late: int) -> None:
    found = locate(around(grid(2, lasting(8.0, 540 + late))))
    assert found is not None
    assert abs(found.position - 540 - late) <= 1
    assert found.low <= found.position <= found.high
    assert found.share > 0.9


@pytest.mark.parametrize("elsewhere", [500, 520, 560, 575])
def test_a_step_at_another_time_leaves_no_share_for_the_window(grid: GridMaker, elsewhere: int) -> None:
    found = locate(around(grid(3, lasting(8.0, elsewhere))))
    assert found is not None
    assert found.share < 0.05
    assert abs(found.likeliest - elsewhere) <= 2


def test_noise_does_not_put_the_onset_into_the_window_more_often_than_chance(grid: GridMaker) -> None:
    found = [locate(around(grid(seed))) for seed in range(100)]
    assert np.mean([each.share for each in found if each is not None]) < 0.2


def test_a_changepoint_is_seen_at_a_step_and_rarely_in_noise(grid: GridMaker) -> None:
    there = changepoint(around_raw(grid(4, lasting(8.0))))
    assert there is not None
    assert abs(there.position - 540) <= 2
    noise = [changepoint(around_raw(grid(seed))) is not None for seed in range(60)]
    assert np.mean(noise) < 0.3


@given(seed=st.integers(0, 2**31), length=st.integers(3, 90), window=st.tuples(st.integers(-3, 95), st.integers(0, 40)))
def test_the_best_split_is_where_the_onset_is_put(seed: int, length: int, window: tuple[int, int]) -> None:
    values = np.random.default_rng(seed).normal(size=length)
    path = Path(begin=7, values=values, first=window[0], last=window[0] + window[1])
    found = locate(path)
    assert best_split(path) == (None if found is None else found.position)
