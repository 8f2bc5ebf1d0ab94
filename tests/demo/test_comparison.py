"""What was measured beside what was planted, in the words of people."""

from dataclasses import replace
from datetime import timedelta

import pytest

from afdp_exporter.demo import shop
from afdp_exporter.demo.comparison import compare, score
from afdp_exporter.demo.world import World
from afdp_exporter.model import Attribution, Deployment, Impact, Layer, Outcome, Shift


def shift(metric: str, change: float, half: float, verdict: Attribution = Attribution.ATTRIBUTED) -> Shift:
    return Shift(
        metric=metric,
        layer=Layer.TECHNICAL,
        verdict=verdict,
        reason="it stayed within its normal variation",
        before=10_000.0,
        change=change,
        low=change - half,
        high=change + half,
    )


def impact(deployment: Deployment, *shifts: Shift) -> Impact:
    return Impact(
        deployment_id=deployment.id,
        measured_at=deployment.ended_at + timedelta(hours=1),
        shifts=shifts,
        outcome=Outcome.UNKNOWN,
        outcome_reason="",
    )


def harmless(world: World) -> Deployment:
    return next(deployment for deployment in world.deployments if not world.effects(deployment.id))


def test_planted_and_measured_stand_side_by_side_in_the_unit_of_the_metric(world: World) -> None:
    measured = impact(
        world.update,
        shift(shop.REVENUE, -1_100, 50),
        shift(shop.LATENCY, 0.014, 0.003),
        shift(shop.ABANDONMENT, 0.001, 0.002, Attribution.NO_EFFECT),
    )
    latency, abandonment, revenue = compare(world.update, world.effects(world.update.id), measured)
    assert (latency.metric, latency.planted, latency.measured) == ("request latency p95", "15 ms", "14 ms [11, 17]")
    assert (latency.inside, abandonment.inside, revenue.inside) == (True, None, False)
    assert revenue.planted == "-$1,200 an hour"
    assert abandonment.measured == "no effect"


def test_what_came_and_went_is_reported_with_how_long_it_took(world: World) -> None:
    locks = next(effect for effect in world.effects(world.migration.id) if effect.metric == shop.LOCKS)
    (row,) = compare(world.migration, [locks], impact(world.migration, shift(shop.LOCKS, 44, 3)))
    assert row.planted == "45 s for 1 minute"


def test_a_hump_is_held_against_its_mean_over_the_measured_stretch_and_not_against_its_peak(world: World) -> None:
    hump = next(effect for effect in world.effects(world.migration.id) if effect.metric == shop.BACKLOG)
    assert hump.duration is not None
    mean_of_a_triangle = replace(
        shift(shop.BACKLOG, hump.size / 2, hump.size / 20, Attribution.TRANSIENT),
        onset=hump.onset,
        recovered_at=hump.onset + hump.duration,
    )
    (row,) = compare(world.migration, [hump], impact(world.migration, mean_of_a_triangle))
    assert row.inside


def test_a_series_of_another_service_is_not_compared(world: World) -> None:
    elsewhere = [effect for effect in world.truth if effect.service == shop.CHECKOUT]
    measured = impact(world.update, *(shift(effect.metric, effect.size, 1) for effect in elsewhere))
    assert compare(world.update, elsewhere, measured) == ()


@pytest.mark.parametrize(
    ("verdict", "found", "blamed"),
    [(Attribution.ATTRIBUTED, 1, 1), (Attribution.TRANSIENT, 1, 1), (Attribution.INCONCLUSIVE, 0, 0)],
)
def test_the_score_counts_what_was_found_and_who_was_blamed_for_nothing(
    world: World, verdict: Attribution, found: int, blamed: int
) -> None:
    innocent = harmless(world)
    impacts = {
        world.update.id: impact(world.update, shift(shop.LATENCY, 0.015, 0.003, verdict)),
        world.migration.id: impact(world.migration, shift(shop.CPU, 0.1, 0.01, verdict)),  # which it did not move
        innocent.id: impact(innocent, shift(shop.ERRORS, 0.01, 0.001, verdict)),
    }
    total = score(world, impacts)
    assert (total.effective, total.found, total.harmless, total.blamed) == (2, found, 1, blamed)
