"""An event loop whose clock jumps to whatever comes next; a seed draws in which order things happen."""

import asyncio
import random
import selectors
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from itertools import count
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
"""Whose task it is: anything with a dict `tasks`; tasks that a task begins belong to the same one."""


class _Handle:
    """A call to come, as asyncio's own without what is for debugging."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context", "_when")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None, when: float
    ) -> None:
        self._callback, self._args, self._when, self._cancelled = callback, args, when, False
        self._context = copy_context() if context is None else context

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled

    def when(self) -> float:
        return self._when


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs until nothing is left to do at an instant, then goes to the next timer. Threads run in place."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(_NoFiles())
        self._chance = chance
        self._at = 0.0
        self._timers: list[tuple[float, int, _Handle]] = []
        self._number = count()
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

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """As asyncio's own."""
        handle = _Handle(callback, args, context, self._at)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """As asyncio's own."""
        return self.call_at(self._at + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """As asyncio's own."""
        handle = _Handle(callback, args, context, when)
        heappush(self._timers, (when, next(self._number), handle))
        return handle

    def _run_once(self) -> None:
        """What is ready at an instant runs in an order that is drawn."""
        ready, timers = self._ready, self._timers  # type: ignore[attr-defined]
        if not ready:
            while timers and timers[0][2]._cancelled:
                heappop(timers)
            if not timers:
                raise Stuck
            self._at = timers[0][0]
        while timers and timers[0][0] <= self._at:
            ready.append(heappop(timers)[2])
        if len(ready) > 1:
            self._chance.shuffle(ready)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                try:
                    handle._context.run(handle._callback, *handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as asyncio's own
                    self.call_exception_handler({"message": "a callback failed", "exception": error})


def _owned(loop: asyncio.AbstractEventLoop, coroutine: Any, **words: Any) -> asyncio.Task[Any]:
    task = asyncio.Task(coroutine, loop=loop, **words)
    owner = OWNER.get()
    if owner is not None:
        owner.tasks[task] = None
        task.add_done_callback(owner.tasks.pop)
    return task
