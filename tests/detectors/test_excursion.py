"""How high an excursion was, and how long it lasted."""

import numpy as np
import pytest

from afdp_exporter.detectors.excursion import Excursion, excursion
from afdp_exporter.detectors.grid import prepare

BEFORE, AFTER = 1440, 120
TIMES = 60.0 * np.arange(BEFORE + AFTER)


def found(course: np.ndarray, seed: int) -> tuple[Excursion | None, float]:
    """The excursion on noise of standard deviation 1, and what one unit is in its own."""
    values = 50.0 + course + np.random.default_rng(seed).standard_normal(BEFORE + AFTER)
    grid = prepare(TIMES, values, TIMES[BEFORE], finished_at=None, control=None, step=60.0, respond_within=None)
    assert grid is not None
    return excursion(grid), grid.scale


@pytest.mark.parametrize("length", [1, 7, 10, 20])
@pytest.mark.parametrize("height", [30.0, -30.0])
def test_a_box_is_measured_with_its_height_and_its_length(length: int, height: float) -> None:
    course = np.zeros(BEFORE + AFTER)
    course[BEFORE + 3 : BEFORE + 3 + length] = height
    for seed in range(10):
        away, unit = found(course, seed)
        assert away is not None
        assert (away.begin, away.end) == (BEFORE + 3, BEFORE + 3 + length)
        assert away.height * unit == pytest.approx(height, abs=2.5)


def test_a_hump_lasts_until_it_is_back() -> None:
    course = np.zeros(BEFORE + AFTER)
    course[BEFORE + 3 : BEFORE + 15] = 90.0 * np.sin(np.pi * (np.arange(12) + 0.5) / 12)
    for seed in range(10):
        away, _ = found(course, seed)
        assert away is not None
        assert abs(away.begin - (BEFORE + 3)) <= 1
        assert abs(away.end - (BEFORE + 15)) <= 1


@pytest.mark.parametrize("length", [5, 12])
def test_the_interval_holds_the_true_height_about_nine_times_in_ten(length: int) -> None:
    course = np.zeros(BEFORE + AFTER)
    course[BEFORE + 2 : BEFORE + 2 + length] = 12.0
    held = 0
    for seed in range(100):
        away, unit = found(course, seed)
        held += away is not None and abs(away.height * unit - 12.0) <= away.error * unit
    assert held >= 84
