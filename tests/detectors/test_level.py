"""How far the level moved, against how far it moves by itself."""

import numpy as np
import pytest

from afdp_exporter.detectors.level import level_shifts, steps_at_onsets
from afdp_exporter.detectors.regular_series import regularize
from tests.detectors.conftest import GridMaker, alone, lasting


def test_a_large_shift_is_unusual_and_has_its_size(grid: GridMaker) -> None:
    made = grid(1, lasting(6.0))
    found = alone(level_shifts, made)
    assert found is not None
    assert found.p_value < 0.02
    assert found.change * made.scale == pytest.approx(6.0, abs=1.5)


def test_placebo_p_values_are_small_about_as_rarely_as_they_say(grid: GridMaker) -> None:
    found = [alone(level_shifts, grid(seed)) for seed in range(150)]
    p_values = np.array([each.p_value for each in found if each is not None])
    assert len(p_values) == 150
    assert (p_values < 0.05).mean() <= 0.1
    assert (p_values < 0.5).mean() >= 0.3


def test_the_interval_of_a_step_at_its_onset_holds_the_truth_nine_times_in_ten(grid: GridMaker) -> None:
    held = []
    for seed in range(120):
        made = grid(seed, lasting(5.0))
        (found,) = steps_at_onsets([made], [540])
        assert found is not None
        held.append(abs(found.change * made.scale - 5.0) <= found.half_width() * made.scale)
    assert 0.82 <= np.mean(held) <= 1.0


def test_a_daily_rhythm_is_expected_and_not_unusual(grid: GridMaker) -> None:
    n = 2400
    rhythm = 30.0 * np.sin(2 * np.pi * np.arange(n) / 288)
    p_values = [
        found.p_value for seed in range(30) if (found := alone(level_shifts, grid(seed, rhythm, n=n))) is not None
    ]
    assert (np.array(p_values) < 0.05).mean() <= 0.15


def test_too_short_a_history_has_no_placebos(grid: GridMaker) -> None:
    assert alone(level_shifts, grid(1, n=75)) is None


def test_steps_that_a_series_makes_by_itself_are_as_unusual_as_they_are_rare() -> None:
    p_values = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        n, at = 3 * 1440, 3 * 1440 - 30
        places = [*rng.integers(0, at - 30, 20), at + 2]  # an instance more or fewer, seven times a day
        values = 14.0 + sum(float(rng.choice([-1.0, 1.0])) * (np.arange(n) >= place) for place in places)
        made = regularize(
            60.0 * np.arange(n), values + rng.normal(0.0, 0.01, n), 60.0 * at, finished_at=None, control=None,
            step=None, respond_within=None,
        )  # fmt: skip
        assert made is not None
        found = alone(level_shifts, made)
        assert found is not None
        p_values.append(found.p_value)
    assert min(p_values) >= 0.01
