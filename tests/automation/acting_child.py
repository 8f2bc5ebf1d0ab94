"""An exporter's part that acts, as a process that can be killed: takes back one deployment by a webhook executor."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from afdp_exporter.automation.actions import Actions
from afdp_exporter.automation.gatekeeper import Gatekeeper
from afdp_exporter.automation.levels import Levels
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.executors import Scope, Way
from afdp_exporter.gate.ladder import Permission, Standing
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.settings import build
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.watch import Schedule


class Trusted(Levels):
    """Everything may be taken back without asking."""

    def of(self, service: str, environment: str) -> Standing:
        return Standing(level=5, earned=5, permission=Permission(level=5), missing=())


async def act(path: Path, url: str, deployment_id: str) -> None:
    """Recover, decide, and work until nothing is open."""
    store = await SQLiteStore.open(path)
    settings = GateSettings()

    def now() -> datetime:
        return datetime.now(UTC)

    reader = StoreReader(store, open_compute(workers=1), lambda: timedelta(minutes=1))
    gatekeeper = Gatekeeper(
        store=store, planner=Planner(reader), levels=Trusted(reader=reader), plans=Plans,
        settings=lambda _: settings, clock=now,
    )  # fmt: skip
    way = Way(
        name="hook", kind="webhook", executor=build("executors", "webhook", {"url": url}, ""),
        scope=Scope(services=("checkout",), dry_run=False),
    )  # fmt: skip
    actions = Actions(
        store=store, gatekeeper=gatekeeper, ways=lambda: (way,), settings=lambda _: settings, schedule=Schedule,
        clock=now, moved=lambda _: None, booked=lambda _: None,
    )  # fmt: skip
    print("ready", flush=True)
    await actions.recover()
    await actions.decide(deployment_id)
    await actions.work()
    await store.close()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(act(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
