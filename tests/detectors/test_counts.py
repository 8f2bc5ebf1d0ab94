"""Sparse events, counted in a known denominator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdp_exporter.detectors.counts import CountShift, count_shift, exposure_in_events
from afdp_exporter.detectors.regular_series import regularize
from afdp_exporter.impact import judge

N, AT = 3_000, 2_940
TIMES = 1_700_000_000.0 + 60.0 * np.arange(N)
HISTORY = np.arange(N) < AT


def events(rng: np.random.Generator, before: float, after: float, requests: float = 60.0) -> tuple[np.ndarray, ...]:
    """Events and requests of each minute."""
    of = rng.poisson(requests, N).astype(float)
    return rng.binomial(of.astype(int), np.where(HISTORY, before, after)).astype(float), of


def shift(found: np.ndarray, of: np.ndarray) -> CountShift | None:
    ratio = found / of
    exposure = exposure_in_events(ratio, of, HISTORY)
    grid = regularize(
        TIMES, ratio, float(TIMES[AT]), finished_at=None, control=None, step=60.0, respond_within=None,
        exposure=exposure,
    )  # fmt: skip
    assert grid is not None
    return count_shift(grid)


@pytest.mark.parametrize("factor", [1.0, 1.0 / 60.0, 60.0], ids=["counts", "rates", "sixty times"])
@pytest.mark.parametrize("window", [1, 4], ids=["apart", "overlapping"])
@pytest.mark.parametrize("successes", [False, True])
def test_denominators_are_in_units_of_one_event_whatever_the_query_measures(
    factor: float, window: int, successes: bool
) -> None:
    found, of = events(np.random.default_rng(3), 0.001, 0.001)
    kernel = factor * np.ones(window) / window
    found, of = (np.convolve(each, kernel)[:N] for each in (found, of))
    ratio = found / of
    exposure = exposure_in_events(1.0 - ratio if successes else ratio, of, HISTORY)
    assert exposure is not None
    counted, true = float((ratio * exposure).sum()), found.sum() / factor
    assert 0.8 * true <= counted <= 1.25 * true


def test_denominators_that_are_not_known_are_taken_to_be_alike() -> None:
    found, of = events(np.random.default_rng(3), 0.001, 0.01, requests=40.0)
    exposure = exposure_in_events(found / of, None, HISTORY)
    assert exposure is not None
    assert len(np.unique(exposure)) == 1
    assert exposure[0] == pytest.approx(40.0, rel=0.3)


@pytest.mark.parametrize(("scale", "before"), [(100.0, 0.001), (1.0, 0.0)], ids=["no share", "no event before"])
def test_without_denominators_only_shares_with_some_events_before_are_counted(scale: float, before: float) -> None:
    found, of = events(np.random.default_rng(3), before, 0.1, requests=10.0)
    assert exposure_in_events(scale * found / of, None, HISTORY) is None


@pytest.mark.parametrize(("before", "after"), [(0.0005, 0.01), (0.9999, 0.98)])
def test_a_sparse_ratio_whose_requests_are_not_known_is_found(before: float, after: float) -> None:
    hits = 0
    for seed in range(20):
        found, of = events(np.random.default_rng(seed), before, after, requests=30.0)
        finding = judge(TIMES, found / of, float(TIMES[AT]), step=60.0)
        hits += finding.attributed and finding.change is not None and finding.change * (after - before) > 0.0
    assert hits >= 18


@pytest.mark.parametrize("chance", [0.0, 0.2], ids=["none", "many"])
def test_what_is_not_sparse_is_not_counted(chance: float) -> None:
    found, of = events(np.random.default_rng(1), chance, chance)
    assert exposure_in_events(found / of, of, HISTORY) is None


@pytest.mark.parametrize(("before", "after"), [(0.0005, 0.01), (0.9995, 0.995), (0.002, 0.002)])
def test_the_range_of_a_change_holds_the_truth_in_nine_of_ten(before: float, after: float) -> None:
    held = []
    for seed in range(60):
        found, of = events(np.random.default_rng(seed), before, after)
        ratio = found / of
        finding = judge(TIMES, ratio, float(TIMES[AT]), of=of, step=60.0)
        assert finding.low is not None
        assert finding.high is not None
        held.append(finding.low <= after - before <= finding.high)
    assert 0.8 <= np.mean(held) <= 1.0


@pytest.mark.parametrize(("before", "after"), [(0.0005, 0.01), (0.9999, 0.98)])
def test_few_countedare_enough_where_their_denominators_are_known(before: float, after: float) -> None:
    found = []
    for seed in range(20):
        counted, of = events(np.random.default_rng(seed), before, after, requests=25.0)
        ratio = counted / np.maximum(of, 1.0)
        found.append(judge(TIMES, ratio, float(TIMES[AT]), of=of, step=60.0, worse="up" if after > before else "down"))
    seen = [each for each in found if each.attributed]
    assert len(seen) >= 17
    assert all(each.harmful and each.before == pytest.approx(before, abs=0.0005) for each in seen)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1.0, 4.0]))
def test_innocent_deployments_are_rarely_unusual_even_where_events_come_in_bursts(seed: int, burst: float) -> None:
    rng = np.random.default_rng(seed)
    found, of = events(rng, 0.001 / burst, 0.001 / burst)
    known = shift(np.minimum(burst * found, of), of)
    if known is not None:
        assert known.level.p_value > 1e-4


def test_a_step_is_placed_and_lasts_and_a_burst_does_not() -> None:
    rng = np.random.default_rng(7)
    found, of = events(rng, 0.0005, 0.0005)
    lasting, passing = found.copy(), found.copy()
    lasting[AT + 5 :] += rng.poisson(0.6, N - AT - 5)
    passing[AT + 5 : AT + 15] += 3.0
    step, burst = shift(lasting, of), shift(passing, of)
    assert step is not None
    assert burst is not None
    assert abs(step.onset.position - (AT + 5)) <= 4
    assert step.lasting > 0.1 > burst.lasting
