"""The smallest change that a check would find."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdp_exporter.impact import Finding, judge

STEP = 60.0
BEFORE, AFTER = 600, 60


def judged(seed: int, by: float = 0.0, unit: float = 1.0) -> Finding:
    """A deployment on noise that resembles itself, with a lasting change of so much."""
    rng = np.random.default_rng(seed)
    times = STEP * np.arange(BEFORE + AFTER)
    values = 50.0 + np.convolve(rng.normal(0.0, 1.0, times.size), 0.5 ** np.arange(6), "full")[: times.size]
    return judge(times, unit * (values + np.where(times >= times[BEFORE], by, 0.0)), times[BEFORE])


def found_at(multiple: float, seeds: range) -> float:
    """The share that is found of changes of so many times the smallest one."""
    sizes = {seed: judged(seed).minimum_detectable_effect for seed in seeds}
    return float(np.mean([judged(seed, multiple * size).attributed for seed, size in sizes.items() if size]))


def test_four_of_five_changes_of_that_size_are_found_and_few_of_half_of_it() -> None:
    assert 0.7 <= found_at(1.0, range(60)) <= 1.0
    assert found_at(0.4, range(60)) <= 0.5


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1_000), unit=st.floats(1e-6, 1e6))
def test_it_is_in_the_unit_of_the_metric(seed: int, unit: float) -> None:
    plain, other = judged(seed).minimum_detectable_effect, judged(seed, unit=unit).minimum_detectable_effect
    assert plain is not None
    assert other == pytest.approx(unit * plain, rel=1e-6)


def test_there_is_none_where_nothing_could_be_measured() -> None:
    times = STEP * np.arange(12)
    assert judge(times, np.random.default_rng(1).normal(size=12), times[8]).minimum_detectable_effect is None
