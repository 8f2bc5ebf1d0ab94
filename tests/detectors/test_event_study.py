"""What follows every deployment alike, found from the earlier ones."""

import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.detectors.event_study import (
    _is_further,
    _nan_medians,
    _natural_contrast,
    stack_epochs,
    usual_responses,
)
from afdp_exporter.detectors.panel import Panel
from afdp_exporter.detectors.regular_series import cumulative_sums
from tests.detectors.conftest import GridMaker, alone

PLACES = (60, 140, 220, 300, 380, 460)


def times(places: tuple[int, ...] = PLACES) -> list[float]:
    """The Unix times of deployments just before these positions."""
    return [1_700_000_000.0 + 300.0 * place for place in places]


def spikes(height: float, length: int, places: tuple[int, ...] = (*PLACES, 540)) -> np.ndarray:
    """A spike after each deployment."""
    added = np.zeros(600)
    for place in places:
        added[place : place + length] += height
    return added


def test_a_spike_after_every_deployment_is_usual_with_its_height_and_length(grid: GridMaker) -> None:
    series = grid(1, spikes(9.0, 6))
    found = alone(partial(usual_responses, earlier=times()), series)
    assert found is not None
    assert (found.count, found.compared) == (6, 6)
    assert not found.restarts
    assert found.height * series.scale == pytest.approx(9.0, abs=1.5)
    assert 6 <= found.length <= 9


@pytest.mark.parametrize("followed", [0, 2])
def test_what_followed_few_of_them_is_not(grid: GridMaker, followed: int) -> None:
    found = [
        alone(partial(usual_responses, earlier=times()), grid(seed, spikes(9.0, 6, PLACES[:followed])))
        for seed in range(30)
    ]
    assert sum(each is not None for each in found) <= 2


def test_three_deployments_are_too_few(grid: GridMaker) -> None:
    assert alone(partial(usual_responses, earlier=times(PLACES[:3])), grid(1, spikes(9.0, 6))) is None
    assert stack_epochs(Panel.of([grid(1)]), times(PLACES[:3])) is None


def test_a_value_that_starts_again_is_known_as_such(grid: GridMaker) -> None:
    starts = np.zeros(600)
    edges = [0, *PLACES, 540, 600]
    for first, last in itertools.pairwise(edges):
        starts[first:last] = 0.4 * np.arange(last - first)
    found = alone(partial(usual_responses, earlier=times()), grid(2, starts))
    assert found is not None
    assert found.restarts


def test_a_level_that_stays_raised_is_no_response(grid: GridMaker) -> None:
    stairs = sum(6.0 * (np.arange(600) >= place) for place in PLACES)
    assert alone(partial(usual_responses, earlier=times()), grid(3, stairs)) is None


def test_an_epoch_ends_where_the_next_deployment_begins(grid: GridMaker) -> None:
    known = stack_epochs(Panel.of([grid(4)]), times())
    assert known is not None
    assert np.isfinite(known.after[0]).sum(axis=1).tolist() == [79, 79, 79, 79, 79, 79]


@given(st.integers(0, 10_000), st.sampled_from([1, 5, 40]), st.floats(0.5, 4.0))
def test_a_few_stretches_say_only_what_all_of_them_say(seed: int, length: int, contrast: float) -> None:
    values = np.convolve(np.random.default_rng(seed).standard_t(3.0, 900), [0.6, 0.3, 0.1], "same")
    totals, at = cumulative_sums(values), np.arange(20, 900 - length)
    if _is_further(totals, at, length, contrast):
        assert _natural_contrast(totals, at, length) >= contrast


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_medians_of_what_is_known_are_those_of_numpy(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, 30))
    table[1:][rng.random((rows - 1, 30)) < 0.4] = np.nan
    np.testing.assert_array_equal(_nan_medians(table), np.nanmedian(table, axis=0))
