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


class _Handle(list[Any]):
    """A call to come: when, in which order of those at one time, what, with what, and its context. None once it is off.

    A list, which is made and compared without a call of Python: a run makes millions of them.
    """

    __slots__ = ()

    def cancel(self) -> None:
        self[2] = None

    def cancelled(self) -> bool:
        return self[2] is None

    def when(self) -> float:
        return self[0]  # type: ignore[no-any-return]


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs until nothing is left to do at an instant, then goes to the next timer. Threads run in place."""

    get_debug = staticmethod(bool)  # asked for each future

    def __init__(self, chance: random.Random) -> None:
        super().__init__(_NoFiles())
        self._chance = chance
        self._at = 0.0
        self._timers: list[_Handle] = []
        self._number = count()

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

    def create_task(self, coroutine: Any, **words: Any) -> asyncio.Task[Any]:
        """As asyncio's own; it is one of its owner's."""
        task = asyncio.Task(coroutine, loop=self, **words)
        owner = OWNER.get()
        if owner is not None:
            owner.tasks[task] = None
            task.add_done_callback(owner.tasks.pop)
        return task

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """As asyncio's own."""
        handle = _Handle((0.0, 0, callback, args, copy_context() if context is None else context))
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """As asyncio's own."""
        return self.call_at(self._at + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """As asyncio's own."""
        handle = _Handle((when, next(self._number), callback, args, copy_context() if context is None else context))
        heappush(self._timers, handle)
        return handle

    def _go_on(self) -> None:
        """To the time of the next timer."""
        while self._timers and self._timers[0][2] is None:
            heappop(self._timers)
        if not self._timers:
            raise Stuck
        self._at = self._timers[0][0]

    def _run_once(self) -> None:
        """Until the loop is stopped, what is ready at an instant runs in an order that is drawn."""
        ready, timers, shuffle = self._ready, self._timers, self._chance.shuffle  # type: ignore[attr-defined]
        while not self._stopping:  # type: ignore[attr-defined]
            if not ready:
                self._go_on()
            while timers and timers[0][0] <= self._at:
                ready.append(heappop(timers))
            if len(ready) > 1:
                shuffle(ready)
            for _ in range(len(ready)):
                _, _, callback, args, context = ready.popleft()
                if callback is not None:
                    try:
                        context.run(callback, *args)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:  # noqa: BLE001 - as asyncio's own
                        self.call_exception_handler({"message": "a callback failed", "exception": error})
