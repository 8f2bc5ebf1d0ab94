"""Planted chains, rivals and sales, judged from the series alone."""

from itertools import pairwise

import numpy as np
import pytest
from planted_chains import CHAIN, DEPLOYED, LATENCY, REVENUE, STEP, World, blames, chain_world, deployment, look

from afdp_exporter.impact.causal_chain import onset_order
from afdp_exporter.model import Attribution, CalendarEntry, CalendarEntryKind

pytestmark = pytest.mark.many_worlds

WORLDS = 25


def orders(lag: int, seed: int) -> list[int]:
    """For each planted step whose ends were found: 1 where reported in its order, -1 reversed, 0 at the same time."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(WORLDS):
        shifts = {shift.metric: shift for shift in look(chain_world(rng, lag), rng).shifts if shift.moved}
        steps = [(one.name, two.name) for one, two in pairwise(CHAIN) if one.name in shifts and two.name in shifts]
        found += [onset_order(shifts[one], shifts[two], STEP) for one, two in steps]
    return found


@pytest.mark.parametrize("lag", [5, 10])
def test_the_order_of_planted_steps_is_right_where_it_is_reported(lag: int) -> None:
    found = [order for order in orders(lag, seed=lag) if order]
    assert len(found) >= WORLDS // 2
    assert sum(order > 0 for order in found) >= 0.93 * len(found)


@pytest.mark.parametrize("lag", [0, 1])
def test_less_than_two_samples_apart_no_order_is_reported(lag: int) -> None:
    found = orders(lag, seed=lag)
    assert len(found) >= WORLDS
    assert sum(order != 0 for order in found) <= 0.05 * len(found)


def test_revenue_that_falls_forty_minutes_later_is_found_behind_a_slowdown() -> None:
    rng = np.random.default_rng(40)
    sizes = {LATENCY.name: 6.0, REVENUE.name: 5.0}
    found = blamed = 0
    for _ in range(WORLDS):
        shifts = {
            shift.metric: shift
            for shift in look(World(onsets={LATENCY.name: 1, REVENUE.name: 40}, sizes=sizes), rng).shifts
        }
        if shifts[LATENCY.name].verdict is Attribution.ATTRIBUTED:
            found += 1
            blamed += shifts[REVENUE.name].moved
    assert found >= 0.8 * WORLDS
    assert blamed >= 0.8 * found


def test_a_slowdown_alone_does_not_drag_quiet_revenue_along() -> None:
    rng = np.random.default_rng(41)
    blamed = 0
    for _ in range(WORLDS):
        world = World(onsets={LATENCY.name: 1}, sizes={LATENCY.name: 6.0})
        blamed += any(shift.metric == REVENUE.name and shift.moved for shift in look(world, rng).shifts)
    assert blamed <= 0.05 * WORLDS


def test_a_sale_of_the_calendar_that_moves_everything_blames_no_deployment_beside_it() -> None:
    rng = np.random.default_rng(42)
    sizes = {metric.name: 6.0 for metric in CHAIN}
    sale = CalendarEntry(
        name="spring-sale", kind=CalendarEntryKind.SALE, start=DEPLOYED + STEP, end=DEPLOYED + 3000 * STEP
    )
    named = blamed = 0
    for _ in range(WORLDS):
        impact = look(World(onsets=dict.fromkeys(sizes, 1), sizes=sizes, metrics=CHAIN), rng, calendar=(sale,))
        blamed += blames(impact)
        named += any("spring-sale" in sentence for sentence in impact.story)
    assert named >= 0.9 * WORLDS
    assert blamed <= 0.1 * WORLDS


def test_of_two_deployments_three_minutes_apart_the_guilty_one_is_named() -> None:
    rng = np.random.default_rng(43)
    sizes = {metric.name: 6.0 for metric in CHAIN}
    named = 0
    for index in range(WORLDS):
        first, second = deployment("checkout", 0), deployment("search", 3)
        guilty, innocent, start = (first, second, 0) if index % 2 else (second, first, 3)
        onsets = {metric.name: start + 5 * place for place, metric in enumerate(CHAIN)}
        impact = look(World(onsets=onsets, sizes=sizes, metrics=CHAIN), rng, by=guilty, others=(innocent,))
        named += impact.shifts[0].moved
    assert named >= 0.9 * WORLDS
