"""Recovery: whether a lasting change has returned to its level, goes on, or was replaced by the next deployment.

The observation of a deployment ends at the next one of its service that comes later than a metric may respond. A
return within that one's own response window was expected; a return at another time has to be clear by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

import numpy as np

from afdp_exporter.detectors.level_shifts import remove_level_shifts
from afdp_exporter.detectors.regular_series import RegularSeries, regularize
from afdp_exporter.detectors.return_to_level import Return, deseasonalized, return_by_itself, return_within
from afdp_exporter.impact.confounders import reaction_density
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.model import Deployment, Floats, Layer, Series, Shift, ShiftState, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What became of a change up to `as_of`: `active`, `recovered` at a time, or `replaced`; by which deployment."""

    state: ShiftState
    as_of: datetime
    at: datetime | None = None
    ended_by: str | None = None


def successors(context: AnalysisContext) -> tuple[Deployment, ...]:
    """The later deployments of the same service and environment, in order of time."""
    own = context.deployment
    later = (
        other
        for other in context.others
        if other.same_target(own)
        and other.id != own.id
        and other.started_at > own.started_at
        and other.status not in {Status.PLANNED, Status.CANCELLED}
    )
    return tuple(sorted(later, key=lambda other: (other.started_at, other.id)))


def successor(context: AnalysisContext) -> Deployment | None:
    """The one at which what is seen of this one ends; one that comes sooner than a metric responds is a rival."""
    last = context.deployment.ended_at + context.short_window
    return next((other for other in successors(context) if other.started_at > last), None)


def recovery(
    series: Series, *, onset: datetime, change: float, layer: Layer, context: AnalysisContext, step: timedelta
) -> Recovery | None:
    """What became of a lasting change of a metric; None where nothing was measured since its onset.

    `series` reaches as far as the metric was measured, beyond the next deployment, too.
    """
    grid = regularize(
        series.times, series.values, context.deployment.started_at.timestamp(),
        finished_at=context.deployment.ended_at.timestamp(), control=None, step=step.total_seconds(),
        respond_within=None,
    )  # fmt: skip
    begin = None if grid is None else _position(onset, grid)
    if grid is None or begin is None or begin >= grid.n:
        return None
    (grid,) = remove_level_shifts([grid], context.earlier)
    rest = np.where(grid.measured, deseasonalized(grid), np.nan)
    lag = max(context.short_window, context.settings.lags.of(layer))
    return _Moved(grid=grid, rest=rest, begin=begin, size=change / grid.scale, layer=layer, lag=lag).ends(context)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moved:
    """A series that moved by `size` at position `begin`; `rest` (n,) is what the days before do not explain of it."""

    grid: RegularSeries
    rest: Floats
    begin: int
    size: float
    layer: Layer
    lag: timedelta

    def ends(self, context: AnalysisContext) -> Recovery:
        next_one, later = successor(context), successors(context)
        until = self.grid.n if next_one is None else self.position(next_one.started_at)
        for rapid in (other for other in later if next_one is None or other.started_at < next_one.started_at):
            if (found := self.after(rapid, until)) is not None:
                return self.recovered(found, rapid.id)
        deployed = self.grid.deployed
        found = return_by_itself(self.rest, self.begin, self.size, deployed=deployed, until=until)
        if found is not None:
            return self.recovered(found, None)
        if next_one is None:
            return Recovery(state=ShiftState.ACTIVE, as_of=self.as_of)
        beyond = (other.started_at for other in later if other.started_at > next_one.ended_at)
        found = self.after(next_one, min(map(self.position, beyond), default=self.grid.n))
        if found is not None:
            return self.recovered(found, next_one.id)
        waited = self.as_of >= next_one.ended_at + self.lag
        state = ShiftState.REPLACED if waited else ShiftState.ACTIVE
        return Recovery(state=state, as_of=self.as_of, ended_by=next_one.id)

    def after(self, other: Deployment, until: int) -> Return | None:
        """A return, before `until`, as a reaction to another deployment."""
        first, last = self.position(other.started_at), self.position(other.ended_at + self.lag)
        at = np.asarray(self.grid.start + self.grid.step * np.arange(first, last + 1), dtype=np.float64)
        prior = reaction_density(at, other, self.layer, self.grid.step)
        return return_within(self.rest, self.begin, self.size, prior, first=first, until=until)

    def recovered(self, found: Return, ended_by: str | None) -> Recovery:
        at = datetime.fromtimestamp(self.grid.time(found.position), UTC)
        return Recovery(state=ShiftState.RECOVERED, as_of=self.as_of, at=at, ended_by=ended_by)

    def position(self, at: datetime) -> int:
        """The first position at or after an instant."""
        return _position(at, self.grid)

    @property
    def as_of(self) -> datetime:
        return datetime.fromtimestamp(self.grid.time(self.grid.n - 1), UTC)


def _position(at: datetime, grid: RegularSeries) -> int:
    return min(max(ceil((at.timestamp() - grid.start) / grid.step - 1e-6), 0), grid.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransientPeriod:
    """From the first onset to the last recovery; `metrics` in order of their onsets."""

    start: datetime
    end: datetime
    metrics: tuple[str, ...]

    @property
    def duration(self) -> timedelta:
        """How long it took until the last metric was back."""
        return self.end - self.start


def transient_period(shifts: Iterable[Shift]) -> TransientPeriod | None:
    """The whole excursion of a deployment; None where nothing came and went."""
    over = sorted(
        (shift.onset, shift.recovered_at, shift.metric)
        for shift in shifts
        if shift.moved and shift.onset is not None and shift.recovered_at is not None
    )
    if not over:
        return None
    return TransientPeriod(
        start=over[0][0],
        end=max(recovered for _, recovered, _ in over),
        metrics=tuple(metric for *_, metric in over),
    )
