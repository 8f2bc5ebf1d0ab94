"""Worlds that strain the range of an effect, and innocent ones whose noise is not that of a bell curve."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from weak_spot_rows import Figure, Floats, Row, Watch, alike, grid, impacts, innocent, shifts, utc

from afdp_exporter.impact import judge
from afdp_exporter.model import Outcome, Worse

Once = Callable[[np.random.Generator], Mapping[str, float | None]]
HOLDS = (Figure(name="attributed", least=0.9), Figure(name="range holds", least=0.85, most=0.95))
MOVED = Figure(name="moved", most=0.025)


def _at(rng: np.random.Generator) -> datetime:
    return utc(2026, 5, 4) + timedelta(minutes=int(rng.integers(10_000)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Planted:
    at: datetime
    times: Floats
    values: Floats
    change: float
    minutes: float
    of: Floats | None = None


def _measured(world: _Planted, worse: str = "up") -> dict[str, float | None]:
    """Whether the step was found, and whether its range holds what was planted."""
    start, end = world.at.timestamp(), world.at.timestamp() + 60.0
    seen = world.times <= end + 60.0 * world.minutes
    of = None if world.of is None else world.of[seen]
    found = judge(world.times[seen], world.values[seen], start, finished_at=end, of=of, worse=worse, step=60.0)
    if not found.attributed or found.low is None or found.high is None:
        return {"attributed": 0.0, "range holds": None}
    return {"attributed": 1.0, "range holds": float(found.low <= world.change <= found.high)}


def ratio(
    before: float, after: float, worse: str = "up", *, counted: bool = True
) -> Callable[[np.random.Generator], Mapping[str, float | None]]:
    """A share of 20 to 2,000 requests a minute, of which the number is known where it is `counted`."""

    def once(rng: np.random.Generator) -> Mapping[str, float | None]:
        at = _at(rng)
        times = grid(at)
        requests = np.maximum(rng.poisson(float(np.exp(rng.uniform(np.log(20), np.log(2000)))), len(times)), 1)
        chance = np.where(times > at.timestamp() + 60.0, after, before)
        values = rng.binomial(requests, chance) / requests
        minutes = float(rng.choice([30, 60]))
        world = _Planted(at=at, times=times, values=values, change=after - before, minutes=minutes)
        return _measured(replace(world, of=requests.astype(float)) if counted else world, worse)

    return once


def unchanged(chance: float, *, bursts: bool = False) -> Once:
    """The same share after an innocent deployment; requests follow the day, and failures may come in bursts."""

    def once(rng: np.random.Generator) -> Mapping[str, float | None]:
        at = _at(rng)
        times = grid(at)
        load = float(np.exp(rng.uniform(np.log(20), np.log(2000))))
        requests = np.maximum(rng.poisson(load * (1.0 + 0.8 * np.sin(2 * np.pi * times / 86_400.0))), 1)
        each = np.clip(chance * rng.gamma(0.5, 2.0, len(times)), 0.0, 1.0) if bursts else np.full(len(times), chance)
        failed = rng.binomial(requests, each)
        of = requests.astype(float)
        return innocent(shifts([Watch(name="error_ratio", times=times, values=failed / of, of=of)], at))

    return once


def constant(rng: np.random.Generator) -> Mapping[str, float | None]:
    """Nothing, or nearly nothing, until the deployment; a level with scatter after it."""
    at = _at(rng)
    times = grid(at)
    scatter = float(rng.choice([0.0, 0.002]))
    values = 0.01 + rng.normal(0.0, scatter, len(times)) if scatter else np.zeros(len(times))
    after = times > at.timestamp() + 60.0
    noise = alike(rng, len(times), float(rng.choice([0.05, 0.5])))
    values[after] = (values[0] if not scatter else 0.01) + 0.2 + 0.03 * noise[after]
    minutes = float(rng.choice([30, 60]))
    return _measured(_Planted(at=at, times=times, values=values, change=0.2, minutes=minutes))


def ordinary(rng: np.random.Generator) -> Mapping[str, float | None]:
    """A step of 3 to 6 deviations in noise that resembles itself, as many as before."""
    at = _at(rng)
    times = grid(at)
    change = float(rng.uniform(3.0, 6.0))
    values = 100.0 + 2.0 * np.sin(2 * np.pi * times / 86_400.0) + alike(rng, len(times))
    values += change * (times > at.timestamp() + 60.0)
    minutes = float(rng.choice([30, 60]))
    return _measured(_Planted(at=at, times=times, values=values, change=change, minutes=minutes))


def over_a_window(minutes: float, before: float = 0.0) -> Once:
    """The mean of single values of the last minutes, at 15 s, which a deployment raises at once by 6 to 20 deviations.

    Or something else does, so many minutes `before` it.
    """

    def once(rng: np.random.Generator) -> Mapping[str, float | None]:
        step, each, after = 15.0, 15, int(rng.choice([8, 20, 60, 240]))
        window, history = round(60.0 * minutes / step), int(rng.choice([60, 240, 1000]))
        raw = rng.normal(20.0, 1.0, (window + history + after) * each)
        raw += 0.5 * np.repeat(alike(rng, window + history + after, 0.8), each)
        totals = np.concatenate([[0.0], np.cumsum(raw)])
        ends = np.arange(window * each, len(totals), each)
        values = (totals[ends] - totals[ends - window * each]) / (window * each)
        within = float(rng.uniform(0.0, 1.0))
        times = _at(rng).timestamp() + step * np.arange(len(values))
        at = float(times[history]) - within * step
        change = float(rng.uniform(6.0, 20.0) * values[:history].std())
        values = values + change * np.clip((times - at + 60.0 * before) / (60.0 * minutes), 0.0, 1.0)
        found = judge(times, values, at, step=step, looks_back=60.0 * minutes)
        if before:
            return {"attributed": float(found.attributed)}
        if not found.attributed or found.low is None or found.onset_low is None or found.onset_high is None:
            return {"range holds": None, "start holds": None}
        return {
            "range holds": float(found.low <= change <= (found.high or 0.0)),
            "start holds": float(found.onset_low - step <= at <= found.onset_high + step),
        }

    return once


def slowest(rng: np.random.Generator) -> Mapping[str, float | None]:
    """p99 over [5m] of a service with one request in two seconds, at 15 seconds, innocent."""
    at = _at(rng)
    times = grid(at, days=2.0, step=15.0)
    arrived = np.sort(rng.uniform(times[0] - 300.0, times[-1], rng.poisson(0.5 * (times[-1] - times[0] + 300.0))))
    took = np.exp(rng.normal(-2.0, float(rng.uniform(0.5, 1.0)), len(arrived)))
    ends, begins = np.searchsorted(arrived, times), np.searchsorted(arrived, times - 300.0)
    windows = (took[begin:end] for begin, end in zip(begins, ends, strict=True))
    values = np.array([np.quantile(each, 0.99) if len(each) else np.nan for each in windows])
    return innocent(
        shifts([Watch(name="latency_p99_seconds", times=times, values=values, rate_window=timedelta(minutes=5))], at)
    )


def heap(rng: np.random.Generator) -> Mapping[str, float | None]:
    """A JVM's heap: it fills with the traffic and is emptied by a collection, at no regular time; innocent."""
    at = _at(rng)
    times = grid(at)
    values, used, floor = np.empty(len(times)), 300.0, 300.0
    speed, full = float(rng.uniform(5.0, 40.0)), float(rng.uniform(700.0, 1200.0))
    for k in range(len(times)):
        load = 1.0 + 0.5 * np.sin(2 * np.pi * times[k] / 86_400.0)
        used += speed * load * float(rng.uniform(0.5, 1.5))
        if used > full * rng.uniform(0.97, 1.0):
            floor = 300.0 + 40.0 * float(rng.normal())
            used = floor
        values[k] = used
    return innocent(shifts([Watch(name="heap_bytes", times=times, values=1e6 * values)], at))


