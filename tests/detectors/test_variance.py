"""Whether values scatter more after the deployment, against known ratios."""

import numpy as np
import pytest

from afdp_exporter.detectors.variance import variance_changes
from tests.detectors.conftest import GridMaker, alone, lasting


def noise(seed: int, sd: float, at: int = 540, n: int = 600) -> np.ndarray:
    """More noise from a position on."""
    return np.where(np.arange(n) >= at, np.random.default_rng(1000 + seed).normal(0.0, sd, n), 0.0)


def test_nine_of_ten_intervals_hold_the_true_ratio(grid: GridMaker) -> None:
    sd = 4.0
    before = 1.0 / (1.0 - 0.25) * (1.0 - 0.5)  # half the variance of the steps of an AR(1) with 0.5, one step apart
    wider = 1.0 / (1.0 - 0.25) * (1.0 - 0.25)
    steps = 0.5 * (np.sqrt((before + sd**2) / before) + np.sqrt((wider + sd**2) / wider))
    found = [alone(variance_changes, grid(seed, noise(seed, sd)), None) for seed in range(60)]
    held = [each.low <= steps <= each.high for each in found if each is not None]
    assert len(held) == 60
    assert np.mean(held) >= 0.85


@pytest.mark.parametrize("added", [lasting(6.0), np.linspace(0.0, 4.0, 600)])
def test_a_shift_or_a_drift_of_the_level_is_no_change_of_scatter(grid: GridMaker, added: np.ndarray) -> None:
    plain, moved = (alone(variance_changes, grid(3, each), None) for each in (0.0, added))
    assert plain is not None
    assert moved is not None
    assert moved.ratio == pytest.approx(plain.ratio, rel=0.25)
    assert moved.p_value > 0.1


def test_placebos_are_rarely_taken_for_a_change(grid: GridMaker) -> None:
    p_values = [
        found.p_value for seed in range(150) if (found := alone(variance_changes, grid(seed), None)) is not None
    ]
    assert np.mean(np.array(p_values) < 0.1) <= 0.1


def test_the_unit_of_the_series_does_not_matter(grid: GridMaker) -> None:
    small, large = (alone(variance_changes, grid(4, unit * noise(4, 3.0), noise=unit), None) for unit in (1.0, 1000.0))
    assert small is not None
    assert large is not None
    assert small.ratio == pytest.approx(large.ratio)


def test_what_never_scatters_has_no_ratio(grid: GridMaker) -> None:
    assert alone(variance_changes, grid(5, noise=0.0), None) is None
