"""A call as another process makes it: with times written as in the process that asks."""

import pickle
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any, TypeVar

from afdp_exporter.errors import AnalysisError
from afdp_exporter.wording.times import time_zone, use_time_zone

T = TypeVar("T")


def call(zone: tzinfo, function: Callable[..., T], *arguments: Any, **words: Any) -> T:  # noqa: ANN401
    """Call the function, with times written in this zone."""
    use_time_zone(zone)
    return function(*arguments, **words)


def packed(function: Callable[..., Any], arguments: tuple[Any, ...], words: Mapping[str, Any]) -> bytes:
    """A call, for another process."""
    return pickle.dumps((time_zone(), function, arguments, words), pickle.HIGHEST_PROTOCOL)


def answered(content: bytes) -> bytes:
    """Make a call that was packed; its result, or its error, for the process that asked."""
    try:
        zone, function, arguments, words = pickle.loads(content)  # noqa: S301 - from the process that asked
        return pickle.dumps((True, call(zone, function, *arguments, **words)), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - whoever asked gets it
        return _raised(error)


def _raised(error: Exception) -> bytes:
    """An error as it is; in words where it cannot be pickled."""
    try:
        content = pickle.dumps((False, error), pickle.HIGHEST_PROTOCOL)
        pickle.loads(content)  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - whatever its class does
        return pickle.dumps((False, AnalysisError(f"{type(error).__name__}: {error}")), pickle.HIGHEST_PROTOCOL)
    return content


def unpacked(answer: bytes) -> Any:  # noqa: ANN401
    """The result of a call that was made; its error is raised."""
    well, found = pickle.loads(answer)  # noqa: S301 - from a worker of ours
    if not well:
        raise found
    return found
