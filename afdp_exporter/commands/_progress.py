"""How far a long command is."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_SAID_EVERY = 10.0  # seconds


class Advance:
    """A bar on a terminal; elsewhere, as in a log of a pipeline, a line every ten seconds.

    It goes to standard error, unless a console is given. Without a `total` only what is done is counted.
    """

    def __init__(
        self, what: str, total: int | None = None, *, console: Console | None = None, every: float = _SAID_EVERY
    ) -> None:
        self._what, self._total, self._every = what, total, every
        self._console = console or Console(stderr=True)
        self._done, self._began = 0, time.monotonic()
        self._said = self._began
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        hidden = not self._console.is_terminal
        self._bar = Progress(*columns, console=self._console, disable=hidden, transient=True)
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def advance(self) -> None:
        """One more is done."""
        self.reach(self._done + 1)

    def reach(self, done: int) -> None:
        """So many are done."""
        self._done = done
        self._bar.update(self._task, completed=done)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said >= self._every:
            self._said = now
            of = f" of {self._total}" if self._total is not None else ""
            line = f"{self._what}: {done}{of} after {now - self._began:.0f} seconds"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()
