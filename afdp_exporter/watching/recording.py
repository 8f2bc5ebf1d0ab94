"""Everything that is watched, asked once and kept: a recording from which the past is measured without its servers."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from afdp_exporter.errors import SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.model import Metric, Series, Window
from afdp_exporter.sources import Fetched, Source
from afdp_exporter.watching.evidence import MonitoringConfig

Place: TypeAlias = tuple[str, str]
"""A service and an environment."""

Write: TypeAlias = Callable[[Path, Sequence[Series]], int]
"""Keeps the series of a file; how many samples there are."""

KEPT = ("services", "calendar", "policy")
"""The blocks of a configuration that hold for its recording, too."""

_AT_ONCE = 50  # places of a query whose answers are in memory
_TIME = "%Y%m%dT%H%M%SZ"
_NOT_KEPT = ("source", "canary", "stable", "preview")  # of a metric: only its own queries are recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What was written: `samples` in all, and by metric why some of its series are missing."""

    samples: int
    missing: Mapping[str, str]


async def record(
    watched: MonitoringConfig, places: Sequence[Place], window: Window, folder: Path, write: Write
) -> Recorded:
    """Ask each query of each metric about each place, and keep the answers in `folder`, one file a query and piece.

    A piece is as long as the history of an analysis; files that
    are there already are not asked for again. Raises SourceUnavailable where a source stays away, and OSError.
    """
    samples, missing = 0, dict[str, str]()
    for metric in watched.metrics:
        of_metric = [place for place in places if metric in watched.metrics_at(*place)]
        source = watched.source_of(metric)[1]
        for name, query in _queries(metric):
            for piece in _pieces(window, watched.settings.history, watched.settings.step):
                file = folder / "recording" / name / f"{piece.start:{_TIME}}-{piece.end:{_TIME}}.parquet"
                if not of_metric or file.exists():
                    continue
                found = await _answers(source, query, of_metric, piece, watched.settings.step)
                series = [
                    replace(each, metric=name, labels={"service": place[0], "environment": place[1]})
                    for place, each in zip(of_metric, found, strict=True)
                    if isinstance(each, Series)
                ]
                missing.update((name, str(each)) for each in found if isinstance(each, SourceError))
                if series:
                    samples += write(file, series)
    return Recorded(samples=samples, missing=missing)


def configuration(content: Mapping[str, Any], metrics: Sequence[Metric], folder: Path) -> dict[str, Any]:
    """The configuration, as its file has it, that asks the recording what the other one asks its sources."""
    blocks = {block["name"]: block for block in content["metrics"]}
    return {
        "sources": [{"name": "recording", "kind": "parquet", "path": str((folder / "recording").resolve())}],
        "metrics": [_recorded(blocks[metric.name], metric) for metric in metrics],
        **{name: content[name] for name in KEPT if name in content},
    }


def _recorded(block: Mapping[str, Any], metric: Metric) -> dict[str, Any]:
    kept = {key: value for key, value in block.items() if key not in {*_NOT_KEPT, "of", "control"}}
    asked = {name: name + '{service="$service",environment="$environment"}' for name, _ in _queries(metric)}
    places = {"query": metric.name, "of": f"{metric.name}_of", "control": f"{metric.name}_control"}
    return kept | {key: asked[name] for key, name in places.items() if name in asked}


def _queries(metric: Metric) -> Iterator[tuple[str, str | Mapping[str, Any]]]:
    """What is recorded of a metric, under which name."""
    yield metric.name, metric.query
    if metric.of is not None and metric.of.query is not None:
        yield f"{metric.name}_of", metric.of.query
    if metric.control is not None:
        yield f"{metric.name}_control", metric.control


def _pieces(window: Window, length: timedelta, step: timedelta) -> Iterator[Window]:
    """The window by pieces that end at multiples of the length, each without the first point of the next."""
    seconds = max(length // step, 1) * step.total_seconds()
    start = math.ceil(window.start.timestamp() / step.total_seconds()) * step.total_seconds()
    while start <= window.end.timestamp():
        following = (start // seconds + 1) * seconds
        end = min(following - step.total_seconds(), window.end.timestamp())
        yield Window(start=datetime.fromtimestamp(start, UTC), end=datetime.fromtimestamp(end, UTC))
        start = following


async def _answers(
    source: Source, query: str | Mapping[str, Any], places: Sequence[Place], window: Window, step: timedelta
) -> list[Series | SourceError | None]:
    """For each place its one series, why there is none, or None where the source has none. Raises SourceUnavailable."""
    try:
        prepared = source.prepare(query)
        asked = [prepared.bind({"service": service, "environment": environment}) for service, environment in places]
    except SourceRefused as error:
        return [error for _ in places]
    found: list[Fetched] = []
    for begin in range(0, len(asked), _AT_ONCE):
        found += await source.fetch(asked[begin : begin + _AT_ONCE], window, step)
    return [_only(each) for each in found]


def _only(found: Fetched) -> Series | SourceError | None:
    if isinstance(found, SourceUnavailable):
        raise found
    if isinstance(found, SourceError):
        return found
    if len(found) > 1:
        return SourceRefused("many_series", f"{len(found)} series answer one query: aggregate them, say with sum()")
    return found[0] if found else None
