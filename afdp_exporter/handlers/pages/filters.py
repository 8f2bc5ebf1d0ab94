"""Figures, times and outcomes as the pages write them: the filters of the templates."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from afdp_exporter.impact.story import cost_figures, harm_status
from afdp_exporter.model import (
    Attribution,
    Cost,
    Deployment,
    Estimate,
    ExpectedCost,
    MeasuredDeployment,
    Outcome,
    PoolingLevel,
    Shift,
    stated_decision,
)
from afdp_exporter.wording.metrics import display_name, format_change
from afdp_exporter.wording.numbers import (
    format_duration,
    format_factor,
    format_forecast,
    format_money,
    format_number,
    format_p_value,
    format_share,
    format_share_range,
)
from afdp_exporter.wording.outcomes import outcome_word
from afdp_exporter.wording.times import format_clock, format_clock_range, format_day_and_time, format_time

_STANDING = {"planned": "Planned", "awaited": "Pending"}
_BASES = {
    PoolingLevel.COLD: "no history yet: default estimate",
    PoolingLevel.SERVICE: "of this service",
    PoolingLevel.TEAM: "of this team",
    PoolingLevel.GLOBAL: "of all services",
}
_VERDICTS = {
    "attributed": "Changed and stayed",
    "transient": "Changed and recovered",
    "gradual": "Changed gradually",
    "not_distinguishable": "Changed together with others",
    "inconclusive": "Cannot tell",
    "insufficient_history": "Too little history",
    "no_effect": "No change",
}

_NEXT_TO_NOTHING = 1e-6  # of a figure without a unit
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def badge_word(word: str) -> str:
    """What a badge says of an outcome, or of a deployment without one."""
    return _STANDING[word] if word in _STANDING else outcome_word(Outcome(word))


def side(shift: Shift) -> str:
    """Whose side a change is on: the class of its picture."""
    return "other" if shift.harmful is None else "harm" if shift.harmful else "gain"


def rests_on(basis: PoolingLevel) -> str:
    """Whose history something rests on."""
    return _BASES[basis]


def outcome_of(measured: MeasuredDeployment) -> str:
    """The word for the badge: what became of it, or where a deployment of which nothing is known stands."""
    if measured.known:
        return measured.decision.outcome.value
    return "planned" if measured.deployment.planned else "awaited"


def stated_by(measured: MeasuredDeployment) -> str | None:
    """Who states what became of it, where that outweighs what was measured, and in which words."""
    decision = measured.decision
    if stated_decision(measured.deployment) is None:
        return None
    if decision.label_source == "human":
        return f"Labelled by a human as {outcome_word(decision.outcome).lower()}: {decision.reason}."
    return f"{decision.reason[:1].upper()}{decision.reason[1:]}."


def verdict_word(verdict: str) -> str:
    """A verdict as a reader's words."""
    return _VERDICTS[verdict]


