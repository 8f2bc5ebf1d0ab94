"""Training examples as a tabular data set: columns by role, split by time, people pseudonymised."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from afdp_exporter.model import Attribution, CalendarEntryKind, ChangeType, Outcome, Shift, TrainingExample
from afdp_exporter.patterns.features.extraction import Features, FeatureValue, example_features, pseudonym


class Kind(StrEnum):
    """The type of a column's values."""

    TEXT = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "datetime"


class Role(StrEnum):
    """What a column is for; only `context` and `input` may feed a model."""

    ID = "id"
    CONTEXT = "context"
    INPUT = "input"
    OUTCOME = "outcome"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class Feature:
    """One column. Whatever is an outcome or a label is known only after the deployment."""

    name: str
    kind: Kind
    role: Role
    description: str
    unit: str | None = None
    nullable: bool = True

    @property
    def available_at(self) -> str:
        """`before` or `after` the deployment."""
        return "after" if self.role in {Role.OUTCOME, Role.LABEL} else "before"

    def entry(self) -> dict[str, object]:
        """Its line in the feature dictionary."""
        return {
            "name": self.name,
            "dtype": str(self.kind),
            "unit": self.unit,
            "description": self.description,
            "role": str(self.role),
            "available_at": self.available_at,
            "nullable": self.nullable,
        }


SCHEMA_VERSION = "1.0.0"
SHARES = (0.70, 0.85)
"""Where the time is cut: training, then validation, then test."""
CATEGORIES = 50
"""A word trait with more different values than this counts as free text."""

Cell: TypeAlias = bool | float | str | datetime | None


