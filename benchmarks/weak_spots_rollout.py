"""Rows of `weak_spots.py`: traces of the rollout itself, two deployments at once, and what cannot be seen."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from rollout_traces import Row as Traces
from rollout_traces import cold_caches, leak, uptime
from weak_spot_rows import ROLLOUT, Figure, Floats, Row, Watch, alike, deployment, grid, impacts, utc

from afdp_exporter.model import Attribution, Deployment, Impact, Layer, Metric, Money, Outcome, Series, Shift, Worse
from afdp_exporter.watching.analysis import assess, question_of
from afdp_exporter.watching.evidence import AnalysisSettings, MetricData, MonitoringConfig

HARM = frozenset({Outcome.DEGRADATION, Outcome.FAILURE})
Figures = dict[str, float | None]


def _judged(traces: Traces) -> Impact:
    """The last deployment of a row, an hour after it."""
    at = [datetime.fromtimestamp(one, UTC) for one in traces.deployments]
    watch = Watch(name="latency_seconds", times=traces.times, values=traces.values)
    (found,) = impacts([watch], at[-1], minutes=[60], earlier=at[:-1])
    return found


def usual_spike(rng: np.random.Generator) -> Figures:
    """Three minutes of cold caches after every deployment, the fifth to the eighteenth; +30 % beneath."""
    row = cold_caches(rng, hours=96.0, earlier=int(rng.integers(4, 18)), minutes=62)
    impact, real = _judged(row), _judged(row.raised(0.3))
    return {
        "harm": float(impact.outcome in HARM),
        "success, usual": float(impact.outcome is Outcome.SUCCESS and "usual" in impact.shifts[0].reason),
        "+30 % found": float(_found(real)),
    }


def resets(rng: np.random.Generator) -> Figures:
    """Uptime, or the sawtooth of a leak; then a lasting +30 % of it."""
    make = leak if rng.integers(2) else uptime
    row = make(rng, hours=96.0, earlier=int(rng.integers(4, 18)), minutes=62)
    impact, real = _judged(row), _judged(row.raised(0.3))
    return {"attributed": float(impact.shifts[0].verdict is Attribution.ATTRIBUTED), "+30 % found": float(_found(real))}


def rate_dip(rng: np.random.Generator) -> Figures:
    """Requests a second fall for as long as the range of their query is; then with a lasting -30 % beneath."""
    at = utc(2026, 3, 4, 8) + timedelta(minutes=int(rng.integers(0, 600)), seconds=int(rng.integers(0, 60)))
    times, window = grid(at, days=3.0), timedelta(minutes=int(rng.choice([1, 2, 5])))
    level = 50.0 + alike(rng, times.size)
    since = times - at.timestamp()
    dips = (since >= 0.0) & (since < window.total_seconds())
    found = {}
    for name, left in (("innocent", 1.0), ("real", 0.7)):
        values = level * np.where(since >= 0.0, left, 1.0) * np.where(dips, rng.uniform(0.0, 0.7), 1.0)
        found[name] = _of_rate(times, values, at, window)
    return {
        "harm or cost": float(found["innocent"].outcome in HARM or bool(found["innocent"].costs)),
        "-30 % found": float(found["real"].shifts[0].moved),
    }


def _of_rate(times: Floats, values: Floats, at: datetime, window: timedelta) -> Impact:
    metric = Metric(
        name="revenue_usd_per_hour", layer=Layer.BUSINESS, query="r", worse=Worse.DOWN,
        money=Money(currency="USD", per_unit=1.0),
    )  # fmt: skip
    now = at + ROLLOUT + timedelta(hours=1)
    series = Series(metric=metric.name, labels={}, times=times, values=values)
    evidence = MetricData(metric=metric, series=series, rate_window=window, smoothed_over=window).until(now)
    watched = MonitoringConfig(sources={}, metrics=(metric,), settings=AnalysisSettings())
    return assess(question_of(deployment("d", at), (evidence,), others=(), now=now, watched=watched))


def _found(impact: Impact) -> bool:
    shift = impact.shifts[0]
    return shift.moved and (shift.change or 0.0) > 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Two deployments of different services, and the metrics of each: a shared one, and one of its own."""

    first: Deployment
    second: Deployment
    times: Floats
    shared: Floats
    own: dict[str, Floats]
    looks_back: timedelta
    metrics: tuple[Metric, Metric]

    def reports(self, minutes: float = 60.0) -> list[Impact]:
        """What the report of each says at one time."""
        now = self.second.ended_at + timedelta(minutes=minutes)
        watched = MonitoringConfig(sources={}, metrics=self.metrics, settings=AnalysisSettings())
        found = []
        for one, other in ((self.first, self.second), (self.second, self.first)):
            evidence = (self._evidence(self.metrics[0], self.shared), self._evidence(self.metrics[1], self.own[one.id]))
            until = tuple(each.until(now) for each in evidence)
            found.append(assess(question_of(one, until, others=(other,), now=now, watched=watched)))
        return found

    def _evidence(self, metric: Metric, values: Floats) -> MetricData:
        series = Series(metric=metric.name, labels={}, times=self.times, values=values)
        return MetricData(
            metric=metric, series=series, per_service=metric is self.metrics[1], smoothed_over=self.looks_back
        )


