"""The deployments on `/metrics`: the newest of each service, under a cap on all series."""

import heapq
import threading
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import TypeAlias

from prometheus_client.utils import floatToGoString

from afdp_exporter.metrics.units import absolute_change
from afdp_exporter.model import (
    Attribution,
    Cost,
    Deployment,
    Estimate,
    Impact,
    MeasuredDeployment,
    Shift,
    ShiftState,
    Status,
)

Series: TypeAlias = tuple[str, tuple[str, ...]]  # the family, and the values of its labels

_STORY = 600  # characters of a story, so that an alert can carry it
_RATES = frozenset({"afdp_cost_per_hour", "afdp_cost_per_hour_lower", "afdp_cost_per_hour_upper"})
_OF_DEPLOYMENT = ("deployment_id", "service", "environment")
_RESOURCE = ("service_name", "service_namespace", "service_version", "deployment_environment_name")
_FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "afdp_deployment_timestamp_seconds": ("When the deployment started.", ()),
    "afdp_deployment_end_timestamp_seconds": ("When the rollout of the deployment was over.", ()),
    "afdp_deployment_planned_timestamp_seconds": ("When the deployment is planned to start.", ()),
    "afdp_deployment_info": (
        "Version, team, strategy and kinds of change of the deployment; always 1.",
        ("version", "team", "strategy", "change_type"),
    ),
    "afdp_deployment_resource_info": (
        "OpenTelemetry's resource attributes among the labels of the deployment; always 1.",
        _RESOURCE,
    ),
    "afdp_deployment_outcome": (
        "What became of the deployment: a human's label, else as its sender reports, else as measured; always 1.",
        ("outcome",),
    ),
    "afdp_deployment_measured_timestamp_seconds": (
        "Up to when the deployment was measured.",
        (),
    ),
    "afdp_deployment_verdicts": ("Number of metrics that got this verdict after the deployment.", ("verdict",)),
    "afdp_deployment_story": ("What the deployment did, as text; always 1.", ("story",)),
    "afdp_impact_active": (
        "1 while the harm that the deployment did to the metric goes on, 0 while there is none or it is over.",
        ("metric",),
    ),
    "afdp_impact_verdict": ("Verdict on the metric after the deployment; always 1.", ("metric", "verdict")),
    "afdp_impact_recovered_timestamp_seconds": (
        "When the metric was back at its level after the deployment moved it.",
        ("metric",),
    ),
    "afdp_impact_change": ("Change of the metric after the deployment, in the metric's own unit.", ("metric",)),
    "afdp_impact_change_lower": ("5 % point of the change of the metric after the deployment.", ("metric",)),
    "afdp_impact_change_upper": ("95 % point of the change of the metric after the deployment.", ("metric",)),
    "afdp_impact_change_ratio": ("Change of the metric relative to its level before the deployment.", ("metric",)),
    "afdp_impact_absolute_change_seconds": (
        "Change of a metric in seconds after the deployment.",
        ("metric",),
    ),
    "afdp_impact_absolute_change_seconds_lower": (
        "5 % point of the change of a metric in seconds after the deployment.",
        ("metric",),
    ),
    "afdp_impact_absolute_change_seconds_upper": (
        "95 % point of the change of a metric in seconds after the deployment.",
        ("metric",),
    ),
    "afdp_impact_absolute_change_ratio": (
        "Change of a ratio metric after the deployment, 0.01 is one percentage point.",
        ("metric",),
    ),
    "afdp_impact_absolute_change_ratio_lower": (
        "5 % point of the change of a ratio metric after the deployment, 0.01 is one percentage point.",
        ("metric",),
    ),
    "afdp_impact_absolute_change_ratio_upper": (
        "95 % point of the change of a ratio metric after the deployment, 0.01 is one percentage point.",
        ("metric",),
    ),
    "afdp_impact_absolute_change_per_hour": (
        "Change of a money metric per hour after the deployment, in the label currency.",
        ("metric", "currency"),
    ),
    "afdp_impact_absolute_change_per_hour_lower": (
        "5 % point of the change of a money metric per hour after the deployment, in the label currency.",
        ("metric", "currency"),
    ),
    "afdp_impact_absolute_change_per_hour_upper": (
        "95 % point of the change of a money metric per hour after the deployment, in the label currency.",
        ("metric", "currency"),
    ),
    "afdp_impact_attribution_ratio": (
        "Chance that the metric changed and that this deployment did it, 0 to 1.",
        ("metric",),
    ),
    "afdp_impact_onset_timestamp_seconds": ("When the change of the metric began.", ("metric",)),
    "afdp_impact_duration_seconds": ("How long the change of the metric lasted, or has lasted by now.", ("metric",)),
    "afdp_cost_per_hour": (
        "Money lost per hour because of the deployment, only while it goes on; a gain is negative.",
        ("currency",),
    ),
    "afdp_cost_per_hour_lower": ("5 % point of the money lost per hour because of the deployment.", ("currency",)),
    "afdp_cost_per_hour_upper": ("95 % point of the money lost per hour because of the deployment.", ("currency",)),
    "afdp_cost_total": (
        "Money lost because of the deployment, so far or in all where it is over; a gain is negative.",
        ("currency",),
    ),
    "afdp_cost_total_lower": (
        "5 % point of the money lost in all because of the deployment.",
        ("currency",),
    ),
    "afdp_cost_total_upper": (
        "95 % point of the money lost in all because of the deployment.",
        ("currency",),
    ),
}


