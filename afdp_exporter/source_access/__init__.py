"""How a server is asked that others need, too: not while it is away, not twice, and at a pace where nothing is urgent.

Each wraps a `Source` and is one itself: `Breaker` and `RecallingSource` for everything that is asked, `PacedSource` for
the past.
"""

from datetime import datetime, timedelta

from afdp_exporter.source_access.breaker import Breaker
from afdp_exporter.source_access.pacing import PacedSource, PacingPolicy
from afdp_exporter.source_access.recalling import RecallingSource
from afdp_exporter.sources import Source

__all__ = ["Breaker", "PacedSource", "PacingPolicy", "RecallingSource", "guarded", "paced"]


def guarded(source: Source) -> Source:
    """A source behind a breaker and a memory of what has settled, if it is a server; itself, if it is only ours."""
    return RecallingSource(Breaker(source)) if source.remote else source


def paced(source: Source, *, piece: timedelta, until: datetime, pace: PacingPolicy) -> Source:
    """A source at a pace, if it is a server that others need; itself, if it is only ours."""
    return PacedSource(source, piece=piece, until=until, pace=pace) if source.remote else source
