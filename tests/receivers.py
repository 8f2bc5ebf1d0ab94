"""What receivers of notices are sent in tests, and servers that keep what they are sent."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from afdp_exporter.model import (
    Attribution,
    Cost,
    Deployment,
    Estimate,
    Impact,
    Layer,
    Notification,
    Outcome,
    Shift,
    ShiftState,
    Worse,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SHA = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
REPORT = "https://afdp.example.org/deployments/d1"
HEADLINE = (
    "checkout v2.1.0 (2026-03-02 12:00 UTC): degradation; latency p95 +15 ms [13, 17], "
    "costs $1,200 an hour [$1,000, $1,400]; going on, as of 13:10 UTC"
)
STORY = ("Deployment checkout v2.1.0 raised latency p95.", "It costs $1,200 an hour [$1,000, $1,400].")


def degradation(state: ShiftState = ShiftState.ACTIVE) -> Impact:
    """Slower, at a cost, and going on or over."""
    shift = Shift(
        metric="latency",
        layer=Layer.TECHNICAL,
        verdict=Attribution.ATTRIBUTED,
        reason="it moved",
        worse=Worse.UP,
        change=0.015,
        low=0.013,
        high=0.017,
        onset=NOON + timedelta(minutes=5),
        state=state,
        as_of=NOON + timedelta(minutes=70),
        recovered_at=NOON + timedelta(minutes=60) if state is ShiftState.RECOVERED else None,
    )
    cost = Cost(
        currency="USD",
        per_hour=Estimate(low=1000.0, median=1200.0, high=1400.0),
        total=Estimate(low=1100.0, median=1300.0, high=1500.0),
        ended=state is ShiftState.RECOVERED,
    )
    return Impact(
        deployment_id="d1",
        measured_at=NOON + timedelta(minutes=70),
        shifts=(shift,),
        outcome=Outcome.DEGRADATION,
        outcome_reason="latency is worse",
        costs=(cost,),
        story=STORY,
    )


def notice(headline: str = HEADLINE, *, impact: Impact | None = None, **words: Any) -> Notification:  # noqa: ANN401
    """A notice of a deployment of checkout to production at noon."""
    fields = {
        "id": "d1",
        "service": "checkout",
        "environment": "production",
        "version": "v2.1.0",
        "commit": SHA,
        "started_at": NOON,
        "finished_at": NOON + timedelta(minutes=4),
        "received_at": NOON,
    }
    at = NOON + timedelta(minutes=71)
    return Notification(
        deployment=Deployment(**(fields | words)), impact=impact, headline=headline, at=at, report_url=REPORT
    )


@dataclass
class Call:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401
        """Its body."""
        return json.loads(self.body)


@dataclass
class Inbox:
    """Keeps each request; answers as `serves` says, or with one of `faults`, which are used up one a request."""

    serves: Callable[[Call], tuple[int, Any]] = lambda _: (200, {})
    faults: list[int | str | None] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    hung: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """As a handler of aiohttp. The fault `lost` does what is asked, and says nothing;
        `hangs` waits as well.
        """
        body = await request.read()
        call = Call(
            request.method, request.raw_path.partition("?")[0], dict(request.query), dict(request.headers), body
        )
        self.calls.append(call)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int):
            return web.json_response({"message": "canary-answer"}, status=fault)
        status, answer = self.serves(call)
        if fault == "hangs":
            self.hung.set()
            await asyncio.Event().wait()
        if fault == "lost":
            assert request.transport is not None
            request.transport.close()
        await asyncio.sleep(0)
        if isinstance(answer, str | bytes):
            return web.Response(status=status, body=answer)
        return web.json_response(answer, status=status)
