"""One metric of a canary beside the stable version."""

from dataclasses import replace

import numpy as np
import pytest

from afdp_exporter.gate.canary import CanarySeries, compare
from afdp_exporter.model import CanaryVerdict, Worse


def means(shift: float, *, minutes: int = 60, seed: int = 1, **words: object) -> CanarySeries:
    """A latency around 200 ms with noise of 10 ms a minute in the canary."""
    chance = np.random.default_rng(seed)
    common = chance.normal(0, 5, minutes)
    plain = CanarySeries(
        metric="latency_milliseconds", worse=Worse.UP,
        canary=200 + shift + common + chance.normal(0, 10, minutes), stable=200 + common + chance.normal(0, 1, minutes),
        stable_history=200 + chance.normal(0, 5, 600), worth=10.0,
    )  # fmt: skip
    return replace(plain, **words)


def counts(times: float, *, minutes: int = 60, seed: int = 2, rate: float = 1.0, **words: object) -> CanarySeries:
    """Errors among 1,000 requests a minute, 1 % of them to the canary, `rate` errors a minute expected there."""
    chance = np.random.default_rng(seed)
    plain = CanarySeries(
        metric="errors_total", worse=Worse.UP,
        canary=chance.poisson(rate * times, minutes).astype(float),
        stable=chance.poisson(99 * rate, minutes).astype(float),
        canary_of=np.full(minutes, 10.0), stable_of=np.full(minutes, 990.0),
        stable_history=chance.poisson(99 * rate, 480).astype(float), history_of=np.full(480, 990.0),
    )  # fmt: skip
    return replace(plain, **words)


def test_a_shift_that_matters_is_worse_and_its_range_holds_it() -> None:
    found = compare(means(30.0))
    assert found.verdict is CanaryVerdict.WORSE
    assert found.difference is not None
    assert found.difference.low < 30.0 < found.difference.high
    assert found.harm_ratio is not None
    assert found.harm_ratio > 0.99


def test_a_change_that_matters_is_ruled_out_where_there_is_none() -> None:
    assert compare(means(0.0, minutes=120)).verdict is CanaryVerdict.SAME


def test_too_few_minutes_are_undecided_and_say_when_it_can_be_decided() -> None:
    found = compare(means(30.0, minutes=4))
    assert found.verdict is CanaryVerdict.UNDECIDED
    assert found.decidable_in_seconds == 6 * 60
    assert "4 of 10 minutes" in found.reason


def test_an_improvement_is_better() -> None:
    assert compare(means(-30.0)).verdict is CanaryVerdict.BETTER
    assert compare(means(-30.0, worse=Worse.DOWN)).verdict is CanaryVerdict.WORSE


def test_cold_caches_of_every_canary_are_not_held_against_this_one() -> None:
    warming = 100 * np.exp(-np.arange(60) / 20.0)
    earlier = tuple(warming + np.random.default_rng(seed).normal(0, 10, 60) for seed in range(8))
    cold = means(0.0)
    cold = replace(cold, canary=cold.canary + warming)
    assert compare(cold).verdict is CanaryVerdict.UNDECIDED  # what fades is no level that could be compared
    assert compare(replace(cold, earlier=earlier)).verdict is not CanaryVerdict.WORSE
    slower = replace(cold, canary=cold.canary + 30.0, earlier=earlier)
    assert compare(slower).verdict is CanaryVerdict.WORSE


def test_a_doubled_error_is_found_and_an_equal_one_is_not() -> None:
    assert compare(counts(2.0)).verdict is CanaryVerdict.WORSE
    assert compare(counts(1.0)).verdict is not CanaryVerdict.WORSE


def test_a_rare_error_cannot_be_decided_and_the_answer_says_in_how_long() -> None:
    found = compare(counts(1.0, minutes=10, rate=0.02))
    assert found.verdict is CanaryVerdict.UNDECIDED
    assert found.decidable_in_seconds is not None
    assert found.decidable_in_seconds > 3600


def test_nothing_counted_is_no_verdict() -> None:
    nothing = counts(1.0, canary_of=np.zeros(60), canary=np.zeros(60))
    assert compare(nothing).verdict is CanaryVerdict.UNDECIDED


@pytest.mark.parametrize("series", [means(5.0), counts(1.5)])
def test_gaps_are_left_out(series: CanarySeries) -> None:
    holes = np.where(np.arange(60) % 7 == 3, np.nan, 1.0)
    found = compare(replace(series, canary=series.canary * holes))
    assert found.minutes == int(np.isfinite(holes).sum())
    assert found.difference is not None
    assert np.isfinite([found.difference.low, found.difference.median, found.difference.high]).all()
