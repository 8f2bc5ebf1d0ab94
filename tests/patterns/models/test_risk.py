"""The risk: what moves sizes far is taken for what brings trouble, as far as trouble bears it out."""

import numpy as np
import pytest

from afdp_exporter.patterns.models.ridge import fit_ridge, leave_one_out
from afdp_exporter.patterns.models.risk import RatePrior, SeverityFeature, TrainingMatrix, fit_probability, fit_risk
from afdp_exporter.patterns.models.targets import Labels


def drawn(seed: int, n: int, *, informative: float) -> tuple[TrainingMatrix, np.ndarray, SeverityFeature]:
    """Cases whose size follows a few of many columns, and whose trouble follows the size as far as it is informative.

    The odds of trouble are even in the middle.
    """
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(n, 20))
    size = truth(table) + rng.normal(size=n)
    trouble = (rng.random(n) < 1.0 / (1.0 + np.exp(-informative * size))).astype(float)
    groups = [f"trait {place}" for place in range(20)]
    line = fit_ridge(table, size, groups, np.ones(n))
    expected = leave_one_out(line, table, size, groups, np.ones(n))
    severity = SeverityFeature(expected.effect, np.append(0.0, line.weights[1:]) / line.sigma)
    return data(table, groups), trouble, severity


def data(table: np.ndarray, groups: list[str]) -> TrainingMatrix:
    """Cases of one service, in which every column is a trait of its own."""
    n, p = table.shape
    home = np.zeros(n, dtype=np.intp)
    scales = (np.full(p, 1.0 / np.sqrt(p)),)
    own = np.ones(n, dtype=bool)
    return TrainingMatrix(
        table=table, groups=groups, sample_weight=np.ones(n), own=own, scales=scales, service=home, team=home
    )


def truth(table: np.ndarray) -> np.ndarray:
    return 0.7 * table[:, :5].sum(axis=1)


def test_sizes_find_what_brings_trouble_where_yes_or_no_alone_does_not() -> None:
    gains = []
    for seed in range(20):
        cases, trouble, severity = drawn(seed, 40, informative=1.0)
        fresh, _, _ = drawn(1000 + seed, 400, informative=1.0)
        everything = np.ones(40, dtype=bool)
        alone = fit_probability(trouble, cases, everything, RatePrior(0.5)).log_odds(fresh.table).probability
        beside = (
            fit_probability(trouble, cases, everything, RatePrior(0.5), [severity]).log_odds(fresh.table).probability
        )
        right = truth(fresh.table)
        gains.append(np.corrcoef(beside, right)[0, 1] - np.corrcoef(alone, right)[0, 1])
    assert np.mean(gains) > 0.01


def test_sizes_that_say_nothing_of_trouble_are_not_believed() -> None:
    wider = []
    for seed in range(20):
        cases, trouble, severity = drawn(seed, 200, informative=0.0)
        everything = np.ones(200, dtype=bool)
        risks = [
            fit_probability(trouble, cases, everything, RatePrior(0.5), severities).log_odds(cases.table).probability
            for severities in ([], [severity])
        ]
        wider.append(risks[1].std() - risks[0].std())
    assert np.mean(wider) < 0.02


def test_an_expectation_of_a_case_does_not_know_its_own_size() -> None:
    rng = np.random.default_rng(7)
    table, size = rng.normal(size=(40, 5)), rng.normal(size=40)
    groups, counts = list("abcde"), np.ones(40)
    line = fit_ridge(table, size, groups, counts)
    before = leave_one_out(line, table, size, groups, counts)
    size[3] += 100.0
    after = leave_one_out(line, table, size, groups, counts)
    assert after.mean[3] == before.mean[3]
    assert after.mean[4] != before.mean[4]


def test_what_was_not_fitted_is_expected_by_fits_of_the_others() -> None:
    rng = np.random.default_rng(8)
    table = rng.normal(size=(60, 1))
    size = np.where(np.arange(60) % 3 == 0, np.nan, 2.0 * table[:, 0] + 0.1 * rng.normal(size=60))
    known = np.isfinite(size)
    line = fit_ridge(table[known], size[known], ["a"], np.ones(40))
    expected = leave_one_out(line, table, size, ["a"], np.ones(60))
    assert np.abs(expected.mean - 2.0 * table[:, 0]).max() < 0.5


def test_the_learner_that_predicts_cases_left_out_is_believed() -> None:
    rng = np.random.default_rng(9)
    many, two = rng.normal(size=(80, 20)), np.sign(rng.normal(size=(60, 2)))
    one_column = (many[:, 0] + 0.3 * rng.normal(size=80) > 0).astype(float)
    only_together = (two[:, 0] * two[:, 1] > 0).astype(float)
    groups = [f"trait {place}" for place in range(20)]
    assert fit_risk(Labels(one_column, np.ones(80)), data(many, groups), RatePrior(0.5)).share > 0.8
    assert fit_risk(Labels(only_together, np.ones(60)), data(two, groups[:2]), RatePrior(0.5)).share < 0.1


def test_before_any_case_a_rate_is_what_is_expected_and_as_sure_as_it_is_said_to_be() -> None:
    nothing = Labels(np.zeros(0), np.zeros(0))
    row = np.zeros((1, 1))
    for prior in (RatePrior(0.15, doubt=0.8), RatePrior(0.15), RatePrior(1 / 3)):
        odds = fit_risk(nothing, data(np.zeros((0, 1)), ["a"]), prior).log_odds(row)
        assert odds.probability[0] == pytest.approx(prior.expected, abs=1e-6)
        assert odds.sds[:, 0] == pytest.approx([prior.doubt] * odds.shares.size, abs=1e-6)


def test_one_of_few_cases_moves_a_rate_that_is_known_well_less() -> None:
    trouble = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    cases, row = data(np.zeros((5, 1)), ["a"]), np.zeros((1, 1))
    sure, unsure = (
        fit_risk(Labels(trouble, np.ones(5)), cases, RatePrior(0.15, doubt)).log_odds(row).probability[0]
        for doubt in (0.4, 1.4)
    )
    assert 0.15 < sure < unsure < 0.4


def test_without_evidence_the_process_is_believed() -> None:
    rng = np.random.default_rng(12)
    table = rng.normal(size=(15, 8))
    shares = [
        fit_risk(
            Labels((rng.random(15) < 0.2).astype(float), np.ones(15)), data(table, list("abcdefgh")), RatePrior(0.15)
        )
        for _ in range(8)
    ]
    assert np.mean([each.share for each in shares]) < 0.3
