"""Several metrics of one deployment, judged together."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from afdp_exporter.impact.multiple_testing import bh_threshold, control_fdr, drop_unsupported_secondary
from afdp_exporter.model import Attribution, Layer, Metric, Shift


def metric(index: int, **changes: object) -> Metric:
    return Metric(name=f"m{index}", layer=Layer.TECHNICAL, query="q", **changes)


def test_one_strong_metric_among_ten_stands(shift: Callable[..., Shift]) -> None:
    quiet = [shift(metric(i), p_value=0.5, verdict=Attribution.NO_EFFECT) for i in range(9)]
    settled = control_fdr([*quiet, shift(metric(9), p_value=0.0005)], 0.1)
    assert [entry.verdict for entry in settled] == [Attribution.NO_EFFECT] * 9 + [Attribution.ATTRIBUTED]


def test_what_would_count_alone_is_inconclusive_among_many_and_says_what_it_needs(shift: Callable[..., Shift]) -> None:
    quiet = [shift(metric(i), p_value=0.5, verdict=Attribution.NO_EFFECT) for i in range(9)]
    weak = control_fdr([*quiet, shift(metric(9), p_value=0.04)], 0.1)[-1]
    assert weak.verdict is Attribution.INCONCLUSIVE
    assert "among 10 metrics it needs p <= 0.01" in weak.reason
    assert "history is too short" in weak.reason
    assert control_fdr([shift(metric(9), p_value=0.04)], 0.1)[0].verdict is Attribution.ATTRIBUTED


def test_secondary_metrics_do_not_dilute_and_do_not_decide(shift: Callable[..., Shift]) -> None:
    second = [shift(metric(i, primary=False), p_value=0.02) for i in range(30)]
    alone = control_fdr(second, 0.1)
    assert {entry.verdict for entry in alone} == {Attribution.INCONCLUSIVE}
    with_primary = control_fdr([shift(metric(99), p_value=0.05), *second], 0.1)
    assert with_primary[0].verdict is Attribution.ATTRIBUTED
    assert all(entry.reason.startswith("also moved; ") for entry in with_primary[1:])


@pytest.mark.parametrize("kind", [Attribution.TRANSIENT, Attribution.GRADUAL])
def test_what_has_only_its_p_value_stands_where_chance_rarely_does_it(
    shift: Callable[..., Shift], kind: Attribution
) -> None:
    quiet = [shift(metric(i), p_value=0.5, verdict=Attribution.NO_EFFECT) for i in range(9)]

    def verdict(p_value: float, *others: Shift) -> Attribution:
        return control_fdr([shift(metric(9), p_value=p_value, verdict=kind), *others], 0.1)[0].verdict

    assert verdict(0.0015, *quiet) is kind
    assert verdict(0.004, *quiet) is Attribution.INCONCLUSIVE
    assert verdict(0.009) is kind
    assert verdict(0.015) is Attribution.INCONCLUSIVE
    assert verdict(0.015, shift(metric(10), p_value=0.001)) is Attribution.INCONCLUSIVE
    assert verdict(0.004, shift(metric(10), p_value=0.001), *quiet[:8]) is kind
    silent = shift(metric(10), p_value=0.001, verdict=Attribution.NO_EFFECT)
    assert verdict(0.004, silent, *quiet[:8]) is Attribution.INCONCLUSIVE


@pytest.mark.parametrize("kind", [Attribution.TRANSIENT, Attribution.GRADUAL])
def test_a_secondary_metric_that_has_only_its_p_value_has_to_pass_as_well(
    shift: Callable[..., Shift], kind: Attribution
) -> None:
    blamed = shift(metric(1), p_value=0.0001)
    weak, strong = (shift(metric(i, primary=False), p_value=p, verdict=kind) for i, p in ((2, 0.03), (3, 0.005)))
    assert [entry.verdict for entry in control_fdr([blamed, weak, strong], 0.1)[1:]] == [Attribution.INCONCLUSIVE, kind]


def test_after_one_innocent_deployment_in_fifty_something_seems_to_have_passed_by(shift: Callable[..., Shift]) -> None:
    rng = np.random.default_rng(12)
    blamed = 0
    for p_values in rng.uniform(size=(1500, 12)):
        family = [shift(metric(i), p_value=float(p), verdict=Attribution.TRANSIENT) for i, p in enumerate(p_values)]
        blamed += any(entry.moved for entry in control_fdr(family, 0.1))
    assert blamed / 1500 < 0.03


@pytest.mark.parametrize("missing", [Attribution.INSUFFICIENT_HISTORY, Attribution.INCONCLUSIVE])
def test_metrics_that_could_not_be_measured_are_no_part_of_the_family(
    shift: Callable[..., Shift], missing: Attribution
) -> None:
    unjudged = [shift(metric(i), None, None, p_value=1.0, verdict=missing) for i in range(9)]
    settled = control_fdr([*unjudged, shift(metric(9), p_value=0.04)], 0.1)
    assert settled[-1].verdict is Attribution.ATTRIBUTED
    assert settled[:-1] == tuple(unjudged)


def test_the_share_of_false_ones_is_held() -> None:
    rng = np.random.default_rng(11)
    false_shares = []
    for _ in range(1500):
        null, real = rng.uniform(size=7), rng.uniform(size=3) * 0.004
        passing = bh_threshold([*null, *real], 0.1)
        found = int((null <= passing).sum()), int((real <= passing).sum())
        false_shares.append(found[0] / max(sum(found), 1))
    assert np.mean(false_shares) <= 0.1


@given(st.lists(st.floats(0, 1), max_size=12))
def test_the_bar_rises_with_the_number_that_pass_it(p_values: list[float]) -> None:
    bar = bh_threshold(p_values, 0.1)
    passing = sum(p_value <= bar for p_value in p_values)
    assert bar == pytest.approx(0.1 * max(passing, 1) / max(len(p_values), 1))


def test_what_stood_only_beside_a_blamed_metric_falls_with_it(shift: Callable[..., Shift]) -> None:
    quiet = [shift(metric(i), p_value=0.5, verdict=Attribution.NO_EFFECT) for i in range(8)]
    also = shift(metric(9, primary=False))
    blamed = shift(metric(10))
    assert drop_unsupported_secondary([*quiet, also, blamed])[-2:] == (also, blamed)
    *_, fallen, _ = drop_unsupported_secondary([*quiet, also, replace(blamed, verdict=Attribution.NO_EFFECT)])
    assert fallen.verdict is Attribution.INCONCLUSIVE


@given(p_values=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=30), ratio=st.floats(0.01, 0.3))
def test_what_passes_the_threshold_is_what_scipy_finds(p_values: list[float], ratio: float) -> None:
    threshold = bh_threshold(p_values, ratio)
    adjusted = false_discovery_control(p_values)
    if abs(adjusted - ratio).min() > 1e-9:  # else rounding decides
        assert [p_value <= threshold for p_value in p_values] == [each <= ratio for each in adjusted]
