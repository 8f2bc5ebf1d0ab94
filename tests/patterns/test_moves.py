"""Whether a figure moves at all: a trait that decides it is believed on few cases, luck is taken for luck."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from planted_worlds import LATENCY, World, world

from afdp_exporter.model import Attribution, Case, ChangeType, Floats
from afdp_exporter.patterns import fit, predict

SEEN = 40
OFTEN = 0.3

drawn = cache(world)


def worlds() -> list[World]:
    return [drawn(seed, 140, "steady") for seed in range(6000, 6006)]


def moving(one: World, moves: Callable[[Case], bool]) -> list[Case]:
    """The same deployments, of which only these move latency."""
    return [_moved(case) if moves(case) else _still(case) for case in one.cases]


def _moved(case: Case) -> Case:
    return _latency(case, Attribution.ATTRIBUTED, 1.0)


def _still(case: Case) -> Case:
    return _latency(case, Attribution.NO_EFFECT, 0.0)


def _latency(case: Case, verdict: Attribution, factor: float) -> Case:
    shifts = tuple(
        replace(shift, verdict=verdict, change=factor * abs(shift.change or 0.0)) if shift.metric == LATENCY else shift
        for shift in case.impact.shifts
    )
    return replace(case, impact=replace(case.impact, shifts=shifts))


def chances(cases: list[Case]) -> Floats:
    """How likely each case after those seen is to move latency."""
    home = cases[SEEN].deployment
    model = fit(cases[:SEEN], service=home.service, team=home.team, now=home.started_at)
    expected = [predict(model, case.deployment, case.context).metrics[LATENCY] for case in cases[SEEN:]]
    return np.array([each.chance for each in expected])


def is_migration(case: Case) -> bool:
    return ChangeType.DATABASE in case.deployment.change_types


def test_a_trait_without_which_nothing_ever_moved_need_not_be_hedged() -> None:
    after_migrations, after_others = [], []
    for one in worlds():
        cases = moving(one, is_migration)
        found, migrations = chances(cases), np.array([is_migration(case) for case in cases[SEEN:]])
        after_migrations.append(found[migrations].mean())
        after_others.append(found[~migrations].mean())
    assert np.mean(after_migrations) > 0.85
    assert np.mean(after_others) < 0.12


def test_what_moves_by_luck_alone_is_laid_to_no_trait() -> None:
    off = []
    for number, one in enumerate(worlds()):
        luck = np.random.default_rng(number).random(len(one.cases)) < OFTEN
        lucky = {case.deployment.id for case, moved in zip(one.cases, luck, strict=True) if moved}
        found = chances(moving(one, lambda case, lucky=lucky: case.deployment.id in lucky))  # type: ignore[misc]
        off.append(np.mean((found - OFTEN) ** 2))
    assert np.sqrt(np.mean(off)) < 0.15