NAMES = frozenset(_FAMILIES)
"""Of the families that are here."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A deployment as it is shown; `lines` are those of a family, of a rate those of one currency."""

    deployment: Deployment
    impact: Impact | None
    lines: Mapping[tuple[str, str], bytes]
    count: int

    @property
    def rank(self) -> tuple[datetime, str]:
        return self.deployment.started_at, self.deployment.id

    @property
    def place(self) -> tuple[str, str]:
        return self.deployment.service, self.deployment.environment

    @property
    def gains(self) -> frozenset[str]:
        """The currencies in which it gains."""
        costs = self.impact.costs if self.impact is not None else ()
        return frozenset(cost.currency for cost in costs if cost.per_hour.median < 0)


class DeploymentBoard:
    """Holds what is shown, as text. Where it gets too much, the deployment that started first goes first.

    Changed from the event loop and rendered from a thread.
    """

    def __init__(self, *, per_service: int, cap: int) -> None:
        self._per_service = per_service
        self._cap = cap
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._of_service: defaultdict[tuple[str, str], list[tuple[datetime, str]]] = defaultdict(list)
        self._by_start: list[tuple[datetime, str]] = []  # a heap; what is gone from `_entries` is skipped
        self._series = 0
        self._others = 0  # series that are shown beside these, under the same cap

    def limit(self, *, per_service: int, cap: int) -> None:
        """Obey other limits from the next deployment on."""
        self._per_service = per_service
        self._cap = cap

    def show(self, deployment: Deployment, impact: Impact | None) -> int:
        """Show a deployment. The number of series that had to go for the cap."""
        with self._lock:
            known = self._remove(deployment.id)
            if impact is None and known is not None:
                impact = known.impact
            self._add(_entry(deployment, impact))
            same = self._of_service[deployment.service, deployment.environment]
            for _, oldest in same[: -self._per_service]:
                self._remove(oldest)
            return self._make_room()

    def measured(self, impact: Impact) -> int:
        """Show an impact. The number of series that had to go for the cap."""
        known = self._entries.get(impact.deployment_id)
        return 0 if known is None else self.show(known.deployment, impact)

    def leave_room(self, series: int) -> int:
        """Leave so many of the series under the cap to others. The number of series that had to go for that."""
        with self._lock:
            self._others = series
            return self._make_room()

    def render(self, names: Collection[str] = NAMES) -> bytes:
        """The families of these names, in the text format that both Prometheus and OpenMetrics have of gauges."""
        with self._lock:
            entries = list(self._entries.values())
        over = _gains_that_are_over(entries)
        families: dict[str, list[bytes]] = {name: [] for name in _FAMILIES if name in names}
        for entry in entries:
            gains = entry.gains if entry.deployment.id in over else ()
            for (name, currency), lines in entry.lines.items():
                if name in families and not (gains and currency in gains):
                    families[name].append(lines)
        return b"".join(_head(name) + b"".join(lines) for name, lines in families.items() if lines)

    def _add(self, entry: _Entry) -> None:
        deployment = entry.deployment
        self._entries[deployment.id] = entry
        insort(self._of_service[deployment.service, deployment.environment], entry.rank)
        heapq.heappush(self._by_start, entry.rank)
        self._series += entry.count

    def _remove(self, deployment_id: str) -> _Entry | None:
        entry = self._entries.pop(deployment_id, None)
        if entry is None:
            return None
        whose = entry.deployment.service, entry.deployment.environment
        self._of_service[whose].remove(entry.rank)
        if not self._of_service[whose]:
            del self._of_service[whose]
        self._series -= entry.count
        return entry

    def _make_room(self) -> int:
        dropped = 0
        if len(self._by_start) > 2 * len(self._entries) + 100:
            self._by_start = sorted(entry.rank for entry in self._entries.values())
        while self._entries and self._series > self._cap - self._others:
            started_at, deployment_id = heapq.heappop(self._by_start)
            entry = self._entries.get(deployment_id)
            if entry is not None and entry.deployment.started_at == started_at:
                self._remove(deployment_id)
                dropped += entry.count
        return dropped


