"""Green's warm-up beside that of earlier greens, and how sure the switch is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.gate.blue_green import PastSwitch, WarmUp, calibration, deviation, evidence, signal, switch
from afdp_exporter.model import Floats, PoolingLevel, SignalVerdict, WarmUpSignal, Worse

NONE = np.zeros(0)


def life(level: float, seed: int, *, minutes: int = 20) -> Floats:
    """Memory in MB that grows with age, around a level."""
    chance = np.random.default_rng(seed)
    return level + 2.0 * np.arange(minutes) + chance.normal(0, 3, minutes)


def warm_up(level: float = 500.0, *, greens: int = 12, minutes: int = 20, worse: Worse = Worse.UP) -> WarmUp:
    chance = np.random.default_rng(3)
    return WarmUp(
        metric="memory_megabytes", worse=worse, green=life(level, 99, minutes=minutes), harmful=NONE,
        earlier=tuple(life(500 + chance.normal(0, 10), seed) for seed in range(greens)),
    )  # fmt: skip


def test_a_green_like_the_others_is_usual_and_lies_in_its_range() -> None:
    found = signal(warm_up())
    assert found.verdict is SignalVerdict.USUAL
    assert (found.n, found.age_minutes) == (12, 20)
    assert found.usual is not None
    assert found.value is not None
    assert found.usual.low < found.value < found.usual.high
    assert found.evidence is not None
    assert found.evidence < 0


@pytest.mark.parametrize(("worse", "unusual"), [(Worse.UP, True), (Worse.DOWN, False), (Worse.EITHER, True)])
def test_what_leaves_the_usual_to_the_harmful_side_is_unusual(worse: Worse, unusual: bool) -> None:
    found = signal(warm_up(600.0, worse=worse))
    assert (found.verdict is SignalVerdict.UNUSUAL) is unusual
    assert found.evidence is not None
    assert (found.evidence > 1) is unusual


def test_a_young_green_is_compared_with_the_others_when_they_were_as_young() -> None:
    found = signal(warm_up(minutes=4))
    assert found.age_minutes == 4
    assert found.verdict is SignalVerdict.USUAL


def test_a_green_older_than_most_others_became_is_compared_at_the_age_that_most_have_reached() -> None:
    found = signal(warm_up(minutes=50))
    assert found.age_minutes == 20


def test_fewer_than_five_earlier_greens_are_no_history() -> None:
    found = signal(warm_up(greens=4))
    assert (found.verdict, found.n, found.score) == (SignalVerdict.NO_HISTORY, 4, None)


@pytest.mark.parametrize("n", [5, 8, 15, 40])
def test_of_greens_like_the_others_one_in_ten_leaves_its_range(n: int) -> None:
    chance = np.random.default_rng(n)
    inside = 0
    for _ in range(2000):
        values = chance.normal(size=n + 1)
        _, usual = deviation(values[0], values[1:])
        inside += usual.low <= values[0] <= usual.high
    assert inside / 2000 == pytest.approx(0.9, abs=0.025)


@given(st.lists(st.sampled_from([0.0, 1.0, 7.0]), min_size=5, max_size=30), st.floats(-1e6, 1e6))
def test_values_that_are_all_or_mostly_the_same_give_a_finite_score(others: list[float], value: float) -> None:
    score, usual = deviation(value, np.array(others))
    assert np.isfinite([score, usual.low, usual.median, usual.high]).all()
    assert score * (value - usual.median) >= 0


def test_a_signal_that_never_showed_before_harm_weighs_less_than_one_that_always_did() -> None:
    never, always = np.full(20, 0.1), np.full(20, 4.0)
    assert 0 < evidence(2.5, never) < evidence(2.5, NONE) < evidence(2.5, always) <= 3.0
    assert evidence(0.0, always) < evidence(0.0, never) < 0


def signals(*evidences: float) -> list[WarmUpSignal]:
    return [WarmUpSignal(metric="m", verdict=SignalVerdict.USUAL, n=9, evidence=each) for each in evidences]


def past(n: int, *, harmless: float, sure: float) -> list[PastSwitch]:
    """So many switches that were given log odds of a confidence, of which a share did no harm."""
    odds = float(np.log(sure / (1 - sure)))
    return [PastSwitch(log_odds=odds, confidence=sure, harmless=i < harmless * n) for i in range(n)]


def test_confidence_is_the_predicted_risk_less_what_the_signals_say() -> None:
    found = switch(signals(-0.2, 1.5), 0.1, past(12, harmless=0.9, sure=0.9), 30)
    assert found.confidence_ratio == pytest.approx(1 / (1 + np.exp(-(np.log(9) - 1.3))))
    assert (found.basis, found.n, found.calibrated) == (PoolingLevel.SERVICE, 12, False)
    assert found.brier_score == pytest.approx(np.mean([0.01] * 11 + [0.81]))


def test_below_ten_own_switches_it_is_never_surer_than_nine_in_ten() -> None:
    found = switch(signals(-0.2, -0.2), 0.01, past(9, harmless=1.0, sure=0.9), 340)
    assert (found.confidence_ratio, found.basis, found.n) == (0.9, PoolingLevel.GLOBAL, 340)
    assert found.brier_score is None


def test_without_a_signal_that_could_be_compared_there_is_no_confidence() -> None:
    unknown = [WarmUpSignal(metric="m", verdict=SignalVerdict.NO_HISTORY, n=2)]
    assert switch(unknown, 0.1, [], 3).confidence_ratio is None


def test_fifty_switches_that_did_worse_than_said_lower_the_confidence() -> None:
    own = past(60, harmless=0.6, sure=0.95)
    assert calibration(own)[2]
    found = switch(signals(0.0), 0.05, own, 60)
    assert found.confidence_ratio == pytest.approx(0.6, abs=0.08)
    assert calibration(own[:49]) == (0.0, 1.0, False)
