"""Other services as witnesses: what moved them as well was no deployment of ours."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from afdp_exporter.model import Floats, Service

_MOST = 5  # witnesses of one metric; more cost queries and add little to a median


def witnesses(service: str, services: Mapping[str, Service]) -> tuple[str, ...]:
    """Up to five services that neither call `service` nor are called by it, however indirectly."""
    touched = _reach(service, {name: known.depends_on for name, known in services.items()})
    callers: dict[str, list[str]] = {}
    for name, known in services.items():
        for called in known.depends_on:
            callers.setdefault(called, []).append(name)
    touched |= _reach(service, callers)
    return tuple(name for name in services if name not in touched)[:_MOST]


def common_course(courses: Sequence[Floats]) -> Floats | None:
    """The median of several series (n,) on one grid, each over its own median size; None without any.

    A control for series of the same kind: what the deployment cannot have touched (difference in differences).
    """
    scaled = [course / size for course in courses if (size := _size(course)) > 0]
    if not scaled:
        return None
    ordered = np.sort(np.stack(scaled, axis=1), axis=1)  # NaN comes last; nanmedian takes three times as long
    known = (~np.isnan(ordered)).sum(axis=1)
    rows = np.arange(len(ordered))
    lower, upper = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, len(scaled) - 1)
    median: Floats = (ordered[rows, lower] + ordered[rows, upper]) / 2.0
    median[~np.isfinite(ordered).any(axis=1)] = np.nan
    return median


def _size(course: Floats) -> float:
    finite = course[np.isfinite(course)]
    return float(np.median(np.abs(finite))) if finite.size else 0.0


def _reach(start: str, edges: Mapping[str, Iterable[str]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        fresh = set(edges.get(waiting.pop(), ())) - found
        found |= fresh
        waiting += fresh
    return found
