"""Callers that wait for a callback: kept until they are answered, so that a hold becomes an approval by itself."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from afdp_exporter.approvals import ApprovalAnswer, Approver
from afdp_exporter.automation.gatekeeper import Gatekeeper
from afdp_exporter.errors import BadInput, DeliveryError
from afdp_exporter.external import External
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.jobs import backoff
from afdp_exporter.model import (
    Announcement,
    ApprovalRequest,
    ApprovalState,
    GateDecision,
    Ignored,
    PendingApproval,
)
from afdp_exporter.store import Store
from afdp_exporter.tracking.mapping import Rule, resolve_service
from afdp_exporter.wording.numbers import format_duration

log = structlog.get_logger(__name__)

_LOOK_EVERY = timedelta(seconds=30)  # at systems that do not say what waits there
_AT_ONCE = 8  # callbacks
_PATIENCE = timedelta(days=1)  # with a caller that cannot be reached, after the end of a hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A block under `approvals`: whom we call back, by its name and kind."""

    name: str
    kind: str
    approver: Approver


@dataclass(slots=True, kw_only=True)
class Approvals:
    """Takes requests in, asks the gate for each until it decides, and answers who asked."""

    store: Store
    gatekeeper: Gatekeeper
    lines: Callable[[], tuple[Line, ...]]
    rules: Callable[[], tuple[Rule, ...]]
    settings: Callable[[str], GateSettings]
    clock: Callable[[], datetime]
    external: External
    reported: Callable[[str, str], None]  # a caller of this kind, and what came of the callback
    _looked_at: datetime | None = None
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def take(self, request: ApprovalRequest) -> GateDecision | Ignored:
        """The verdict by now; a request that wants a callback is kept until it got one.

        Raises BadInput for a callback to somewhere else than where the configuration allows.
        """
        of_kind = [each for each in self.lines() if each.kind == request.sender]
        if request.reply and not of_kind:
            return Ignored(reason=f"no block under approvals is of the kind {request.sender}: nobody is called back")
        placed = self._placed(request)
        if isinstance(placed, Ignored):
            return placed
        if request.reply:
            if _line(of_kind, placed) is None:
                of_kind[-1].approver.check(request.reply)  # which says why
            await self.store.approvals.keep(placed)
        return await self._decided(placed)

    async def work(self) -> datetime | None:
        """Look where nobody calls, and answer whoever can be answered now; when that is due again, None for never."""
        now = self.clock()
        if self._looked_at is None or now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            await asyncio.gather(*(self._look(line) for line in self.lines()))
        waiting = await self.store.approvals.waiting()
        await asyncio.gather(*(self._follow(each) for each in waiting if not each.attempts or each.due_at <= now))
        if self.lines() or await self.store.approvals.waiting(limit=1):
            return self.clock() + _LOOK_EVERY / 2
        return None

    def _placed(self, request: ApprovalRequest) -> PendingApproval | Ignored:
        reported = Announcement(sender=request.sender, key=request.key, event="asked", origin=request.origin)
        placed = resolve_service(reported, self.rules())
        if isinstance(placed, Ignored):
            return placed
        now = self.clock()
        return PendingApproval(
            id=hashlib.sha256(f"{request.sender}\n{request.key}".encode()).hexdigest()[:32],
            kind=request.sender, service=placed.origin.service or "", version=request.version,
            environment=placed.origin.environment or "", phase=request.phase, reply=request.reply,
            credential=request.credential, asked_at=now, due_at=now,
        )  # fmt: skip

    async def _look(self, line: Line) -> None:
        """Keep what waits there; what is known already is not asked again by that."""
        try:
            pending = await line.approver.pending()
            known = {each.id for each in await self.store.approvals.waiting()}
            for request in pending:
                placed = self._placed(request)
                if isinstance(placed, PendingApproval) and placed.id not in known:
                    await self.store.approvals.keep(placed)
        except DeliveryError as error:
            log.warning("not asked what waits", approvals=line.name, error=str(error))

    async def _decided(self, waiting: PendingApproval) -> GateDecision:
        question = await self.gatekeeper.about(
            waiting.service, waiting.environment, version=waiting.version, phase=waiting.phase
        )
        decision = await self.gatekeeper.ask(question)
        await self.gatekeeper.keep(decision, waiting.kind)
        return decision

    async def _follow(self, waiting: PendingApproval) -> None:
        """Call one caller back with what is new; what cannot be delivered now is tried again later."""
        answer = self._answer(waiting, await self._decided(waiting))
        if answer.state == "waiting" and answer.comment == waiting.said:
            return
        line = _line(self.lines(), waiting)
        try:
            if line is None:
                raise DeliveryError("address", "no block under approvals may call it back", retry=True)  # noqa: TRY301
            async with self._slots:
                await self.store.jobs.check_held()
                await line.approver.answer(waiting, answer)
        except DeliveryError as error:
            await self._failed(waiting, answer, error)
            return
        reported = replace(waiting, said=answer.comment, attempts=0)
        if answer.state == "waiting":
            await self._keep(replace(reported, reports=reported.reports + 1), answer.state)
            return
        await self._keep(replace(reported, state=ApprovalState.ANSWERED), answer.state)
        log.info(
            "caller answered", approval=waiting.id, kind=waiting.kind, service=waiting.service, answer=answer.state
        )

    async def _failed(self, waiting: PendingApproval, answer: ApprovalAnswer, error: DeliveryError) -> None:
        """Try again later, unless it is refused for good, as what was decided elsewhere is, or it is too late."""
        log.warning("caller not answered", approval=waiting.id, kind=waiting.kind, error=str(error))
        late = answer.at - waiting.asked_at > self.settings(waiting.service).hold_at_most + _PATIENCE
        over = late or (not error.retry and answer.state != "waiting")
        pause = max(backoff(waiting.attempts), timedelta(seconds=error.wait or 0))
        state = ApprovalState.GIVEN_UP if over else waiting.state
        await self._keep(
            replace(waiting, attempts=waiting.attempts + 1, due_at=answer.at + pause, state=state), "failed"
        )

    def _answer(self, waiting: PendingApproval, decision: GateDecision) -> ApprovalAnswer:
        """What is to be obeyed; a hold that lasts too long is a rejection."""
        verdict, reason = decision.enforced_verdict, " ".join(decision.reasons[:3])
        shadow = f" (shadow; it thinks {decision.verdict})" if verdict is not decision.verdict else ""
        page = "/gate" if decision.deployment_id is None else f"/deployments/{decision.deployment_id}"
        comment = f"{verdict}{shadow}: {reason} {self.external.link(page)}".strip()
        now, most = self.clock(), self.settings(waiting.service).hold_at_most
        if verdict.passes:
            return ApprovalAnswer(state="approved", comment=comment, at=now)
        if verdict.waits and now - waiting.asked_at < most:
            return ApprovalAnswer(state="waiting", comment=comment, at=now)
        held = f"It was held for {format_duration(most)}. " if verdict.waits else ""
        return ApprovalAnswer(state="rejected", comment=f"{held}{comment}", at=now)

    async def _keep(self, waiting: PendingApproval, result: str) -> None:
        await self.store.approvals.change(waiting)
        self.reported(waiting.kind, result)


def _line(lines: Iterable[Line], waiting: PendingApproval) -> Line | None:
    """The first block of its kind that may call it back."""
    return next((each for each in lines if each.kind == waiting.kind and _allows(each, waiting.reply)), None)


def _allows(line: Line, reply: Mapping[str, str]) -> bool:
    try:
        line.approver.check(reply)
    except BadInput:
        return False
    return True
