"""Ranges hold what was planted, also where the history knows no scatter or hardly any event."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from afdp_exporter.impact import Finding, judge

pytestmark = pytest.mark.many_worlds

AT = 1_770_000_000.0
TIMES = AT - 4 * 86_400.0 + 60.0 * np.arange(4 * 1440 + 62)
AFTER = TIMES > AT + 60.0
World = Callable[[np.random.Generator], np.ndarray]


def held(world: World, change: float, worlds: int = 30) -> tuple[list[bool], list[Finding]]:
    """Of the worlds in which the step is found, whether the range holds it."""
    found = [judge(TIMES, world(np.random.default_rng(seed)), AT, step=60.0) for seed in range(worlds)]
    attributed = [finding for finding in found if finding.attributed]
    return [(f.low or 0.0) <= change <= (f.high or 0.0) for f in attributed], attributed


def scattering(before: float, after: float, level: float = 0.0) -> World:
    """A level with one deviation before, and 20 points more with another one after."""
    return lambda rng: level + 0.2 * AFTER + np.where(AFTER, after, before) * rng.normal(size=len(TIMES))


@pytest.mark.parametrize("before", [0.0, 0.0001, 0.002])
def test_a_constant_history_does_not_make_the_range_of_what_scatters_after_it_narrow(before: float) -> None:
    holds, findings = held(scattering(before, 0.03, 0.01), 0.2)
    assert len(holds) == 30
    assert sum(holds) >= 24
    halves = [((f.high or 0.0) - (f.low or 0.0)) / 2 for f in findings]
    assert 0.004 < np.median(halves) < 0.012  # 1.67 * 0.03 / sqrt(60) = 0.0065


@pytest.mark.parametrize("before", [0.0, 0.002])
def test_no_number_is_reported_that_the_history_does_not_bear(before: float) -> None:
    _, findings = held(scattering(before, 0.03), 0.2, worlds=2)
    for finding in findings:
        figures = [float(figure) for figure in re.findall(r"\d+(?:\.\d+)?", finding.reason)]
        assert max(figures) <= 1000


def share(before: float, after: float, requests: int) -> World:
    """The share of failed requests."""

    def world(rng: np.random.Generator) -> np.ndarray:
        counts = rng.poisson(requests, len(TIMES))
        return rng.binomial(counts, np.where(AFTER, after, before)) / np.maximum(counts, 1)

    return world


@pytest.mark.parametrize(
    ("before", "after", "requests"),
    [(0.0005, 0.01, 300), (0.0001, 0.02, 100), (0.0005, 0.1, 60), (0.9995, 0.99, 200), (0.0, 0.05, 100)],
)
def test_the_range_of_a_sparse_ratio_holds_its_change(before: float, after: float, requests: int) -> None:
    holds, _ = held(share(before, after, requests), after - before)
    assert len(holds) >= 26
    assert sum(holds) >= 0.8 * len(holds)


def test_a_passing_outage_after_a_constant_history_has_a_range_of_its_own_scatter() -> None:
    rng = np.random.default_rng(4)
    away = AFTER & (AT + 1200.0 > TIMES)
    values = np.where(away, 0.2 + 0.05 * rng.normal(size=len(TIMES)), 0.0)
    finding = judge(TIMES, values, AT, step=60.0)
    assert finding.verdict == "transient"
    assert finding.low is not None
    assert finding.high is not None
    assert finding.low < 0.2 < finding.high
    assert finding.high - finding.low > 0.02


@pytest.mark.parametrize("minutes", [8, 10, 15, 30])
@pytest.mark.parametrize(("level", "change", "scatter"), [(0.0, 0.2, 0.03), (1.0, -0.03, 0.01), (5.0, 3.0, 0.7)])
def test_what_scatters_up_to_the_end_of_the_data_has_not_come_back(
    minutes: float, level: float, change: float, scatter: float
) -> None:
    seen = AT + 60.0 + 60.0 * minutes >= TIMES
    claims = []
    for seed in range(12):
        away = change + scatter * np.random.default_rng(seed).normal(size=len(TIMES))
        claims.append(judge(TIMES[seen], (level + AFTER * away)[seen], AT, step=60.0))
    assert sum(finding.verdict == "attributed" for finding in claims) >= 11
    assert sum(finding.recovered_at is not None for finding in claims) <= 1


@pytest.mark.parametrize("step", [15.0, 60.0])
@pytest.mark.parametrize("likeness", [0.0, 0.6])
def test_samples_that_are_only_repeated_say_nothing_about_a_deployment(step: float, likeness: float) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        times = step * np.arange(3000)
        noise = np.convolve(rng.normal(size=3000), likeness ** np.arange(20), "full")[:3000]
        values = 50.0 + noise
        last = 2900
        values[last:] = values[last - 1]
        seen = slice(0, last + int(300.0 / step))
        assert judge(times[seen], values[seen], times[last], step=step).verdict == "inconclusive"
