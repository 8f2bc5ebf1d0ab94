"""What the handlers work with."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from aiohttp.web import AppKey, RequestKey

from afdp_exporter.automation.actions import Actions
from afdp_exporter.automation.approvals import Approvals, Line
from afdp_exporter.automation.following import Following
from afdp_exporter.automation.gatekeeper import Gatekeeper
from afdp_exporter.automation.ledger import Ledger
from afdp_exporter.bills import BilledCloud
from afdp_exporter.compute import ComputePool
from afdp_exporter.executors import Way
from afdp_exporter.external import External
from afdp_exporter.feeds import Feed
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.handlers.access import Token, User
from afdp_exporter.handlers.load import Load
from afdp_exporter.handlers.passwords import Passwords
from afdp_exporter.handlers.web_config import ReloadingWebConfig
from afdp_exporter.jobs.follower import Follower
from afdp_exporter.jobs.leadership import Leadership
from afdp_exporter.jobs.runner import Runner
from afdp_exporter.metrics import CardinalityLimits, SelfMetrics
from afdp_exporter.model import BillRatio, CalendarEntry
from afdp_exporter.notify import Receiver
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.planning.refresher import PredictionRefresher
from afdp_exporter.store import JobStore, Store
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.store.retention import Retention
from afdp_exporter.tracking.annotation_ingestion import AnnotationIngest
from afdp_exporter.tracking.mapping import Rule
from afdp_exporter.watching.evidence import MonitoringConfig
from afdp_exporter.watching.watch import Schedule
from afdp_exporter.webhooks import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """What a reload of the configuration replaces."""

    tokens: tuple[Token, ...]
    users: tuple[User, ...]
    schedule: Schedule
    exposure: CardinalityLimits
    watched: MonitoringConfig
    plans: Plans
    receivers: Mapping[str, Receiver]
    annotating: AnnotationIngest
    mapping: tuple[Rule, ...]
    senders: tuple[Sender, ...]
    feeds: Mapping[str, Feed]
    gates: Mapping[str, GateSettings]
    ways: tuple[Way, ...]
    lines: tuple[Line, ...] = ()
    retention: Retention = Retention()
    grafana_url: str | None = None
    bills: Mapping[str, BilledCloud] = field(default_factory=dict)
    calendar: tuple[CalendarEntry, ...] = ()  # as it is configured; `watched` and `plans` also hold what was reported

    def during(self, events: Iterable[CalendarEntry]) -> "RuntimeConfig":
        """The same with what was reported of the times besides what is configured."""
        calendar = (*self.calendar, *events)
        return replace(
            self, watched=replace(self.watched, calendar=calendar), plans=replace(self.plans, occasions=calendar)
        )

    def at(self, billed: Mapping[str, BillRatio]) -> "RuntimeConfig":
        """The same with what is known of the bills that it still names."""
        known = {name: ratio for name, ratio in billed.items() if name in self.bills}
        return replace(self, watched=replace(self.watched, billed=known), plans=replace(self.plans, billed=known))


class Reloads(Protocol):
    """Puts the configuration file into effect anew."""

    def call(self) -> Awaitable[None]:
        """Ask for it."""

    async def reload(self) -> None:
        """Have it done. Raises ConfigError or StoreError, and nothing has changed then."""

    async def run(self) -> None:
        """Do it as often as it is asked for, until cancelled."""


@dataclass(slots=True, kw_only=True)
class AppContext:
    """One of these belongs to each app."""

    store: Store
    instruments: SelfMetrics
    clock: Callable[[], datetime]
    rules: RuntimeConfig
    web: ReloadingWebConfig
    passwords: Passwords
    compute: ComputePool
    reader: StoreReader
    planner: Planner
    refresher: PredictionRefresher
    gatekeeper: Gatekeeper
    following: Following
    actions: Actions
    approvals: Approvals
    reloading: Reloads
    runner: Runner
    own_jobs: JobStore
    own_runner: Runner
    leadership: Leadership
    follower: Follower
    load: Load
    ledger: Ledger = field(default_factory=Ledger)
    external: External = External()
    names: frozenset[str] = frozenset()  # of this exporter, besides those that no stranger can own
    ready: bool = False
    happened: dict[str, CalendarEntry] = field(default_factory=dict)  # all that was reported of the times, by its id
    background: set[asyncio.Task[None]] = field(default_factory=set)  # work that only ends with the app


STATE = AppKey("state", AppContext)
LANE = RequestKey("lane", str)
"""What a request counts as while it is worked on; calls that are open to everybody have none, and are never shed."""