def ramp(rng: np.random.Generator) -> Mapping[str, float | None]:
    """A metric that goes up by 3 to 8 deviations over 10 to 45 minutes after the deployment."""
    at = _at(rng)
    times = grid(at)
    values = 100.0 + 2.0 * np.sin(2 * np.pi * times / 86_400.0) + alike(rng, len(times), float(rng.uniform(0.3, 0.8)))
    since = times - at.timestamp() - 60.0
    values += float(rng.uniform(3.0, 8.0)) * np.clip(since / (60.0 * float(rng.uniform(10.0, 45.0))), 0.0, 1.0)
    found = shifts([Watch(name="latency_seconds", times=times, values=values)], at, minutes=(60,))
    return {"no_effect": float(all(shift.verdict == "no_effect" for shift in found))}


def frozen(rng: np.random.Generator) -> Mapping[str, float | None]:
    """Samples end when the deployment comes, and the server repeats the last one for five minutes."""
    at = _at(rng)
    step = float(rng.choice([15.0, 60.0]))
    times = grid(at, days=1.0, step=step)
    values = 10.0 + alike(rng, len(times), float(rng.choice([0.05, 0.6])))
    end = int(np.searchsorted(times, at.timestamp() + float(rng.uniform(-60.0, 15.0))))
    values[end : end + int(300.0 / step)] = values[end - 1]
    values[end + int(300.0 / step) :] = np.nan
    found = shifts(
        [Watch(name="latency_seconds", times=times, values=values)],
        at,
        minutes=(2, 4, 5, 10),
    )
    return {**innocent(found), "no_effect": float(any(shift.verdict == "no_effect" for shift in found))}


