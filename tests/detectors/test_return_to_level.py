"""When a series that was moved is back: where the planted return is, and none where there is none."""

import numpy as np
import pytest

from afdp_exporter.detectors.return_to_level import return_by_itself, return_within

SIZE = 6.0


def moved(seed: int, back: int | None, *, n: int = 900, at: int = 540) -> np.ndarray:
    """White noise that a deployment moved by SIZE, until it was back."""
    values = np.random.default_rng(seed).normal(size=n)
    values[at : n if back is None else back] += SIZE
    return values


@pytest.mark.parametrize("back", [600, 700, 850])
def test_a_return_is_found_at_its_place(back: int) -> None:
    found = return_by_itself(moved(back, back), 540, SIZE, deployed=540, until=900)
    assert found is not None
    assert abs(found.position - back) <= 1
    assert found.share == pytest.approx(1.0, abs=0.15)


def test_what_stays_has_no_return() -> None:
    found = [return_by_itself(moved(seed, None), 540, SIZE, deployed=540, until=900) for seed in range(100)]
    assert not any(found)


def test_what_goes_away_again_after_a_moment_is_not_back() -> None:
    values = moved(1, None)
    values[650:670] -= SIZE
    assert return_by_itself(values, 540, SIZE, deployed=540, until=900) is None


def test_a_return_half_way_counts_where_a_deployment_explains_it_and_not_by_itself() -> None:
    values = moved(2, None)
    values[700:] -= 0.55 * SIZE
    assert return_by_itself(values, 540, SIZE, deployed=540, until=900) is None
    found = return_within(values, 540, SIZE, np.ones(6), first=697, until=900)
    assert found is not None
    assert abs(found.position - 700) <= 1


def test_a_deployment_without_a_return_in_its_window_explains_none() -> None:
    assert return_within(moved(3, 700), 540, SIZE, np.ones(6), first=640, until=690) is None


def test_gaps_are_left_out() -> None:
    values = moved(4, 700)
    values[690:699] = np.nan
    found = return_by_itself(values, 540, SIZE, deployed=540, until=900)
    assert found is not None
    assert 689 <= found.position <= 701
