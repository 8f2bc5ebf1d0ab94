"""Pure work away from the event loop: the port behind which an engine does it, such as processes of this machine.

What is given to it is a function of a module and arguments that can be pickled. It reads no clock and no network, and
changes nothing; of a store it may only read, as `store/reading.py` has it done. So a call may be made again, and
anywhere; what reads the store, wherever that can be read (`near`). (What takes a deployment back is in `executors`.)
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class ComputePool(Protocol):
    """Runs pure functions, a few at a time; the others wait for their turn in the order in which they came."""

    @property
    def near(self) -> "ComputePool":
        """What does the same on this machine, where the store's files can be read."""

    async def run(
        self,
        function: Callable[..., T],
        *arguments: Any,  # noqa: ANN401
        deadline: timedelta,
        group: str = "",
        **words: Any,  # noqa: ANN401
    ) -> T:
        """The function's result; an error of the function's own is raised as it is.

        Calls of one group, such as a service, may be handed over together. Raises AnalysisError when the call has run
        longer than its deadline, when what ran it died, or when nothing can run it; EngineUnavailable where that may
        change. The deadline counts from the beginning of the work, not from the wait before it. An engine ends
        what is late, dead or cancelled, or lets it run to its end unheard: nothing may rest on which. In any case
        the next call is run. A caller that is cancelled stops waiting at once.
        """

    def resize(self, workers: int) -> None:
        """Run so many at once from now on; work under way is finished."""

    async def close(self) -> None:
        """End all work within a few seconds; who waits for it is cancelled, or gets an AnalysisError.

        No call may follow.
        """