def iso(instant: datetime) -> str:
    """An instant as machines read it."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def relative(instant: datetime, now: datetime) -> str:
    """How far away an instant is: `3 hours ago`, `in 5 minutes`."""
    away = instant - now
    if abs(away) < timedelta(minutes=1):
        return "now"
    amount = format_duration(_whole(abs(away)))
    return f"in {amount}" if away > timedelta(0) else f"{amount} ago"


def _whole(span: timedelta) -> timedelta:
    for unit in (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)):
        if span >= unit:
            return span // unit * unit
    return span


def changed(shift: Shift) -> str:
    """The change of a metric with its interval and sign, in its own unit."""
    if shift.change is None or shift.low is None or shift.high is None:
        return "not measured"
    size = Estimate(low=shift.low, median=shift.change, high=shift.high)
    return format_change(shift.metric, size, shift.before, signed=True)


def cost_words(cost: Cost) -> str:
    """What is lost an hour, with its interval; a gain says so."""
    size = cost.per_hour
    if size.median < 0:
        gain = Estimate(low=-size.high, median=-size.median, high=-size.low)
        return f"{format_money(cost.currency, gain, per_hour=True)} gained"
    return format_money(cost.currency, size, per_hour=True)


def expected_cost(cost: ExpectedCost) -> str:
    """What is expected to be lost an hour: the chance that anything is, and how much then; a gain says so."""
    return format_forecast(cost.per_hour, lambda size: cost_words(Cost(currency=cost.currency, per_hour=size)))


def in_words(sentence: str, metrics: Iterable[str]) -> str:
    """A sentence in which these metrics are called as people call them."""
    names = "|".join(re.escape(name) for name in sorted(metrics, key=len, reverse=True))
    return re.sub(rf"(?<!\w)(?:{names})(?!\w)", lambda name: display_name(name[0]), sentence) if names else sentence


def figure(value: object) -> str:
    """A figure, a time or a word of an account or a trait."""
    if isinstance(value, list | tuple):
        return ", ".join(map(figure, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "about 0" if 0 < abs(value) < _NEXT_TO_NOTHING else format_number(value, 4)
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        return format_time(datetime.fromisoformat(value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def web_address(address: str | None) -> str | None:
    """An address that a browser may be led to; None for any other."""
    if not address:
        return None
    try:
        return address if urlsplit(address).scheme in {"http", "https"} else None
    except ValueError:
        return None


def headline(measured: MeasuredDeployment, now: datetime) -> str:
    """What a deployment did, in a line."""
    return _awaited(measured.deployment, now) if measured.impact is None else did(measured)


def did(measured: MeasuredDeployment) -> str:
    """What a measured deployment did, in a line."""
    moved = ranked(measured.impact.shifts if measured.impact is not None else ())
    if not moved:
        return _unmoved(measured)
    first = f"{display_name(moved[0].metric)} {changed(moved[0])}"
    more = len(moved) - 1
    return first if not more else f"{first}, and {more} more {'metric' if more == 1 else 'metrics'}"


def _unmoved(measured: MeasuredDeployment) -> str:
    """What is known where no metric moved; what could not be judged is never called unaffected."""
    impact, decision = measured.impact, measured.decision
    shifts = impact.shifts if impact is not None else ()
    if decision.outcome is Outcome.UNKNOWN:
        reason = in_words(decision.reason, (shift.metric for shift in shifts))
        return f"{reason[:1].upper()}{reason[1:]}"
    still = sum(shift.verdict is Attribution.NO_EFFECT for shift in shifts)
    if not still:
        return "No metric could be judged"
    open_ = len(shifts) - still
    first = f"No significant change in {still} {'metric' if still == 1 else 'metrics'}"
    return f"{first}; {open_} cannot be judged" if open_ else first


def status(measured: MeasuredDeployment) -> str | None:
    """Whether harm that was found goes on, or how it ended; None where there is none."""
    impact = measured.impact
    found = harm_status(impact, measured.deployment.started_at) if impact is not None else None
    return f"{found[:1].upper()}{found[1:]}" if found else None


def losses(measured: MeasuredDeployment) -> list[tuple[str, str]]:
    """What a deployment costs: each figure with what it is."""
    costs = measured.impact.costs if measured.impact is not None else ()
    return [figure for cost in costs for figure in cost_figures(cost, measured.deployment.started_at)]


def ranked(shifts: tuple[Shift, ...]) -> list[Shift]:
    """What moved, harm first, then the largest."""
    moved = [shift for shift in shifts if shift.moved]
    return sorted(moved, key=lambda shift: (not shift.harmful, not shift.primary, -abs(shift.change_ratio or 0.0)))


def _awaited(deployment: Deployment, now: datetime) -> str:
    if deployment.planned:
        return f"Planned, {relative(deployment.started_at, now)}"
    return "Not checked yet"


FILTERS: Mapping[str, Any] = {
    "display_name": display_name,
    "duration": format_duration,
    "outcome_word": outcome_word,
    "badge_word": badge_word,
    "side": side,
    "outcome_of": outcome_of,
    "stated_by": stated_by,
    "status": status,
    "losses": losses,
    "did": did,
    "rests_on": rests_on,
    "verdict_word": verdict_word,
    "when": format_day_and_time,
    "clock": format_clock,
    "clock_range": format_clock_range,
    "iso": iso,
    "changed": changed,
    "cost_words": cost_words,
    "expected_cost": expected_cost,
    "share": format_share,
    "share_range": format_share_range,
    "in_words": in_words,
    "factor": format_factor,
    "p_value": format_p_value,
    "figure": figure,
    "segment": partial(quote, safe=""),
    "web_address": web_address,
}
