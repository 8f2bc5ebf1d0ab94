"""The newest changes in memory, of a store that only this process writes to: whoever follows them need not read it."""

from bisect import bisect_right
from collections.abc import Iterable

from afdp_exporter.store import StoredChange

_KEPT = 1000


class RecentChanges:
    """What was committed lately, in order; `newest` is the `seq` of the last one that was ever given."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self._kept: list[StoredChange] = []
        self._before = newest  # of the first one that is kept

    def add(self, changes: Iterable[StoredChange]) -> None:
        """These are committed now."""
        self._kept += changes
        if len(self._kept) > 2 * _KEPT:
            self._before = self._kept[-_KEPT - 1].seq
            del self._kept[:-_KEPT]
        if self._kept:
            self.newest = self._kept[-1].seq

    def since(self, seq: int, limit: int = 1000) -> list[StoredChange] | None:
        """Those behind this one, oldest first; None where they are no longer known here."""
        if seq < self._before:
            return None
        first = bisect_right(self._kept, seq, key=lambda change: change.seq)
        return self._kept[first : first + limit]
