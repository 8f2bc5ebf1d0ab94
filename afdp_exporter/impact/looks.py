"""From one look to the next: windows of a look, effects that a longer window no longer resolves, and finding states.

Over a day a metric wanders further than within an hour, so a look after a day may not resolve what an earlier look
found. That is no evidence of absence; only an interval that excludes the effect is. An earlier finding ends by
evidence alone: the metric has returned, another cause explains it, or the new interval excludes it. Nor does a change
lose its start because a long window blurs it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.recovery import Recovery, successor, successors
from afdp_exporter.impact.verdict import ranges_overlap
from afdp_exporter.model import Attribution, Shift, ShiftState
from afdp_exporter.wording.numbers import format_duration

FIRST_HOUR = timedelta(hours=1)  # what it showed is kept where later checks cannot
_EARLIER = (timedelta(hours=4), FIRST_HOUR)  # stretches after a rollout that are judged by themselves
_LENGTH_FACTOR = 2  # a stretch is judged by itself where the whole reaches at least so many times as far, ...
_FIRST_HOUR_REACH = timedelta(hours=4)  # ... the first hour where it reaches so far: the look before it saw that hour
LONGEST_WINDOW = timedelta(days=1)  # a check after that only asks whether it goes on
_SILENT = frozenset({Attribution.INCONCLUSIVE, Attribution.INSUFFICIENT_HISTORY})


def judged_window(context: AnalysisContext) -> AnalysisContext:
    """The case as far as its metrics are judged: a day, and not beyond the next deployment of the service.

    Where the clock of the series is not that of the deployment, the rollout may have been at either time.
    """
    ahead, behind = max(context.clock_skew, timedelta(0)), min(context.clock_skew, timedelta(0))
    ends, deployment = successor(context), context.deployment
    last = deployment.ended_at + ahead + LONGEST_WINDOW
    if ends is not None:
        last = min(last, ends.started_at + behind - timedelta.resolution)
    if context.clock_skew:
        deployment = replace(
            deployment, started_at=deployment.started_at + behind, finished_at=deployment.ended_at + ahead
        )
    return replace(context, deployment=deployment, now=min(context.now, last), clock_skew=timedelta(0))


def shorter_windows(context: AnalysisContext) -> tuple[AnalysisContext, ...]:
    """The case as it was known four hours and an hour after the rollout, where it reaches further than that."""
    ended = context.deployment.ended_at
    found = []
    for after in _EARLIER:
        enough = _FIRST_HOUR_REACH if after == FIRST_HOUR else _LENGTH_FACTOR * after
        if context.now >= ended + enough:
            now = ended + after
            found.append(
                replace(context, now=now, others=tuple(each for each in context.others if each.started_at <= now))
            )
    return tuple(found)


def keep_early_effects(
    shifts: Iterable[Shift], moved: Iterable[Shift], after: timedelta, recoveries: Mapping[str, Recovery]
) -> tuple[Shift, ...]:
    """The shifts of a long look; where it is inconclusive, those of a window `after` the rollout, as known then."""
    seen = {shift.metric: shift for shift in moved}
    return tuple(
        _as_known_then(seen[shift.metric], after, shift)
        if shift.metric in seen and is_lost(shift, seen[shift.metric], recoveries.get(shift.metric))
        else shift
        for shift in shifts
    )


def is_lost(shift: Shift, early: Shift, since: Recovery | None) -> bool:
    """Whether a look is silent about a metric or its start, and does not rule out what an earlier one showed.

    Where the metric has returned since, the mean over a long stretch rules out nothing.
    """
    silent = shift.verdict in _SILENT or (shift.verdict is Attribution.NO_EFFECT and shift.onset is None)
    back = since is not None and since.state is ShiftState.RECOVERED
    return (silent or _is_blurred(shift, early)) and (back or ranges_overlap(shift, early))


def _is_blurred(shift: Shift, early: Shift) -> bool:
    return shift.verdict is Attribution.GRADUAL and early.verdict is Attribution.ATTRIBUTED


def _as_known_then(early: Shift, after: timedelta, shift: Shift) -> Shift:
    when = "first hour" if after == FIRST_HOUR else f"first {format_duration(after)}"
    later = "its start is blurred" if _is_blurred(shift, early) else "it cannot be told apart from its own wandering"
    return replace(early, reason=f"in the {when} {early.reason}; since then {later}")


_DOUBTFUL = frozenset({Attribution.INCONCLUSIVE, Attribution.NOT_DISTINGUISHABLE})


def with_states(
    shifts: Iterable[Shift], context: AnalysisContext, recoveries: Mapping[str, Recovery]
) -> tuple[Shift, ...]:
    """The shifts of one check, in the light of the last one, each with its state and the data that rests on."""
    known = {shift.metric: shift for shift in (context.previous.shifts if context.previous else ()) if _found(shift)}
    return tuple(_with_state(shift, known.get(shift.metric), recoveries.get(shift.metric), context) for shift in shifts)


def _found(shift: Shift) -> bool:
    return shift.state is not None and shift.state.found


def _with_state(shift: Shift, known: Shift | None, since: Recovery | None, context: AnalysisContext) -> Shift:
    if known is not None and is_lost(shift, known, since):
        return _with_end(known, since, context)
    if shift.moved:
        return _with_end(shift, since, context)
    if known is None:
        doubtful = shift.harmful and shift.verdict in _DOUBTFUL
        return replace(shift, state=ShiftState.SUSPECTED if doubtful else None, as_of=context.now)
    found = f"{known.reason}, as an earlier check found; since then: {shift.reason}"
    return replace(shift, state=ShiftState.WITHDRAWN, as_of=context.now, reason=found)


def _with_end(shift: Shift, since: Recovery | None, context: AnalysisContext) -> Shift:
    """What moved, with its end: it came and went, or has returned since, or was replaced, or goes on."""
    if shift.verdict is Attribution.TRANSIENT and shift.recovered_at is not None:
        return replace(shift, state=ShiftState.RECOVERED, as_of=context.now, ended_by=_ended_by(shift, context))
    if since is None:
        return replace(shift, state=shift.state or ShiftState.ACTIVE, as_of=shift.as_of or context.now)
    end = since.at or since.as_of
    if since.state is ShiftState.REPLACED:
        end = next(other.started_at for other in successors(context) if other.id == since.ended_by)
    return replace(
        shift,
        state=since.state,
        as_of=since.as_of,
        recovered_at=since.at,
        ended_by=since.ended_by if since.state is not ShiftState.ACTIVE else None,
        duration=max(end - (shift.onset or context.deployment.started_at), timedelta(0)),
    )


def _ended_by(shift: Shift, context: AnalysisContext) -> str | None:
    """The deployment of the service in whose window a metric was back."""
    back = shift.recovered_at
    inside = (
        other.id
        for other in successors(context)
        if back is not None and other.started_at - context.step <= back <= other.ended_at + context.short_window
    )
    return next(inside, None)