class Split(StrEnum):
    """The parts of the time, in its order."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """`columns` by feature name, all of one length, in order of time; `cuts` are where the splits end."""

    features: tuple[Feature, ...]
    columns: Mapping[str, Sequence[Cell]]
    cuts: tuple[datetime, ...]
    embargo: timedelta
    left_out: int

    @property
    def rows(self) -> int:
        """How many deployments are in."""
        return len(self.columns["id_deployment"])

    def part(self, split: Split) -> dict[str, list[Cell]]:
        """The columns of one split."""
        inside = [place for place, name in enumerate(self.columns["split"]) if name == split]
        return {name: [column[place] for place in inside] for name, column in self.columns.items()}


def dataset(
    examples: Sequence[TrainingExample],
    *,
    salt: bytes,
    embargo: timedelta = timedelta(hours=25),
    free_text: bool = False,
) -> Dataset:
    """Lay out the cases. `salt` hides people; `free_text` adds descriptions, commits, links and wordy traits.

    `embargo` is at least the longest time over which an impact is measured: cases that close to a cut are left out, so
    that nothing measured after a training row overlaps a later split.
    """
    ordered = sorted(examples, key=lambda example: (example.deployment.started_at, example.deployment.id))
    cuts = _cuts([example.deployment.started_at for example in ordered])
    splits = {example.deployment.id: _split(example.deployment.started_at, cuts, embargo) for example in ordered}
    kept = [example for example in ordered if splits[example.deployment.id] is not None]
    known = {example.deployment.id: example_features(example, salt=salt) for example in kept}
    makers = [
        *_identity(salt, free_text=free_text),
        *_context(kept, known),
        *_change(kept, known, free_text=free_text),
        *_outcomes(kept),
        *_label(),
    ]
    columns: dict[str, list[Cell]] = {feature.name: [make(example) for example in kept] for feature, make in makers}
    columns["split"] = [str(splits[example.deployment.id]) for example in kept]
    split = Feature("split", Kind.TEXT, Role.ID, "the part of the time that it belongs to: train, validation or test")
    return Dataset(
        features=(*(feature for feature, _ in makers), split),
        columns=columns,
        cuts=cuts,
        embargo=embargo,
        left_out=len(ordered) - len(kept),
    )


_Maker: TypeAlias = tuple[Feature, Callable[[TrainingExample], Cell]]


def _cuts(times: Sequence[datetime]) -> tuple[datetime, ...]:
    return tuple(times[int(share * len(times))] for share in SHARES) if len(times) >= len(Split) else ()


def _split(at: datetime, cuts: Sequence[datetime], embargo: timedelta) -> Split | None:
    """The split of a moment; None within the embargo before a cut."""
    for split, cut in zip(Split, cuts, strict=False):
        if at < cut:
            return split if at < cut - embargo else None
    return tuple(Split)[len(cuts)]


def _identity(salt: bytes, *, free_text: bool) -> list[_Maker]:
    found: list[_Maker] = [
        (Feature("id_deployment", Kind.TEXT, Role.ID, "the deployment", nullable=False), lambda c: c.deployment.id),
        (Feature("id_service", Kind.TEXT, Role.ID, "the service", nullable=False), lambda c: c.deployment.service),
        (Feature("id_environment", Kind.TEXT, Role.ID, "the environment"), lambda c: c.deployment.environment),
        (Feature("id_team", Kind.TEXT, Role.ID, "the team"), lambda c: c.deployment.team),
        (
            Feature("id_actor", Kind.TEXT, Role.ID, "who deployed, hashed with a salt that stays at its source"),
            lambda c: pseudonym(c.deployment.actor, salt) if c.deployment.actor else None,
        ),
        (
            Feature("id_started_at", Kind.TIME, Role.ID, "when the rollout began, in UTC", nullable=False),
            lambda c: c.deployment.started_at.astimezone(UTC),
        ),
    ]
    if free_text:
        found += [
            (Feature("id_description", Kind.TEXT, Role.ID, "its sender's words"), lambda c: c.deployment.description),
            (Feature("id_commit", Kind.TEXT, Role.ID, "the commit"), lambda c: c.deployment.commit),
            (Feature("id_url", Kind.TEXT, Role.ID, "where to read more"), lambda c: c.deployment.url),
        ]
    return found


def _context(examples: Sequence[TrainingExample], known: Mapping[str, Features]) -> list[_Maker]:
    def during(kind: CalendarEntryKind) -> Callable[[TrainingExample], Cell]:
        return lambda example: any(event.kind is kind for event in example.context.occasions)

    def level(metric: str) -> Callable[[TrainingExample], Cell]:
        return lambda example: example.context.levels.get(metric)

    described = {
        "weekday": (Kind.TEXT, "the day of the week where people deploy", None),
        "hour": (Kind.NUMBER, "the time of day where people deploy", "hours"),
        "holiday": (Kind.BOOLEAN, "whether it was a public holiday", None),
        "load_ratio": (Kind.NUMBER, "the load over its mean of the week before", "ratio"),
        "load_season_ratio": (Kind.NUMBER, "the load over what was usual at this hour of the week", "ratio"),
        "hours_since_last": (Kind.NUMBER, "since the service's deployment before", "hours"),
        "in_flight": (Kind.NUMBER, "other deployments under way", "deployments"),
        "recent_trouble_ratio": (Kind.NUMBER, "share of the service's last outcomes that were no success", "ratio"),
    }
    found = [
        (Feature(f"ctx_{name}", kind, Role.CONTEXT, text, unit), _trait(known, name))
        for name, (kind, text, unit) in described.items()
    ]
    found += [
        (Feature(f"ctx_event_{kind}", Kind.BOOLEAN, Role.CONTEXT, f"whether an occasion was on: {kind}"), during(kind))
        for kind in CalendarEntryKind
    ]
    metrics = sorted({metric for example in examples for metric in example.context.levels})
    found += [
        (Feature(f"ctx_level_{plain(metric)}", Kind.NUMBER, Role.CONTEXT, f"{metric} before"), level(metric))
        for metric in metrics
    ]
    return found


def _change(examples: Sequence[TrainingExample], known: Mapping[str, Features], *, free_text: bool) -> list[_Maker]:
    def changes(kind: ChangeType) -> Callable[[TrainingExample], Cell]:
        return lambda example: kind in example.deployment.change_types

    found: list[_Maker] = [
        (Feature(f"chg_type_{kind}", Kind.BOOLEAN, Role.INPUT, f"whether it changed: {kind}"), changes(kind))
        for kind in ChangeType
    ]
    found += [
        (Feature("chg_strategy", Kind.TEXT, Role.INPUT, "how it reached its users"), _trait(known, "strategy")),
        (Feature("chg_version_jump", Kind.TEXT, Role.INPUT, "how far the version went"), _trait(known, "version_jump")),
        (
            Feature("chg_traffic_ratio", Kind.NUMBER, Role.INPUT, "share of the traffic", "ratio"),
            _trait(known, "traffic_ratio"),
        ),
    ]
    for name in sorted({name for example in examples for name in example.deployment.traits}):
        values = [example.deployment.traits[name] for example in examples if name in example.deployment.traits]
        kind = _kind(values)
        if kind is not Kind.TEXT or free_text or _is_category(values):
            feature = Feature(f"chg_trait_{plain(name)}", kind, Role.INPUT, f"the sender's trait {name}")
            found.append((feature, _as(kind, _trait(known, f"traits.{name}"))))
    return found


def _trait(known: Mapping[str, Features], name: str) -> Callable[[TrainingExample], Cell]:
    return lambda example: _cell(known[example.deployment.id].get(name))


_PARTS: Mapping[str, tuple[Kind, str, Callable[[Shift], Cell]]] = {
    "change": (Kind.NUMBER, "its change", lambda shift: shift.change),
    "low": (Kind.NUMBER, "the 5 % point of its change", lambda shift: shift.low),
    "high": (Kind.NUMBER, "the 95 % point of its change", lambda shift: shift.high),
    "attributed": (Kind.BOOLEAN, "the deployment's doing", lambda shift: shift.verdict is Attribution.ATTRIBUTED),
}


def _outcomes(examples: Sequence[TrainingExample]) -> list[_Maker]:
    found: list[_Maker] = []
    metrics = sorted({shift.metric for example in examples for shift in example.impact.shifts})
    for metric in metrics:
        for part, (kind, text, read) in _PARTS.items():
            feature = Feature(f"out_{plain(metric)}_{part}", kind, Role.OUTCOME, f"{metric}: {text}")
            found.append((feature, _of_shift(metric, read)))
    for currency in sorted({cost.currency for example in examples for cost in example.impact.costs}):
        name = f"out_cost_{plain(currency).lower()}_per_hour"
        feature = Feature(name, Kind.NUMBER, Role.OUTCOME, "the cost, a gain below zero", f"{currency}/h")
        found.append((feature, _cost(currency)))
    return found


def _label() -> list[_Maker]:
    return [
        (
            Feature("label", Kind.TEXT, Role.LABEL, "success, degradation or failure; empty where it is not known"),
            lambda example: None if example.decision.outcome is Outcome.UNKNOWN else str(example.decision.outcome),
        ),
        (
            Feature("label_source", Kind.TEXT, Role.LABEL, "who said so: human, rollback or rule", nullable=False),
            lambda example: example.decision.label_source,
        ),
    ]


def _of_shift(metric: str, read: Callable[[Shift], Cell]) -> Callable[[TrainingExample], Cell]:
    def cell(example: TrainingExample) -> Cell:
        return next((read(shift) for shift in example.impact.shifts if shift.metric == metric), None)

    return cell


def _cost(currency: str) -> Callable[[TrainingExample], Cell]:
    return lambda example: next((one.per_hour.median for one in example.impact.costs if one.currency == currency), None)


def plain(name: str) -> str:
    """A name as part of a column's name."""
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()


def _cell(value: FeatureValue | None) -> Cell:
    return ",".join(sorted(value)) if isinstance(value, frozenset) else value


def _kind(values: Sequence[FeatureValue]) -> Kind:
    if all(isinstance(value, bool) for value in values):
        return Kind.BOOLEAN
    return Kind.TEXT if any(isinstance(value, bool | str) for value in values) else Kind.NUMBER


def _as(kind: Kind, read: Callable[[TrainingExample], Cell]) -> Callable[[TrainingExample], Cell]:
    """Text where a trait's values are of several kinds."""

    def cell(example: TrainingExample) -> Cell:
        value = read(example)
        return str(value) if kind is Kind.TEXT and value is not None else value

    return cell


def _is_category(values: Sequence[FeatureValue]) -> bool:
    different = len(set(values))
    return different <= CATEGORIES and 2 * different <= len(values)