def _gains_that_are_over(entries: Sequence[_Entry]) -> frozenset[str]:
    """The deployments whose gain no longer counts as going on.

    The next deployment of the service has taken their place, or the gain only took back the harm of an earlier one.
    """
    begun = [entry for entry in entries if entry.deployment.status not in {Status.PLANNED, Status.CANCELLED}]
    last = {entry.place: entry.deployment.id for entry in sorted(begun, key=lambda entry: entry.rank)}
    impacts = [entry.impact for entry in entries if entry.impact is not None]
    fixes = {shift.ended_by for impact in impacts for shift in impact.shifts if shift.harmful}
    ids = (entry.deployment.id for entry in entries if entry.gains)
    return frozenset(name for name in ids if name in fixes or name not in last.values())


def _head(name: str) -> bytes:
    return f"# HELP {name} {_FAMILIES[name][0]}\n# TYPE {name} gauge\n".encode()


def _entry(deployment: Deployment, impact: Impact | None) -> _Entry:
    whose = ",".join(_labels(_OF_DEPLOYMENT, (deployment.id, deployment.service, deployment.environment)))
    lines: defaultdict[tuple[str, str], bytes] = defaultdict(bytes)
    samples = dict(_samples(deployment, impact))
    for (name, values), value in samples.items():
        others = [f",{each}" for each in _labels(_FAMILIES[name][1], values[len(_OF_DEPLOYMENT) :])]
        line = f"{name}{{{whose}{''.join(others)}}} {floatToGoString(value)}\n"
        lines[name, values[-1] if name in _RATES else ""] += line.encode()
    return _Entry(deployment, impact, dict(lines), len(samples))


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> list[str]:
    return [f'{name}="{_escaped(text)}"' for name, text in zip(names, values, strict=True)]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _samples(deployment: Deployment, impact: Impact | None) -> Iterator[tuple[Series, float]]:
    whose = (deployment.id, deployment.service, deployment.environment)
    words = (
        deployment.version or "",
        deployment.team or "",
        deployment.strategy or "",
        ",".join(deployment.change_types),
    )
    yield ("afdp_deployment_info", (*whose, *words)), 1
    resource = tuple(deployment.labels.get(name, "") for name in _RESOURCE)
    if any(resource):
        yield ("afdp_deployment_resource_info", (*whose, *resource)), 1
    when = "afdp_deployment_planned_timestamp_seconds" if deployment.planned else "afdp_deployment_timestamp_seconds"
    yield (when, whose), deployment.started_at.timestamp()
    if not deployment.planned and not deployment.running:
        yield ("afdp_deployment_end_timestamp_seconds", whose), deployment.ended_at.timestamp()
    measured = MeasuredDeployment(deployment=deployment, impact=impact)
    if measured.known:
        yield ("afdp_deployment_outcome", (*whose, measured.decision.outcome)), 1
    if impact is not None:
        yield from _measurements(impact, whose)


