"""Which of many deployments are nearest to an instant."""

import heapq
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def nearest_to(found: Iterable[T], at: int, limit: int, key: Callable[[T], tuple[int, str]]) -> list[T]:
    """The `limit` that started nearest to `at`, oldest first; `key` gives the start in its unit, and the id."""

    def distance(each: T) -> tuple[int, str]:
        started, name = key(each)
        return abs(started - at), name

    return sorted(heapq.nsmallest(limit, found, key=distance), key=key)
