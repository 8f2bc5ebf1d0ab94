"""The configuration file -> one frozen Config, checked whole before anything uses it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo

from pydantic import Field

from afdp_exporter.alerts import AlertSettings
from afdp_exporter.automation.ways import SCOPE, Scope, Way
from afdp_exporter.errors import ConfigError, SourceRefused
from afdp_exporter.feeds import Feed
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.handlers.access import Token, User
from afdp_exporter.metrics import Exposure
from afdp_exporter.model import Metric, Occasion, Service
from afdp_exporter.notify import Receiver
from afdp_exporter.planning.plans import PlanningSettings, Plans
from afdp_exporter.settings import STRICT, build, parse, read_yaml
from afdp_exporter.sources import Source
from afdp_exporter.sources._breaker import breaker
from afdp_exporter.sources._frugal import Pace
from afdp_exporter.tracking.annotations import AnnotationSettings
from afdp_exporter.tracking.mapping import Rule
from afdp_exporter.watching.evidence import AnalysisSettings, Watched
from afdp_exporter.watching.watch import Schedule
from afdp_exporter.webhooks import SECRETS, Secrets, Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Thresholds and limits, each block owned by the part that obeys it."""

    __pydantic_config__: ClassVar = STRICT

    watch: Schedule = Schedule()
    analysis: AnalysisSettings = AnalysisSettings()
    exposure: Exposure = Exposure()
    planning: PlanningSettings = PlanningSettings()
    backfill: Pace = Pace()
    alerts: AlertSettings = AlertSettings()
    annotations: AnnotationSettings = AnnotationSettings()
    gates: Mapping[str, GateSettings] = field(default_factory=dict)

    @property
    def schedule(self) -> Schedule:
        """When a deployment is looked at: no sooner than its series can be judged."""
        return self.watch.at_steps_of(self.analysis.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The blocks of the file; plugins are built from theirs in a second step."""

    __pydantic_config__: ClassVar = STRICT

    sources: Annotated[list[dict[str, Any]], Field(min_length=1)]
    metrics: tuple[Metric, ...] = ()
    services: tuple[Service, ...] = ()
    calendar: tuple[Occasion, ...] = ()
    policy: Policy = Policy()
    tokens: tuple[Token, ...] = ()
    users: tuple[User, ...] = ()
    notify: tuple[dict[str, Any], ...] = ()
    mapping: tuple[Rule, ...] = ()
    webhooks: tuple[dict[str, Any], ...] = ()
    feeds: list[dict[str, Any]] = field(default_factory=list)
    rollback: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that the configuration says, ready to use."""

    sources: Mapping[str, Source]
    metrics: tuple[Metric, ...] = ()
    services: Mapping[str, Service] = field(default_factory=dict)
    calendar: tuple[Occasion, ...] = ()
    policy: Policy = Policy()
    tokens: tuple[Token, ...] = ()
    users: tuple[User, ...] = ()
    notify: Mapping[str, Receiver] = field(default_factory=dict)
    mapping: tuple[Rule, ...] = ()
    senders: tuple[Sender, ...] = ()
    feeds: Mapping[str, Feed] = field(default_factory=dict)
    rollback: tuple[Way, ...] = ()

    @property
    def watched(self) -> Watched:
        """What is watched, and where it is asked."""
        return Watched(
            sources=self.sources,
            metrics=self.metrics,
            services=self.services,
            calendar=self.calendar,
            zone=ZoneInfo(self.policy.planning.time_zone),
            settings=self.policy.analysis,
        )

    @property
    def plans(self) -> Plans:
        """What planning goes by."""
        teams = {name: service.team for name, service in self.services.items() if service.team is not None}
        return Plans(settings=self.policy.planning, occasions=self.calendar, teams=teams)


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises ConfigError with the place of the fault, and the file."""
    if not path.exists():
        raise ConfigError(str(path), "No such file; `afdp init` writes one")
    content = read_yaml(path)
    if not isinstance(content, dict):
        what = "is empty" if content is None else "holds no keys"
        raise ConfigError(str(path), f"{what}; `afdp init` writes a configuration")
    try:
        return read(content)
    except ConfigError as error:
        raise ConfigError(error.where, f"{error.message} (in {path})") from None


def read(content: object) -> Config:
    """Check the content of a configuration file. Raises ConfigError with the place of the fault."""
    file = parse(_File, content, "")
    built: dict[str, Source] = _plugins("sources", file.sources)
    sources = {name: breaker(source) for name, source in built.items()}
    _check_metrics(file.metrics, sources)
    _check_services(file.services, file.metrics)
    return Config(
        sources=sources,
        metrics=file.metrics,
        services={service.name: service for service in file.services},
        calendar=file.calendar,
        policy=file.policy,
        tokens=file.tokens,
        users=file.users,
        notify=_plugins("notify", file.notify),
        mapping=file.mapping,
        senders=tuple(_sender(block, f"webhooks[{index}]") for index, block in enumerate(file.webhooks)),
        feeds=_plugins("feeds", file.feeds),
        rollback=_ways(file.rollback),
    )


def _plugins(package: str, blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The plugins of a package by their names; one without a name is called by its kind."""
    found: dict[str, Any] = {}
    for index, block in enumerate(blocks):
        where = f"{package}[{index}]"
        rest = {key: value for key, value in block.items() if key not in {"name", "kind"}}
        name = block.get("name", block.get("kind"))
        if not isinstance(name, str) or name in found:
            raise ConfigError(f"{where}.name", f"each entry of {package} needs a name of its own")
        found[name] = build(package, block.get("kind"), rest, where)
    return found


def _sender(block: dict[str, Any], where: str) -> Sender:
    """The kind reads its own settings, the secrets are the same for all."""
    secrets = parse(Secrets, {key: value for key, value in block.items() if key in SECRETS}, where)
    rest = {key: value for key, value in block.items() if key not in {*SECRETS, "kind"}}
    kind = block.get("kind")
    return Sender(webhook=build("webhooks", kind, rest, where), kind=str(kind), secrets=secrets)


def _ways(blocks: Iterable[Mapping[str, Any]]) -> tuple[Way, ...]:
    """The kind reads its own settings; the services that it is for are the same for all."""
    ways: list[Way] = []
    for index, block in enumerate(blocks):
        where = f"rollback[{index}]"
        name = block.get("name", block.get("kind"))
        if not isinstance(name, str) or name in {way.name for way in ways}:
            raise ConfigError(f"{where}.name", "each entry of rollback needs a name of its own")
        scope = parse(Scope, {key: value for key, value in block.items() if key in SCOPE}, where)
        rest = {key: value for key, value in block.items() if key not in {*SCOPE, "name", "kind"}}
        kind = block.get("kind")
        ways.append(Way(name=name, kind=str(kind), executor=build("executors", kind, rest, where), scope=scope))
    return tuple(ways)


def _check_metrics(metrics: tuple[Metric, ...], sources: Mapping[str, Source]) -> None:
    names = [metric.name for metric in metrics]
    for index, metric in enumerate(metrics):
        where = f"metrics[{index}]"
        if names.count(metric.name) > 1:
            raise ConfigError(f"{where}.name", f"{metric.name} is there twice")
        if metric.source is not None and metric.source not in sources:
            raise ConfigError(f"{where}.source", f"no source is named {metric.source}; known: {', '.join(sources)}")
        for missing in sorted(set(metric.leads_to) - set(names)):
            raise ConfigError(f"{where}.leads_to", f"no metric is named {missing}")
        source = sources[metric.source or next(iter(sources))]
        of = {} if metric.of is None else {"of.canary": metric.of.canary, "of.stable": metric.of.stable}
        arms = {"canary": metric.canary, "stable": metric.stable, **of}
        for key, query in {"query": metric.query, "control": metric.control, **arms}.items():
            if query is not None:
                _check_query(f"{where}.{key}", query, source)


def _check_query(where: str, query: str | Mapping[str, Any], source: Source) -> None:
    try:
        source.prepare(query)
    except SourceRefused as error:
        raise ConfigError(where, str(error)) from None


def _check_services(services: tuple[Service, ...], metrics: tuple[Metric, ...]) -> None:
    known = {metric.name for metric in metrics}
    for index, service in enumerate(services):
        for missing in sorted(set(service.metrics or ()) - known):
            raise ConfigError(f"services[{index}].metrics", f"no metric is named {missing}")
