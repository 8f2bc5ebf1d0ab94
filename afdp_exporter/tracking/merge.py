"""The life of a deployment, merged from its announcements: in whatever order, however often.

The deployments are a function of the *set* of announcements, so that order, delay and repetition cannot matter. They
are laid out by the clock of their sender; of two that say the same thing differently the later one holds.

A rollout that succeeded is over. A later start is another rollout's or an autoscaler's, and a state observed later, or
a failure reported days later, is an outage's: none of them changes it. What failed may still get well.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from afdp_exporter.fields import coerce_labels, coerce_link, coerce_text, coerce_traits
from afdp_exporter.model import Announcement, Deployment, Recurrence, Status, Trait, names_rollback
from afdp_exporter.versions import version_jump

_LONGEST_ID = 128
_DIGEST = 12
_ORDER = (
    Status.PLANNED,
    Status.STARTED,
    Status.CANCELLED,
    Status.SUCCEEDED,
    Status.FAILED,
    Status.ROLLED_BACK,
)  # of what comes at the same instant
_AHEAD = {Status.PLANNED, Status.STARTED}
_RUN_AGAIN = {Recurrence.RESTARTS, Recurrence.REPEATS}
_NO_ROLLOUT = {Status.PLANNED, Status.CANCELLED}
_UNTIMED = datetime.min.replace(tzinfo=UTC)
_STRAGGLES = timedelta(minutes=1)
"""How much later than its end a start may seem by the clocks of sender and exporter."""
_SETTLES = timedelta(minutes=15)
"""How long after its end a state still belongs to the rollout: Kubernetes calls a rollout stuck after 10 minutes."""

_VERIFIED = timedelta(days=1)
"""How long after its success a rollout may still be reported as failed, as by the tests that follow it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A deployment as its announcements have it; `happened` is False as long as it is only planned or called off."""

    deployment: Deployment
    happened: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Progress:
    """How a rollout stands after some steps; `end` is None as long as it runs."""

    status: Status | None = None
    started_at: datetime | None = None
    end: datetime | None = None


def deployment_id(announcement: Announcement) -> str:
    """Our id of the deployment that an announcement reports, the same for each of its events."""
    return _identifier(announcement.sender, announcement.key)


def _identifier(sender: str, name: str) -> str:
    plain = f"{sender}:{name}".replace("/", ":")
    allowed = re.sub(r"[^A-Za-z0-9._:-]", "-", plain)
    if allowed == plain and len(plain) <= _LONGEST_ID:
        return plain
    digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{allowed[: _LONGEST_ID - _DIGEST - 1]}-{digest}"


def numbered(plain: str, number: int) -> str:
    """The id of a deployment whose key comes back: `:2` behind that of the first, and so on."""
    return plain if number == 1 else f"{plain[: _LONGEST_ID - 8]}:{number}"


def thread_id(announcement: Announcement) -> str:
    """Under what the announcements are kept that have to be read together to make this one's deployment."""
    return _identifier(announcement.sender, announcement.thread or announcement.key)


def rollouts(
    announcements: Collection[Announcement], earlier: Mapping[str, int] | None = None
) -> dict[str, list[Announcement]]:
    """The announcements of one thread by the ids of their deployments, in the order in which these began.

    Those of a thread whose keys recur are told apart by the sender's clock; the second deployment of a key has `:2`
    behind its id. Announcements without a time are to be given that of their arrival before. `earlier` is, by key, how
    many deployments came before these, whose announcements are let go of.
    """
    found: list[list[Announcement]] = []
    by_key: dict[str, list[Announcement]] = {}
    for each in sorted(announcements, key=_order):
        newest = found[-1] if found else None
        rollout = (
            _newest_at(each, newest) if each.key == each.thread else _continued(each, by_key.get(each.key), newest)
        )
        if rollout is not None:
            rollout.append(each)
        elif each.key != each.thread:
            found.append([each])
            by_key[each.key] = found[-1]
    for rollout, later in pairwise(found):
        if _followed(rollout)[0].end is None:
            rollout.append(_overtaken(rollout[-1], later[0]))
    by_id: dict[str, list[Announcement]] = {}
    runs: dict[str, list[list[Announcement]]] = {}
    for rollout in found:
        plain = deployment_id(rollout[0])
        before = runs.setdefault(plain, [])
        name = numbered(plain, 1 + len(before) + (earlier or {}).get(rollout[0].key, 0))
        by_id.setdefault(name, []).extend(_anew(rollout, before[-1]) if before else rollout)
        before.append(rollout)
    return by_id


