"""What the Prometheus HTTP API answers: an envelope of JSON around samples that are written as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import orjson

from afdp_exporter.errors import SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.model import Floats, Series
from afdp_exporter.sources import on_grid

_LONGEST_TEXT = 300  # characters of a server's own words
_ERROR_TYPES = {"bad_data", "execution", "timeout", "canceled", "internal", "unavailable", "not_found"}
_QUESTION_TYPES = ("bad_data", "execution")
_QUESTION_STATUSES = {400, 413, 414, 422}  # VictoriaMetrics says 422 where Prometheus says 400

_OF_THE_QUERY = ("PromQL warning:", "PromQL info:")  # how Prometheus marks what is no matter of missing data

Result: TypeAlias = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """The series as the API writes them; `warnings` say what is missing, `notes` what is odd about the query itself."""

    result: Result
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read(body: bytes) -> Answer:
    """What a `query_range` answer holds; servers that find nothing write `[]`, `null`, or leave it out.

    Raises SourceUnavailable for what is no such answer, and as `failure` for an envelope that reports an error.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _malformed("its answer is no JSON") from None
    if not isinstance(document, dict) or document.get("status") not in ("success", "error"):
        raise _malformed("its answer has no status")
    if document["status"] == "error":
        raise failure(200, body)
    data = document.get("data", ())
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise _malformed("its answer holds no data")
    result, kind = data.get("result"), data.get("resultType")
    is_nothing = result is None or (result == [] and kind in {None, ""})
    if not is_nothing and (kind != "matrix" or not isinstance(result, list)):
        raise _malformed("its answer holds no series over time")
    words = [*_words(document.get("warnings")), *_words(document.get("infos"))]
    warnings = tuple(text for text in words if not _of_the_query(text))
    if document.get("isPartial") is True:  # VictoriaMetrics as a cluster
        warnings += ("the answer is partial",)
    return Answer(result or [], warnings, tuple(filter(_of_the_query, words)))


def joined(answers: Sequence[Answer]) -> Answer:
    """The pieces of a range as one answer."""
    return Answer(
        [entry for each in answers for entry in each.result],
        tuple(dict.fromkeys(text for each in answers for text in each.warnings)),
        tuple(dict.fromkeys(text for each in answers for text in each.notes)),
    )


def failure(status: int, body: bytes) -> SourceError:
    """What an answer with an error means: SourceRefused where the question is at fault, else SourceUnavailable.

    The words of the server are only passed on from an envelope of the API: an error page of a proxy may hold anything.
    """
    kind, said = _error(body)
    reason = kind if isinstance(kind, str) and kind in _ERROR_TYPES else f"http_{status}"
    words = f"it answers {status}" + (f": {plain(said)}" if kind else "")
    refused = status in _QUESTION_STATUSES or (status == 200 and kind in _QUESTION_TYPES)
    return SourceRefused(reason, words) if refused else SourceUnavailable(reason, words)


def speaks_the_api(body: bytes) -> bool:
    """Whether an answer that reports an error is the API's own, and no page of a proxy before it."""
    return isinstance(_error(body)[0], str)


def to_series(answer: Answer, points: Floats, step: float) -> list[Series]:
    """The series on the grid, each once; those of nothing but gaps are left out.

    Raises SourceUnavailable for entries that are none, and for an answer with warnings but without series: what was
    looked for may be in the part that is missing. Raises SourceRefused for native histograms.
    """
    pieces: dict[tuple[tuple[str, str], ...], list[tuple[Floats, Floats]]] = {}
    for entry in answer.result:
        labels = _labels(entry)
        if entry.get("histograms"):
            name = labels.get("__name__", "the answer")
            words = f"{name} is a native histogram; ask for a number, such as histogram_quantile(0.95, ...)"
            raise SourceRefused("native_histogram", words)
        pieces.setdefault(tuple(sorted(labels.items())), []).append(_samples(entry))
    found = [_join(dict(labels), samples, answer, points, step) for labels, samples in sorted(pieces.items())]
    found = [series for series in found if not np.isnan(series.values).all()]
    if answer.warnings and not found:
        raise SourceUnavailable("partial", f"nothing was found, and not everything was asked: {answer.warnings[0]}")
    return found


def plain(text: object) -> str:
    """Words of a server in one short line that can be printed."""
    line = " ".join(str(text).split())
    return "".join(char if char.isprintable() else "?" for char in line)[:_LONGEST_TEXT]


def _of_the_query(text: str) -> bool:
    """Whether a warning is about the query itself: Amazon warns so of what a query costs."""
    return text.startswith(_OF_THE_QUERY) or ("samples" in text.lower() and "threshold" in text.lower())


def _error(body: bytes) -> tuple[object, object]:
    """The kind and the words of the error that an envelope reports; None where it is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, None
    return (document.get("errorType"), document.get("error")) if isinstance(document, dict) else (None, None)


def _words(texts: object) -> list[str]:
    """Warnings as a list, whatever holds them; most servers leave out or write null where there are none."""
    if texts is None:
        return []
    words = (plain(text) for text in (texts if isinstance(texts, list) else [texts]) if text is not None)
    return [text for text in words if text]


def _labels(entry: object) -> dict[str, str]:
    labels = entry.get("metric", ()) if isinstance(entry, dict) else ()
    labels = {} if labels is None else labels  # as Go writes a map that is not there
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise _malformed("its answer has a series without labels")
    return labels


def _samples(entry: Mapping[str, Any]) -> tuple[Floats, Floats]:
    pairs = entry.get("values", ())
    if pairs is None:
        pairs = []
    if not isinstance(pairs, list):
        raise _malformed("its answer has a series without samples")
    try:
        at, texts = zip(*pairs, strict=True) if pairs else ((), ())
        times, values = (
            np.array(list(map(float, at)), dtype=np.float64),
            np.array(list(map(float, texts)), dtype=np.float64),
        )
    except (TypeError, ValueError):
        raise _malformed("its answer has a sample that is none") from None
    if not set(map(type, (*texts, *at))) <= {str, int, float}:
        raise _malformed("its answer has a sample of the wrong type")
    return times, values


def _join(
    labels: dict[str, str], pieces: list[tuple[Floats, Floats]], answer: Answer, points: Floats, step: float
) -> Series:
    times = np.concatenate([times for times, _ in pieces])
    values = np.concatenate([values for _, values in pieces])
    order = np.argsort(times, kind="stable")
    return Series(
        metric=labels.pop("__name__", ""),
        labels=labels,
        times=points,
        values=on_grid(times[order], values[order], points, step),
        warnings=answer.warnings,
        notes=answer.notes,
    )


def _malformed(words: str) -> SourceUnavailable:
    return SourceUnavailable("malformed", words)
