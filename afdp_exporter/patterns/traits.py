"""A deployment and the moment that it meets -> named traits: all that learning may look at.

| trait | kind | from |
|---|---|---|
| `change_types` | set | the deployment |
| `strategy`, `team` | word | the deployment |
| `actor` | word | hashed with the installation's salt; the name itself is never kept |
| `version_jump` | word | `major`, `minor`, `patch`, `back` or `same`, from the two versions |
| `traffic_ratio` | number | the deployment |
| `traits.NAME` | as sent | every free trait: sizes, files, table rows, whatever the sender knows |
| `weekday` | word | the moment, in the zone of those who deploy |
| `hour` | number | the moment, 0 to 24 |
| `event` | set | the kinds of the occasions that are on: `sale`, `freeze`, ... |
| `holiday` | yes or no | the calendar of public holidays |
| `load_ratio`, `load_season_ratio` | number | the load over its mean of the week, and over what is usual at this hour |
| `hours_since_last`, `in_flight` | number | the deployments around |
| `recent_trouble_ratio` | number | the share of this service's last outcomes that were no success |

What is unknown is absent, never zero. Deterministic; a change of meaning raises TRAITS_VERSION.
"""

import hashlib
import hmac
import math
from collections.abc import Mapping
from typing import TypeAlias

from afdp_exporter.model import Case, Context, Deployment, Outcome
from afdp_exporter.versions import version_jump

TRAITS_VERSION = 1

Value: TypeAlias = bool | float | str | frozenset[str]
Traits: TypeAlias = Mapping[str, Value]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
OF_THE_MOMENT = ("weekday", "hour", "event", "holiday", "load_ratio", "load_season_ratio")
TOLD = frozenset({"change_types", "strategy", "team", "actor", "version_jump", "traffic_ratio"})
TROUBLE = frozenset({Outcome.DEGRADATION, Outcome.FAILURE})


def traits(deployment: Deployment, context: Context, *, salt: bytes = b"") -> dict[str, Value]:
    """All traits of a deployment at its moment, by name, in a fixed order."""
    found: dict[str, Value | None] = {
        "change_types": frozenset(str(kind) for kind in deployment.change_types) or None,
        "strategy": str(deployment.strategy) if deployment.strategy else None,
        "team": deployment.team,
        "actor": pseudonym(deployment.actor, salt) if deployment.actor else None,
        "version_jump": version_jump(deployment.previous_version, deployment.version),
        "traffic_ratio": deployment.traffic_ratio,
    }
    given = {name: value for name, value in sorted(deployment.traits.items()) if name != "version_jump"}  # known above
    found |= {f"traits.{name}": value for name, value in given.items()}
    return _present(found) | state_traits(context) | moment_traits(context)


def state_traits(context: Context) -> dict[str, Value]:
    """The traits of what the service has been through by the moment."""
    found: dict[str, Value | None] = {
        "hours_since_last": context.since_last.total_seconds() / 3600 if context.since_last else None,
        "in_flight": float(context.in_flight),
        "recent_trouble_ratio": _trouble(context),
    }
    return _present(found)


def moment_traits(context: Context) -> dict[str, Value]:
    """The traits that depend on when a deployment starts, and on nothing else of it."""
    found: dict[str, Value | None] = {
        "weekday": WEEKDAYS[context.at.weekday()],
        "hour": context.at.hour + context.at.minute / 60,
        "event": frozenset(str(event.kind) for event in context.occasions),
        "holiday": context.holiday is not None,
        "load_ratio": context.load_ratio,
        "load_season_ratio": context.load_season_ratio,
    }
    return _present(found)


def case_traits(case: Case, *, salt: bytes = b"") -> dict[str, Value]:
    """The traits of a case."""
    return traits(case.deployment, case.context, salt=salt)


def is_intrinsic(trait: str) -> bool:
    """True for traits of the deployment itself, False for those of the moment."""
    return trait in TOLD or trait.startswith("traits.")


def pseudonym(name: str, salt: bytes) -> str:
    """The same twelve characters for the same name and salt; without the salt there is no way back."""
    return hmac.new(salt, name.encode(), hashlib.sha256).hexdigest()[:12]


def _trouble(context: Context) -> float | None:
    known = [one for one in context.recent if one is not Outcome.UNKNOWN]
    return sum(one in TROUBLE for one in known) / len(known) if known else None


def _present(found: Mapping[str, Value | None]) -> dict[str, Value]:
    """What is known; a number that is none is not known."""
    return {
        name: value
        for name, value in found.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }
