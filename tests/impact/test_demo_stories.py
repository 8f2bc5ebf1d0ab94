"""Both stories of the demo's shop, found from its series alone."""

from datetime import timedelta
from itertools import pairwise

import pytest
from shop import END, Look, looks_at

from afdp_exporter.demo import shop
from afdp_exporter.demo.world import World, make_world
from afdp_exporter.model import MeasuredDeployment, Outcome

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(END, seed=2)


@pytest.fixture(scope="module")
def look(world: World) -> Look:
    return looks_at(world)


def test_the_update_is_reported_step_by_step_with_its_cost_and_the_three_before_it(world: World, look: Look) -> None:
    truth = {effect.metric for effect in world.effects(world.update.id)}
    alike = [
        deployment
        for deployment in world.deployments
        if deployment.started_at < world.update.started_at
        and {effect.metric for effect in world.effects(deployment.id)} >= truth
    ]
    past: tuple[MeasuredDeployment, ...] = ()
    for deployment in alike:
        past = (*past, MeasuredDeployment(deployment=deployment, impact=look(deployment, past)))
    impact = look(world.update, past)
    order = [shop.LATENCY, shop.ABANDONMENT, shop.REVENUE]
    onsets = {shift.metric: shift.onset for shift in impact.shifts if shift.moved and shift.onset}
    assert all(onsets[one] < onsets[two] for one, two in pairwise(order))
    cost = impact.costs[0]
    assert (cost.currency, cost.ended) == ("USD", False)
    assert cost.per_hour.low <= 1200.0 <= cost.per_hour.high
    assert len(alike) == 6  # three updates, and the fixes that undid them: the other way, so not the same
    assert impact.seen_before.count == 3
    assert "the same sequence followed three earlier deployments" in impact.story[0]
    assert impact.outcome is Outcome.DEGRADATION


def test_the_migration_is_reported_with_the_times_of_all_that_came_and_went(world: World, look: Look) -> None:
    impact = look(world.migration)
    lasted = {shift.metric: shift.duration / MINUTE for shift in impact.shifts if shift.moved and shift.duration}
    for metric, minutes in (
        (shop.LOCKS, 1),
        (shop.LATENCY, 7),
        (shop.ERRORS, 7),
        (shop.BACKLOG, 12),
        (shop.REVENUE, 10),
    ):
        assert abs(lasted[metric] - minutes) <= 1 + 0.1 * minutes, metric
    (cost,) = impact.costs
    assert cost.ended
    assert cost.total is not None
    assert cost.total.low <= 2400 / 6 <= cost.total.high
    assert any("all of it was over 15 minutes after" in sentence for sentence in impact.story)
