"""A store as one process sees it: its operations take time, fail, or are kept while their answer is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

from afdp_exporter.errors import StoreError, StoreFull
from afdp_exporter.store import Job, Store, StoredChange
from simulation.conditions import Fault

if TYPE_CHECKING:
    from simulation.process import Process

_WRITES = {
    "record", "amend", "apply_announcement", "save_commit_change", "save_prediction", "prune", "enqueue", "claim",
    "heartbeat", "finish", "postpone", "release", "set_receivers", "save", "keep", "change", "keep_evaluation",
    "propose", "move", "keep_false_alarms", "forget_courses", "begin",
}  # fmt: skip
_OF_THEIR_OWN = {"changes", "jobs", "writable", "healthy", "url"}
_PORTS = [name for name, each in vars(Store).items() if isinstance(each, property) and name not in _OF_THEIR_OWN]


def at_once(operation: Coroutine[Any, Any, Any]) -> Any:
    """The answer of an operation that waits for nothing."""
    try:
        operation.send(None)
    except StopIteration as answer:
        return answer.value
    raise AssertionError("the store of a simulation has to answer at once")


class Ports:
    """A `Store` for one process, over the disk that outlives it."""

    writable = True
    healthy = True
    url = None

    def __init__(self, process: "Process") -> None:
        self._process = process
        for name in _PORTS:
            setattr(self, name, Port(process, name))
        self.changes = Changes(process)
        self.jobs = Jobs(process)

    async def pseudonym_key(self) -> bytes:
        return bytes(32)

    async def size_bytes(self) -> int:
        return 0

    async def close(self) -> None:
        """What outlives the process is closed by the world."""


class Port:
    """One port of it."""

    def __init__(self, process: "Process", name: str) -> None:
        self._process = process
        self._name = name

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        call = partial(do, self._process, self._name, operation)
        setattr(self, operation, call)
        return call


class Jobs(Port):
    """The port of jobs, which binds what is written to one of them besides."""

    def __init__(self, process: "Process") -> None:
        super().__init__(process, "jobs")

    def holding(self, job: Job) -> AbstractContextManager[None]:
        """As the port has it."""
        return self._process.disk.store.jobs.holding(job)


class Changes(Port):
    """The port of what changed, which is followed besides."""

    def __init__(self, process: "Process") -> None:
        super().__init__(process, "changes")

    async def follow(self, seq: int) -> AsyncIterator[list[StoredChange]]:
        """As the port has it."""
        while True:
            news = self._process.disk.news()
            found = await do(self._process, "changes", "since", seq)
            if found:
                seq = found[-1].seq
                yield found
            else:
                await news.wait()
                await self._process.gate()


async def do(process: "Process", port: str, operation: str, *args: Any, **words: Any) -> Any:
    """One operation: some time before it, on disk at once, some time until its answer."""
    if not process.goes_on:
        await process.gate()
    writes = operation in _WRITES
    chance = process.chance
    commit = partial(process.committed, port, operation, args, words)
    latency = _latency(process)
    if latency is not None:
        try:
            await asyncio.sleep(latency)
            await process.gate()
        except asyncio.CancelledError:
            if writes and process.lives and chance.random() < 0.5:
                commit()  # what was handed over is written, even where nobody waits for it any more
            raise
    refusal = _refusal(process, writes)
    is_late = refusal is not None and writes and _is_flaky(process) and chance.random() < 0.4
    if refusal is not None and not is_late:
        raise refusal
    if writes and process.dies_here(before=True):
        await process.ends()
    if operation in process.builders.answers_first:
        process.later(commit)
        return None
    answer = commit()
    if writes and process.dies_here(before=False):
        await process.ends()
    if is_late and refusal is not None:
        raise refusal
    return answer


def _latency(process: "Process") -> float | None:
    """Seconds until an operation is done; None where nobody else has a turn before it."""
    chance = process.chance
    slow = process.conditions.now(Fault.STORE_SLOW)
    if slow is not None:
        return chance.random() * 20.0 * slow.size
    drawn = chance.random()
    return None if drawn < 0.5 else 0.0 if drawn < 0.7 else 0.02 * drawn if drawn < 0.98 else drawn


def _is_flaky(process: "Process") -> bool:
    return process.conditions.now(Fault.STORE_FLAKY) is not None


def _refusal(process: "Process", writes: bool) -> StoreError | None:
    active = process.conditions.active()
    if not active:
        return None
    if Fault.STORE_AWAY in active:
        return StoreError("the store cannot do its work: disk I/O error")
    if writes and Fault.STORE_FULL in active:
        return StoreFull("no space is left for the store; what was accepted before is kept")
    if _is_flaky(process) and process.chance.random() < 0.2:
        return StoreError("the store cannot do its work: disk I/O error")
    return None
