"""The configuration file -> one frozen Config, checked whole before anything uses it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
    ways = _named("rollback", _blocks(blocks, "rollback"), found, _way)
    lines = _named("approvals", _blocks(blocks, "approvals"), found, _line)
    bills = _named("bills", _blocks(blocks, "bills"), found, _billed_cloud)
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
        rollback=tuple(ways.values()),
        approvals=tuple(lines.values()),
        bills=bills,
    )


def _blocks(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The blocks of a list, where it is one; what is none is reported by the check of the whole file."""
    found = content.get(key)
    return [block for block in found if isinstance(block, Mapping)] if isinstance(found, list | tuple) else []


def _named(
    block_list: str,
    blocks: Iterable[Mapping[str, Any]],
    wrong: _Findings,
    make: Callable[[str, Mapping[str, Any], str], T],
) -> dict[str, T]:
    """What is made of each block by its name and its place; one without a name is called by its kind."""
    found: dict[str, T] = {}
    for index, block in enumerate(blocks):
        where = f"{block_list}[{index}]"
        name = block.get("name", block.get("kind"))
        if not isinstance(name, str) or name in found:
            wrong.faults.append(Fault(f"{where}.name", f"each entry of {block_list} needs a name of its own"))
            continue
        made = wrong.of(partial(make, name, block, where))
        if made is not None:
            found[name] = made
    return found


def _plugins(package: str, blocks: Iterable[Mapping[str, Any]], wrong: _Findings) -> dict[str, Any]:
    """The plugins of a package by their names."""
    return _named(package, blocks, wrong, lambda _, block, where: _plugin(package, block, where))


def _plugin(package: str, block: Mapping[str, Any], where: str, *others: str) -> Any:  # noqa: ANN401 - of any package
    """The plugin of the block's kind, which reads its own settings: all but its name and `others`."""
    rest = {key: value for key, value in block.items() if key not in {"name", "kind", *others}}
    return build(package, block.get("kind"), rest, where)


def _settings(shape: type[T], keys: Collection[str], block: Mapping[str, Any], where: str) -> T:
    """Those settings of a block that are the same for all kinds."""
    return parse(shape, {key: value for key, value in block.items() if key in keys}, where)


def _sender(block: Mapping[str, Any], where: str) -> Sender:
    """The kind reads its own settings, its name among them; the secrets are the same for all."""
    secrets = _settings(Secrets, SECRETS, block, where)
    rest = {key: value for key, value in block.items() if key not in {*SECRETS, "kind"}}
    kind = block.get("kind")
    return Sender(webhook=build("webhooks", kind, rest, where), kind=str(kind), secrets=secrets)


def _way(name: str, block: Mapping[str, Any], where: str) -> Way:
    """Who takes deployments back; the services that it is for are the same for all kinds."""
    scope = _settings(Scope, SCOPE, block, where)
    executor = _plugin("executors", block, where, *SCOPE)
    return Way(name=name, kind=str(block.get("kind")), executor=executor, scope=scope)


def _line(name: str, block: Mapping[str, Any], where: str) -> Line:
    """Who is called back with a verdict."""
    return Line(name=name, kind=str(block.get("kind")), approver=_plugin("approvals", block, where))


def _billed_cloud(_: str, block: Mapping[str, Any], where: str) -> BilledCloud:
    """A bill; what it is compared with is said alike for all kinds."""
    listed = _settings(ListPrice, LIST_PRICE, block, where)
    return BilledCloud(bill=_plugin("bills", block, where, *LIST_PRICE), listed=listed)


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
