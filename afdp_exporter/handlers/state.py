"""What the handlers work with."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from aiohttp import web

from afdp_exporter.automation.actions import Actions
from afdp_exporter.automation.canaries import Canaries
from afdp_exporter.automation.gatekeeper import Gatekeeper
from afdp_exporter.automation.ways import Way
from afdp_exporter.external import External
from afdp_exporter.feeds import Feed
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.handlers.access import Token, User
from afdp_exporter.handlers.passwords import Passwords
from afdp_exporter.handlers.web_config import Web
from afdp_exporter.metrics import Exposure, Instruments
from afdp_exporter.model import Deployment, Event, Occasion
from afdp_exporter.notify import Receiver
from afdp_exporter.planning.foresight import Foresight
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store import Store
from afdp_exporter.tracking.annotating import Annotating
from afdp_exporter.tracking.mapping import Rule
from afdp_exporter.watching.evidence import Watched
from afdp_exporter.watching.watch import Schedule
from afdp_exporter.webhooks import Sender
from afdp_exporter.workers import Workers

EVER = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a reload of the configuration replaces."""

    tokens: tuple[Token, ...]
    users: tuple[User, ...]
    schedule: Schedule
    exposure: Exposure
    watched: Watched
    plans: Plans
    receivers: Mapping[str, Receiver]
    annotating: Annotating
    mapping: tuple[Rule, ...]
    senders: tuple[Sender, ...]
    feeds: Mapping[str, Feed]
    gates: Mapping[str, GateSettings]
    ways: tuple[Way, ...]
    calendar: tuple[Occasion, ...] = ()  # as it is configured; `watched` and `plans` also hold what was told

    def during(self, events: Iterable[Event]) -> "Rules":
        """The same with what was told of the times besides what is configured."""
        calendar = (*self.calendar, *(event.occasion for event in events))
        return replace(
            self, watched=replace(self.watched, calendar=calendar), plans=replace(self.plans, occasions=calendar)
        )


class Reloads(Protocol):
    """Puts the configuration file into effect anew."""

    def call(self) -> Awaitable[None]:
        """Ask for it."""

    async def reload(self) -> None:
        """Have it done. Raises ConfigError or StoreError, and nothing has changed then."""

    async def run(self) -> None:
        """Do it as often as it is asked for, until cancelled."""


@dataclass(slots=True, kw_only=True)
class State:
    """One of these belongs to each app."""

    store: Store
    instruments: Instruments
    clock: Callable[[], datetime]
    rules: Rules
    web: Web
    passwords: Passwords
    workers: Workers
    planner: Planner
    foresight: Foresight
    gatekeeper: Gatekeeper
    canaries: Canaries
    actions: Actions
    reloading: Reloads
    due: Callable[[], None]  # there may be a look whose time has come
    external: External = External()
    ready: bool = False
    background: set[asyncio.Task[None]] = field(default_factory=set)  # work that only ends with the app
    silent: set[object] = field(default_factory=set)  # connections without a request so far

    def told(self, deployment: Deployment) -> None:
        """A deployment was recorded or has changed: show it, foresee it, look at it in time."""
        self.instruments.show(deployment)
        self.foresight.told(deployment)
        self.gatekeeper.changed(deployment.service)
        self.canaries.told(deployment)
        self.due()

    async def recall(self) -> None:
        """Take what was told of the times into account; reading them all is a matter of milliseconds."""
        events = await self.store.events(EVER, NEVER)
        self.rules = self.rules.during(events)
        self.instruments.events.show(self.rules.plans.occasions)
        self.gatekeeper.changed()


STATE = web.AppKey("state", State)
