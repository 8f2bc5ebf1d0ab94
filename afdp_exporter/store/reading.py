"""A store read by a worker process of its own: to read much, and to hand it to one, costs more than what it is for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Concatenate, ParamSpec, TypeVar

from afdp_exporter.compute import ComputePool
from afdp_exporter.store import Store
from afdp_exporter.store.opening import open_to_read

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreReader:
    """Has workers read the store, each within the deadline that holds when it is asked."""

    store: Store
    compute: ComputePool
    deadline: Callable[[], timedelta]

    async def read(self, read: Callable[Concatenate[Store, P], Awaitable[T]], *args: P.args, **words: P.kwargs) -> T:
        """What `read`, a function of a module, finds in the store; in this process where no other can read the store.

        Raises AnalysisError when it takes longer than the deadline, and what `read` raises.
        """
        if self.store.url is None:
            return await read(self.store, *args, **words)
        return await self.compute.near.run(_read, self.store.url, read, args, words, deadline=self.deadline())


def _read(
    url: str, read: Callable[..., Awaitable[T]], args: tuple[object, ...], words: dict[str, object]
) -> T:  # in the worker
    async def opened() -> T:
        store = await open_to_read(url)
        try:
            return await read(store, *args, **words)
        finally:
            await store.close()

    return asyncio.run(opened())
