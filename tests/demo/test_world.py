"""The demo's world: like production in its seasons and its noise, and true to what it says was planted."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from afdp_exporter.demo import shop
from afdp_exporter.demo.effects import Effect, Shape
from afdp_exporter.demo.world import World, make_world
from afdp_exporter.model import Floats, Series

DAY = 1440
WHOLE_NUMBERS = {shop.REPLICAS, shop.BACKLOG, shop.SESSIONS, shop.TICKETS}


def of(world: World, metric: str, service: str | None = None) -> Series:
    return next(s for s in world.series if s.metric == metric and s.labels.get("service") == service)


def quantile_of_own_change(values: Floats, minutes: int = 60) -> float:
    """The 95 % quantile of the change between adjacent windows, less that of the day before."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    means = (sums[minutes:] - sums[:-minutes]) / minutes
    changes = means[minutes:] - means[:-minutes]
    return float(np.quantile(np.abs(changes[DAY:] - changes[:-DAY]), 0.95) / np.sqrt(2))


def test_the_same_end_and_seed_make_the_same_world(world: World, seed: int) -> None:
    again = make_world(world.end, seed=seed)
    assert again.deployments == world.deployments
    assert again.truth == world.truth
    assert all(np.array_equal(a.values, b.values) for a, b in zip(world.series, again.series, strict=True))


def test_another_seed_makes_other_noise(world: World, seed: int) -> None:
    other = make_world(world.end, seed=seed + 1)
    assert all(not np.array_equal(a.values, b.values) for a, b in zip(world.series, other.series, strict=True))


def test_a_later_end_sees_the_same_world_further_on(world: World, seed: int) -> None:
    later = make_world(world.end + timedelta(hours=4), seed=seed)
    assert later.update == world.update
    for early, late in zip(world.series, later.series, strict=True):
        assert np.array_equal(early.values[240:], late.values[:-240])


def test_it_holds_eight_weeks_and_the_day_ahead_at_a_minute_without_a_gap(world: World) -> None:
    for series in world.series:
        assert series.times[0] == (world.end - timedelta(weeks=8)).timestamp()
        assert series.times[-1] == (world.end + timedelta(days=1)).timestamp()
        assert set(np.diff(series.times)) == {60.0}
        assert np.isfinite(series.values).all()
        assert not series.values.flags.writeable


def test_what_cannot_be_negative_is_not_and_what_is_counted_is_whole(world: World) -> None:
    for series in world.series:
        assert series.values.min() >= 0
        if series.metric in WHOLE_NUMBERS:
            assert np.array_equal(series.values, np.rint(series.values))


def test_every_watched_metric_has_its_series_for_every_service(world: World) -> None:
    there = {(series.metric, series.labels.get("service")) for series in world.series}
    for metric in shop.METRICS:
        services = [service.name for service in shop.SERVICES] if "$service" in metric.query else [None]
        assert {(metric.name, service) for service in services} <= there
    assert (shop.VISITS, None) in there


def test_the_day_has_its_season_and_the_weekend_is_quieter(untouched: World) -> None:
    sessions = of(untouched, shop.SESSIONS)
    calm = sessions.times < untouched.sale.start.timestamp()
    hour = sessions.times % 86_400 / 3_600
    weekday = (sessions.times // 86_400 + 3) % 7
    afternoon = sessions.values[calm & (hour >= 14) & (hour < 16)].mean()
    night = sessions.values[calm & (hour >= 2) & (hour < 4)].mean()
    assert afternoon > 1.5 * night
    assert sessions.values[calm & (weekday == 6)].mean() < 0.97 * sessions.values[calm & (weekday == 2)].mean()


@pytest.mark.parametrize("metric", [shop.LATENCY, shop.ERRORS, shop.CPU, shop.REQUESTS, shop.INFRA_COST])
def test_what_the_season_leaves_still_remembers_the_minute_before(untouched: World, metric: str) -> None:
    values = of(untouched, metric, shop.API).values
    rest = values[DAY:] - values[:-DAY]
    rest = rest - rest.mean()
    assert (rest[1:] * rest[:-1]).mean() / (rest**2).mean() > 0.7


def test_the_sale_moves_every_service_at_the_same_minute(untouched: World) -> None:
    start = untouched.sale.start.timestamp()
    for service in shop.SERVICES:
        requests = of(untouched, shop.REQUESTS, service.name)
        first = int(np.searchsorted(requests.times, start))
        assert requests.values[first] > 1.6 * requests.values[first - 1]


def test_the_edge_sees_the_demand_that_the_shop_sees(untouched: World) -> None:
    visits, sessions = of(untouched, shop.VISITS), of(untouched, shop.SESSIONS)
    share = sessions.values / visits.values
    assert share.std() / share.mean() < 0.01


def test_waiting_for_locks_is_rare(untouched: World) -> None:
    waits = of(untouched, shop.LOCKS).values
    assert (waits == 0).mean() > 0.9


def test_the_truth_is_the_difference_to_the_world_in_which_no_deployment_does_anything(
    world: World, untouched: World
) -> None:
    assert untouched.truth == ()
    assert untouched.deployments == world.deployments
    for touched, plain in zip(world.series, untouched.series, strict=True):
        planted = sum(
            (effect.course(touched.times) for effect in world.truth if concerns(effect, touched) and not effect.undoes),
            start=np.zeros(len(touched.times)),
        )
        unit = 1 if touched.metric in WHOLE_NUMBERS else 0.01
        np.testing.assert_allclose(touched.values - plain.values, planted, atol=1.01 * unit)


def concerns(effect: Effect, series: Series) -> bool:
    return (effect.metric, effect.service) == (series.metric, series.labels.get("service"))


def test_no_deployment_touches_what_serves_as_control(world: World) -> None:
    assert shop.VISITS not in {effect.metric for effect in world.truth}


def test_what_a_story_plants_stands_out_of_what_the_series_does_by_itself(world: World, untouched: World) -> None:
    visits = of(untouched, shop.VISITS).values
    for effect in world.effects(world.update.id):
        values = of(untouched, effect.metric, effect.service).values
        if effect.metric in {shop.SESSIONS, shop.REVENUE}:
            values = values / visits * visits.mean()  # the control that their metrics name
        assert 3 < abs(effect.size) / quantile_of_own_change(values) < 12


@pytest.mark.parametrize(
    ("shape", "duration", "heights"),
    [
        (Shape.LEVEL, None, [0, 1, 1, 1, 1, 1]),
        (Shape.PULSE, 3, [0, 1, 1, 1, 0, 0]),
        (Shape.HUMP, 5, [0, 0, 0.5, 1, 2 / 3, 1 / 3]),
        (Shape.RAMP, 4, [0, 0, 0.5, 1, 1, 0]),
    ],
)
def test_each_shape_runs_its_course(shape: Shape, duration: float | None, heights: list[float]) -> None:
    onset = datetime(2026, 11, 2, 12, tzinfo=UTC)
    effect = Effect(
        deployment_id="a",
        metric="m",
        service=None,
        shape=shape,
        onset=onset,
        size=-4.0,
        duration=timedelta(minutes=duration) if duration else None,
    )
    times = onset.timestamp() + 60.0 * np.arange(-1, 5)
    np.testing.assert_allclose(effect.course(times), -4.0 * np.array(heights), atol=1e-12)
