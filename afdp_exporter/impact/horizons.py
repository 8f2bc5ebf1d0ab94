"""How far after a deployment its metrics are judged, and what a longer stretch may not take back.

Over a day a metric wanders further by itself than within an hour, so a look after a day may lose what a look after an
hour, or four, saw clearly. Not to see it any more is no evidence that it was not there: only a range that excludes it
is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.recovery import Recovery, successor
from afdp_exporter.impact.shift import may_be_as_large
from afdp_exporter.model import Attribution, Shift, ShiftState
from afdp_exporter.wording.durations import format_duration

FIRST = timedelta(hours=1)
_EARLIER = (timedelta(hours=4), FIRST)
_LONGER = 2  # a stretch is judged by itself where the whole reaches at least so many times as far, ...
_LONGER_THAN_FIRST = timedelta(hours=4)  # ... the first hour where it reaches so far: the look before it saw that hour
LONGEST = timedelta(days=1)  # a check after that only asks whether it goes on
_SILENT = frozenset({Attribution.INCONCLUSIVE, Attribution.INSUFFICIENT_HISTORY})


def as_judged(case: Case) -> Case:
    """The case as far as its metrics are judged: a day, and not beyond the next deployment of the service.

    Where the clock of the series is not that of the deployment, the rollout may have been at either time.
    """
    ahead, behind = max(case.skew, timedelta(0)), min(case.skew, timedelta(0))
    ends, deployment = successor(case), case.deployment
    last = deployment.ended_at + ahead + LONGEST
    if ends is not None:
        last = min(last, ends.started_at + behind - timedelta.resolution)
    if case.skew:
        deployment = replace(
            deployment, started_at=deployment.started_at + behind, finished_at=deployment.ended_at + ahead
        )
    return replace(case, deployment=deployment, now=min(case.now, last), skew=timedelta(0))


def earlier(case: Case) -> tuple[Case, ...]:
    """The case as it was known four hours and an hour after the rollout, where it reaches further than that."""
    ended = case.deployment.ended_at
    found = []
    for after in _EARLIER:
        enough = _LONGER_THAN_FIRST if after == FIRST else _LONGER * after
        if case.now >= ended + enough:
            now = ended + after
            found.append(replace(case, now=now, others=tuple(each for each in case.others if each.started_at <= now)))
    return tuple(found)


def kept(
    shifts: Iterable[Shift], moved: Iterable[Shift], after: timedelta, recoveries: Mapping[str, Recovery]
) -> tuple[Shift, ...]:
    """The shifts of a long look; where it cannot tell, what moved in a stretch `after` the rollout, as known then."""
    seen = {shift.metric: shift for shift in moved}
    return tuple(
        _kept(seen[shift.metric], after)
        if shift.metric in seen and lost(shift, seen[shift.metric], recoveries.get(shift.metric))
        else shift
        for shift in shifts
    )


def lost(shift: Shift, early: Shift, since: Recovery | None) -> bool:
    """Whether a look is silent about a metric, and does not rule out what an earlier one showed.

    Where the metric has returned since, the mean over a long stretch rules out nothing.
    """
    silent = shift.verdict in _SILENT or (shift.verdict is Attribution.NO_EFFECT and shift.onset is None)
    back = since is not None and since.state is ShiftState.RECOVERED
    return silent and (back or may_be_as_large(shift, early))


def _kept(early: Shift, after: timedelta) -> Shift:
    when = "first hour" if after == FIRST else f"first {format_duration(after)}"
    return replace(early, reason=f"in the {when} {early.reason}; since then it cannot be told from its own wandering")
