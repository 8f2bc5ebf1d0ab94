"""Receivers that can change what they were sent, over kills and failing answers: one of each, with the last word."""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from afdp_exporter.jobs import Kind
from afdp_exporter.jobs.runner import Runner
from afdp_exporter.settings import build
from afdp_exporter.store import Amendment
from afdp_exporter.store.follow_ups import NOTICE
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.notifier import Notifier
from loopback import Serve
from receivers import NOON, Inbox, notice
from receiving import RESOURCE, Azure, Channel, Forge

TOKEN = {"authorization": {"credentials": "xoxb-canary"}}
AZURE = {"resource": RESOURCE, "azuread": {"oauth": {"client_id": "1", "tenant_id": "2", "client_secret": "3"}}}
FAULTS = [500, 503, 429, "lost", "lost"]
DEPLOYMENTS = 4


@dataclass
class Row:
    """A receiver, what it writes to, and the texts that are kept there, one for each deployment."""

    kind: str
    settings: dict[str, Any]
    server: Callable[[], Any]
    kept: Callable[[Any], list[str]]


ROWS = [
    Row("slack", {"channel": "C1", **TOKEN}, Channel, lambda slack: slack.texts),
    Row("github", {"repositories": {"*": "a/b"}, **TOKEN}, lambda: Forge("github"), lambda forge: forge.ours),
    Row("gitlab", {"projects": {"*": "a/b"}, **TOKEN}, lambda: Forge("gitlab"), lambda forge: forge.ours),
    Row("azure_monitor", AZURE, Azure, lambda azure: [json.dumps(each) for each in azure.annotations.values()]),
]


@dataclass
class Ignorant:
    """Who does not count."""

    def notified(self, receiver: str) -> None: ...

    def notification_failed(self, receiver: str, reason: str) -> None: ...


@dataclass
class Life:
    """What runs between two kills, with a clock that is moved by hand."""

    store: SQLiteStore
    receiver: Any
    now: datetime = NOON

    async def until_killed(self, hung: asyncio.Event) -> bool:
        """Send what is due; whether it was killed meanwhile."""
        dispatcher = Notifier(
            store=self.store, receivers=lambda: {"it": self.receiver}, observer=Ignorant(), clock=lambda: self.now
        )
        kind = Kind(name=NOTICE, run=dispatcher.notify, slots=lambda: 100, per_lane=1)
        runner = Runner(self.store, kind, clock=lambda: self.now)
        working, killing = asyncio.create_task(runner.drain()), asyncio.create_task(hung.wait())
        await asyncio.wait({working, killing}, return_when=asyncio.FIRST_COMPLETED)
        killed = hung.is_set()
        for task in (*runner._running, working, killing):
            task.cancel()
        await asyncio.gather(working, killing, return_exceptions=True)
        hung.clear()
        self.now += timedelta(hours=1)  # past each lease and each wait
        return killed


@pytest.mark.parametrize("kills", [8, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.kind)
async def test_over_kills_and_failing_answers_there_is_one_of_each_with_the_last_word(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row, kills: int
) -> None:
    chance, server = random.Random(18), row.server()
    inbox = Inbox(serves=server.serves)
    url = await serve(inbox.answer)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", url)
    store = await SQLiteStore.open(tmp_path / "afdp.db")
    await store.notices.set_receivers(["it"])
    life, killed, change = Life(store, build("notify", row.kind, {"url": url, **row.settings}, "")), 0, 0
    for number in range(DEPLOYMENTS):
        await store.deployments.record(notice(id=f"d{number}").deployment, ())
    while killed < kills:
        change += 1
        name, version = f"d{chance.randrange(DEPLOYMENTS)}", f"v{change}x"
        await store.deployments.amend(name, lambda d, v=version: Amendment(deployment=replace(d, version=v)))
        drawn = [chance.random() for _ in range(60)]
        inbox.faults = ["hangs" if x < 0.08 else chance.choice(FAULTS) if x < 0.38 else None for x in drawn]
        killed += await life.until_killed(inbox.hung)
    inbox.faults = []
    for _ in range(5):
        await life.until_killed(inbox.hung)
    assert await store.notices.pending() == {"it": 0}
    texts = row.kept(server)
    last = [(await store.deployments.find(f"d{number}")).version for number in range(DEPLOYMENTS)]
    assert [sum(f"{version} " in text for text in texts) for version in last] == [1] * DEPLOYMENTS
    assert len(texts) == DEPLOYMENTS
    await store.close()
