"""What automation was worth stands net of what it cost, and in one sentence with the deployment."""

import re
from collections.abc import Callable
from typing import Any

from afdp_exporter.model import Action, ActionState, Outcome, TrailEntry
from afdp_exporter.store.sqlite import SQLiteStore
from gated import NOON, deployment, impact
from remembering import remember

ARITHMETIC = "at least $233, less $5 for a wait of 10 minutes = $228 net"


async def test_what_was_spared_stands_beside_what_it_cost_and_what_is_left(
    store: SQLiteStore, start: Callable[..., Any]
) -> None:
    await remember(store, deployment(), impact(Outcome.FAILURE))
    hold = Action(
        id="hold-d1", deployment_id="d1", service="checkout", environment="production", kind="hold", executor="gate",
        state=ActionState.VERIFIED, level=3, reason="slower", decided_at=NOON, currency="USD", prevented=232.75,
        spent=5.0, arithmetic=ARITHMETIC,
        trail=(TrailEntry(at=NOON, state=ActionState.VERIFIED, by="afdp", reason="it never went on"),),
    )  # fmt: skip
    await store.actions.propose(hold)
    client = await start()
    page = await (await client.get("/gate", headers={"Accept": "text/html"})).text()
    worth = page.partition('id="worth"')[2].partition("</section>")[0]
    assert re.findall(r'<td class="right">([^<]+)</td>', worth) == ["$233", "$5", "$228"]
    story = await (await client.get("/deployments/d1", headers={"Accept": "text/html"})).text()
    assert ARITHMETIC in story
    assert "was rolled back" not in story
    listed = await (await client.get("/api/v1/actions", params={"deployment_id": "d1"})).json()
    assert [(each["kind"], each["corrected_cost"]) for each in listed["actions"]] == [("hold", None)]
