"""An event loop whose clock jumps to whatever comes next; a seed draws in which order things happen."""

import asyncio
import random
import selectors
from collections.abc import Callable
from contextvars import ContextVar
from heapq import heappop
from typing import Any


class Stuck(Exception):
    """Nothing can happen any more, and somebody still waits."""


class _NoFiles(selectors.BaseSelector):
    """Knows no files: where others would wait for one, the clock goes on."""

    def __init__(self) -> None:
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._keys[number] = key = selectors.SelectorKey(fileobj, number, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []

    def get_map(self) -> Any:
        return self._keys


OWNER: ContextVar[Any] = ContextVar("owner", default=None)
"""Whose task it is: anything with a set `tasks`; tasks that a task begins belong to the same one."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs until nothing is left to do at an instant, then goes to the next timer. Threads run in place."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(_NoFiles())
        self._chance = chance
        self._at = 0.0
        self.set_task_factory(_owned)

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._at

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """The function's result, at once."""
        answer = self.create_future()
        try:
            answer.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            answer.set_exception(error)
        return answer

    def _run_once(self) -> None:
        """As asyncio's own, for a loop without files; what is ready at an instant runs in an order that is drawn."""
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready:
            while timers and timers[0]._cancelled:
                heappop(timers)
            if not timers:
                raise Stuck
            self._at = timers[0]._when
        while timers and timers[0]._when <= self._at:
            ready.append(heappop(timers))
        if len(ready) > 1:
            self._chance.shuffle(ready)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is left out when its time comes."""


def _owned(loop: asyncio.AbstractEventLoop, coroutine: Any, **words: Any) -> asyncio.Task[Any]:
    task = asyncio.Task(coroutine, loop=loop, **words)
    owner = OWNER.get()
    if owner is not None:
        owner.tasks.add(task)
        task.add_done_callback(owner.tasks.discard)
    return task
