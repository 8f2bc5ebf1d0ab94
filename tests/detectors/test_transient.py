"""What left its level and came back."""

import numpy as np
import pytest

from afdp_exporter.detectors.transient import find_transients
from afdp_exporter.detectors.variance import variance_changes
from afdp_exporter.impact.attribution import TRANSIENT_RARITY
from tests.detectors.conftest import GridMaker, alone, lasting


@pytest.mark.parametrize("length", [3, 6, 12])
def test_an_excursion_is_found_with_its_beginning_and_its_end(grid: GridMaker, length: int) -> None:
    found = alone(find_transients, grid(5, lasting(12.0, 541) - lasting(12.0, 541 + length)))
    assert found is not None
    assert found.rarity > TRANSIENT_RARITY
    assert abs(found.begin - 541) <= 1
    assert abs(found.end - 541 - length) <= 2


def test_a_lasting_shift_is_no_excursion(grid: GridMaker) -> None:
    rare = [
        found.rarity > 1.8
        for seed in range(60)
        if (found := alone(find_transients, grid(seed, lasting(8.0)))) is not None
    ]
    assert sum(rare) <= 3


def test_a_single_wild_point_must_be_rarer_than_a_stretch(grid: GridMaker) -> None:
    point = alone(find_transients, grid(5, lasting(12.0, 541) - lasting(12.0, 542)))
    stretch = alone(find_transients, grid(5, lasting(12.0, 541) - lasting(12.0, 544)))
    assert point is not None
    assert stretch is not None
    assert point.end - point.begin == 1
    assert point.rarity < 0.7 * stretch.rarity


def test_noise_has_few_rare_excursions(grid: GridMaker) -> None:
    rare = [
        (found := alone(find_transients, grid(seed))) is not None and found.rarity > TRANSIENT_RARITY
        for seed in range(100)
    ]
    assert np.mean(rare) <= 0.05


def test_a_grown_spread_is_found_and_an_excursion_or_a_shift_is_none(grid: GridMaker) -> None:
    rng = np.random.default_rng(6)
    wider = np.where(np.arange(600) >= 540, rng.normal(0.0, 4.0, 600), 0.0)
    grown = alone(variance_changes, grid(6, wider), None)
    assert grown is not None
    assert grown.low < grown.ratio < grown.high
    assert grown.p_value < 0.05
    shifted = alone(variance_changes, grid(6, lasting(10.0)), None)
    assert shifted is not None
    assert shifted.p_value > 0.12
    away = grid(6, lasting(15.0, 541) - lasting(15.0, 545))
    calm = alone(variance_changes, away, alone(find_transients, away))
    assert calm is not None
    assert calm.p_value > 0.12
