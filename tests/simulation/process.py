"""One exporter process: the app's own parts, started over what is on disk, ended or killed at any step."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web

from afdp_exporter import background
from afdp_exporter.config import Config
from afdp_exporter.errors import StoreError
from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.job_kinds import BOOK, LEARN, PLACEBO, REFRESH, STABILITY, kinds
from afdp_exporter.jobs import Kind, Next
from afdp_exporter.server import make_app
from afdp_exporter.store import Job
from afdp_exporter.store.follow_ups import DECIDE, PREDICT
from simulation.conditions import Conditions, Fault
from simulation.oracle import Oracle, job_key
from simulation.outside import START, InPlace
from simulation.ports import Ports, at_once
from simulation.virtual_time import OWNER

if TYPE_CHECKING:
    from simulation.disk import Disk
    from simulation.world import Builders

_IDLE = (BOOK, DECIDE, PREDICT, LEARN, PLACEBO, REFRESH, STABILITY)  # pure arithmetic, in which nothing is to be kept


@dataclass(eq=False)
class Process:
    """From its start to its death; what it keeps in memory is gone with it."""

    number: int
    disk: "Disk"
    oracle: "Oracle"
    conditions: Conditions
    chance: random.Random
    builders: "Builders"
    config: Config = field(default_factory=lambda: Config(sources={}))
    lives: bool = True
    tasks: dict[asyncio.Task[Any], None] = field(default_factory=dict)  # in the order in which they began
    under_way: dict[tuple[str, str, datetime], int] = field(default_factory=dict)
    steps_to_live: int | None = None
    began: float = 0.0
    ready: bool = False
    busy: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: bool = True  # it lives, and does not stand still
    _resumed: asyncio.Event = field(default_factory=asyncio.Event)
    _main: tuple[asyncio.Task[None], ...] = ()

    def __post_init__(self) -> None:
        self.began = self.conditions.clock()
        self.app: web.Application | None = None

    def clock(self) -> datetime:
        """The wall clock of its machine, which may be wrong."""
        now, wrong = START + timedelta(seconds=self.conditions.clock()), self.conditions.now(Fault.CLOCK)
        return now if wrong is None else now + 2 * HOURS * (wrong.size - 0.5) * self.builders.clock_error

    async def gate(self) -> None:
        """Go on as long as it lives; while it stands still, so does whoever asks."""
        while self.lives and not self.goes_on:
            await self._resumed.wait()
        if not self.lives:
            raise asyncio.CancelledError

    def committed(self, port: str, operation: str, args: Sequence[Any], words: dict[str, Any]) -> Any:
        """Do an operation on disk, before the eyes of the oracle."""
        method = getattr(getattr(self.disk.store, port), operation)
        before = self.oracle.before(args[0]) if operation == "amend" else None
        answer = at_once(method(*args, **words))
        self.oracle.committed(self, port, operation, (args, words), before, answer)
        return answer

    @property
    def state(self) -> AppContext:
        """What its handlers work with."""
        assert self.app is not None
        return self.app[STATE]

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """A task of this process, which dies with it."""
        context = copy_context()
        context.run(OWNER.set, self)
        return asyncio.get_running_loop().create_task(work, context=context)

    async def live(self) -> None:
        """Start, and work until it dies or cannot go on."""
        self._main = (self.spawn(self._start()),)
        await self.ended.wait()

    async def _start(self) -> None:
        try:
            self.app = make_app(self.config, store=Ports(self), clock=self.clock)  # type: ignore[arg-type]
            state = self.state
            state.compute = InPlace()  # type: ignore[assignment]
            state.runner = self.builders.runner(
                state.store, *self._kinds(state), clock=self.clock, lease=self.builders.lease, rest=self.builders.rest
            )
            state.follower = self.builders.follower(state.store, self._take)
            await state.follower.begin()
            await background.show_all(state)
            await state.actions.recover()
        except StoreError:
            self.die()  # its supervisor starts it again
            return
        self.ready = True
        work = (self.spawn(state.follower.run()), self.spawn(background._jobs(state)))
        for task in work:
            task.add_done_callback(self._broke_off)
        self._main = (*self._main, *work)

    def _broke_off(self, task: asyncio.Task[None]) -> None:
        """What only ends with the process has ended: the process ends, too, and that is a fault."""
        if self.lives and not task.cancelled():
            self.oracle.found = self.oracle.found or f"a process ended by itself: {task.exception()!r}"
            self.die()

    async def _take(self, changes: Any) -> None:
        await background.follow(self.state, changes)

    def _kinds(self, state: AppContext) -> tuple[Kind, ...]:
        every = {kind.name: kind for kind in self.builders.kinds(kinds(state), state)}
        every |= {name: Kind(name=name, run=_idle) for name in _IDLE}
        return tuple(
            Kind(name=kind.name, run=self._watched(kind), slots=kind.slots, per_lane=kind.per_lane, lanes=kind.lanes)
            for kind in every.values()
        )

    def _watched(self, kind: Kind) -> Any:
        async def run(job: Job) -> Next:
            key = job_key(job)
            self.oracle.begins(self, job)
            self.under_way[key] = self.under_way.get(key, 0) + 1
            self.busy.set()
            try:
                return await kind.run(job)
            finally:
                self.under_way[key] -= 1
                if not self.under_way[key]:
                    del self.under_way[key]
                if not self.under_way:
                    self.busy.clear()

        return run

    def dies_here(self, *, before: bool) -> bool:
        """Whether this is the step at which it has to die; each operation has two, before and after it is kept."""
        if self.steps_to_live is None:
            return False
        self.steps_to_live -= 1
        return self.steps_to_live <= 0

    async def ends(self) -> None:
        """It dies in the middle of an operation, which has no answer."""
        self.die()
        await self.gate()

    def later(self, work: Callable[[], Any]) -> None:
        """Do it in a moment, if it still lives then."""

        async def do() -> None:
            await asyncio.sleep(1.0)
            await self.gate()
            work()

        self.spawn(do())

    def die(self) -> None:
        """As by SIGKILL: nothing that it does from now on reaches anybody."""
        if not self.lives:
            return
        self.lives = self.ready = self.goes_on = False
        self._resumed.set()
        for task in tuple(self.tasks):
            task.cancel()
        self.ended.set()

    async def stop(self) -> None:
        """As by SIGTERM: what is under way is given back; it is killed where that takes too long."""
        self.ready = False
        for task in reversed(self._main):
            task.cancel()
        if self._main:
            await asyncio.wait(self._main, timeout=20.0)
        self.die()

    def pause(self) -> None:
        """It stands still, as by SIGSTOP."""
        self.goes_on = False
        self._resumed.clear()

    def resume(self) -> None:
        """It goes on."""
        self.goes_on = self.lives
        self._resumed.set()


HOURS = timedelta(hours=1)


async def _idle(_: Job) -> Next:
    return None
