"""A reload: the configuration is read anew, and applied in a fixed order, one reload after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import structlog

from afdp_exporter.config import Config
from afdp_exporter.errors import AFDPError

log = structlog.get_logger(__name__)

Applier: TypeAlias = Callable[[Config], Awaitable[None]]
"""Puts one part of a configuration into effect; those that can fail come first, so that nothing is half applied."""


class Reloading:
    """Takes requests for a reload; those that come while one is under way share the next one."""

    def __init__(
        self, load: Callable[[], Config], appliers: Sequence[Applier], reloaded: Callable[[bool], None]
    ) -> None:
        self._load = load
        self._appliers = appliers
        self._reloaded = reloaded
        self._waiting: list[asyncio.Future[None]] = []
        self._called = asyncio.Event()

    def call(self) -> asyncio.Future[None]:
        """Ask for a reload. The future is done once a file that was read after this is in effect; it may be left."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # which is in the log, too
        self._waiting.append(answer)
        self._called.set()
        return answer

    async def reload(self) -> None:
        """Reload, and wait for it. Raises ConfigError or StoreError, and nothing has changed then."""
        await self.call()

    async def run(self) -> None:
        """Reload as often as it is asked for, until cancelled."""
        while True:
            await self._called.wait()
            self._called.clear()
            waiting, self._waiting = self._waiting, []
            error = await self._once()
            for answer in waiting:
                if answer.done():
                    continue
                if error is None:
                    answer.set_result(None)
                else:
                    answer.set_exception(error)

    async def _once(self) -> AFDPError | None:
        try:
            config = await asyncio.to_thread(self._load)
            for apply in self._appliers:
                await apply(config)
        except AFDPError as error:
            self._reloaded(False)
            log.error("configuration not reloaded", error=str(error))
            return error
        self._reloaded(True)
        log.info("configuration reloaded")
        return None
