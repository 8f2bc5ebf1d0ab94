"""Which service and environment an announcement is about: by rules of the configuration, else by its own words."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from string import Template
from typing import Annotated, ClassVar, TypeAlias

import re2
from pydantic import PlainValidator

from afdp_exporter.model import Announcement, Ignored, Origin
from afdp_exporter.settings import STRICT

_FACTS = ("sender", *(entry.name for entry in fields(Origin) if entry.name != "labels"))
_LABEL = "label_"


def _compiled(expression: object) -> re.Pattern[str]:
    """An expression whose match takes a time that grows with the length of the text alone, whoever sent the text."""
    if not isinstance(expression, str):
        raise ValueError("a regular expression is expected")  # noqa: TRY004 - as pydantic wants it
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(expression, options)  # type: ignore[no-any-return]
    except re2.error as error:
        why = error.args[0].decode("utf-8", "replace")
        raise ValueError(f"no regular expression of RE2, which Prometheus uses, too: {why}") from None


_Pattern: TypeAlias = Annotated[re.Pattern[str], PlainValidator(_compiled)]


class _Words(Template):
    """Text with `$name`, `${name}` or `${1}` in it."""

    idpattern = r"(?a:[_a-zA-Z][_a-zA-Z0-9]*|[0-9]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Of the announcements whose every fact in `match` matches and none in `unless`: what their service and
    environment are, or why not.

    Both hold expressions of RE2, anchored at both ends, by the facts of an announcement: its sender, the words
    of its origin, `label_NAME`. `service` and `environment` may name these facts and the groups of the expressions.
    """

    __pydantic_config__: ClassVar = STRICT

    match: Mapping[str, _Pattern] = field(default_factory=dict)
    unless: Mapping[str, _Pattern] = field(default_factory=dict)
    service: str | None = None
    environment: str | None = None
    ignore: str | None = None

    def __post_init__(self) -> None:
        both = (("match", self.match), ("unless", self.unless))
        unknown = [f"{key}.{name}" for key, patterns in both for name in patterns if not _is_fact(name)]
        if unknown:
            raise ValueError(f"{unknown[0]} is no fact; known: {', '.join(_FACTS)}, {_LABEL}NAME")
        if (self.ignore is None) is (self.service is None and self.environment is None):
            raise ValueError("either ignore with its reason, or service or environment is needed")
        known = {name for pattern in self.match.values() for name in (*pattern.groupindex, *_numbers(pattern))}
        for text in (self.service, self.environment):
            template = _Words(text or "")
            if not template.is_valid():
                raise ValueError(f"{text!r} holds a $ that names nothing; $$ stands for the sign itself")
            for name in template.get_identifiers():
                if name not in known and not _is_fact(name):
                    raise ValueError(f"${name} is neither a fact nor a group of match")

    def applies(self, facts: Mapping[str, str]) -> Mapping[str, str] | None:
        """The facts and the groups of the expressions where all of them match; None where one does not."""
        if any(pattern.fullmatch(facts.get(name, "")) for name, pattern in self.unless.items()):
            return None
        words: dict[str, str] = dict(facts)
        for name, pattern in self.match.items():
            found = pattern.fullmatch(facts.get(name, ""))
            if found is None:
                return None
            words |= {str(number): text or "" for number, text in enumerate(found.groups(), start=1)}
            words |= {group: text or "" for group, text in found.groupdict().items()}
        return words


def resolve_service(announcement: Announcement, rules: Iterable[Rule]) -> Announcement | Ignored:
    """The announcement with its service and environment, by the first rule that applies; or why it is left out."""
    placed = place(announcement, rules)
    if isinstance(placed, Ignored) or placed.origin.environment:
        return placed
    return replace(placed, origin=replace(placed.origin, environment="production"))


def place(announcement: Announcement, rules: Iterable[Rule]) -> Announcement | Ignored:
    """As `resolve_service`, without an environment where nothing says which: another event of it may."""
    facts = facts_of(announcement)
    service = announcement.origin.service or announcement.origin.assumed_service
    environment = announcement.origin.environment
    for index, rule in enumerate(rules):
        words = rule.applies(facts)
        if words is None:
            continue
        if rule.ignore is not None:
            return Ignored(reason=f"left out by mapping[{index}]: {rule.ignore}")
        service = _filled(rule.service, words) or service
        environment = _filled(rule.environment, words) or environment
        break
    if not service:
        return Ignored(reason=f"nothing says which service this is; a rule under mapping may; known: {_listed(facts)}")
    return replace(announcement, origin=replace(announcement.origin, service=service, environment=environment))


def facts_of(announcement: Announcement) -> dict[str, str]:
    """What rules see of an announcement; what it does not say is not there."""
    origin = announcement.origin
    facts = {name: getattr(origin, name) for name in _FACTS[1:]}
    labels = {f"{_LABEL}{name}": text for name, text in origin.labels.items()}
    return {"sender": announcement.sender} | {name: text for name, text in facts.items() if text} | labels


def _filled(text: str | None, words: Mapping[str, str]) -> str:
    """A fact that the announcement does not have stands for nothing."""
    if text is None:
        return ""
    template = _Words(text)
    return template.substitute(dict.fromkeys(template.get_identifiers(), ""), **words).strip()


def _is_fact(name: str) -> bool:
    return name in _FACTS or (name.startswith(_LABEL) and len(name) > len(_LABEL))


def _numbers(pattern: re.Pattern[str]) -> Iterable[str]:
    return (str(number) for number in range(1, pattern.groups + 1))


def _listed(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {text!a}"[:200] for name, text in facts.items())
