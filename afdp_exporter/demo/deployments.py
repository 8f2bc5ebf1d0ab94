"""Eight weeks of the shop's deployments: what was planned, by whom, in which versions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from afdp_exporter.demo import shop
from afdp_exporter.demo.effects import LARGE_TABLE_ROWS
from afdp_exporter.model import ChangeType, Deployment, Strategy, Trait

_ROUTINE = 24
_APART = timedelta(minutes=90)  # routine deployments keep away from others, so that each can be judged by itself
_FIRST_VERSIONS = {shop.API: (1, 7, 3), shop.CHECKOUT: (5, 2, 0), shop.WORKER: (3, 11, 1)}
_TEAMS = {service.name: service.team for service in shop.SERVICES}
_ACTORS = ("ada", "grace", "katherine", "linus", "margaret")
_CODE = (ChangeType.CODE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A deployment before it has its version: `part` is the number of the version that rises (0 major, 2 patch)."""

    at: datetime
    service: str
    description: str
    part: int = 2
    change_types: tuple[ChangeType, ...] = _CODE
    strategy: Strategy = Strategy.ROLLING
    minutes: int = 3
    files: tuple[int, int] = (1, 40)
    traits: dict[str, Trait] = field(default_factory=dict)


def deployments(story: datetime, chance: np.random.Generator) -> tuple[Deployment, ...]:
    """Every deployment from eight weeks before the newest update of the API to a day after it, oldest first."""
    plans = [*_updates_of_the_api(story), *_migrations(story, chance), *_releases(story), *_caches(story)]
    plans += _routine([plan.at for plan in plans], story, chance)
    versions = dict(_FIRST_VERSIONS)
    found = []
    for plan in sorted(plans, key=lambda plan: plan.at):
        before = versions[plan.service]
        after = (*before[: plan.part], before[plan.part] + 1, *(0,) * (2 - plan.part))
        versions[plan.service] = (after[0], after[1], after[2])
        found.append(_deployment(plan, _written(before), _written(after), chance))
    return tuple(found)


def _updates_of_the_api(story: datetime) -> list[_Plan]:
    """Three updates with the fix of each, a major version that hurts nobody, and the update of the story."""
    plans = []
    for days, hour in ((46, 11), (36, 15), (10, 13)):
        at = (story - timedelta(days=days)).replace(hour=hour)
        plans.append(_update(at))
        fixed = at + timedelta(hours=28, minutes=20)
        plans.append(
            _Plan(
                at=fixed,
                service=shop.API,
                description="Take back what was slow in the last update",
                traits={"hotfix": True},
            )
        )
    major = story - timedelta(days=5, hours=3)
    plans.append(_update(major, part=0, strategy=Strategy.CANARY, minutes=25))
    return [*plans, _update(story)]


def _update(at: datetime, *, part: int = 1, strategy: Strategy = Strategy.BLUE_GREEN, minutes: int = 1) -> _Plan:
    return _Plan(
        at=at,
        service=shop.API,
        description="New endpoints for the mobile app",
        part=part,
        strategy=strategy,
        minutes=minutes,
        files=(20, 45),
    )


def _migrations(story: datetime, chance: np.random.Generator) -> list[_Plan]:
    """A large one every Monday; large ones on other days and small ones, which do no harm."""
    newest = shop.latest_at(story - timedelta(hours=20), hour=9, weekday=0)
    weeks = (story - shop.HISTORY + timedelta(days=3) - newest) // timedelta(weeks=-1)

    def when(week: int, weekday: int, hour: float) -> datetime:
        return newest + timedelta(weeks=-week, days=weekday, hours=hour - 9)

    mondays = [
        _migration(when(week, 0, 9), shop.WORKER if week % 3 == 2 else shop.API, chance, large=True)
        for week in range(weeks + 1)
    ]
    harmless = [
        _migration(when(week, weekday, 8.5), (shop.API, shop.WORKER)[weekday % 2], chance, large=True)
        for week, weekday in ((1, 1), (2, 3), (3, 2), (5, 1), (5, 3), (6, 2), (6, 4))
    ]
    small = [
        _migration(when(week, weekday, 20.5), (shop.WORKER, shop.API)[week % 2], chance, large=False)
        for week, weekday in ((0, 0), (1, 0), (3, 0), (4, 4), (5, 0))
    ]
    return [*mondays, *harmless, *small]


