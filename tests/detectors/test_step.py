"""The largest step near the deployment, beside the steps that the series makes by itself."""

import numpy as np

from afdp_exporter.detectors.step import local_steps
from tests.detectors.conftest import GridMaker, alone, lasting


def test_a_step_stands_out_from_noise_at_every_length(grid: GridMaker) -> None:
    found = alone(local_steps, grid(1, lasting(12.0)))
    assert found is not None
    assert found.any_length > 2.0
    assert found.longest > 2.0


def test_noise_makes_no_larger_steps_near_the_deployment_than_elsewhere(grid: GridMaker) -> None:
    sizes = [found.longest for seed in range(60) if (found := alone(local_steps, grid(seed))) is not None]
    assert len(sizes) == 60
    assert np.mean(np.array(sizes) > 1.0) < 0.15


def test_a_step_long_before_the_window_does_not_count(grid: GridMaker) -> None:
    calm, elsewhere = alone(local_steps, grid(2)), alone(local_steps, grid(2, lasting(12.0, 470)))
    assert calm is not None
    assert elsewhere is not None
    assert elsewhere.any_length < max(1.0, 1.2 * calm.any_length)


def test_a_series_full_of_steps_makes_one_more_unremarkable(grid: GridMaker) -> None:
    stairs = 12.0 * (np.arange(600) // 20 % 2)
    found = alone(local_steps, grid(3, stairs))
    assert found is not None
    assert found.any_length < 1.5


def test_too_little_history_says_nothing(grid: GridMaker) -> None:
    assert alone(local_steps, grid(4, n=70)) is None
