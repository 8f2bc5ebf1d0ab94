"""Whose harm goes on."""

from afdp_exporter.model import MeasuredDeployment, Outcome
from afdp_exporter.store import Store

_NEWEST = 5  # deployments of each service that may hold its last measured one
_BAD = frozenset({Outcome.DEGRADATION, Outcome.FAILURE})


async def in_harm(store: Store) -> list[MeasuredDeployment]:
    """The deployments whose harm goes on, as far as known.

    Only the last deployment of a service can be one, since the next one ends what is put down to it; the newest may
    be planned or under way.
    """
    newest = await store.history.recent(_NEWEST, _BAD)
    return [each for each in newest if each.impact is not None and each.impact.harm and each.impact.harm.active]