def _migration(at: datetime, service: str, chance: np.random.Generator, *, large: bool) -> _Plan:
    decades = chance.uniform(0.3, 1.6) if large else chance.uniform(-3, -0.3)
    return _Plan(
        at=at,
        service=service,
        description="Move a table to its new schema",
        change_types=(ChangeType.DATABASE,),
        strategy=Strategy.RECREATE,
        minutes=6,
        files=(1, 6),
        traits={"table_rows": float(round(LARGE_TABLE_ROWS * 10**decades))},
    )


def _releases(story: datetime) -> list[_Plan]:
    """Releases with many changed files: five in the sale, seven in other weeks."""
    thursday = shop.sale(story).start
    in_the_sale = (
        (shop.CHECKOUT, 0, 4),
        (shop.WORKER, 0, 7),
        (shop.API, 1, 2),
        (shop.CHECKOUT, 2, 1),
        (shop.WORKER, 2, 5),
    )
    before_the_story = (
        (shop.CHECKOUT, 51, -3),
        (shop.WORKER, 49, 2),
        (shop.CHECKOUT, 42, 3),
        (shop.WORKER, 32, -2),
        (shop.API, 29, 2),
        (shop.CHECKOUT, 12, 2),
        (shop.WORKER, 7, -2),
    )
    at = [(service, thursday + timedelta(days=days, hours=hours)) for service, days, hours in in_the_sale]
    at += [
        (service, story - timedelta(days=days) + timedelta(hours=hours)) for service, days, hours in before_the_story
    ]
    return [
        _Plan(at=when, service=service, description="Release with many changes", minutes=5, files=(60, 220))
        for service, when in at
    ]


def _caches(story: datetime) -> list[_Plan]:
    return [
        _Plan(
            at=story - timedelta(days=39, hours=4),
            service=shop.WORKER,
            description="Keep results in memory",
            traits={"cache": "unbounded"},
        ),
        _Plan(
            at=story - timedelta(days=8, hours=-2),
            service=shop.CHECKOUT,
            description="Read baskets through a cache",
            traits={"cache": "read-through"},
        ),
    ]


def _routine(taken: Sequence[datetime], story: datetime, chance: np.random.Generator) -> list[_Plan]:
    """Everyday deployments, which do nothing: between 7:00 and 20:00, away from those that are there."""
    plans: list[_Plan] = []
    first = (story - shop.HISTORY).replace(hour=0)
    while len(plans) < _ROUTINE:
        days, minutes = chance.integers(1, shop.HISTORY.days + 1), chance.integers(7 * 60, 20 * 60)
        at = first + timedelta(days=int(days), minutes=int(minutes))
        if all(abs(at - other) >= _APART for other in [*taken, *(plan.at for plan in plans)]):
            plans.append(_routine_plan(at, chance))
    return plans


def _routine_plan(at: datetime, chance: np.random.Generator) -> _Plan:
    change = (ChangeType.CODE, ChangeType.CODE, ChangeType.CONFIG, ChangeType.FLAG, ChangeType.INFRASTRUCTURE)
    return _Plan(
        at=at,
        service=shop.SERVICES[chance.integers(len(shop.SERVICES))].name,
        description="Everyday change",
        change_types=(change[chance.integers(len(change))],),
        strategy=(Strategy.ROLLING, Strategy.CANARY)[chance.integers(2)],
        minutes=int(chance.integers(1, 9)),
    )


def _deployment(plan: _Plan, before: str, after: str, chance: np.random.Generator) -> Deployment:
    return Deployment(
        id=f"{plan.service}-{after}",
        service=plan.service,
        environment=shop.ENVIRONMENT,
        started_at=plan.at,
        finished_at=plan.at + timedelta(minutes=plan.minutes),
        version=after,
        previous_version=before,
        actor=_ACTORS[chance.integers(len(_ACTORS))],
        team=_TEAMS[plan.service],
        change_types=plan.change_types,
        strategy=plan.strategy,
        description=plan.description,
        traits={
            "files_changed": float(chance.integers(*plan.files)),
            "reviewers": float(chance.integers(1, 4)),
            **plan.traits,
        },
        received_at=plan.at,
        received_from="demo",
    )


def _written(version: tuple[int, ...]) -> str:
    return "v" + ".".join(map(str, version))
