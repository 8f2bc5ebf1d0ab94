"""A finding -> a Pattern with a sentence that people understand."""

from collections.abc import Sequence

from afdp_exporter.model import Case, Condition, Estimate, Pattern, PatternKind
from afdp_exporter.patterns.effects import Effect
from afdp_exporter.patterns.targets import COST, OUTCOME, Target
from afdp_exporter.patterns.wording import subject
from afdp_exporter.wording.metrics import display_name, format_change
from afdp_exporter.wording.money import format_money_between
from afdp_exporter.wording.numbers import format_factor, format_share

BAD = 2.0
"""From so many times the usual rate of trouble on, a sentence says plainly what to think of it."""


def state(
    *,
    kind: PatternKind,
    conditions: Sequence[Condition],
    target: Target,
    effect: Effect,
    members: Sequence[Case],
    usual: float,
    q_value: float,
) -> Pattern:
    """The pattern in full; `members` are its cases in order of time, `usual` the mean of all others."""
    who = subject(conditions)
    if kind is PatternKind.HINT:
        who = f"Perhaps: {who[0].lower()}{who[1:]}"
    difference = effect.difference
    if target.sign < 0:
        difference = Estimate(low=-difference.high, median=-difference.median, high=-difference.low)
    return Pattern(
        kind=kind,
        sentence=f"{who} {_what(target, effect, usual)} (n = {len(members)})",
        conditions=tuple(conditions),
        target=target.name,
        effect=difference,
        multiplier=effect.multiplier,
        n=len(members),
        q_value=q_value,
        last_seen=members[-1].deployment.started_at,
        deployments=tuple(case.deployment.id for case in members),
    )


def _what(target: Target, effect: Effect, usual: float) -> str:
    multiplier, gap = effect.multiplier, effect.difference
    if target.name == OUTCOME and multiplier is not None:
        return _rate(multiplier, usual)
    if multiplier is not None:
        what = "the cost per hour" if target.name == COST else display_name(target.name)
        return f"have {format_factor(multiplier)} times the impact on {what}"
    more = "more" if gap.median * target.sign >= 0 else "less"
    if target.currency is not None:
        low, high = sorted((abs(gap.low), abs(gap.high)))
        return f"cost {format_money_between(target.currency, low, high)} an hour {more} than others"
    if target.name == OUTCOME:
        return f"degrade or fail {format_share(abs(gap.median))} {more} often than others"
    low, high = sorted((target.sign * gap.low, target.sign * gap.high))
    size = Estimate(low=low, median=target.sign * gap.median, high=high)
    return f"move {display_name(target.name)} by {format_change(target.name, size, signed=True)} beside others"


def _rate(multiplier: Estimate, usual: float) -> str:
    rate = format_share(min(usual * multiplier.median, 1.0))
    if multiplier.median >= BAD:
        return f"are a bad idea: {rate} degrade or fail, {format_factor(multiplier)} times as often as others"
    return f"degrade or fail {format_factor(multiplier)} times as often as others: {rate} against {format_share(usual)}"
