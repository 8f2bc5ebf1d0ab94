"""Whether the rates of a query fit the scrape interval of what they are taken of, and the checks that are to see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from afdp_exporter.errors import SourceError
from afdp_exporter.model import Window
from afdp_exporter.proposals import sampling
from afdp_exporter.sources import Bound, Source, ask
from afdp_exporter.wording.durations import format_duration

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
    window = Window(start=now - sampling.LOOKED_AT, end=now)
    try:
        found = await ask(source, sampling.counting(selector), {}, window, _STEP)
    except SourceError:
        return None
    return sampling.interval(found[0].values) if found else None


def _misfit(taken: timedelta, scraped: timedelta, checks: Sequence[timedelta]) -> list[str]:
    wanted = sampling.duration(sampling.rate_window(scraped))
    of = f"a scrape interval of {format_duration(scraped)}"
    if taken < sampling.SCRAPES * scraped:
        few = "a missed scrape leaves a gap" if taken >= 2 * scraped else "it has no value most of the time"
        return [f"[{sampling.duration(taken)}] is less than four scrapes: {few}; use [{wanted}] for {of}"]
    blurred = _listed([check for check in checks if check < taken])
    if blurred and taken > sampling.rate_window(scraped):
        into = f"blurs a step into a drift at the {blurred} after a rollout"
        return [f"[{sampling.duration(taken)}] {into}; [{wanted}] is enough for {of}"]
    return []


def _listed(checks: Sequence[timedelta]) -> str:
    texts = [format_duration(check) for check in checks]
    if len(texts) < 2:
        return "".join(f"check {text}" for text in texts)
    return f"checks {', '.join(texts[:-1])} and {texts[-1]}"
