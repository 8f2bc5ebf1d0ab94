"""What the Prometheus HTTP API answers: an envelope of JSON around samples that are written as text."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import orjson

from afdp_exporter.errors import SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.model import Floats, Series
from afdp_exporter.sources._grid import on_grid

_LONGEST_TEXT = 300  # characters of a server's own words
_ERROR_TYPES = {"bad_data", "execution", "timeout", "canceled", "internal", "unavailable", "not_found"}
_QUESTION_TYPES = ("bad_data", "execution")
_QUESTION_STATUSES = {400, 413, 414, 422}  # VictoriaMetrics says 422 where Prometheus says 400

Result: TypeAlias = list[dict[str, Any]]


def read(body: bytes) -> tuple[Result, tuple[str, ...]]:
    """The series of a `query_range` answer as the API writes them, and its warnings about partial data.

    Raises SourceUnavailable for what is no such answer, and as `failure` for an envelope that tells of an error.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _malformed("its answer is no JSON") from None
    if not isinstance(document, dict) or document.get("status") not in ("success", "error"):
        raise _malformed("its answer has no status")
    if document["status"] == "error":
        raise failure(200, body)
    data = document.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        raise _malformed("its answer holds no series over time")
    told = document.get("warnings", [])
    warnings = tuple(map(plain, told if isinstance(told, list) else [told]))
    if document.get("isPartial") is True:  # VictoriaMetrics as a cluster
        warnings += ("the answer is partial",)
    return data["result"], warnings


def failure(status: int, body: bytes) -> SourceError:
    """What an answer with an error means: SourceRefused where the question is at fault, else SourceUnavailable.

    The words of the server are only passed on from an envelope of the API: an error page of a proxy may hold anything.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = {}
    kind = document.get("errorType") if isinstance(document, dict) else None
    reason = kind if isinstance(kind, str) and kind in _ERROR_TYPES else f"http_{status}"
    words = f"it answers {status}" + (f": {plain(document.get('error'))}" if kind else "")
    refused = status in _QUESTION_STATUSES or (status == 200 and kind in _QUESTION_TYPES)
    return SourceRefused(reason, words) if refused else SourceUnavailable(reason, words)


def to_series(result: Result, warnings: tuple[str, ...], points: Floats, step: float) -> list[Series]:
    """The series on the grid, each once; those of nothing but gaps are left out.

    Raises SourceUnavailable for entries that are none, and for an answer with warnings but without series: what was
    looked for may be in the part that is missing. Raises SourceRefused for native histograms.
    """
    pieces: dict[tuple[tuple[str, str], ...], list[tuple[Floats, Floats]]] = {}
    for entry in result:
        labels = _labels(entry)
        if "histograms" in entry:
            name = labels.get("__name__", "the answer")
            words = f"{name} is a native histogram; ask for a number, such as histogram_quantile(0.95, ...)"
            raise SourceRefused("native_histogram", words)
        pieces.setdefault(tuple(sorted(labels.items())), []).append(_samples(entry))
    found = [_join(dict(labels), samples, warnings, points, step) for labels, samples in sorted(pieces.items())]
    found = [series for series in found if not np.isnan(series.values).all()]
    if warnings and not found:
        raise SourceUnavailable("partial", f"nothing was found, and not everything was asked: {warnings[0]}")
    return found


def plain(text: object) -> str:
    """Words of a server in one short line that can be printed."""
    line = " ".join(str(text).split())
    return "".join(char if char.isprintable() else "?" for char in line)[:_LONGEST_TEXT]


def _labels(entry: object) -> dict[str, str]:
    labels = entry.get("metric") if isinstance(entry, dict) else None
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise _malformed("its answer has a series without labels")
    return labels


def _samples(entry: Mapping[str, Any]) -> tuple[Floats, Floats]:
    pairs = entry.get("values")
    if not isinstance(pairs, list):
        raise _malformed("its answer has a series without samples")
    try:
        at, texts = zip(*pairs, strict=True) if pairs else ((), ())
        times, values = np.array(at, dtype=np.float64), np.array(list(map(float, texts)), dtype=np.float64)
    except (TypeError, ValueError):
        raise _malformed("its answer has a sample that is none") from None
    if not set(map(type, texts)) <= {str} or not set(map(type, at)) <= {int, float}:
        raise _malformed("its answer has a sample of the wrong type")
    return times, values


def _join(
    labels: dict[str, str], pieces: list[tuple[Floats, Floats]], warnings: tuple[str, ...], points: Floats, step: float
) -> Series:
    times = np.concatenate([times for times, _ in pieces])
    values = np.concatenate([values for _, values in pieces])
    order = np.argsort(times, kind="stable")
    return Series(
        metric=labels.pop("__name__", ""),
        labels=labels,
        times=points,
        values=on_grid(times[order], values[order], points, step),
        warnings=warnings,
    )


def _malformed(words: str) -> SourceUnavailable:
    return SourceUnavailable("malformed", words)
