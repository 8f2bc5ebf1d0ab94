"""Conditions and moments in the words of a sentence."""

from collections.abc import Sequence

from afdp_exporter.model import Condition, Context
from afdp_exporter.patterns.encoding import period
from afdp_exporter.wording.numbers import format_number

_VERSIONS = {
    "major": "major versions",
    "minor": "minor versions",
    "patch": "patch versions",
    "back": "earlier versions",
    "same": "deployments of the same version",
}


def subject(conditions: Sequence[Condition]) -> str:
    """What conditions speak of: `Deployments during sale events`, `Database changes on Mondays`."""
    kinds = [f"{one.value} changes" for one in conditions if one.trait == "change_types"]
    kinds += [_VERSIONS[str(one.value)] for one in conditions if one.trait == "version_jump"]
    rest = [condition(one) for one in conditions if one.trait not in {"change_types", "version_jump"}]
    words = " ".join([" and ".join(kinds) or "deployments", *rest])
    return words[0].upper() + words[1:]


def condition(one: Condition) -> str:
    """A condition as part of a sentence: `on Mondays`, `during sale events`, `with 1,000,000 table rows or more`."""
    name = one.trait.removeprefix("traits.")
    if one.op in {">=", "<"}:
        value = float(one.value)
        text = f"{value:,.0f}" if value.is_integer() else format_number(value)
        words = name.replace("_", " ")
        return f"with {text} {words} or more" if one.op == ">=" else f"with less than {text} {words}"
    special = {
        "weekday": f"on {one.value}s",
        "event": f"during {one.value} events",
        "hour": f"in the {one.value}" if one.value not in {"night", "noon"} else f"at {one.value}",
        "strategy": f"by {one.value} rollout",
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
        "load_ratio": f"load {format_number(context.load_ratio or 0.0, 2)} times its mean",
        "load_season_ratio": f"load {format_number(context.load_season_ratio or 0.0, 2)} times the usual",
    }[trait]
