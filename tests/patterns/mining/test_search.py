"""Patterns: what was planted is stated in sentences that people understand, what does nothing is not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from planted_shop import shop_cases
from planted_worlds import LATENCY, NULLS, SESSIONS, START, World, world

from afdp_exporter.model import (
    Attribution,
    Condition,
    Cost,
    Estimate,
    Outcome,
    Pattern,
    PatternKind,
    TrainingExample,
    Worse,
)
from afdp_exporter.patterns.features.extraction import example_features
from afdp_exporter.patterns.mining.candidates import holds
from afdp_exporter.patterns.mining.search import HINTED, SUPPORT, mine

pytestmark = pytest.mark.many_worlds

SALE = Condition(trait="event", op="=", value="sale")
MONDAY = Condition(trait="weekday", op="=", value="Monday")
DATABASE = Condition(trait="change_types", op="has", value="database")


@pytest.fixture(scope="module")
def found(steady: World) -> tuple[Pattern, ...]:
    return mine(steady.cases)


def one(patterns: tuple[Pattern, ...], target: str, *conditions: Condition) -> Pattern:
    return next(each for each in patterns if each.target == target and each.conditions == conditions)


def test_planted_effects_are_found_with_their_multipliers(steady: World, found: tuple[Pattern, ...]) -> None:
    planted = {"database": DATABASE, "sale": SALE, "monday": MONDAY}
    assert steady.planted
    for name, true in steady.planted.items():
        multiplier = one(found, "cost_per_hour", planted[name]).multiplier
        assert multiplier is not None
        assert multiplier.median == pytest.approx(true, rel=0.3)
        assert multiplier.low < multiplier.median < multiplier.high


def test_traits_that_do_nothing_are_hardly_ever_blamed() -> None:
    worlds = [mine(world(9200 + seed, 120).cases) for seed in range(9)]
    blamed = [any(condition.trait in NULLS for each in found for condition in each.conditions) for found in worlds]
    stated = [any(each.target == SESSIONS for each in found) for found in worlds]
    assert sum(blamed) + sum(stated) <= 1


def test_no_pattern_speaks_of_a_person(found: tuple[Pattern, ...]) -> None:
    assert not any(condition.trait == "actor" for each in found for condition in each.conditions)


def test_a_pattern_names_every_case_that_it_rests_on(steady: World, found: tuple[Pattern, ...]) -> None:
    for pattern in found:
        members = [
            case.deployment.id
            for case in steady.cases
            if all(holds(condition, example_features(case)) for condition in pattern.conditions)
        ]
        assert list(pattern.deployments) == members
        assert pattern.n == len(members)
        assert 1 <= len(pattern.conditions) <= 2
        assert pattern.last_seen == next(
            case.deployment.started_at for case in steady.cases if case.deployment.id == members[-1]
        )


def test_a_sentence_holds_the_effect_its_range_and_the_number_of_cases(found: tuple[Pattern, ...]) -> None:
    sale = one(found, "cost_per_hour", SALE)
    assert sale.sentence.startswith("Deployments during sale events have ")
    assert sale.sentence.endswith(f"times the impact on the cost per hour (n = {sale.n})")
    assert "[" in sale.sentence


def test_shuffled_outcomes_hold_no_pattern() -> None:
    claimed = 0
    for seed in range(12):
        chaos = world(9100 + seed, 150, "steady")
        order = np.random.default_rng(seed).permutation(150)
        cases = [
            replace(case, impact=replace(chaos.cases[place].impact, deployment_id=case.deployment.id))
            for case, place in zip(chaos.cases, order, strict=True)
        ]
        claimed += bool(mine(cases))
    assert claimed <= 2


def change(
    cases: list[TrainingExample], edit: Callable[[int, TrainingExample], TrainingExample]
) -> list[TrainingExample]:
    return [edit(number, case) for number, case in enumerate(cases)]


def quiet(number: int, case: TrainingExample) -> TrainingExample:
    """The case with an uneventful impact."""
    shifts = tuple(
        replace(shift, change=0.001 * ((7 * number) % 11 - 5))
        for shift in case.impact.shifts
        if shift.metric == LATENCY
    )
    return replace(case, impact=replace(case.impact, shifts=shifts, costs=(), outcome=Outcome.SUCCESS))


def is_database(case: TrainingExample) -> bool:
    return holds(DATABASE, example_features(case))


def test_a_rule_that_stopped_to_hold_is_a_pattern_no_more(steady: World) -> None:
    calm = change(steady.cases, quiet)
    members = [number for number, case in enumerate(calm) if is_database(case)]
    assert len(members) >= 2 * SUPPORT
    still_true, over = set(members), set(members[: 2 * len(members) // 3 - 1])

    def bad(when: set[int]) -> list[TrainingExample]:
        return [
            replace(case, impact=replace(case.impact, outcome=Outcome.FAILURE)) if number in when else case
            for number, case in enumerate(calm)
        ]

    def kinds(cases: list[TrainingExample]) -> set[PatternKind]:
        return {each.kind for each in mine(cases) if each.conditions == (DATABASE,) and each.target == "outcome"}

    assert kinds(bad(still_true)) == {PatternKind.PATTERN}
    assert PatternKind.PATTERN not in kinds(bad(over))


def test_few_cases_make_a_hint_that_says_perhaps(steady: World) -> None:
    calm = change(steady.cases, quiet)
    members = [number for number, case in enumerate(calm) if is_database(case)][: SUPPORT - 5]
    cases = []
    for number, case in enumerate(calm):
        legacy = number in members
        deployment = replace(case.deployment, traits={**case.deployment.traits, "legacy": legacy})
        outcome = Outcome.FAILURE if legacy else Outcome.SUCCESS
        cases.append(replace(case, deployment=deployment, impact=replace(case.impact, outcome=outcome)))
    hint = next(each for each in mine(cases) if each.conditions[0].trait == "traits.legacy")
    assert hint.kind is PatternKind.HINT
    assert hint.n == len(members) >= HINTED
    assert hint.sentence.startswith("Perhaps: ")


def test_an_effect_on_what_should_grow_is_reported_in_its_own_direction(steady: World) -> None:
    def shrink(_: int, case: TrainingExample) -> TrainingExample:
        lost = -30.0 if is_database(case) else -10.0
        shifts = tuple(
            replace(shift, change=lost + shift.change / 20.0, worse=Worse.DOWN)
            for shift in case.impact.shifts
            if shift.metric == SESSIONS and shift.change is not None
        )
        return replace(case, impact=replace(case.impact, shifts=shifts))

    pattern = one(mine(change(steady.cases, shrink)), SESSIONS, DATABASE)
    assert pattern.effect.low <= pattern.effect.median <= pattern.effect.high < 0
    assert pattern.multiplier is not None
    assert pattern.multiplier.median == pytest.approx(3.0, rel=0.1)


def test_a_stricter_correction_finds_no_more(steady: World, found: tuple[Pattern, ...]) -> None:
    strict = mine(steady.cases, dependent=True)
    assert len(strict) <= len(found)


@pytest.mark.parametrize("n", [0, 1, 5, 14])
def test_too_few_cases_hold_no_pattern(steady: World, n: int) -> None:
    assert mine(steady.cases[:n]) == ()


def test_the_order_in_which_cases_come_makes_no_difference(steady: World, found: tuple[Pattern, ...]) -> None:
    assert mine(steady.cases[::-1]) == found
    assert START + timedelta(0) <= found[0].last_seen


@pytest.mark.parametrize("blamed", [True, False])
def test_what_the_time_does_by_itself_is_no_impact_of_deployments_at_that_time(steady: World, *, blamed: bool) -> None:
    def fall(_: int, case: TrainingExample) -> TrainingExample:
        lost = -30.0 if case.context.at.weekday() == 0 or is_database(case) else -10.0
        shifts = tuple(
            replace(
                shift,
                change=lost + shift.change / 20.0,
                verdict=Attribution.ATTRIBUTED if blamed else Attribution.NO_EFFECT,
            )
            for shift in case.impact.shifts
            if shift.metric == SESSIONS and shift.change is not None
        )
        return replace(case, impact=replace(case.impact, shifts=shifts))

    conditions = {each.conditions for each in mine(change(steady.cases, fall)) if each.target == SESSIONS}
    assert (DATABASE,) in conditions
    assert ((MONDAY,) in conditions) is blamed


def test_a_few_costs_are_not_taken_apart_by_many_conditions(steady: World) -> None:
    database = [number for number, case in enumerate(steady.cases) if is_database(case)]
    monday = [number for number in database if steady.cases[number].context.at.weekday() == 0]
    dear = {*monday[:5], *[number for number in database if number not in monday][:6:2]}
    assert len(dear) == 8

    def spare(number: int, case: TrainingExample) -> TrainingExample:
        amount = 1000.0 * (2.0 + number % 5) if number in dear else 0.0
        costs = (Cost(currency="USD", per_hour=Estimate(low=amount, median=amount, high=amount)),) if amount else ()
        return replace(quiet(number, case), impact=replace(quiet(number, case).impact, costs=costs))

    costly = [each for each in mine(change(steady.cases, spare)) if each.target == "cost_per_hour"]
    assert len(costly) == 1
    assert DATABASE in costly[0].conditions
    assert costly[0].multiplier is None
    assert costly[0].effect.low > 0


def test_what_only_travels_with_a_recorded_cause_is_not_reported(steady: World) -> None:
    def accompanied(case: TrainingExample, number: int) -> TrainingExample:
        mostly = holds(DATABASE, example_features(case)) if number % 6 else number % 12 == 0
        traits = {**case.deployment.traits, "ticket": mostly}
        return replace(case, deployment=replace(case.deployment, traits=traits))

    cases = [accompanied(case, number) for number, case in enumerate(steady.cases)]
    named = {condition.trait for each in mine(cases) for condition in each.conditions}
    assert "change_types" in named
    assert "traits.ticket" not in named


def test_a_rival_that_cannot_be_reported_silences_nothing() -> None:
    """What migrations do is said by the size of their tables still better, but that is not significant beside them."""
    found = mine(world(679, 260).cases)
    assert any(each.conditions == (DATABASE,) for each in found)


def test_where_the_clearest_size_has_few_cases_a_smaller_one_with_enough_makes_the_pattern() -> None:
    found = mine(world(528, 285).cases)
    rows = [each for each in found if each.conditions[0].trait == "traits.table_rows"]
    assert rows[0].kind is PatternKind.PATTERN
    assert SUPPORT <= rows[0].n < 2 * SUPPORT


def test_the_laws_of_the_shop_are_found_from_few_strong_cases() -> None:
    found = mine(shop_cases(41))
    conditions = [{(one.trait, str(one.value)) for one in each.conditions} for each in found]
    assert any(("version_jump", "minor") in each for each in conditions)
    assert any(("weekday", "Monday") in each for each in conditions)
    patterns = [each for each in found if each.kind is PatternKind.PATTERN]
    assert not {"strategy", "actor", "hour"} & {one.trait for each in patterns for one in each.conditions}
