"""What a check could not have seen is no "no effect".

The smallest change that a check would find.

Nothing is called a success as long as a change that matters may have happened.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdp_exporter.detectors.noise import noise_level
from afdp_exporter.impact import Finding, judge
from afdp_exporter.impact.context import AnalysisContext, ImpactSettings
from afdp_exporter.impact.outcome import decide
from afdp_exporter.impact.power import mark_underpowered, may_be_harmful, with_worth, worth_of
from afdp_exporter.model import Attribution, Deployment, Layer, Metric, Outcome, Series, Shift, Worse
from afdp_exporter.watching.analysis import AnalysisInput, assess
from afdp_exporter.watching.evidence import MetricData

LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query="l", worse=Worse.UP)
ERRORS = Metric(name="errors_ratio", layer=Layer.TECHNICAL, query="e", worse=Worse.UP)
REVENUE = Metric(name="revenue_usd_per_hour", layer=Layer.BUSINESS, query="r", worse=Worse.DOWN)


def quiet(shift: Callable[..., Shift], metric: Metric, size: float, ratio: float | None) -> Shift:
    return shift(
        metric, None, 0.001, verdict=Attribution.NO_EFFECT, reason="it stayed within its normal variation",
        minimum_detectable_effect=size, minimum_detectable_ratio=ratio,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("moved", "share", "seen"),
    [
        ((LATENCY, 0.01, 0.05), 1.0, True),
        ((LATENCY, 0.01, 0.05), 0.25, True),
        ((LATENCY, 0.01, 0.05), 0.05, False),
        ((ERRORS, 0.004, 2.0), 0.25, True),
        ((ERRORS, 0.004, 2.0), 0.01, False),
        ((REVENUE, 50.0, 0.1), 0.6, True),
        ((REVENUE, 50.0, 0.1), 0.1, False),
        ((LATENCY, 0.3, 1.5), 1.0, True),
        ((REVENUE, 700.0, 1.4), 1.0, False),
    ],
)
def test_what_not_even_severe_harm_would_have_shown_is_unknown(
    rollout: Callable[[float], AnalysisContext],
    shift: Callable[..., Shift],
    moved: tuple[Metric, float, float],
    share: float,
    *,
    seen: bool,
) -> None:
    scene = rollout(share)
    (found,) = mark_underpowered([quiet(shift, *moved)], scene)
    assert (found.verdict is Attribution.NO_EFFECT) is seen
    assert "of its level" in found.reason or "of the level" in found.reason
    assert decide([found], scene).outcome is (Outcome.SUCCESS if seen else Outcome.UNKNOWN)
    assert ("share of the traffic" in found.reason) is (not seen and share < 1.0)


@pytest.fixture
def rollout(
    case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> Callable[[float], AnalysisContext]:
    return lambda share: case(metrics=(LATENCY, ERRORS, REVENUE), deployment=deploy(traffic_ratio=share))


def test_what_moved_and_what_another_cause_explains_stay_as_they_are(
    rollout: Callable[[float], AnalysisContext], shift: Callable[..., Shift]
) -> None:
    scene = rollout(0.01)
    moved = shift(LATENCY, minimum_detectable_effect=1.0, minimum_detectable_ratio=5.0)
    explained = replace(moved, verdict=Attribution.NO_EFFECT)
    assert mark_underpowered([moved, explained], scene) == (moved, explained)


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


ERROR_RATIO = Metric(name="error_ratio", layer=Layer.TECHNICAL, query="e", worse=Worse.UP)
SUCCESS = Metric(name="success_ratio", layer=Layer.TECHNICAL, query="u", worse=Worse.DOWN)
CPU = Metric(name="cpu_ratio", layer=Layer.SYSTEM, query="c", worse=Worse.UP)
SESSIONS = Metric(name="sessions", layer=Layer.USER, query="s", worse=Worse.DOWN)
QUEUE = Metric(name="queued_jobs", layer=Layer.SYSTEM, query="q")
QUIET = {"verdict": Attribution.NO_EFFECT, "p_value": 0.5}


@pytest.mark.parametrize(
    ("metric", "level", "scatter", "worth"),
    [
        (LATENCY, 0.2, 0.01, 0.02),
        (LATENCY, 0.2, 0.08, 0.08),  # its single values stray further than a tenth
        (LATENCY, None, 0.01, None),
        (ERROR_RATIO, 0.001, 0.0004, 0.01),
        (SUCCESS, 0.999, 0.0004, 0.01),
        (CPU, 0.4, 0.01, 0.04),
        (CPU, 0.7, 0.01, 0.03),
        (SESSIONS, 900.0, 20.0, 90.0),
        (replace(LATENCY, worth=0.005), 0.2, 0.08, 0.005),
        (replace(LATENCY, worth="5%"), 0.2, 0.08, 0.01),
        (replace(ERROR_RATIO, worth="50 %"), 0.02, 0.08, 0.01),
    ],
)
def test_a_change_matters_from_what_the_metric_says_on_or_from_its_level_and_scatter(
    metric: Metric, level: float | None, scatter: float, worth: float | None
) -> None:
    found = worth_of(metric, level=level, scatter=scatter, settings=ImpactSettings())
    assert found == (None if worth is None else pytest.approx(worth))


@pytest.mark.parametrize("worth", ["5", "ten %", 0, -1.0, "0%", "-5%", float("inf")])
def test_a_worth_that_is_none_is_refused(worth: str | float) -> None:
    with pytest.raises(ValueError, match="worth has to be"):
        Metric(name="m", layer=Layer.USER, query="m", worth=worth)


@pytest.mark.parametrize(
    ("metric", "range_", "out"),
    [
        (LATENCY, (-0.09, 0.015), True),  # improvements need not be ruled out
        (LATENCY, (-0.01, 0.03), False),
        (SESSIONS, (-80.0, 500.0), True),
        (SESSIONS, (-100.0, 5.0), False),
        (QUEUE, (-30.0, 2.0), False),  # both ways matter where nothing says which is worse
        (QUEUE, (-9.0, 9.0), True),
    ],
)
def test_a_change_that_matters_is_ruled_out_by_the_harmful_end_of_the_range(
    shift: Callable[..., Shift],
    case: Callable[..., AnalysisContext],
    metric: Metric,
    range_: tuple[float, float],
    out: bool,
) -> None:
    low, high = range_
    level = {LATENCY: 0.2, SESSIONS: 900.0, QUEUE: 100.0}[metric]
    seen = shift(metric, None, (low + high) / 2, low=low, high=high, before=level, **QUIET)
    (found,) = with_worth([seen], (), case(metrics=(metric,)))
    assert found.ruled_out is out


def test_what_the_first_hours_ruled_out_stays_ruled_out_when_the_metric_wanders_over_a_day(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    day = shift(LATENCY, None, 0.0, low=-0.1, high=0.1, before=0.2, **QUIET)
    hour = replace(day, low=-0.01, high=0.01)
    doubtful = replace(day, change=0.01, verdict=Attribution.INCONCLUSIVE)
    asked = case(metrics=(LATENCY,))

    def out(shift: Shift, *sooner: Shift) -> bool | None:
        return with_worth([shift], [[each] for each in sooner], asked)[0].ruled_out

    assert out(day) is False
    assert out(day, hour) is True
    assert out(day, replace(hour, verdict=Attribution.INCONCLUSIVE)) is False
    assert out(doubtful, hour) is False
    assert out(replace(day, verdict=Attribution.ATTRIBUTED)) is None
    assert out(replace(day, onset=asked.now)) is None  # it moved, and another did it
    assert out(replace(day, change=None, low=None, high=None)) is None


@pytest.mark.parametrize(
    ("metric", "low", "high", "words"),
    [
        (LATENCY, 0.013, 0.023, "latency may have risen by 13 to 23 ms"),
        (LATENCY, -0.004, 0.023, "latency may have risen by up to 23 ms"),
        (SESSIONS, -200.0, -100.0, "sessions may have fallen by 10 to 20 %"),
        (QUEUE, -20.0, 30.0, "queued jobs may have moved by up to 30 %"),
        (ERROR_RATIO, 0.001, 0.02, "error ratio may have risen by 0.1 to 2 points"),
    ],
)
def test_what_cannot_be_ruled_out_is_said_in_the_unit_of_the_metric(
    shift: Callable[..., Shift], metric: Metric, low: float, high: float, words: str
) -> None:
    seen = shift(metric, None, (low + high) / 2, low=low, high=high, before=1000.0 if metric is SESSIONS else 100.0)
    assert may_be_harmful(seen) == words


def test_scatter_is_that_of_single_values_whatever_the_series_does_over_hours() -> None:
    rng = np.random.default_rng(4)
    slow = 50 * np.sin(np.arange(10_000) / 700)
    noise = rng.standard_normal(10_000)
    found = noise_level(slow + noise)
    assert found == pytest.approx(1.645, rel=0.08)
    gaps = np.where(rng.random(10_000) < 0.3, np.nan, slow + noise)
    assert noise_level(gaps) == pytest.approx(1.645, rel=0.1)
    assert noise_level(noise[:10]) is None
    assert noise_level(np.full(100, np.nan)) is None


@pytest.mark.parametrize("seed", range(6))
def test_a_slow_down_that_twenty_minutes_of_history_cannot_tell_from_chance_is_never_a_success(
    case: Callable[..., AnalysisContext], seed: int
) -> None:
    looked = case(metrics=(LATENCY,))
    start = looked.deployment.started_at.timestamp()
    rng = np.random.default_rng(seed)
    times = start + 15.0 * np.arange(-88, 61)
    ramp = np.clip((times - start) / 300.0, 0.0, 1.0)  # rate(...[5m]) turns a step into a ramp
    values = 0.022 + 0.015 * ramp + 0.0025 * rng.standard_normal(len(times))
    for minutes in (5, 10, 15):
        now = looked.deployment.started_at + minutes * (looked.now - looked.deployment.started_at) / 120
        series = Series(metric=LATENCY.name, labels={}, times=times, values=values).until(now)
        evidence = (MetricData(metric=LATENCY, series=series),)
        impact = assess(AnalysisInput(case=replace(looked, now=now, step=15 * looked.step / 60), evidence=evidence))
        assert impact.outcome is not Outcome.SUCCESS, minutes


def test_a_doubtful_harm_is_ruled_out_below_half_of_what_matters_or_by_the_first_hours_as_well(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    doubtful = shift(LATENCY, None, 0.014, low=0.01, high=0.018, before=0.2, verdict=Attribution.INCONCLUSIVE)
    hour = shift(LATENCY, None, 0.0, low=-0.01, high=0.01, before=0.2, **QUIET)
    asked = case(metrics=(LATENCY,))

    def out(shift: Shift, *sooner: Shift) -> bool | None:
        return with_worth([shift], [[each] for each in sooner], asked)[0].ruled_out

    assert out(doubtful) is False
    assert out(doubtful, hour) is True
    assert out(replace(doubtful, high=0.03), hour) is False
    assert out(replace(doubtful, change=0.008, low=0.007, high=0.009)) is True
    assert out(replace(doubtful, shape="spread")) is True
    assert out(replace(doubtful, change=-0.014, low=-0.018, high=-0.01)) is True
    over = replace(doubtful, shape="transient", recovered_at=asked.now)
    assert out(over) is True
    assert out(replace(over, high=0.03)) is False


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0, -7.0, 3e9])
@pytest.mark.parametrize("end", [BEFORE + 21, None])
@pytest.mark.parametrize("rounding", [0.0, 1e-13])
def test_a_constant_history_has_no_smallest_change(level: float, end: int | None, rounding: float) -> None:
    rng = np.random.default_rng(5)
    times = STEP * np.arange(BEFORE + AFTER)
    values = level * (1.0 + rounding * rng.normal(size=times.size))
    values[BEFORE + 20 : end] += 0.2 * max(abs(level), 1.0)
    found = judge(times, values, times[BEFORE])
    assert found.minimum_detectable_effect is None
    assert found.minimum_detectable_ratio is None
    if found.verdict == "no_effect":
        assert "the smallest change that would be seen is not known" in found.reason