def pair(rng: np.random.Generator, guilty: str | None, layer: Layer = Layer.TECHNICAL, minutes: float = 4.0) -> Pair:
    """So many minutes apart; what is shared by all services is moved by five deviations by one of them, or by none.

    Each value is taken at an instant, or over the two or five minutes before it.
    """
    looks_back = timedelta(minutes=int(rng.choice([0, 2, 5])))
    at = utc(2026, 3, 4, 8) + timedelta(minutes=int(rng.integers(0, 600)), seconds=int(rng.integers(0, 60)))
    first, second = deployment("a", at, "checkout"), deployment("b", at + timedelta(minutes=minutes), "search")
    times = grid(at, days=3.0, hours_after=1.5)
    shared = 100.0 + 3.0 * alike(rng, times.size)
    began = {"a": first.started_at, "b": second.started_at}.get(guilty or "")
    if began is not None:
        since = times - began.timestamp() - rng.uniform(0.0, 60.0)
        shared += 15.0 * np.clip(since / max(looks_back.total_seconds(), 1.0), 0.0, 1.0)
    return Pair(
        first=first, second=second, times=times, shared=shared, looks_back=looks_back,
        own={name: 20.0 + alike(rng, times.size) for name in "ab"},
        metrics=(
            Metric(name="gateway_latency_seconds", layer=layer, query="gateway", worse=Worse.UP),
            Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='l{service="$service"}', worse=Worse.UP),
        ),
    )  # fmt: skip


def two_at_once(rng: np.random.Generator) -> Figures:
    """Four minutes apart, one metric of all services moves; neither has a metric of its own that does."""
    guilty = "ab"[int(rng.integers(2))]
    shifts = {impact.deployment_id: (impact, impact.shifts[0]) for impact in pair(rng, guilty).reports()}
    verdicts = {name: shift.verdict for name, (_, shift) in shifts.items()}
    innocent = "b" if guilty == "a" else "a"
    named = verdicts[guilty] is Attribution.ATTRIBUTED and verdicts[innocent] is Attribution.NO_EFFECT
    open_ = set(verdicts.values()) == {Attribution.NOT_DISTINGUISHABLE}
    return {
        "both success": float(all(impact.outcome is Outcome.SUCCESS for impact, _ in shifts.values())),
        "one shared answer": float(named or open_),
        "innocent one named": float(verdicts[innocent] is Attribution.ATTRIBUTED),
        "culprit later: named": float(named) if guilty == "b" else None,
    }


