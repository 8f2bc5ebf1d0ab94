"""The one place where an impact becomes words, for the API, the pages, notifications and annotations.

Plain text: whoever shows it escapes it. The order of events is stated as an order ("followed", "later"), never as more
than the evidence supports; every figure has its interval.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from afdp_exporter.impact.context import AnalysisContext, onset_range
from afdp_exporter.impact.recovery import transient_period
from afdp_exporter.model import (
    Attribution,
    Cost,
    Estimate,
    Impact,
    Link,
    MeasuredDeployment,
    SeenBefore,
    Shift,
    ShiftState,
)
from afdp_exporter.wording.metrics import display_name, format_change
from afdp_exporter.wording.numbers import format_duration, format_money
from afdp_exporter.wording.times import format_moment, format_time

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SCOPES = {"service": "", "team": " of this team", "all": " of other services"}

_NEW_ORDER = (
    "This order was not seen before: a second deployment with the same order, or a rollback after which it returns, "
    "would make it surer."
)


def story(impact: Impact, context: AnalysisContext) -> tuple[str, ...]:
    """The full form: a sentence for what happened, then what it cost, what is over, what is open, what is surer."""
    moved = _moved(impact.shifts)
    sentences = [_chain(impact, moved, context) if moved else _nothing(impact, context)]
    sentences += [cost_sentence(cost, context.deployment.started_at) for cost in impact.costs]
    sentences += _recovery(moved, context)
    sentences += _going_on(impact, context)
    sentences += [f"{_name(shift)}: {shift.reason}." for shift in impact.shifts if _needs_its_reason(shift)]
    sentences += _what_would_confirm(impact, moved)
    return tuple(sentences)


def headline(measured: MeasuredDeployment) -> str:
    """The short form: one line for an annotation, an alert or a list. Says what became of it, then what moved."""
    deployment, impact, decision = measured.deployment, measured.impact, measured.decision
    moved = [shift for shift in _moved(impact.shifts) if shift.primary] if impact is not None else []
    became = f"{deployment.name} ({format_time(deployment.started_at)}): {decision.outcome}"
    if impact is None:
        return f"{became}, {decision.reason}; nothing is measured yet"
    if not moved:
        return f"{became}, {decision.reason}"
    if decision.label_source != "rule":
        became = f"{became}, {decision.reason}"
    parts = [f"{_name(shift)} {_signed(shift)}" for shift in moved]
    parts += [_rate(cost) for cost in impact.costs if not cost.ended]
    if impact.seen_before.count:
        times = "once" if impact.seen_before.count == 1 else _count(impact.seen_before.count, "time")
        parts.append(f"as {times} before")
    status = harm_status(impact, deployment.started_at)
    return f"{became}; {', '.join(parts)}{f'; {status}' if status else ''}"


def explain_link(link: Link, shifts: Iterable[Shift], step: timedelta) -> Link:
    """The link with its sentence."""
    by_name = {shift.metric: shift for shift in shifts}
    cause, effect = by_name[link.cause], by_name[link.effect]
    if link.together:
        sentence = f"{_moved_words(effect)} at the same time as {_moved_words(cause)}: their order cannot be told"
    else:
        low, high = _lag_range(cause, effect, step)
        range_ = f" [{format_duration(low)}, {format_duration(high)}]"
        sentence = (
            f"{_moved_words(cause)}, followed {format_duration(link.lag)}{range_} later by: {_moved_words(effect)}"
        )
        sentence += f"; seen after {_count(link.seen_before, 'earlier deployment')}"
    return replace(link, sentence=f"{sentence[0].upper()}{sentence[1:]}.")


def _chain(impact: Impact, moved: Sequence[Shift], context: AnalysisContext) -> str:
    after = {link.effect: link for link in impact.links if not link.together}
    simultaneous = {link.effect: link for link in impact.links if link.together}
    deployment = context.deployment
    clauses: list[str] = []
    previous: Shift | None = None
    for shift in moved:
        if previous is None:
            clauses.append(f"Deployment {deployment.name} on {format_moment(deployment.started_at)} {_verb(shift)}")
        elif shift.metric in after:
            link = after[shift.metric]
            when = "later" if link.cause == previous.metric else f"after {display_name(link.cause)},"
            clauses.append(f"{format_duration(link.lag)} {when} {_did_by(shift)}")
        elif shift.metric in simultaneous:
            clauses.append(f"at the same time {_did_by(shift)}")
        else:
            clauses.append(f"it {'' if shift.primary else 'also '}{_verb(shift)}")
        previous = shift
    if impact.seen_before.count:
        what = "sequence" if after else "effect"
        clauses.append(f"the same {what} followed {_earlier(impact.seen_before)}")
    return "; ".join(clauses) + "."


def _nothing(impact: Impact, context: AnalysisContext) -> str:
    who = f"Deployment {context.deployment.name} on {format_moment(context.deployment.started_at)}"
    judged = [shift for shift in impact.shifts if shift.verdict is Attribution.NO_EFFECT]
    if not impact.shifts:
        why = context.unknown_service or ""
        return f"{who}: no metric was measured, so nothing is known of its effect. {why}".rstrip()
    if len(judged) == len(impact.shifts):
        beyond = " beyond what is usual for this service" if any(shift.usual for shift in judged) else ""
        if len(judged) == 1:
            return f"{who} did not move {_name(judged[0])}{beyond}."
        return f"{who} moved none of {_count(len(judged), 'metric')}{beyond}."
    open_ = [shift for shift in impact.shifts if shift.verdict is not Attribution.NO_EFFECT]
    why = "; ".join(dict.fromkeys(shift.reason for shift in open_))
    if not judged:
        return f"{who}: {_count(len(open_), 'metric')} cannot be judged: {why}."
    effect = f"no effect on {_count(len(judged), 'metric')}"
    return f"{who}: {effect}; {', '.join(map(_name, open_))} cannot be judged: {why}."


def _rate(cost: Cost) -> str:
    rate = format_money(cost.currency, unsigned(cost.per_hour), per_hour=True)
    return f"{'gains' if cost.per_hour.median < 0 else 'costs'} {rate}"


def _going_on(impact: Impact, context: AnalysisContext) -> list[str]:
    """Whether harm goes on, where the recovery of each metric does not say it is over."""
    harm = impact.harm
    if harm is None or harm.state not in {ShiftState.ACTIVE, ShiftState.REPLACED}:
        return []
    started_at = context.deployment.started_at
    if harm.active:
        return [f"It is {harm_status(impact, started_at)}."]
    names = ", ".join(map(display_name, harm.metrics))
    following = next((other for other in context.others if other.id == harm.ended_by), None)
    when = f", {following.name} at {format_time(following.started_at, near=started_at)}" if following else ""
    return [f"{names[:1].upper()}{names[1:]}: not seen to recover before the next deployment of the service{when}."]


def _recovery(moved: Sequence[Shift], context: AnalysisContext) -> list[str]:
    whole = transient_period(moved)
    if whole is None:
        return []
    by_name = {shift.metric: shift for shift in moved}
    parts = []
    for metric in whole.metrics:
        shift = by_name[metric]
        if shift.recovered_at is not None and shift.onset is not None:
            lasted = shift.duration or shift.recovered_at - shift.onset
            at = format_time(shift.recovered_at, near=context.deployment.started_at)
            parts.append(f"{_name(shift)} was back at {at} after {format_duration(lasted)}{_by_whom(shift, context)}")
    since = whole.end - context.deployment.started_at
    tail = f"; all of it was over {format_duration(since)} after the deployment began" if len(parts) > 1 else ""
    return [f"{'; '.join(parts)}{tail}."]


def _by_whom(shift: Shift, context: AnalysisContext) -> str:
    """The later deployment with which a metric was back."""
    later = next((other for other in context.others if other.id == shift.ended_by), None)
    return f", with deployment {later.name}" if later is not None else ""


def _what_would_confirm(impact: Impact, moved: Sequence[Shift]) -> list[str]:
    """What would make the order of events surer, where it is new."""
    new = [link for link in impact.links if not link.together and not link.seen_before]
    if not moved or not new or impact.seen_before.count:
        return []
    return [_NEW_ORDER]


def _needs_its_reason(shift: Shift) -> bool:
    """Whether it moved and is usual for the service, or is not, or not surely, this deployment's doing."""
    if shift.usual is not None and not shift.moved:
        return True
    moved = shift.verdict is Attribution.NO_EFFECT and shift.onset is not None
    return moved or shift.verdict is Attribution.NOT_DISTINGUISHABLE


