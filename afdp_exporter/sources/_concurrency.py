"""How many calls of a server are under way at once: fewer while it is overloaded.

Additive increase and multiplicative decrease (Chiu and Jain, "Analysis of the increase and decrease algorithms for
congestion avoidance in computer networks", 1989).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from afdp_exporter.errors import CallFailed
from afdp_exporter.http_client import Answer


class AdaptiveConcurrency:
    """At most `most` calls at once; half as many after each that finds the server overloaded, but one at least, and
    one more for each round of calls that are answered."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._calls = 0
        self._reduced = 0  # how often it was halved
        self._change = asyncio.Condition()

    @property
    def limit(self) -> int:
        """How many may be under way by now."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator["CallSlot"]:
        """The right to one call, as soon as there is one."""
        async with self._change:
            await self._change.wait_for(lambda: self._calls < self.limit)
            self._calls += 1
        slot = CallSlot(self._reduced)
        try:
            yield slot
        except CallFailed as error:
            slot.overloaded = True if error.reason == "timeout" else None
            raise
        finally:
            self._calls -= 1
            self._learn(slot)
            async with self._change:
                self._change.notify_all()

    def _learn(self, slot: "CallSlot") -> None:
        if slot.overloaded is None:
            return
        if not slot.overloaded:
            self._limit = min(self._limit + 1.0 / self._limit, float(self._most))
        elif slot.reduced == self._reduced:  # calls that were under way together are one sign, not many
            self._limit = max(self._limit / 2.0, 1.0)
            self._reduced += 1


class CallSlot:
    """One call: its answer shows whether the server is overloaded; one that has none, such as a call that was given
    up, shows nothing."""

    def __init__(self, reduced: int) -> None:
        self.reduced = reduced
        self.overloaded: bool | None = None

    def answered(self, answer: Answer) -> Answer:
        """The answer itself."""
        self.overloaded = answer.busy
        return answer
