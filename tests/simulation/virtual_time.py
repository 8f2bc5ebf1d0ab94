"""An event loop whose clock jumps to whatever comes next; a seed draws in which order things happen."""

import asyncio
import random
import selectors
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any


class Stuck(Exception):
    """Nothing can happen any more, and somebody still waits."""


class _NoFiles(selectors.BaseSelector):
    """Knows no files: where others would wait for one, the clock goes on."""

    def __init__(self) -> None:
        self.pause: Callable[[float | None], None] = lambda _: None
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._keys[number] = key = selectors.SelectorKey(fileobj, number, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.pause(timeout)
        return []

    def get_map(self) -> Any:
        return self._keys


OWNER: ContextVar[Any] = ContextVar("owner", default=None)
"""Whose task it is: anything with a set `tasks`; tasks that a task begins belong to the same one."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs until nothing is left to do at an instant, then goes to the next timer. Threads run in place."""

    def __init__(self, chance: random.Random) -> None:
        selector = _NoFiles()
        super().__init__(selector)
        selector.pause = self._pause
        self._clock_resolution = 1e-6
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

    def _pause(self, timeout: float | None) -> None:
        if timeout is None:
            raise Stuck
        self._at += timeout
        if len(self._ready) > 1:
            self._chance.shuffle(self._ready)  # type: ignore[arg-type] - a deque can be shuffled


def _owned(loop: asyncio.AbstractEventLoop, coroutine: Any, **words: Any) -> asyncio.Task[Any]:
    task = asyncio.Task(coroutine, loop=loop, **words)
    owner = OWNER.get()
    if owner is not None:
        owner.tasks.add(task)
        task.add_done_callback(owner.tasks.discard)
    return task
