"""How often a metric is scraped, the step and rate windows that follow, and whether a query fits them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from afdp_exporter.errors import SourceError
from afdp_exporter.model import Floats, Window
from afdp_exporter.sources import Bound, Source, ask
from afdp_exporter.wording.numbers import format_duration

COUNTED = timedelta(minutes=1)  # the range in which samples are counted, one range beside the other
LOOKED_AT = timedelta(hours=1)
SHORTEST_STEP = timedelta(seconds=15)
"""Below it a week of history would hold more points than a judgement reads."""
SCRAPES = 4
"""In a rate's window: with fewer a missed scrape leaves a gap; with more a step is blurred longer than it has to be."""
_USUAL = np.array([1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900], dtype=np.float64)  # seconds
_ROUNDED = 0.1  # how far from a usual interval a measured one is still taken for it


def counting(selector: str, label: str | None = None) -> str:
    """PromQL: how many samples a series of `selector` has in a minute, for each value of `label`.

    A millisecond less than a minute: Prometheus before 3.0 counts a sample on either end of a range.
    """
    by = f" by ({label})" if label else ""
    return f"quantile{by} (0.8, count_over_time({selector}[59999ms]))"


def interval(counts: Floats) -> timedelta | None:
    """The scrape interval, from the counts of samples (n,) in minutes side by side, NaN where there was none.

    None where there are too few samples to know.
    """
    there = np.flatnonzero(np.isfinite(counts))
    if there.size == 0:
        return None
    whole = counts[there[0] + 1 : there[-1] + 1]  # the first minute is part of one: scraping began in it
    present = whole[np.isfinite(whole)]
    if present.size == 0:
        return _rounded(COUNTED.total_seconds() / counts[there[0]]) if counts[there[0]] >= 2 else None
    middle = float(np.median(present))
    if middle >= 2:  # minutes in which scrapes failed are no part of the rhythm
        return _rounded(COUNTED.total_seconds() / float(present[np.abs(present - middle) <= 1].mean()))
    return _rounded(COUNTED.total_seconds() * whole.size / float(present.sum()))


def step(scraped: timedelta) -> timedelta:
    """The step of an analysis for metrics that are scraped so often."""
    return max(scraped, SHORTEST_STEP)


def rate_window(scraped: timedelta) -> timedelta:
    """The range of a rate over a counter that is scraped so often; at least a step, so that no sample is left out."""
    return max(SCRAPES * scraped, SHORTEST_STEP)


def duration(time: timedelta) -> str:
    """As PromQL and the configuration write it: `45s`, `1m`, `90s`, `2h`."""
    seconds = round(time.total_seconds())
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _rounded(seconds: float) -> timedelta:
    """The usual interval that is near, else whole seconds: scrapes come a little early or late."""
    nearest = float(_USUAL[np.argmin(np.abs(np.log(_USUAL / seconds)))])
    near = abs(nearest / seconds - 1.0) <= _ROUNDED
    return timedelta(seconds=nearest if near else max(round(seconds), 1))


_STEP = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The interval in which the samples behind a query come, None where it is not known, and what does not fit it."""

    scraped: timedelta | None
    warnings: tuple[str, ...] = ()


async def fit(source: Source, query: Bound, checks: Sequence[timedelta], now: datetime) -> Fit:
    """Ask how often what the query takes ranges of is scraped; `checks` are how long after a rollout it is judged.

    A source that cannot be asked that leaves the interval unknown.
    """
    intervals: list[timedelta] = []
    warnings: list[str] = []
    for selector, taken in query.ranges:
        scraped = await _interval(source, selector, now)
        if scraped is not None:
            intervals.append(scraped)
            warnings += _misfit(taken, scraped, checks)
    return Fit(scraped=max(intervals, default=None), warnings=tuple(dict.fromkeys(warnings)))


async def _interval(source: Source, selector: str, now: datetime) -> timedelta | None:
    window = Window(start=now - LOOKED_AT, end=now)
    try:
        found = await ask(source, counting(selector), {}, window, _STEP)
    except SourceError:
        return None
    return interval(found[0].values) if found else None


def _misfit(taken: timedelta, scraped: timedelta, checks: Sequence[timedelta]) -> list[str]:
    wanted = duration(rate_window(scraped))
    of = f"a scrape interval of {format_duration(scraped)}"
    if taken < SCRAPES * scraped:
        few = "a missed scrape leaves a gap" if taken >= 2 * scraped else "it has no value most of the time"
        return [f"[{duration(taken)}] is less than four scrapes: {few}; use [{wanted}] for {of}"]
    blurred = _listed([check for check in checks if check < taken])
    if blurred and taken > rate_window(scraped):
        into = f"blurs a step into a drift at the {blurred} after a rollout"
        return [f"[{duration(taken)}] {into}; [{wanted}] is enough for {of}"]
    return []


def _listed(checks: Sequence[timedelta]) -> str:
    texts = [format_duration(check) for check in checks]
    if len(texts) < 2:
        return "".join(f"check {text}" for text in texts)
    return f"checks {', '.join(texts[:-1])} and {texts[-1]}"
