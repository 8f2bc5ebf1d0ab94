"""One metric, one deployment: was it this deployment?"""

import numpy as np
import pytest

from afdp_exporter.impact import Finding, judge

STEP = 300.0
DAY = 86_400.0


def series(seed: int, n: int = 600, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of a metric with a daily rhythm and noise that resembles itself."""
    rng = np.random.default_rng(seed)
    times = 1_700_000_000.0 + STEP * np.arange(n)
    shocks = rng.normal(0.0, noise, n)
    noisy = np.convolve(shocks, 0.5 ** np.arange(6), "full")[:n]
    return times, 100.0 + 10.0 * np.sin(2 * np.pi * times / DAY) + noisy


def shifted(seed: int, by: float, at: int = 550, n: int = 600) -> Finding:
    times, values = series(seed, n)
    values[at:] += by
    return judge(times, values, times[at] - 60.0)


def test_a_large_lasting_shift_is_attributed_with_its_size_and_its_time() -> None:
    finding = shifted(1, 15.0)
    times, _ = series(1)
    assert finding.attributed
    assert finding.verdict == "attributed"
    assert finding.shape == "level"
    assert finding.onset == pytest.approx(times[550], abs=STEP)
    assert finding.low is not None
    assert finding.high is not None
    assert finding.low < 15.0 < finding.high
    assert finding.reason


def test_a_metric_that_only_does_what_it_always_does_is_left_alone() -> None:
    blamed = [shifted(seed, 0.0).attributed for seed in range(40)]
    assert sum(blamed) <= 1


def test_too_little_history_is_said_and_blames_nobody() -> None:
    times, values = series(3, 12)
    finding = judge(times, values, times[8])
    assert not finding.attributed
    assert finding.verdict == "insufficient_history"


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="same length"):
        judge([1.0, 2.0], [1.0], 1.0)


def test_a_common_shock_is_told_apart_from_the_deployment_by_a_control() -> None:
    rng = np.random.default_rng(5)
    times, values = series(5)
    control = 10.0 * values + rng.normal(0.0, 5.0, len(values))
    shock = np.where(np.arange(len(times)) >= 550, 1.3, 1.0)
    alone = judge(times, values * shock, times[550])
    beside = judge(times, values * shock, times[550], control=control * shock)
    assert alone.attributed
    assert "common cause" in alone.reason
    assert not beside.attributed
    assert beside.verdict == "not_distinguishable"


def test_a_control_that_stays_where_it_is_lets_the_deployment_be_blamed() -> None:
    times, values = series(6)
    _, control = series(7)
    values[550:] += 25.0
    assert judge(times, values, times[550], control=control).attributed


def test_what_came_back_is_transient_with_its_end() -> None:
    times, values = series(8)
    values[551:559] += 25.0
    finding = judge(times, values, times[550])
    assert not finding.attributed
    assert finding.verdict == "transient"
    assert finding.recovered_at == pytest.approx(times[559], abs=3 * STEP)
    assert finding.duration_seconds == pytest.approx(8 * STEP, abs=4 * STEP)


def test_a_grown_spread_without_a_shift_blames_nobody_and_is_reported() -> None:
    times, values = series(9)
    values[550:] += np.random.default_rng(9).normal(0.0, 6.0, 50)
    finding = judge(times, values, times[550])
    assert not finding.attributed
    assert finding.verdict == "inconclusive"
    assert finding.shape == "spread"
    assert "did not shift" in finding.reason


@pytest.mark.parametrize("hours", [-2.0, 2.0])
def test_a_shift_at_another_time_is_not_blamed_on_the_deployment(hours: float) -> None:
    blamed = [shifted(seed, 15.0, at=550 + int(12 * hours)).attributed for seed in range(10)]
    times, values = series(1)
    values[550 + int(12 * hours) :] += 15.0
    assert not judge(times, values, times[550]).attributed
    assert all(blamed)


def test_a_level_that_changed_is_not_said_to_have_stayed_where_it_was() -> None:
    times, values = series(1)
    moved = values + 15.0 * (np.arange(600) >= 557)
    later, quiet = judge(times, moved, times[550]), judge(times, values, times[550])
    assert later.p_value < 0.05 < quiet.p_value
    assert later.reason == "its level changed more than usual, but at another time, as it seems"
    assert quiet.reason == "it stayed within its normal variation"


def test_a_slow_rollout_may_answer_for_what_comes_before_its_end() -> None:
    times, values = series(11)
    values[566:] += 20.0
    assert not judge(times, values, times[550]).attributed
    assert judge(times, values, times[550], finished_at=times[565]).attributed


def test_a_downstream_metric_may_respond_later_where_that_is_asked_for() -> None:
    times, values = series(12)
    values[560:] += 20.0
    assert not judge(times, values, times[550]).attributed
    assert judge(times, values, times[550], respond_within=3600.0).attributed


def test_every_attributed_finding_scores_above_every_other() -> None:
    findings = [shifted(seed, by) for seed in range(12) for by in (0.0, 2.0, 15.0)]
    guilty = [f.score for f in findings if f.attributed]
    innocent = [f.score for f in findings if not f.attributed]
    assert min(guilty) > max(innocent)


def test_innocent_deployments_are_rarely_blamed_at_any_of_the_looks() -> None:
    blamed = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        times = 1_700_000_000.0 + 60.0 * np.arange(1500)
        values = 20.0 + np.convolve(rng.normal(size=1500), 0.7 ** np.arange(8), "full")[:1500]
        blamed += any(
            judge(times[: 1440 + minutes], values[: 1440 + minutes], times[1440]).attributed
            for minutes in (2, 5, 10, 15, 30, 60)
        )
    assert blamed <= 4


@pytest.mark.parametrize(("window", "verdict"), [(None, "transient"), (60.0, "transient"), (900.0, "no_effect")])
def test_an_excursion_shorter_than_the_window_of_its_query_is_none(window: float | None, verdict: str) -> None:
    rng = np.random.default_rng(7)
    times = 60.0 * np.arange(3000)
    values = 10.0 + rng.normal(0.0, 0.1, 3000)
    values[2942:2946] += 5.0
    assert judge(times, values, times[2940], step=60.0, rate_window=window).verdict == verdict


@pytest.mark.parametrize(
    ("worse", "change", "harmful"),
    [("up", 8.0, True), ("up", -8.0, False), ("down", -8.0, True), ("down", 8.0, False), ("either", 8.0, None)],
)
def test_a_change_is_harmful_where_its_metric_hurts_and_found_all_the_same(
    worse: str, change: float, harmful: bool | None
) -> None:
    times = 60.0 * np.arange(3000)
    values = np.random.default_rng(5).normal(100, 1, times.size) + np.where(times >= 60 * 2900, change, 0.0)
    finding = judge(times, values, 60 * 2900.0, worse=worse)
    assert finding.attributed
    assert finding.harmful is harmful
    assert finding.compared is not None
