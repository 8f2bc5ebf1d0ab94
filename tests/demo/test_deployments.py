"""The shop's deployments: mostly harmless, the others by laws that can be learned from their traits."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from afdp_exporter.demo import shop
from afdp_exporter.demo.effects import Effect, Shape
from afdp_exporter.demo.world import World, make_world
from afdp_exporter.model import ChangeType, Deployment

ENDS = [datetime(2026, 11, day, hour, 25, tzinfo=UTC) for day, hour in zip(range(9, 23), range(1, 24), strict=False)]


def monday_and_large(deployment: Deployment) -> bool:
    rows = deployment.traits.get("table_rows", 0)
    assert isinstance(rows, float | int)
    return deployment.started_at.weekday() == 0 and rows >= 1e6


def releases(world: World) -> list[Deployment]:
    return [d for d in world.deployments if float(d.traits["files_changed"]) >= 50]


def size(world: World, deployment: Deployment, metric: str) -> float:
    return next(effect.size for effect in world.effects(deployment.id) if effect.metric == metric)


@pytest.mark.parametrize("end", ENDS)
def test_on_every_day_of_the_week_and_hour_the_history_is_whole(end: datetime) -> None:
    world = make_world(end, seed=end.day)
    starts = [deployment.started_at for deployment in world.deployments]
    assert 60 <= len(starts) <= 70
    assert len({deployment.id for deployment in world.deployments}) == len(starts)
    assert end - timedelta(weeks=8) < starts[0]
    assert starts[-1] < end
    assert all(later - earlier >= timedelta(hours=1) for earlier, later in pairwise(starts))
    harmful = {effect.deployment_id for effect in world.truth if not effect.undoes}
    assert len(harmful) < 0.45 * len(starts)
    assert world.update.name == "api v2.1.0"
    assert world.update.started_at.hour == 14
    assert timedelta(hours=2) <= end - world.update.started_at < timedelta(hours=26)
    assert timedelta(hours=20) < world.update.started_at - world.migration.started_at <= timedelta(days=8)


def test_each_version_follows_the_one_before(world: World) -> None:
    for service in shop.SERVICES:
        own = [deployment for deployment in world.deployments if deployment.service == service.name]
        assert all(later.previous_version == earlier.version for earlier, later in pairwise(own))


def test_the_update_of_the_api_is_as_the_story_says(world: World) -> None:
    at = world.update.started_at
    effects = {effect.metric: effect for effect in world.effects(world.update.id)}
    assert {metric: effect.onset - at for metric, effect in effects.items()} == {
        shop.LATENCY: timedelta(0),
        shop.SESSIONS: timedelta(minutes=4),
        shop.ABANDONMENT: timedelta(minutes=4),
        shop.REVENUE: timedelta(minutes=10),
    }
    assert effects[shop.LATENCY].size == 0.015
    assert effects[shop.ABANDONMENT].size == 0.03
    assert effects[shop.REVENUE].size == -1200
    sessions = next(series for series in world.series if series.metric == shop.SESSIONS)
    before = sessions.values[(sessions.times >= at.timestamp() - 1800) & (sessions.times < at.timestamp())].mean()
    assert effects[shop.SESSIONS].size / before == pytest.approx(-0.02, rel=0.1)


def test_the_same_happened_three_times_before_and_was_taken_back_a_day_later(world: World) -> None:
    culprits = [d for d in world.deployments if {e.metric for e in lasting(world, d)} >= {shop.LATENCY, shop.SESSIONS}]
    assert len(culprits) == 4
    assert culprits[-1] is world.update
    for culprit in culprits[:-1]:
        fix = next(d for d in world.deployments if culprit.id in {e.undoes for e in world.effects(d.id)})
        assert fix.started_at - culprit.started_at > timedelta(hours=25)
        for effect, end in zip(world.effects(culprit.id), world.effects(fix.id), strict=True):
            assert effect.duration == fix.started_at - culprit.started_at
            assert (end.metric, end.size, end.onset) == (effect.metric, -effect.size, effect.onset + effect.duration)
        assert 1_000 <= -size(world, culprit, shop.REVENUE) <= 1_500


def lasting(world: World, deployment: Deployment) -> list[Effect]:
    return [effect for effect in world.effects(deployment.id) if effect.shape is Shape.LEVEL and not effect.undoes]


def test_the_migration_locks_for_45_seconds_and_all_is_well_a_quarter_of_an_hour_later(world: World) -> None:
    effects = world.effects(world.migration.id)
    assert {effect.metric for effect in effects} >= {shop.LOCKS, shop.ERRORS, shop.BACKLOG}
    locks = next(series for series in world.series if series.metric == shop.LOCKS)
    minutes = (locks.times >= world.migration.started_at.timestamp()) & (
        locks.times < world.migration.ended_at.timestamp()
    )
    assert (locks.values[minutes] > 10).sum() == 1
    assert locks.values[minutes].max() == pytest.approx(45, abs=4)
    ends = [effect.onset + effect.duration for effect in effects if effect.duration]
    assert max(ends) - world.migration.started_at == timedelta(minutes=15)


def test_large_migrations_hurt_on_mondays_and_no_other_migration_does(world: World) -> None:
    migrations = [d for d in world.deployments if ChangeType.DATABASE in d.change_types]
    assert {d.id for d in migrations if world.effects(d.id)} == {d.id for d in migrations if monday_and_large(d)}
    kinds = Counter((float(d.traits["table_rows"]) >= 1e6, d.started_at.weekday() == 0) for d in migrations)
    assert kinds[True, True] >= 7
    assert kinds[True, False] >= 5
    assert kinds[False, True] >= 3


def test_in_the_sale_the_same_release_has_three_times_the_impact(world: World) -> None:
    sale = world.sale
    for metric in (shop.LATENCY, shop.INFRA_COST):
        ratios: dict[bool, list[float]] = {True: [], False: []}
        for release in releases(world):
            usual = next(s.values.mean() for s in world.series if s.metric == metric and of_service(s.labels, release))
            ratios[sale.start <= release.started_at < sale.end].append(size(world, release, metric) / usual)
        assert min(map(len, ratios.values())) >= 5
        assert sum(ratios[True]) / len(ratios[True]) == pytest.approx(
            3 * sum(ratios[False]) / len(ratios[False]), rel=0.3
        )


def of_service(labels: object, deployment: Deployment) -> bool:
    return labels == {"service": deployment.service}


def test_everyday_deployments_do_nothing_whoever_made_them(world: World) -> None:
    everyday = [d for d in world.deployments if d.description == "Everyday change"]
    assert len(everyday) >= 20
    assert not any(world.effects(d.id) for d in everyday)
    assert {d.actor for d in everyday} == {d.actor for d in world.deployments}