def _moved(shifts: Iterable[Shift]) -> list[Shift]:
    """What moved, in order of time, gradual ones without an onset last, secondary ones behind primary ones."""
    return sorted(
        (shift for shift in shifts if shift.moved),
        key=lambda shift: (not shift.primary, shift.onset is None, shift.onset.timestamp() if shift.onset else 0.0),
    )


def _name(shift: Shift) -> str:
    return display_name(shift.metric)


def _verb(shift: Shift) -> str:
    word = "raised" if (shift.change or 0.0) > 0 else "lowered"
    return f"{_slowly(shift)}{word} {_name(shift)} by {_by(shift)}"


def _moved_words(shift: Shift) -> str:
    return f"{_name(shift)} {_slowly(shift)}{'rose' if (shift.change or 0.0) > 0 else 'fell'}"


def _did_by(shift: Shift) -> str:
    return f"{_moved_words(shift)} by {_by(shift)}"


def _slowly(shift: Shift) -> str:
    return "gradually " if shift.verdict is Attribution.GRADUAL else ""


def _by(shift: Shift) -> str:
    better = ", an improvement" if shift.harmful is False else ""
    size = _range(shift)
    return f"{format_change(shift.metric, unsigned(size), shift.before)}{better}" if size else "an unknown amount"


def _signed(shift: Shift) -> str:
    size = _range(shift)
    if size is None:
        return "moved"
    return format_change(shift.metric, size, shift.before, signed=True)


