"""The configuration file -> one frozen Config, checked whole before anything uses it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field

from afdp_exporter.alerts import AlertSettings
from afdp_exporter.automation.approvals import Line
from afdp_exporter.bills import LIST_PRICE, BilledCloud, ListPrice
from afdp_exporter.errors import ConfigError, Fault, SourceRefused
from afdp_exporter.executors import SCOPE, Scope, Way
from afdp_exporter.feeds import Feed
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.handlers.access import Token, User
from afdp_exporter.metrics import CardinalityLimits
from afdp_exporter.model import CalendarEntry, Metric, Service
from afdp_exporter.notify import Receiver
from afdp_exporter.planning.plans import PlanningSettings, Plans
from afdp_exporter.settings import STRICT, build, line_of, parse, read_yaml
from afdp_exporter.source_access import PacingPolicy, guarded
from afdp_exporter.sources import Source
from afdp_exporter.store.retention import Retention
from afdp_exporter.tracking.annotations import AnnotationSettings
from afdp_exporter.tracking.mapping import Rule
from afdp_exporter.watching.evidence import AnalysisSettings, MonitoringConfig
from afdp_exporter.watching.watch import Schedule
from afdp_exporter.webhooks import SECRETS, Secrets, Sender
from afdp_exporter.wording.times import use_time_zone

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Thresholds and limits, each block owned by the part that obeys it."""

    __pydantic_config__: ClassVar = STRICT

    watch: Schedule = Schedule()
    analysis: AnalysisSettings = AnalysisSettings()
    exposure: CardinalityLimits = CardinalityLimits()
    planning: PlanningSettings = PlanningSettings()
    backfill: PacingPolicy = PacingPolicy()
    retention: Retention = Retention()
    alerts: AlertSettings = AlertSettings()
    annotations: AnnotationSettings = AnnotationSettings()
    gates: Mapping[str, GateSettings] = field(default_factory=dict)

    @property
    def schedule(self) -> Schedule:
        """When a deployment is looked at: no sooner than its series can be judged."""
        return self.watch.at_steps_of(self.analysis.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """The blocks of the file; plugins are built from theirs in a second step."""

    __pydantic_config__: ClassVar = STRICT

    sources: Annotated[list[dict[str, Any]], Field(min_length=1)]
    metrics: tuple[Metric, ...] = ()
    services: tuple[Service, ...] = ()
    calendar: tuple[CalendarEntry, ...] = ()
    policy: Policy = Policy()
    tokens: tuple[Token, ...] = ()
    users: tuple[User, ...] = ()
    notify: tuple[dict[str, Any], ...] = ()
    mapping: tuple[Rule, ...] = ()
    webhooks: tuple[dict[str, Any], ...] = ()
    feeds: list[dict[str, Any]] = field(default_factory=list)
    rollback: list[dict[str, Any]] = field(default_factory=list)
    approvals: list[dict[str, Any]] = field(default_factory=list)
    bills: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that the configuration says, ready to use."""

    sources: Mapping[str, Source]
    metrics: tuple[Metric, ...] = ()
    services: Mapping[str, Service] = field(default_factory=dict)
    calendar: tuple[CalendarEntry, ...] = ()
    policy: Policy = Policy()
    tokens: tuple[Token, ...] = ()
    users: tuple[User, ...] = ()
    notify: Mapping[str, Receiver] = field(default_factory=dict)
    mapping: tuple[Rule, ...] = ()
    senders: tuple[Sender, ...] = ()
    feeds: Mapping[str, Feed] = field(default_factory=dict)
    rollback: tuple[Way, ...] = ()
    approvals: tuple[Line, ...] = ()
    bills: Mapping[str, BilledCloud] = field(default_factory=dict)

    @property
    def watched(self) -> MonitoringConfig:
        """What is watched, and where it is asked."""
        return MonitoringConfig(
            sources=self.sources,
            metrics=self.metrics,
            services=self.services,
            calendar=self.calendar,
            zone=self.policy.planning.zone,
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
        first, *others = [Fault(each.field, f"{each.message} ({_place(path, each.field)})") for each in error.faults]
        raise ConfigError(first.field, first.message, *others) from None


def put_into_effect(path: Path) -> Config:
    """As `load`, for a command that runs by itself: from now on it writes times in the file's time zone."""
    config = load(path)
    use_time_zone(config.policy.planning.zone)
    return config


def _place(path: Path, where: str) -> str:
    line = line_of(path, where)
    return f"in {path}" if line is None else f"line {line} in {path}"


class _Findings:
    """What is wrong in a configuration: it is read to its end, whatever is found on the way."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def of(self, read: Callable[[], T]) -> T | None:
        """What is read; None where it cannot be."""
        try:
            return read()
        except ConfigError as error:
            self.faults += error.faults
            return None


def read(content: object) -> Config:
    """Check the content of a configuration file. Raises ConfigError with every fault."""
    found = _Findings()
    file = found.of(lambda: parse(ConfigFile, content, ""))
    blocks = content if isinstance(content, Mapping) else {}
    built: dict[str, Source] = _plugins("sources", _blocks(blocks, "sources"), found)
    sources = {name: guarded(source) for name, source in built.items()}
    notify: dict[str, Receiver] = _plugins("notify", _blocks(blocks, "notify"), found)
    feeds: dict[str, Feed] = _plugins("feeds", _blocks(blocks, "feeds"), found)
    senders = [
        found.of(partial(_sender, block, f"webhooks[{index}]"))
        for index, block in enumerate(_blocks(blocks, "webhooks"))
    ]
    ways = _ways(_blocks(blocks, "rollback"), found)
    lines = _lines(_blocks(blocks, "approvals"), found)
    bills = _bills(_blocks(blocks, "bills"), found)
    if file is not None and len(sources) == len(file.sources):
        found.faults += [*_metric_faults(file.metrics, sources), *_service_faults(file.services, file.metrics)]
        found.faults += _gate_faults(file.policy.gates, file.metrics)
        found.faults += [*_bill_faults(bills, sources), *_billed_faults(file, bills)]
    if file is None or found.faults:
        first, *others = found.faults
        raise ConfigError(first.field, first.message, *others)
    return Config(
        sources=sources,
        metrics=file.metrics,
        services={service.name: service for service in file.services},
        calendar=file.calendar,
        policy=file.policy,
        tokens=file.tokens,
        users=file.users,
        notify=notify,
        mapping=file.mapping,
        senders=tuple(filter(None, senders)),
        feeds=feeds,
        rollback=ways,
        approvals=lines,
        bills=bills,
    )


def _blocks(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The blocks of a list, where it is one; what is none is reported by the check of the whole file."""
    found = content.get(key)
    return [block for block in found if isinstance(block, Mapping)] if isinstance(found, list | tuple) else []


def _plugins(package: str, blocks: Iterable[Mapping[str, Any]], wrong: _Findings) -> dict[str, Any]:
    """The plugins of a package by their names; one without a name is called by its kind."""
    found: dict[str, Any] = {}
    for index, block in enumerate(blocks):
        where = f"{package}[{index}]"
        rest = {key: value for key, value in block.items() if key not in {"name", "kind"}}
        name = block.get("name", block.get("kind"))
        if not isinstance(name, str) or name in found:
            wrong.faults.append(Fault(f"{where}.name", f"each entry of {package} needs a name of its own"))
            continue
        plugin = wrong.of(partial(build, package, block.get("kind"), rest, where))
        if plugin is not None:
            found[name] = plugin
    return found


def _sender(block: Mapping[str, Any], where: str) -> Sender:
    """The kind reads its own settings, the secrets are the same for all."""
    secrets = parse(Secrets, {key: value for key, value in block.items() if key in SECRETS}, where)
    rest = {key: value for key, value in block.items() if key not in {*SECRETS, "kind"}}
    kind = block.get("kind")
    return Sender(webhook=build("webhooks", kind, rest, where), kind=str(kind), secrets=secrets)


def _ways(blocks: Iterable[Mapping[str, Any]], wrong: _Findings) -> tuple[Way, ...]:
    """Who takes deployments back, each under a name of its own."""
    ways: list[Way] = []
    for index, block in enumerate(blocks):
        where = f"rollback[{index}]"
        name = block.get("name", block.get("kind"))
        if not isinstance(name, str) or name in {way.name for way in ways}:
            wrong.faults.append(Fault(f"{where}.name", "each entry of rollback needs a name of its own"))
            continue
        way = wrong.of(partial(_way, name, block, where))
        ways += [way] if way is not None else []
    return tuple(ways)


def _way(name: str, block: Mapping[str, Any], where: str) -> Way:
    """The kind reads its own settings; the services that it is for are the same for all."""
    scope = parse(Scope, {key: value for key, value in block.items() if key in SCOPE}, where)
    rest = {key: value for key, value in block.items() if key not in {*SCOPE, "name", "kind"}}
    kind = block.get("kind")
    return Way(name=name, kind=str(kind), executor=build("executors", kind, rest, where), scope=scope)


def _lines(blocks: list[Mapping[str, Any]], wrong: _Findings) -> tuple[Line, ...]:
    """Who is called back with a verdict, each under a name of its own."""
    built = _plugins("approvals", blocks, wrong)
    kinds = {block.get("name", block.get("kind")): str(block.get("kind")) for block in blocks}
    return tuple(Line(name=name, kind=kinds[name], approver=approver) for name, approver in built.items())


def _bills(blocks: list[Mapping[str, Any]], wrong: _Findings) -> dict[str, BilledCloud]:
    """The kind reads its own settings; what it is held against is said alike for all."""
    listed: dict[str, ListPrice] = {}
    rest: list[Mapping[str, Any]] = []
    for index, block in enumerate(blocks):
        shared = {key: value for key, value in block.items() if key in LIST_PRICE}
        price = wrong.of(partial(parse, ListPrice, shared, f"bills[{index}]"))
        if price is not None:
            listed[str(block.get("name", block.get("kind")))] = price
        rest.append({key: value for key, value in block.items() if key not in LIST_PRICE})
    built = _plugins("bills", rest, wrong)
    return {name: BilledCloud(bill=bill, listed=listed[name]) for name, bill in built.items() if name in listed}


def _bill_faults(bills: Mapping[str, BilledCloud], sources: Mapping[str, Source]) -> Iterator[Fault]:
    for index, cloud in enumerate(bills.values()):
        name = cloud.listed.source or next(iter(sources))
        if name not in sources:
            yield Fault(f"bills[{index}].source", f"no source is named {name}; known: {', '.join(sources)}")
            continue
        try:
            if unknown := sources[name].prepare(cloud.listed.list_price).variables:
                yield Fault(f"bills[{index}].list_price", f"a bill is of no service: ${min(unknown)} has no value here")
        except SourceRefused as error:
            yield Fault(f"bills[{index}].list_price", str(error))


def _billed_faults(file: ConfigFile, bills: Mapping[str, BilledCloud]) -> Iterator[Fault]:
    """Where a bill is named that is not there."""
    named = {"policy.planning.cloud_rates.bill": file.policy.planning.cloud_rates.bill}
    for index, metric in enumerate(file.metrics):
        named[f"metrics[{index}].money.bill"] = metric.money.bill if metric.money is not None else None
    for where, name in named.items():
        if name is not None and name not in bills:
            yield Fault(where, f"no entry of bills is named {name}{_near(name, list(bills))}")


def _metric_faults(metrics: tuple[Metric, ...], sources: Mapping[str, Source]) -> Iterator[Fault]:
    names = [metric.name for metric in metrics]
    for index, metric in enumerate(metrics):
        where = f"metrics[{index}]"
        if names.count(metric.name) > 1:
            yield Fault(f"{where}.name", f"{metric.name} is there twice")
        for missing in sorted(set(metric.leads_to) - set(names)):
            yield Fault(f"{where}.leads_to", f"no metric is named {missing}{_near(missing, names)}")
        if metric.source is not None and metric.source not in sources:
            yield Fault(f"{where}.source", f"no source is named {metric.source}; known: {', '.join(sources)}")
            continue
        source = sources[metric.source or next(iter(sources))]
        arms = {"canary": metric.canary, "stable": metric.stable, "preview": metric.preview, **_denominators(metric)}
        for key, query in {"query": metric.query, "control": metric.control, **arms}.items():
            if query is not None:
                yield from _query_faults(f"{where}.{key}", query, source)


def _denominators(metric: Metric) -> dict[str, str | Mapping[str, Any] | None]:
    """The queries in `of`, each by its key."""
    of = metric.of
    return {} if of is None else {"of.query": of.query, "of.canary": of.canary, "of.stable": of.stable}


def _query_faults(where: str, query: str | Mapping[str, Any], source: Source) -> Iterator[Fault]:
    try:
        source.prepare(query)
    except SourceRefused as error:
        yield Fault(where, str(error))


def _service_faults(services: tuple[Service, ...], metrics: tuple[Metric, ...]) -> Iterator[Fault]:
    known = [metric.name for metric in metrics]
    for index, service in enumerate(services):
        for missing in sorted(set(service.metrics or ()) - set(known)):
            yield Fault(f"services[{index}].metrics", f"no metric is named {missing}{_near(missing, known)}")


def _gate_faults(gates: Mapping[str, GateSettings], metrics: tuple[Metric, ...]) -> Iterator[Fault]:
    known = [metric.name for metric in metrics]
    for service, gate in gates.items():
        for missing in sorted(set(gate.guard_rails) - set(known)):
            yield Fault(f"policy.gates.{service}.guard_rails", f"no metric is named {missing}{_near(missing, known)}")


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
