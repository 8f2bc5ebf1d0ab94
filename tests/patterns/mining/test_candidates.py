"""Candidate rules: each is met by enough examples and not by all, and by those it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.model import Condition
from afdp_exporter.patterns.mining.candidates import EXCLUDED_TRAITS, enumerate_rules, holds, round_figure

ROWS = [
    {
        "change_types": frozenset({"database"} if number % 3 == 0 else {"code"}),
        "weekday": "Monday" if number % 5 == 0 else "Tuesday",
        "traits.rows": float(10 ** (number % 4)),
        "actor": "somebody",
        **({"hour": float(number % 24)} if number % 2 else {}),
    }
    for number in range(60)
]


def test_each_candidate_is_met_by_whom_it_says_and_neither_by_few_nor_by_nearly_all() -> None:
    rules = enumerate_rules(ROWS, 4)
    for place, conditions in enumerate(rules.conditions):
        met = [all(holds(condition, row) for condition in conditions) for row in ROWS]
        assert rules.members[:, place].tolist() == met
        assert 4 <= sum(met) <= len(ROWS) - 4


def test_no_rule_speaks_of_people() -> None:
    named = {one.trait for conditions in enumerate_rules(ROWS, 4).conditions for one in conditions}
    assert not named & EXCLUDED_TRAITS
    assert {"change_types", "weekday", "traits.rows", "hour"} <= named


def test_a_pair_has_two_traits_and_is_adjusted_for_its_halves() -> None:
    rules = enumerate_rules(ROWS, 4)
    for conditions, adjusted in zip(rules.conditions, rules.adjusted_for, strict=True):
        if len(conditions) == 2:
            assert conditions[0].trait != conditions[1].trait
            halves = [rules.covariates[:, place].tolist() for place in adjusted[:2]]
            assert halves == [[holds(one, row) for row in ROWS] for one in conditions]


def test_conditions_on_the_context_are_time_dependent() -> None:
    rules = enumerate_rules(ROWS, 4)
    known = {"weekday", "hour"}
    for conditions, time_dependent in zip(rules.conditions, rules.time_dependent, strict=True):
        assert time_dependent == bool(known & {one.trait for one in conditions})


def test_the_weights_are_one_on_the_mean_and_less_for_what_is_rare() -> None:
    rules = enumerate_rules(ROWS, 4)
    weights = rules.weights(15)
    assert np.mean(weights) == pytest.approx(1.0)
    single = np.array([len(one) == 1 for one in rules.conditions])
    often = rules.members.sum(axis=0) >= 15
    assert weights[single & often].min() > weights[single & ~often].max(initial=0.0)


@pytest.mark.parametrize("op", [">=", "<", "=", "has"])
def test_what_is_unknown_meets_nothing(op: str) -> None:
    assert not holds(Condition(trait="lines", op=op, value=3.0), {})


@given(st.floats(1e-6, 1e12))
def test_a_cut_is_a_round_figure_near_its_quantile(number: float) -> None:
    figure = round_figure(number)
    assert 0.5 <= figure / number <= 2.0
    assert round_figure(figure) == pytest.approx(figure)
