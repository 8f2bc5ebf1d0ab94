"""Query and window -> series. One file a metrics system; its name is the kind in the configuration."""

from datetime import timedelta
from typing import Protocol

from afdp_exporter.model import Series, Window


class Source(Protocol):
    """Where series come from: a frozen dataclass of settings with this one method."""

    @property
    def remote(self) -> bool:
        """Whether a server answers that others need, too, so that it is asked at a pace where nothing is urgent."""
        ...

    async def fetch(self, query: str, window: Window, step: timedelta) -> list[Series]:
        """The series that `query` selects, at the multiples of `step` (whole seconds) inside the window.

        A gap is NaN; a value that the source itself calls infinite stays so. All series of an answer share one grid
        and carry all of its warnings; `metric` is empty where the query drops the name. An empty list means that the
        source answered and has no such series. Raises SourceUnavailable where asking again may help, SourceRefused
        where it cannot.
        """
        ...