def stops(rng: np.random.Generator) -> Mapping[str, float | None]:
    """Samples end 1 to 30 minutes after the rollout, or most of them are missing from then on; an hour's check."""
    at = _at(rng)
    times = grid(at, days=float(rng.choice([1.0, 7.0])))
    values = 0.2 + 0.02 * np.sin(2 * np.pi * times / 86_400.0) + 0.004 * alike(rng, len(times), 0.3)
    gone = times > at.timestamp() + 60.0 * float(rng.choice([2, 3, 5, 7, 11, 31]))
    values[gone & (rng.random(len(times)) < float(rng.choice([0.8, 1.0, 1.0])))] = np.nan
    (found,) = impacts([Watch(name="latency_seconds", times=times, values=values)], at, minutes=(60,))
    return {"called success": float(found.outcome is Outcome.SUCCESS)}


ROWS = (
    Row(name="error ratio of .05 %, then 1 %", figures=HOLDS, once=ratio(0.0005, 0.01)),
    Row(name="error ratio of .01 %, then 2 %", figures=HOLDS, once=ratio(0.0001, 0.02)),
    Row(name="error ratio of .05 %, then 10 %", figures=HOLDS, once=ratio(0.0005, 0.1)),
    Row(
        name="success of 99.95 %, then 99.5 %", figures=(HOLDS[1],),
        once=ratio(0.9995, 0.995, Worse.DOWN.value),
    ),
    Row(
        name="error ratio of .05 %, then 1 %, requests unknown", figures=HOLDS,
        once=ratio(0.0005, 0.01, counted=False),
    ),
    Row(
        name="error ratio of .01 %, then 2 %, requests unknown", figures=HOLDS,
        once=ratio(0.0001, 0.02, counted=False),
    ),
    Row(name="error ratio of .05 %, unchanged", figures=(MOVED,), once=unchanged(0.0005)),
    Row(name="error ratio of .3 %, unchanged, in bursts", figures=(MOVED,), once=unchanged(0.003, bursts=True)),
    Row(name="constant or nearly so, then scatter", figures=HOLDS, once=constant),
    *(
        Row(
            name=f"a step in a mean over [{minutes}m] at 15 s",
            figures=(Figure(name="range holds", least=0.85), Figure(name="start holds", least=0.85)),
            once=over_a_window(minutes),
        )
        for minutes in (1, 5)
    ),
    Row(
        name="a step in a mean over [5m], 4 minutes before", figures=(Figure(name="attributed", most=0.1),),
        once=over_a_window(5, before=4.0),
    ),
    Row(name="a step in ordinary noise", figures=(Figure(name="range holds", least=0.85),), once=ordinary),
    Row(name="p99 over [5m] at .5 requests a second", figures=(MOVED,), once=slowest),
    Row(name="heap of a JVM", figures=(MOVED,), once=heap),
    Row(name="gradual, 3 deviations and more", figures=(Figure(name="no_effect", most=0.25),), once=ramp),
    Row(
        name="series that end 1 to 30 minutes after the rollout",
        figures=(Figure(name="called success", most=0.0),), once=stops,
    ),
    Row(
        name="the last sample repeated for five minutes",
        figures=(MOVED, Figure(name="no_effect", most=0.0)), once=frozen,
    ),
)  # fmt: skip