def _overtaken(announcement: Announcement, by: Announcement) -> Announcement:
    """What says that a rollout is over without a word, since the next one of its object has begun."""
    return Announcement(
        sender=announcement.sender, key=announcement.key, event=by.event, origin=announcement.origin, at=by.at,
        status=Status.CANCELLED,
    )  # fmt: skip


def _newest_at(announcement: Announcement, newest: list[Announcement] | None) -> list[Announcement] | None:
    """The newest rollout, unless that is the one that was gone back to: what was taken back was never reported then."""
    back = announcement.returned_to
    if newest is None or back is None or _newest(newest, "version") != back:
        return newest
    return None if _followed(newest)[0].status is Status.SUCCEEDED else newest


def _anew(rollout: Sequence[Announcement], before: Sequence[Announcement]) -> list[Announcement]:
    """A rollout whose key comes back; a start from before the end of its last one, which senders go on naming, is not
    this one's."""
    end = _followed(before)[0].end
    stale = (end is not None and each.started_at is not None and each.started_at < end for each in rollout)
    return [replace(each, started_at=None) if old else each for each, old in zip(rollout, stale, strict=True)]


def _continued(
    announcement: Announcement, same: list[Announcement] | None, newest: list[Announcement] | None
) -> list[Announcement] | None:
    """Of the newest rollout with the same key, and of the newest at all, the one that an announcement continues."""
    recurrence = announcement.recurrence
    if same is None or (recurrence is not Recurrence.ONCE and same is not newest):
        return None
    if recurrence not in _RUN_AGAIN or announcement.at is None:
        return same
    before, _ = _followed(same)
    if before.end is None or announcement.at - before.end <= _STRAGGLES:
        return same
    ends_again = recurrence is Recurrence.REPEATS and before.status is Status.SUCCEEDED
    return None if announcement.status in _AHEAD or (announcement.status is not None and ends_again) else same


def merge_announcements(
    announcements: Collection[Announcement], *, received_at: datetime, known_as: str | None = None
) -> Life | None:
    """The deployment that placed announcements, all of the same one, make; None as long as none has a status.

    An announcement without a time counts as of `received_at`, when the first of them came. Text is cut to what a
    deployment may hold, and what it may not hold is left out. `known_as` is its id where its key recurs.
    """
    timed = [replace(each, at=each.at or received_at) for each in announcements]
    progress, announced = _followed(sorted(timed, key=_order))
    if progress.status is None or progress.started_at is None or _is_needless(announced):
        return None
    finished_at = progress.end
    starts = (each.started_at for each in announced if each.started_at is not None)
    started_at = min(starts, default=progress.started_at)
    version, previous = _line(announced, "version", 256), _line(announced, "previous_version", 256)
    deployment = Deployment(
        id=known_as or deployment_id(announced[-1]),
        service=_line(_stating(announced), "service", 128, of_origin=True) or "unknown",
        environment=_line(announced, "environment", 128, of_origin=True) or "production",
        started_at=min(started_at, finished_at or started_at),
        finished_at=finished_at,
        status=progress.status,
        version=version,
        previous_version=previous,
        actor=_line(announced, "actor", 128),
        team=_line(announced, "team", 128),
        change_types=tuple(sorted({kind for each in announced for kind in each.change_types})),
        strategy=_newest(announced, "strategy"),
        traffic_ratio=_newest(announced, "traffic_ratio"),
        url=coerce_link(_newest(announced, "url")),
        commit=_line(announced, "commit", 256),
        description=coerce_text(_description(announced), 8192, lines=True),
        traits=_traits(announced, version_jump(previous, version)),
        labels=coerce_labels(_united(announced, "labels")),
        received_at=received_at,
        received_from=announced[-1].sender,
    )
    happened = any(each.status is not None and each.status not in _NO_ROLLOUT for each in announced)
    return Life(deployment=deployment, happened=happened)


def apply_manual_edits(stored: Deployment, before: Deployment | None, after: Deployment) -> Deployment:
    """The stored deployment after another announcement: what somebody changed by hand since then stays as it is.

    `before` and `after` are the lives without and with the announcement; None: nothing was announced before, so that
    every word in `stored` is a hand's.
    """
    words: dict[str, Any] = {}
    for entry in fields(Deployment):
        mine, then, now = getattr(stored, entry.name), _value(before, entry), getattr(after, entry.name)
        if isinstance(mine, Mapping):
            own = {name: value for name, value in mine.items() if name not in then or then[name] != value}
            words[entry.name] = {**now, **own}
        elif mine == then:
            words[entry.name] = now
    return replace(stored, **words)


