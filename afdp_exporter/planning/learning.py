"""What is learned from the history of a store; run by a worker, which reads the store itself."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypeAlias

from afdp_exporter.model import MeasuredSummary, Pattern, Score, TrainingExample
from afdp_exporter.patterns import Model, fit, mine, score
from afdp_exporter.patterns.mining.search import newest
from afdp_exporter.planning.forecast import cases_of, training_ids
from afdp_exporter.planning.plans import Calendar
from afdp_exporter.store import Store

Pool: TypeAlias = tuple[str | None, str | None]
"""Whose cases a model is learned from: a service, None for all of which nothing was recorded, and a team."""


async def learn_models(
    store: Store, pools: Sequence[Pool], known: Calendar, *, cases: int, now: datetime
) -> dict[Pool, Model]:
    """A model for each pool, from the newest `cases`; what several of them share is read once."""
    past = await store.history.index(before=now, limit=cases)
    chosen = {pool: training_ids(past, pool[0] or "", pool[1], now) for pool in pools}
    examples = await _examples(store, past, {each for names in chosen.values() for each in names}, known)
    found = {}
    for (service, team), names in chosen.items():
        own = set(names)
        learned_from = tuple(each for each in examples if each.deployment.id in own)
        found[service, team] = await asyncio.to_thread(fit, learned_from, service=service or "", team=team, now=now)
    return found


async def mine_patterns(store: Store, known: Calendar, *, cases: int, now: datetime) -> tuple[Pattern, ...]:
    """What the newest `cases` teach about all services."""
    past = await store.history.index(before=now, limit=cases)
    examples = await _examples(store, past, [each.deployment.id for each in newest(past)], known)
    return await asyncio.to_thread(mine, examples)


async def score_services(store: Store, services: Sequence[str]) -> list[Score]:
    """How well the predictions of each service came true, of those for which that can be said."""
    found = [score(service, await store.history.scored_predictions(service)) for service in services]
    return [each for each in found if each is not None]


async def _examples(
    store: Store, past: Sequence[MeasuredSummary], chosen: Collection[str], known: Calendar
) -> tuple[TrainingExample, ...]:
    """The chosen ones of the past, each with the state that it met, oldest first."""
    impacts = await store.results.impacts(tuple(chosen))
    return await asyncio.to_thread(cases_of, past, impacts, known)