def _measurements(impact: Impact, whose: tuple[str, str, str]) -> Iterator[tuple[Series, float]]:
    if impact.story:
        yield ("afdp_deployment_story", (*whose, _shortened(impact.story))), 1
    for verdict, count in Counter(shift.verdict for shift in impact.shifts).items():
        yield ("afdp_deployment_verdicts", (*whose, verdict)), count
    yield ("afdp_deployment_measured_timestamp_seconds", whose), impact.measured_at.timestamp()
    for shift in impact.shifts:
        yield ("afdp_impact_verdict", (*whose, shift.metric, shift.verdict)), 1
        for family, value in _figures(shift):
            if value is not None and isfinite(value):
                yield (family, (*whose, shift.metric)), value
        for family, labels, value in _in_its_unit(shift):
            if value is not None and isfinite(value):
                yield (family, (*whose, *labels)), value
    for cost in impact.costs:
        for family, amount in _amounts(cost):
            yield (family, (*whose, cost.currency)), amount


def _shortened(story: Sequence[str]) -> str:
    """As many whole sentences as fit; of a first one that is longer, its beginning."""
    text = story[0] if len(story[0]) <= _STORY else f"{story[0][: _STORY - 1]}…"
    for sentence in story[1:]:
        if len(text) + len(sentence) >= _STORY:
            break
        text = f"{text} {sentence}"
    return text


def _figures(shift: Shift) -> Iterator[tuple[str, float | None]]:
    yield "afdp_impact_active", _active(shift)
    recovered = shift.recovered_at if shift.moved else None
    yield "afdp_impact_recovered_timestamp_seconds", recovered.timestamp() if recovered is not None else None
    yield "afdp_impact_change", shift.change
    yield "afdp_impact_change_lower", shift.low
    yield "afdp_impact_change_upper", shift.high
    yield "afdp_impact_change_ratio", shift.change_ratio
    yield "afdp_impact_attribution_ratio", shift.attribution_ratio
    yield "afdp_impact_onset_timestamp_seconds", shift.onset.timestamp() if shift.onset is not None else None
    yield "afdp_impact_duration_seconds", shift.duration.total_seconds() if shift.duration is not None else None


def _in_its_unit(shift: Shift) -> Iterator[tuple[str, tuple[str, ...], float | None]]:
    """The change once more, under a name that ends in its unit."""
    named = absolute_change(shift.metric)
    if named is None:
        return
    unit, labels = named
    for end, value in (("", shift.change), ("_lower", shift.low), ("_upper", shift.high)):
        yield f"afdp_impact_absolute_change_{unit}{end}", labels, value


def _active(shift: Shift) -> float | None:
    """Whether harm goes on, for the metrics that the outcome rests on; None where that is unknown."""
    if not shift.primary:
        return None
    if shift.harmful and shift.state is ShiftState.ACTIVE:
        return 1.0
    judged = shift.moved or shift.verdict is Attribution.NO_EFFECT
    ended = shift.state not in {None, ShiftState.SUSPECTED}
    return 0.0 if judged or ended else None


def _amounts(cost: Cost) -> Iterator[tuple[str, float]]:
    if not cost.ended:
        yield from _range("afdp_cost_per_hour", cost.per_hour)
    if cost.total is not None:
        yield from _range("afdp_cost_total", cost.total)


def _range(family: str, amount: Estimate) -> Iterator[tuple[str, float]]:
    yield family, amount.median
    yield f"{family}_lower", amount.low
    yield f"{family}_upper", amount.high