def _value(deployment: Deployment | None, entry: Any) -> Any:  # noqa: ANN401 - of any field
    if deployment is not None:
        return getattr(deployment, entry.name)
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def _order(announcement: Announcement) -> tuple[datetime, int, str, str]:
    rank = -1 if announcement.status is None else _ORDER.index(announcement.status)
    return announcement.at or _UNTIMED, rank, announcement.event, repr(announcement)


def _followed(announced: Sequence[Announcement]) -> tuple[_Progress, list[Announcement]]:
    """How a rollout stands after its announcements in their order, and those that are about it."""
    progress, about = _Progress(), []
    for each in announced:
        if each.status is None:
            about.append(each)
            continue
        if each.goes_back:
            each = _going_back(each, begun=progress.status is not None)  # noqa: PLW2901 - read as what it is
        after = _after(progress, each)
        late = progress.end is not None and each.at is not None and each.at - progress.end > _SETTLES
        if after is not None or not late:
            about.append(each)
        progress = after or progress
    return progress, about


def _going_back(step: Announcement, *, begun: bool) -> Announcement:
    """The start of a rollback, or the end of a rollout that is taken back."""
    if begun:
        return replace(step, status=Status.ROLLED_BACK)
    return replace(step, traits={**step.traits, "rollback": True})


def _after(before: _Progress, step: Announcement) -> _Progress | None:
    """How the rollout stands after one more state; None where the state is not about it.

    It starts with the first start after the last plan, without any start with the last plan, else with the first
    thing that is known; it ends with the first end after the last start, and with its success where it got well.
    """
    status, at = step.status, step.at or _UNTIMED
    if before.end is not None and not _about_what_is_over(before, before.end, step, at):
        return None
    if before.status is Status.SUCCEEDED:
        return replace(before, status=status)
    if status is Status.PLANNED:
        return _Progress(status=status, started_at=at)
    if status is Status.STARTED:
        planned = before.status is Status.PLANNED or before.started_at is None
        return _Progress(status=status, started_at=at if planned else before.started_at)
    over = step.finished_at or at
    if before.end is not None:
        over = at if status is Status.SUCCEEDED else before.end
    return _Progress(status=status, started_at=before.started_at or at, end=over)


def _about_what_is_over(before: _Progress, end: datetime, step: Announcement, at: datetime) -> bool:
    """Whether a state that comes after the end of a rollout is still about it."""
    succeeded = before.status is Status.SUCCEEDED
    if step.status in _AHEAD:
        return not succeeded and step.recurrence not in _RUN_AGAIN
    if step.status in {Status.SUCCEEDED, Status.CANCELLED}:
        return not succeeded
    if step.observed:
        return at - end <= _SETTLES
    if before.status is Status.ROLLED_BACK:
        return step.status is Status.ROLLED_BACK
    return step.status is not Status.FAILED or at - end <= _VERIFIED


def _is_needless(announced: Sequence[Announcement]) -> bool:
    return all(each.needless for each in announced if each.status is not None)


def _newest(announced: Sequence[Announcement], name: str, *, of_origin: bool = False) -> Any:  # noqa: ANN401 - any field
    values = (getattr(each.origin if of_origin else each, name) for each in reversed(announced))
    return next((value for value in values if value not in (None, "")), None)


def _description(announced: Sequence[Announcement]) -> str | None:
    """What is deployed; only where nobody says it, how it failed, which is often that it is being rolled back."""
    deployed = [each for each in announced if each.status not in {Status.FAILED, Status.ROLLED_BACK}]
    words: str | None = _newest(deployed, "description") or _newest(announced, "description")
    return words


def _line(announced: Sequence[Announcement], name: str, most: int, *, of_origin: bool = False) -> str | None:
    return coerce_text(_newest(announced, name, of_origin=of_origin), most)


def _stating(announced: Sequence[Announcement]) -> Sequence[Announcement]:
    """Those that name the service; all where it is only assumed: not each event of a sender holds each word."""
    return [each for each in announced if each.origin.service != each.origin.assumed_service] or announced


def _traits(announced: Sequence[Announcement], jump: str | None) -> dict[str, Trait]:
    """Where its pipeline or stage is called so, it is a rollback unless it says itself that it is none."""
    names = {name for each in announced for name in (each.origin.pipeline, each.origin.labels.get("stage")) if name}
    found: dict[str, Trait] = {"rollback": True} if any(map(names_rollback, names)) else {}
    return found | ({} if jump is None else {"version_jump": jump}) | coerce_traits(_united(announced, "traits"))


def _united(announced: Sequence[Announcement], name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in announced:
        found |= getattr(each, name)
    return found