def _range(shift: Shift) -> Estimate | None:
    if shift.change is None:
        return None
    low = shift.change if shift.low is None else shift.low
    high = shift.change if shift.high is None else shift.high
    return Estimate(low=low, median=shift.change, high=high)


def _lag_range(cause: Shift, effect: Shift, step: timedelta) -> tuple[timedelta, timedelta]:
    first, second = onset_range(cause, step), onset_range(effect, step)
    return max(second[0] - first[1], timedelta(0)), second[1] - first[0]


def _earlier(seen: SeenBefore) -> str:
    return f"{_count(seen.count, 'earlier deployment')}{_SCOPES[seen.scope]}"


def _count(number: int, what: str) -> str:
    text = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
    return f"{text} {what}" if number == 1 else f"{text} {what}s"


def harm_status(impact: Impact, started_at: datetime) -> str | None:
    """`going on, as of 14:10`, or `over after 10 minutes, $390 [$340, $440] in all`; None where no harm was found."""
    harm = impact.harm
    if harm is None or not harm.state.found:
        return None
    since = harm.since or started_at
    if harm.active:
        return f"going on, as of {format_time(harm.as_of or impact.measured_at, near=started_at)}"
    if harm.state is ShiftState.REPLACED or harm.over_at is None:
        return "not seen to recover before the next deployment"
    losses = [
        format_money(cost.currency, cost.total)
        for cost in impact.costs
        if cost.ended and cost.total is not None and cost.total.median > 0
    ]
    in_all = f", {' and '.join(losses)} in all" if losses else ""
    return f"over after {format_duration(harm.over_at - since)}{in_all}"


def cost_sentence(cost: Cost, started_at: datetime) -> str:
    """What it costs an hour and so far, as of when that was measured; what it cost in all once it is over."""
    gain = cost.per_hour.median < 0
    rate = format_money(cost.currency, unsigned(cost.per_hour), per_hour=True)
    total = None if cost.total is None else format_money(cost.currency, unsigned(cost.total))
    lasted = "" if cost.duration is None else f" in {format_duration(cost.duration)}"
    if cost.ended:
        return f"It {'gained' if gain else 'cost'} {total or rate} in all{lasted if total else ''}; it is over."
    so_far = f", {total} so far{lasted}" if total and cost.duration else ""
    as_of = f", as of {format_time(cost.as_of, near=started_at)}" if cost.as_of is not None else ""
    return f"It {'gains' if gain else 'costs'} {rate}{so_far}{as_of}."


def cost_figures(cost: Cost, started_at: datetime) -> tuple[tuple[str, str], ...]:
    """What it costs, as figures with what each of them is: per hour and up to when it was measured, else in all.

    That it goes on is not said here: nobody may have looked since.
    """
    what = "Gain" if cost.per_hour.median < 0 else "Loss"
    total = None if cost.total is None else format_money(cost.currency, unsigned(cost.total))
    lasted = "" if cost.duration is None else f", in {format_duration(cost.duration)}"
    rate = format_money(cost.currency, unsigned(cost.per_hour), per_hour=True)
    if cost.ended:
        return ((f"{what} in all{lasted}", total),) if total else ((f"{what} while it lasted", rate),)
    as_of = f", as of {format_time(cost.as_of, near=started_at)}" if cost.as_of is not None else ""
    figures = ((f"{what}{as_of}", rate),)
    return (*figures, (f"{what} up to then{lasted}", total)) if total and cost.duration else figures


def unsigned(estimate: Estimate) -> Estimate:
    """An estimate without its sign, for where a word names the direction."""
    if estimate.median >= 0:
        return estimate
    return Estimate(low=-estimate.high, median=-estimate.median, high=-estimate.low)
