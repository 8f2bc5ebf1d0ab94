"""The use case behind DORA's figures: how stable the deployments of each service were lately."""

from collections import defaultdict
from datetime import datetime, timedelta

from afdp_exporter.impact.outcome import stability
from afdp_exporter.model import MeasuredDeployment, Stability
from afdp_exporter.store import Store

_LATELY = timedelta(days=30)  # whose deployments count
_MOST = 5000  # measured deployments, the newest


async def stabilities(store: Store, now: datetime) -> dict[tuple[str, str], Stability]:
    """Change failure rate and time to restore over the last 30 days, by service and environment."""
    places: dict[tuple[str, str], list[MeasuredDeployment]] = defaultdict(list)
    for each in await store.history.measured(before=now, limit=_MOST):
        if each.deployment.started_at >= now - _LATELY:
            places[each.deployment.service, each.deployment.environment].append(each)
    return {place: stability(found) for place, found in places.items()}