def canary(rng: np.random.Generator) -> Figures:
    """A new version, half as slow again, that serves 1, 10 or 25 % of the traffic and has no series of its own."""
    share = float(rng.choice([0.01, 0.1, 0.25]))
    at = utc(2026, 3, 4, 8) + timedelta(minutes=int(rng.integers(0, 600)))
    times = grid(at, days=3.0)
    values = 100.0 + 3.0 * alike(rng, times.size)
    values *= 1.0 + 0.5 * share * (times >= at.timestamp() + 20.0)
    shift, outcome = _at_share(times, values, at, share)
    unseen = not shift.moved
    return {
        "unseen and called success": float(unseen and outcome is Outcome.SUCCESS),
        "unseen, and said so": None if not unseen else float("of the traffic" in shift.reason),
        "25 %: found": None if share < 0.2 else float(shift.moved),
    }


def _at_share(times: Floats, values: Floats, at: datetime, share: float) -> tuple[Shift, Outcome]:
    metric = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='l{service="$service"}', worse=Worse.UP)
    now = at + ROLLOUT + timedelta(hours=1)
    series = Series(metric=metric.name, labels={}, times=times, values=values)
    evidence = MetricData(metric=metric, series=series, per_service=True).until(now)
    watched = MonitoringConfig(sources={}, metrics=(metric,), settings=AnalysisSettings())
    rollout = replace(deployment("d", at), traffic_ratio=share)
    impact = assess(question_of(rollout, (evidence,), others=(), now=now, watched=watched))
    return impact.shifts[0], impact.outcome


def sparse_revenue(rng: np.random.Generator) -> Figures:
    """Three orders in ten minutes, of which four of five are lost."""
    at = utc(2026, 3, 4, 8) + timedelta(minutes=int(rng.integers(0, 600)))
    times = grid(at, days=7.0)
    orders = rng.poisson(np.where(times >= at.timestamp(), 0.06, 0.3))
    values = np.array([rng.lognormal(3.0, 0.6, count).sum() for count in orders]) * 60.0
    watch = Watch(name="revenue_usd_per_hour", times=times, values=values, layer=Layer.BUSINESS, worse=Worse.DOWN)
    (impact,) = impacts([watch], at, minutes=[60])
    shift = impact.shifts[0]
    stated = "of its level" in shift.reason
    return {
        "unseen and called success": float(not shift.moved and impact.outcome is Outcome.SUCCESS),
        "found, or the smallest change stated": float(shift.moved or stated),
    }


ROWS: tuple[Row, ...] = (
    Row(
        name="cold caches after every deployment",
        figures=(
            Figure(name="harm", most=0.02),
            Figure(name="success, usual", least=0.9),
            Figure(name="+30 % found", least=0.8),
        ),
        once=usual_spike,
    ),
    Row(
        name="metrics that a deployment resets",
        figures=(Figure(name="attributed", most=0.02), Figure(name="+30 % found", least=0.5)),
        once=resets,
    ),
    Row(
        name="dip of rate() while instances are replaced",
        figures=(Figure(name="harm or cost", most=0.02), Figure(name="-30 % found", least=0.8)),
        once=rate_dip,
    ),
    Row(
        name="two deployments four minutes apart",
        figures=(
            Figure(name="both success", most=0.0),
            Figure(name="one shared answer", least=0.95),
            Figure(name="innocent one named", most=0.02),
            Figure(name="culprit later: named", least=0.5),
        ),
        once=two_at_once,
    ),
    Row(
        name="canary without series of its own",
        figures=(
            Figure(name="unseen and called success", most=0.05),
            Figure(name="unseen, and said so", least=0.9),
            Figure(name="25 %: found", least=0.8),
        ),
        once=canary,
    ),
    Row(
        name="revenue of three orders in ten minutes, -80 %",
        figures=(
            Figure(name="unseen and called success", most=0.05),
            Figure(name="found, or the smallest change stated", least=0.95),
        ),
        once=sparse_revenue,
    ),
)  # fmt: skip
