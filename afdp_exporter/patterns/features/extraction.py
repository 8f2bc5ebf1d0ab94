"""Features of a deployment and its context, and the point-in-time context itself (no look-ahead).

| trait | kind | from |
|---|---|---|
| `change_types` | set | the deployment |
| `strategy`, `team` | word | the deployment |
| `actor` | word | pseudonym under the installation's key; the name itself is never stored |
| `version_jump` | word | `major`, `minor`, `patch`, `back` or `same`, from the two versions |
| `traffic_ratio` | number | the deployment |
| `traits.NAME` | as sent | every free trait: sizes, files, table rows, whatever the sender reports |
| `weekday` | word | the context, in the time zone of those who deploy |
| `hour` | number | the context, 0 to 24 |
| `event` | set | the kinds of the calendar entries that are on: `sale`, `freeze`, ... |
| `holiday` | yes or no | the calendar of public holidays |
| `load_ratio`, `load_season_ratio` | number | the load over its mean of the week, and over what is usual at this hour |
| `hours_since_last`, `in_flight` | number | the deployments around |
| `recent_trouble_ratio` | number | the share of this service's last outcomes that were no success |

What is unknown is absent, never zero. Deterministic; a change of meaning raises TRAITS_VERSION.
"""

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import TypeAlias

from afdp_exporter.model import CalendarEntry, Context, Deployment, MeasuredSummary, Outcome, TrainingExample
from afdp_exporter.versions import version_jump

TRAITS_VERSION = 1  # of the features: models of another version are learned anew

FeatureValue: TypeAlias = bool | float | str | frozenset[str]
Features: TypeAlias = Mapping[str, FeatureValue]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
OF_THE_MOMENT = ("weekday", "hour", "event", "holiday", "load_ratio", "load_season_ratio")
INTRINSIC = frozenset({"change_types", "strategy", "team", "actor", "version_jump", "traffic_ratio"})
OF_THE_PAST = frozenset({"hours_since_last", "in_flight", "recent_trouble_ratio"})
SIZES = frozenset(
    {
        "traits.files_changed",
        "traits.lines_changed",
        "traits.lines_added",
        "traits.lines_removed",
        "traits.commits",
        "traits.pull_request_files",
        "traits.pull_request_lines",
        "traits.table_rows",
    }
)
"""How much is changed, by the names under which it is reported."""
TROUBLE = frozenset({Outcome.DEGRADATION, Outcome.FAILURE})


def features_of(deployment: Deployment, context: Context, *, salt: bytes = b"") -> dict[str, FeatureValue]:
    """All traits of a deployment at its moment, by name, in a fixed order."""
    found: dict[str, FeatureValue | None] = {
        "change_types": frozenset(str(kind) for kind in deployment.change_types) or None,
        "strategy": str(deployment.strategy) if deployment.strategy else None,
        "team": deployment.team,
        "actor": pseudonym(deployment.actor, salt) if deployment.actor else None,
        "version_jump": version_jump(deployment.previous_version, deployment.version),
        "traffic_ratio": deployment.traffic_ratio,
    }
    given = {name: value for name, value in sorted(deployment.traits.items()) if name != "version_jump"}  # known above
    found |= {f"traits.{name}": value for name, value in given.items()}
    return _present(found) | history_features(context) | context_features(context)


def history_features(context: Context) -> dict[str, FeatureValue]:
    """The traits of what the service has been through by the moment."""
    found: dict[str, FeatureValue | None] = {
        "hours_since_last": context.since_last.total_seconds() / 3600 if context.since_last else None,
        "in_flight": float(context.in_flight),
        "recent_trouble_ratio": _recent_trouble(context),
    }
    return _present(found)


def context_features(context: Context) -> dict[str, FeatureValue]:
    """The traits that depend on when a deployment starts, and on nothing else of it."""
    found: dict[str, FeatureValue | None] = {
        "weekday": WEEKDAYS[context.at.weekday()],
        "hour": context.at.hour + context.at.minute / 60,
        "event": frozenset(str(event.kind) for event in context.occasions),
        "holiday": context.holiday is not None,
        "load_ratio": context.load_ratio,
        "load_season_ratio": context.load_season_ratio,
    }
    return _present(found)


def example_features(example: TrainingExample, *, salt: bytes = b"") -> dict[str, FeatureValue]:
    """The traits of a case."""
    return features_of(example.deployment, example.context, salt=salt)


def is_intrinsic(trait: str) -> bool:
    """True for traits of the deployment itself, False for those of the moment."""
    return trait in INTRINSIC or trait.startswith("traits.")


def pseudonym(name: str, salt: bytes) -> str:
    """The same twelve characters for the same name and salt; without the salt there is no way back."""
    return hmac.new(salt, name.encode(), hashlib.sha256).hexdigest()[:12]


def _recent_trouble(context: Context) -> float | None:
    known = [one for one in context.recent if one is not Outcome.UNKNOWN]
    return sum(one in TROUBLE for one in known) / len(known) if known else None


def _present(found: Mapping[str, FeatureValue | None]) -> dict[str, FeatureValue]:
    """What is known; a number that is none is not known."""
    return {
        name: value
        for name, value in found.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


RECENT = 5
"""How many of the service's last outcomes a context holds."""

STILL_UNDER_WAY = timedelta(minutes=15)
"""A deployment without an end is taken to be under way for so long."""

KnownOutcomes: TypeAlias = Mapping[str, MeasuredSummary]
"""By deployment id, what became of it, and when it was measured."""


def deployment_context(
    deployment: Deployment,
    *,
    earlier: Sequence[Deployment],
    impacts: KnownOutcomes,
    zone: tzinfo,
    calendar: Sequence[CalendarEntry] = (),
    holidays: Mapping[date, str] | None = None,
    load_ratio: float | None = None,
    load_season_ratio: float | None = None,
    levels: Mapping[str, float] | None = None,
    in_flight: int | None = None,
) -> Context:
    """The state that `deployment` meets. `impacts` are by deployment id; those measured after its start do not count.

    `earlier` may hold anything in any order: what starts later is left out. `in_flight` is how many of all deployments
    are under way, where that is not to be counted among `earlier`. `holidays` is what the library
    `holidays` gives for a country, or any mapping from date to name.
    """
    start = deployment.started_at
    before = sorted((other for other in earlier if other.started_at < start), key=lambda other: other.started_at)
    same = [other for other in before if other.same_target(deployment)]
    local = start.astimezone(zone)
    return Context(
        at=local,
        occasions=tuple(event for event in calendar if _is_on(event, deployment)),
        holiday=holidays.get(local.date()) if holidays else None,
        load_ratio=load_ratio,
        load_season_ratio=load_season_ratio,
        since_last=start - same[-1].started_at if same else None,
        in_flight=sum(_under_way(other, start) for other in before) if in_flight is None else in_flight,
        recent=_recent(same, impacts, start),
        levels=dict(levels or {}),
    )


def _is_on(event: CalendarEntry, deployment: Deployment) -> bool:
    return event.start <= deployment.started_at <= event.end and event.concerns(deployment.service)


def _under_way(deployment: Deployment, now: datetime) -> bool:
    if deployment.finished_at is None:
        return now - deployment.started_at < STILL_UNDER_WAY
    return deployment.finished_at > now


def _recent(same: Sequence[Deployment], impacts: KnownOutcomes, now: datetime) -> tuple[Outcome, ...]:
    known = [impacts[other.id] for other in reversed(same) if other.id in impacts]
    return tuple(each.outcome for each in known if each.measured_at <= now)[:RECENT]
