"""What holds for every series, whatever its values: units change nothing, noise is silent, garbage blames nobody."""

import math
import time
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from afdp_exporter.impact import Finding, ObservedSeries, Rollout, judge, judge_together
from afdp_exporter.impact.attribution import Case, judge_cases
from afdp_exporter.model import Attribution

pytestmark = pytest.mark.many_worlds

START = 1_700_000_000.0
seeds = st.integers(0, 10_000)
calm = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def noisy(seed: int, n: int = 400, shift: float = 0.0, at: int = 370) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = 50.0 + np.convolve(rng.normal(size=n), 0.6 ** np.arange(5), "full")[:n]
    values[at:] += shift
    return values


def found(values: np.ndarray, start: float = START, at: int = 370) -> Finding:
    times = start + 300.0 * np.arange(len(values))
    return judge(times, values, float(times[at]))


@calm
@given(seed=seeds, factor=st.sampled_from([1e-6, 0.01, 3.0, 1000.0, 1e9]), shift=st.sampled_from([0.0, 3.0, 8.0]))
def test_another_unit_changes_the_figures_and_nothing_else(seed: int, factor: float, shift: float) -> None:
    plain, scaled = found(noisy(seed, shift=shift)), found(noisy(seed, shift=shift) * factor)
    assert scaled.verdict == plain.verdict
    assert scaled.onset == plain.onset
    assert scaled.p_value == pytest.approx(plain.p_value, rel=1e-6)
    assert plain.change is not None
    assert scaled.change == pytest.approx(plain.change * factor, rel=1e-6)


@pytest.mark.parametrize("level", [1.0, 0.3, -7.0, 4e7])
def test_a_constant_that_is_summed_in_another_order_has_not_moved(level: float) -> None:
    values = np.full(400, level)
    values[370:] *= 1.0 - 2e-16
    assert (values[370:] != level).all()
    assert found(values).verdict is Attribution.NO_EFFECT


@calm
@given(seed=seeds, offset=st.sampled_from([-1000.0, -50.0, 7.0, 500.0]), shift=st.sampled_from([0.0, 3.0, 8.0]))
def test_another_zero_changes_the_levels_and_nothing_else(seed: int, offset: float, shift: float) -> None:
    plain, moved = found(noisy(seed, shift=shift)), found(noisy(seed, shift=shift) + offset)
    assert moved.verdict == plain.verdict
    assert moved.change == pytest.approx(plain.change, rel=1e-6, abs=1e-9)
    assert plain.before is not None
    assert moved.before == pytest.approx(plain.before + offset, rel=1e-6)


@calm
@given(seed=seeds, shift=st.sampled_from([0.0, 5.0]))
def test_upside_down_the_change_is_the_other_way_round(seed: int, shift: float) -> None:
    plain, flipped = found(noisy(seed, shift=shift)), found(-noisy(seed, shift=shift))
    assert flipped.verdict == plain.verdict
    assert plain.change is not None
    assert flipped.change == pytest.approx(-plain.change, rel=1e-6)


@calm
@given(seed=seeds, later=st.sampled_from([300.0, 86_400.0, 604_800.0]))
def test_the_same_course_at_another_time_is_found_at_that_time(seed: int, later: float) -> None:
    plain, moved = found(noisy(seed, shift=8.0)), found(noisy(seed, shift=8.0), start=START + later)
    assert moved.verdict == plain.verdict
    assert plain.onset is None or moved.onset == pytest.approx(plain.onset + later)


@calm
@given(seed=seeds)
def test_the_order_of_the_points_and_doubles_do_not_matter(seed: int) -> None:
    values = noisy(seed, shift=6.0)
    times = START + 300.0 * np.arange(len(values))
    order = np.random.default_rng(seed).permutation(len(values))
    order = np.concatenate([order, order[:20]])
    assert judge(times[order], values[order], times[370]).verdict == judge(times, values, times[370]).verdict


@calm
@given(seed=seeds, count=st.integers(2, 20))
def test_series_judged_together_are_found_as_each_alone(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    times = START + 300.0 * np.arange(400)
    rollout = Rollout(deployed_at=float(times[370]), earlier=tuple(rng.choice(times[:360], 6)))
    observed = []
    for number in range(count):
        values = noisy(seed + number, shift=float(rng.choice([0.0, 3.0, 8.0])))
        values[rng.random(400) < rng.choice([0.0, 0.1])] = np.nan
        end = int(rng.choice([400, 390]))
        control = noisy(seed + 999)[:end] if rng.random() < 0.5 else None
        observed.append(ObservedSeries(times=times[:end], values=values[:end], control=control, step=300.0))
    alone = [
        judge(
            each.times, each.values, rollout.deployed_at, control=each.control, step=300.0,
            earlier_deployments=rollout.earlier,
        )
        for each in observed
    ]  # fmt: skip
    assert judge_together(rollout, observed) == alone


@calm
@given(seed=seeds, lasts=st.sampled_from([4, 30]))
def test_what_is_judged_briefly_has_the_same_verdict_and_what_moved_the_same_finding(seed: int, lasts: int) -> None:
    rng = np.random.default_rng(seed)
    times = START + 300.0 * np.arange(400)
    rollout = Rollout(deployed_at=float(times[370]), earlier=(float(times[200]),))
    cases = []
    for number in range(8):
        values = noisy(seed + number)
        values[370 : 370 + lasts] += rng.choice([0.0, 2.0, 8.0])
        values[370:] += rng.choice([0.0, 3.0]) * rng.normal(size=30)
        cases.append(Case.of(rollout, ObservedSeries(times=times, values=values, step=300.0)))
    for whole, brief in zip(judge_cases(rollout, cases), judge_cases(rollout, cases, briefly=True), strict=True):
        chance = {"log_factor": whole.log_factor, "score": whole.score, "account": whole.account}
        assert (brief if whole.verdict.moved else replace(brief, **chance)) == whole


@calm
@given(seed=seeds, shift=st.sampled_from([0.0, 3.0, 8.0]), restarts=st.booleans())
def test_a_series_that_is_asked_about_again_for_a_later_onset_is_found_as_anew(
    seed: int, shift: float, restarts: bool
) -> None:
    times, values = START + 300.0 * np.arange(400), noisy(seed, shift=shift)
    if restarts:
        values = np.cumsum(np.abs(values))
        values[375:] -= values[375]  # within the longer time only
    rollout = Rollout(deployed_at=float(times[370]), earlier=(float(times[200]),))
    observed = ObservedSeries(times=times, values=values, step=300.0, rate_window=600.0)
    again = Case.of(rollout, observed).responding_within(3600.0)
    anew = judge_together(rollout, [replace(observed, respond_within=3600.0)])
    assert judge_cases(rollout, [again]) == anew


def test_noise_alone_is_silent() -> None:
    blamed = [found(noisy(seed)).attributed for seed in range(300)]
    assert np.mean(blamed) <= 0.02


wild = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 1.0, 1e200, -1e200, 1e308, 5e-324, np.nan, np.inf]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), n=st.integers(0, 60))
def test_garbage_never_raises_and_never_blames_without_history(data: st.DataObject, n: int) -> None:
    times = data.draw(hnp.arrays(np.float64, n, elements=wild))
    values = data.draw(hnp.arrays(np.float64, n, elements=wild))
    deployed_at = data.draw(wild)
    finding = judge(times, values, deployed_at)
    assert finding.verdict in set(Attribution)
    assert finding.reason


absurd = st.sampled_from([0.0, 1.0, 2.0, 1e200, -1e200, 1e308, -8e307, 3e307, 5e-324, 1e-308])


@settings(max_examples=100, deadline=None)
@given(data=st.data(), n=st.integers(26, 60), kinds=st.lists(absurd, min_size=1, max_size=4))
def test_what_is_beyond_any_measurement_leaves_every_figure_finite(
    data: st.DataObject, n: int, kinds: list[float]
) -> None:
    values = data.draw(hnp.arrays(np.float64, n, elements=st.sampled_from(kinds)))
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        finding = judge(60.0 * np.arange(n), values, 60.0 * data.draw(st.integers(1, n - 1)))
    figures = [value for value in astuple(finding) if isinstance(value, float)]
    assert np.isfinite(figures).all()


def test_times_beyond_what_a_date_can_say_are_no_usable_data() -> None:
    finding = judge(np.array([0.0, 1.20667762e10]), np.zeros(2), 0.0)
    assert (finding.verdict, finding.reason) == (
        Attribution.INSUFFICIENT_HISTORY,
        "there is no usable data for this metric",
    )


@pytest.mark.parametrize("n", [0, 1, 3, 23, 25, 100, 11_000])
@pytest.mark.parametrize(
    "fill",
    [
        np.zeros,
        lambda n: np.full(n, 1e200),
        lambda n: np.full(n, np.nan),
        lambda n: np.full(n, np.inf),
        lambda n: np.where(np.arange(n) % 2 == 0, np.nan, 3.0),
        lambda n: np.where(np.arange(n) % 7 == 0, 1e200, -1e200),
        lambda n: np.arange(n, dtype=np.float64),
        lambda n: np.arange(n) // 5,
        lambda n: np.random.default_rng(n).poisson(0.02, n),
    ],
)
@pytest.mark.parametrize("share", [-0.5, 0.5, 0.9, 0.999, 2.0])
def test_no_length_and_no_kind_of_values_raises_or_blames(n: int, fill: object, share: float) -> None:
    assert callable(fill)
    times = START + 60.0 * np.arange(n)
    finding = judge(times, fill(n), START + 60.0 * share * n)
    assert not finding.attributed


def test_the_longest_series_takes_no_time_to_speak_of() -> None:
    values = noisy(1, 11_000, shift=4.0, at=10_900)
    times = START + 60.0 * np.arange(11_000)
    begun = time.process_time()
    judge(times, values, times[10_900], control=noisy(2, 11_000))
    assert time.process_time() - begun < 2.0


@pytest.mark.parametrize("times", [np.full(100, START), np.geomspace(1.0, 1e15, 100), np.linspace(0, 1e-6, 100)])
def test_odd_clocks_are_survived(times: np.ndarray) -> None:
    finding = judge(times, np.random.default_rng(0).normal(size=100), float(times[80]))
    assert finding.verdict in set(Attribution)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_spans_and_times_that_are_not_finite_count_as_not_given(odd: float) -> None:
    random = np.random.default_rng(3000003)
    times = 1.79e9 + 300.0 * np.arange(700)
    values = random.normal(100.0, 3.0, 700) + np.where(times >= times[600], 20.0, 0.0)
    plain = judge(times, values, times[600], earlier_deployments=[times[200]])
    odder = judge(
        times, values, times[600], finished_at=odd, respond_within=odd, rate_window=odd, looks_back=odd,
        earlier_deployments=iter([odd, times[200]]),
    )  # fmt: skip
    assert odder == plain
    assert odder.attributed
