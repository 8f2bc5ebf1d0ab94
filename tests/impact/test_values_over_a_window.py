"""Rates and other values over a window show a step as a ramp: that is no part of its size, nor of when it began."""

from collections.abc import Sequence

import numpy as np
import pytest

from afdp_exporter.impact.attribution import judge
from afdp_exporter.impact.verdict import Finding
from afdp_exporter.model import Floats

STEP = 15.0
EACH = 15  # raw values in a step
BEGAN = 1.7e9


def averaged(raw: Floats, window: int) -> Floats:
    """The mean of the raw values of the last `window` steps, at the end of each step."""
    totals = np.concatenate([[0.0], np.cumsum(raw)])
    ends = np.arange(window * EACH, len(totals), EACH)
    means: Floats = (totals[ends] - totals[ends - window * EACH]) / (window * EACH)
    return means


def world(seed: int, window: int, history: int, after: int, *, sigmas: float) -> tuple[Floats, Floats, float, float]:
    """Times, values, when the deployment was, and how far it raised what is averaged, at once and for good."""
    rng = np.random.default_rng([seed, window, history, after])
    steps = history + after + window
    slow = np.zeros(steps)
    for place in range(1, steps):
        slow[place] = 0.8 * slow[place - 1] + rng.normal(0.0, 0.3)
    raw = rng.normal(20.0, 1.0, steps * EACH) + 0.5 * np.repeat(slow, EACH)
    within = int(rng.integers(0, EACH))
    size = sigmas * float(averaged(raw, window)[:history].std())
    raw[(history + window - 1) * EACH + within :] += size
    values = averaged(raw, window)
    times = BEGAN + STEP * np.arange(len(values))
    return times, values, float(times[history - 1] + within * STEP / EACH), size


def judged(window: int, history: int, after: int, *, sigmas: Sequence[float]) -> list[tuple[Finding, float, float]]:
    """Findings of sixty worlds, each with the planted size and time."""
    found = []
    for seed in range(60):
        times, values, at, size = world(seed, window, history, after, sigmas=sigmas[seed % len(sigmas)])
        finding = judge(times, values, at, step=STEP, looks_back=window * STEP)
        found.append((finding, size, at))
    return found


@pytest.mark.parametrize(("window", "history", "after"), [(4, 28, 8), (4, 240, 20), (4, 500, 240), (20, 500, 60)])
def test_the_range_of_a_step_holds_its_size_however_long_the_window(window: int, history: int, after: int) -> None:
    found = [each for each in judged(window, history, after, sigmas=(6.0, 10.0, 20.0)) if each[0].attributed]
    assert len(found) >= 50
    holds = [(each.low or 0.0) <= size <= (each.high or 0.0) for each, size, _ in found]
    assert np.mean(holds) >= 0.85
    assert np.median([(each.change or 0.0) / size for each, size, _ in found]) == pytest.approx(1.0, abs=0.06)


def test_a_check_that_comes_before_the_window_is_full_reaches_to_where_the_value_is_going() -> None:
    found = [each for each in judged(20, 500, 8, sigmas=(10.0, 20.0, 30.0)) if each[0].attributed]
    assert len(found) >= 30
    assert np.mean([(each.low or 0.0) <= size <= (each.high or 0.0) for each, size, _ in found]) >= 0.85
    assert np.median([(each.change or 0.0) / size for each, size, _ in found]) < 0.6  # so far


@pytest.mark.parametrize("window", [4, 20])
def test_the_onset_is_where_the_ramp_begins(window: int) -> None:
    found = [each for each in judged(window, 500, 120, sigmas=(10.0, 20.0)) if each[0].attributed]
    late = [(each.onset or 0.0) - at for each, _, at in found]
    assert abs(float(np.median(late))) <= 2 * STEP
    holds = [(each.onset_low or 0.0) - STEP <= at <= (each.onset_high or 0.0) + STEP for each, _, at in found]
    assert np.mean(holds) >= 0.85


def test_a_shift_that_came_before_the_deployment_is_not_its_own_since_the_ramp_reaches_past_it() -> None:
    blamed = []
    for seed in range(100):
        times, values, at, _ = world(seed, 20, 240, 40, sigmas=6.0)
        blamed.append(judge(times, values, at + 12 * STEP, step=STEP, looks_back=20 * STEP).attributed)
    assert np.mean(blamed) <= 0.15


def test_an_onset_lies_in_its_range_and_lasts_until_the_end_of_what_is_known() -> None:
    """Also where the ramp seems to begin before the deployment."""
    for seed in range(100):
        times, values, at, _ = world(seed, 20, 240, 60, sigmas=8.0)
        found = judge(times, values, at + 4 * STEP, step=STEP, looks_back=20 * STEP)
        if found.attributed and found.onset and found.onset_low and found.onset_high:
            assert at + 3 * STEP - 1e-6 <= found.onset_low <= found.onset <= found.onset_high
            assert found.duration_seconds == pytest.approx(times[-1] + STEP - found.onset)
