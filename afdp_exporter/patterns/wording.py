"""Figures and traits in the words of a sentence."""

import math
from collections.abc import Sequence

from afdp_exporter.model import Condition, Context, Estimate
from afdp_exporter.patterns.encoding import period

SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


def figure(value: float) -> str:
    """A number to two or three digits that matter: 0.012, 15, 1,200."""
    if value == 0 or not math.isfinite(value):
        return "0"
    digits = 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(digits, 0)}f}" if abs(rounded) < 100 else f"{rounded:,.0f}"


def times(estimate: Estimate) -> str:
    """A factor with its interval: `520 [310, 870]`."""
    return f"{figure(estimate.median)} [{figure(estimate.low)}, {figure(estimate.high)}]"


def money(value: float, currency: str) -> str:
    """An amount with its sign, or its code behind it: $1,200, $8.60, 950 CHF."""
    sign = SIGNS.get(currency)
    text = figure(abs(value))
    if "." in text and abs(value) >= 0.01:
        text = f"{abs(value):,.2f}"
    minus = "-" if value < 0 and text != "0" else ""
    return f"{minus}{sign}{text}" if sign else f"{minus}{text} {currency}"


def percent(ratio: float) -> str:
    """A ratio as whole percent, never rounded to certainty."""
    if 0.0 < ratio < 0.01:
        return "under 1 %"
    return f"{min(round(100 * ratio), 99) if ratio < 1 else 100} %"


def percents(estimate: Estimate) -> str:
    """A ratio with its range."""
    return f"{percent(estimate.median)} (90 %: {percent(estimate.low)} to {percent(estimate.high)})"


def subject(conditions: Sequence[Condition]) -> str:
    """What conditions speak of: `Deployments during sale events`, `Database changes on Mondays`."""
    kinds = [f"{one.value} changes" for one in conditions if one.trait == "change_types"]
    rest = [condition(one) for one in conditions if one.trait != "change_types"]
    words = " ".join([" and ".join(kinds) or "deployments", *rest])
    return words[0].upper() + words[1:]


def condition(one: Condition) -> str:
    """A condition as part of a sentence: `on Mondays`, `during sale events`, `with table_rows of 1,000,000 or more`."""
    name = one.trait.removeprefix("traits.")
    if one.op in {">=", "<"}:
        value = float(one.value)
        text = f"{value:,.0f}" if value.is_integer() else figure(value)
        return f"with {name} of {text} or more" if one.op == ">=" else f"with {name} under {text}"
    special = {
        "weekday": f"on {one.value}s",
        "event": f"during {one.value} events",
        "hour": f"in the {one.value}" if one.value not in {"night", "noon"} else f"at {one.value}",
        "strategy": f"by {one.value} rollout",
        "version_jump": f"with a version step {one.value}",
        "holiday": "on public holidays",
    }
    if one.trait in special:
        return special[one.trait]
    if isinstance(one.value, bool):
        return f"with {name}" if one.value else f"without {name}"
    return f"with {name} {one.value}"


def moment_words(trait: str, context: Context) -> str:
    """What a trait of the moment is in this context: `Monday`, `afternoon`, `sale`, `load 1.4 times the mean`."""
    kinds = ", ".join(sorted({str(event.kind) for event in context.occasions}))
    return {
        "weekday": f"{context.at:%A}",
        "hour": period(context.at.hour),
        "event": kinds or "no event",
        "holiday": context.holiday or "no holiday",
        "load_ratio": f"load {figure(context.load_ratio or 0.0)} times its mean",
        "load_season_ratio": f"load {figure(context.load_season_ratio or 0.0)} times the usual",
    }[trait]
