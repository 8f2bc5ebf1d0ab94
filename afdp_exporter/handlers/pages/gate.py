"""`/gate`: what the gate answered lately, and what was done about deployments."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from aiohttp import web

from afdp_exporter.automation.answers import rollout_sentence
from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.operations import page_operation
from afdp_exporter.handlers.pages.rendering import page
from afdp_exporter.model import Deployment, Rollout, Worth
from afdp_exporter.store import Store
from afdp_exporter.wording.numbers import format_money

_LATELY = timedelta(days=30)
_SHOWN = 50
_NOW = timedelta(minutes=10)


@page_operation("gatePage", "Decisions of the gate, and actions")
async def gate(request: web.Request) -> web.Response:
    """The newest decisions and actions."""
    state = request.app[STATE]
    store = state.store
    return page(
        request,
        "gate.html",
        under_way=await _under_way(store, state.clock()),
        decisions=await store.decisions.search(since=state.clock() - _LATELY, limit=_SHOWN),
        actions=await store.actions.search(limit=_SHOWN),
        paused=await state.actions.paused(),
        worth=_worth(state.ledger.worth),
        ways=state.rules.ways,
        metrics=[metric.name for metric in state.rules.watched.metrics],
    )


def _worth(known: Mapping[tuple[str, str, str], Worth]) -> list[tuple[str, str, tuple[str, ...]]]:
    """By service and environment what was spared, what it cost, and what is left."""
    return [
        (
            service,
            environment,
            tuple(format_money(currency, amount) for amount in (each.prevented, each.spent, each.net)),
        )
        for (service, environment, currency), each in sorted(known.items())
    ]


async def _under_way(store: Store, now: datetime) -> list[tuple[Deployment, Rollout, str]]:
    """Canaries and greens that were compared in the last minutes, each with what it shows as a sentence."""
    rollouts = await store.rollouts.newest(None, before=now + _NOW, limit=_SHOWN)
    fresh = [each for each in reversed(rollouts) if now - each.as_of < _NOW]
    return [(await store.deployments.find(each.deployment_id), each, rollout_sentence(each)) for each in fresh]
