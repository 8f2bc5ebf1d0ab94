"""A mined rule as a Pattern with a sentence, and conditions and contexts in words."""

from collections.abc import Sequence

from afdp_exporter.model import Condition, Context, Estimate, Pattern, PatternKind, TrainingExample
from afdp_exporter.patterns.features.encoding import PERIODS, part_of_day
from afdp_exporter.patterns.mining.effects import Effect
from afdp_exporter.patterns.mining.targets import COST, OUTCOME, Target
from afdp_exporter.wording.metrics import display_name, format_change
from afdp_exporter.wording.numbers import format_factor, format_money_between, format_number, format_share

BAD = 2.0
"""From so many times the usual rate of trouble on, a sentence says plainly what to think of it."""


def describe_pattern(
    *,
    kind: PatternKind,
    conditions: Sequence[Condition],
    target: Target,
    effect: Effect,
    members: Sequence[TrainingExample],
    usual: float,
    q_value: float,
) -> Pattern:
    """The pattern in full; `members` are its cases in order of time, `usual` the mean of all others."""
    who = subject_words(conditions)
    if kind is PatternKind.HINT:
        who = f"Perhaps: {who[0].lower()}{who[1:]}"
    difference = effect.difference
    if target.sign < 0:
        difference = Estimate(low=-difference.high, median=-difference.median, high=-difference.low)
    return Pattern(
        kind=kind,
        sentence=f"{who} {_effect_phrase(target, effect, usual)} (n = {len(members)})",
        conditions=tuple(conditions),
        target=target.name,
        effect=difference,
        multiplier=effect.multiplier,
        n=len(members),
        q_value=q_value,
        last_seen=members[-1].deployment.started_at,
        deployments=tuple(example.deployment.id for example in members),
    )


def _effect_phrase(target: Target, effect: Effect, usual: float) -> str:
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


_VERSIONS = {
    "major": "major versions",
    "minor": "minor versions",
    "patch": "patch versions",
    "back": "earlier versions",
    "same": "deployments of the same version",
}
COUNTED = {
    "in_flight": "other deployments under way",
    "hours_since_last": "hours since the last deployment",
}
"""Traits that count something, each with what."""


def subject_words(conditions: Sequence[Condition]) -> str:
    """What conditions speak of: `Deployments during sale events`, `Database changes on Mondays`."""
    kinds = [f"{one.value} changes" for one in conditions if one.trait == "change_types"]
    kinds += [_VERSIONS[str(one.value)] for one in conditions if one.trait == "version_jump"]
    rest = [condition_words(one) for one in conditions if one.trait not in {"change_types", "version_jump"}]
    words = " ".join([" and ".join(kinds) or "deployments", *rest])
    return words[0].upper() + words[1:]


def condition_words(one: Condition) -> str:
    """A condition as part of a sentence: `on Mondays`, `during sale events`, `with 1,000,000 table rows or more`."""
    name = one.trait.removeprefix("traits.")
    if one.op in {">=", "<"}:
        value = float(one.value)
        text = f"{value:,.0f}" if value.is_integer() else format_number(value)
        what = number_words(one.trait)
        return f"with {text} {what} or more" if one.op == ">=" else f"with less than {text} {what}"
    special = {
        "weekday": f"on {one.value}s",
        "event": f"during {one.value} events",
        "hour": PERIODS.get(str(one.value)),
        "strategy": f"by {one.value} rollout",
        "holiday": "on public holidays",
    }
    if (words := special.get(one.trait)) is not None:
        return words
    if isinstance(one.value, bool):
        return f"with {name}" if one.value else f"without {name}"
    return f"with {name} {one.value}"


def number_words(trait: str) -> str:
    """What a trait that is a number counts: `table rows`, `other deployments under way`."""
    return COUNTED.get(trait, trait.removeprefix("traits.").replace("_", " "))


def context_words(trait: str, context: Context) -> str:
    """What a trait of the moment is in this context: `Monday`, `afternoon`, `sale`, `load 1.4 times the mean`."""
    kinds = ", ".join(sorted({str(event.kind) for event in context.occasions}))
    return {
        "weekday": f"{context.at:%A}",
        "hour": part_of_day(context.at.hour),
        "event": kinds or "no event",
        "holiday": context.holiday or "no holiday",
        "load_ratio": f"load {format_number(context.load_ratio or 0.0, 2)} times its mean",
        "load_season_ratio": f"load {format_number(context.load_season_ratio or 0.0, 2)} times the usual",
    }[trait]
