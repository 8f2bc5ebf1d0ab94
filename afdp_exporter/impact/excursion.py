"""What came and went: how long each metric was away from its level, and how long the whole excursion took."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from afdp_exporter.model import Shift


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """From the first onset to the last recovery; `metrics` in order of their onsets."""

    start: datetime
    end: datetime
    metrics: tuple[str, ...]

    @property
    def duration(self) -> timedelta:
        """How long it took until the last metric was back."""
        return self.end - self.start


def excursion(shifts: Iterable[Shift]) -> Excursion | None:
    """The whole excursion of a deployment; None where nothing came and went."""
    over = sorted(
        (shift.onset, shift.recovered_at, shift.metric)
        for shift in shifts
        if shift.moved and shift.onset is not None and shift.recovered_at is not None
    )
    if not over:
        return None
    return Excursion(
        start=over[0][0],
        end=max(recovered for _, recovered, _ in over),
        metrics=tuple(metric for *_, metric in over),
    )
