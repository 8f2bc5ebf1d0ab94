"""Answers of the API, good ones and every other kind."""

import math
import re
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.errors import SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.model import Series
from afdp_exporter.sources import _prometheus_json

POINTS = np.arange(0.0, 360.0, 60.0)
NAN = math.nan


def answer(*result: object, **more: object) -> bytes:
    return orjson.dumps({"status": "success", "data": {"resultType": "matrix", "result": list(result)}, **more})


def entry(*samples: tuple[object, object], **labels: str) -> dict[str, Any]:
    return {"metric": {"__name__": "up", **labels}, "values": [list(sample) for sample in samples]}


def series_of(body: bytes) -> list[Series]:
    return _prometheus_json.to_series(_prometheus_json.read(body), POINTS, 60.0)


SAMPLES: dict[str, tuple[list[tuple[object, object]], list[float]]] = {
    "on the grid": ([(0, "1"), (60, "2"), (120, "3"), (180, "4"), (240, "5"), (300, "6")], [1, 2, 3, 4, 5, 6]),
    "with gaps": ([(0, "1"), (300, "6")], [1, NAN, NAN, NAN, NAN, 6]),
    "with NaN": ([(0, "1"), (60, "NaN"), (120, "3")], [1, NAN, 3, NAN, NAN, NAN]),
    "with infinities": ([(0, "+Inf"), (60, "-Inf")], [math.inf, -math.inf, NAN, NAN, NAN, NAN]),
    "off the grid": ([(13.5, "1"), (73.5, "2"), (299.9, "6")], [NAN, 1, 2, NAN, NAN, 6]),
    "unsorted": ([(120, "3"), (0, "1"), (60, "2")], [1, 2, 3, NAN, NAN, NAN]),
    "twice": ([(0, "1"), (60, "2"), (60, "20")], [1, 20, NAN, NAN, NAN, NAN]),
    "many times": ([(60 * (index % 3), str(index)) for index in range(99)], [96, 97, 98, NAN, NAN, NAN]),
    "beyond the window": ([(-60, "0"), (0, "1"), (360, "7")], [1, NAN, NAN, NAN, NAN, NAN]),
}


@pytest.mark.parametrize(("samples", "values"), SAMPLES.values(), ids=SAMPLES)
def test_samples_are_put_on_the_grid(samples: list[tuple[object, object]], values: list[float]) -> None:
    (series,) = series_of(answer(entry(*samples)))
    np.testing.assert_array_equal(series.values, values)
    np.testing.assert_array_equal(series.times, POINTS)


def test_pieces_of_one_series_are_joined_and_series_of_gaps_left_out() -> None:
    pieces = entry((0, "1"), service="a"), entry((60, "NaN"), service="b"), entry((120, "3"), service="a")
    (series,) = series_of(answer(*pieces))
    assert (series.metric, series.labels) == ("up", {"service": "a"})
    np.testing.assert_array_equal(series.values, [1, NAN, 3, NAN, NAN, NAN])


def test_an_expression_without_a_name_gives_a_series_without_one() -> None:
    (series,) = series_of(answer({"metric": {}, "values": [[0, "1"]]}))
    assert (series.metric, series.labels) == ("", {})


def test_warnings_go_with_every_series() -> None:
    first, second = series_of(answer(entry((0, "1")), entry((0, "2"), a="b"), warnings=["store\n1 \x1b[31mis away"]))
    assert first.warnings == second.warnings == ("store 1 ?[31mis away",)
    (partial,) = series_of(answer(entry((0, "1")), isPartial=True))
    assert partial.warnings == ("the answer is partial",)


def test_nothing_found_with_a_warning_is_an_error_and_never_an_empty_list() -> None:
    assert series_of(answer()) == []
    with pytest.raises(SourceUnavailable, match="store 1 is away") as away:
        series_of(answer(warnings=["store 1 is away"]))
    assert away.value.reason == "partial"


NOTHING = {
    "an empty list": answer(),
    "null": orjson.dumps({"status": "success", "data": {"resultType": "matrix", "result": None}}),
    "null of no type": orjson.dumps({"status": "success", "data": {"resultType": "", "result": None}}),
    "a list of no type": orjson.dumps({"status": "success", "data": {"resultType": "", "result": []}}),
    "data that are null": orjson.dumps({"status": "success", "data": None}),
    "values that are null": answer({"metric": {}, "values": None}),
    "left out": orjson.dumps({"status": "success", "data": {"resultType": "matrix"}}),
    "warnings that are null": answer(warnings=None, infos=None),
    "empty warnings": answer(warnings=[]),
    "a warning without words": answer(warnings=[" "], infos=""),
    "a warning on the query": answer(warnings=['PromQL warning: bucket label "le" is missing (1:5)']),
    "a remark on the query": answer(infos=["PromQL info: metric might not be a counter (1:6)"]),
}


@pytest.mark.parametrize("body", NOTHING.values(), ids=NOTHING)
def test_nothing_found_is_an_empty_list_however_a_server_writes_it(body: bytes) -> None:
    assert series_of(body) == []


def test_words_on_the_query_itself_are_notes_and_nothing_is_missing() -> None:
    words = "PromQL warning: bucket label is missing", "PromQL info: might not be a counter"
    (series,) = series_of(answer(entry((0, "1")), warnings=[words[0], "store 1 is away"], infos=[words[1]]))
    assert (series.warnings, series.notes) == (("store 1 is away",), words)


def test_numbers_that_are_written_as_numbers_and_times_as_texts_are_read() -> None:
    (series,) = series_of(answer(entry(("0", 1), (60.0, 2.5), (120, "3"))))
    np.testing.assert_array_equal(series.values, [1, 2.5, 3, NAN, NAN, NAN])


def test_labels_and_histograms_that_are_null_are_none() -> None:
    (series,) = series_of(answer({"metric": None, "values": [[0, "1"]], "histograms": None}))
    assert (series.labels, series.values[0]) == ({}, 1.0)


def test_a_native_histogram_is_refused_by_its_name() -> None:
    with pytest.raises(SourceRefused, match="up is a native histogram") as refused:
        series_of(answer({"metric": {"__name__": "up"}, "histograms": [[0, {"count": "1"}]]}))
    assert refused.value.reason == "native_histogram"


MALFORMED = {
    "nothing": b"",
    "a page": b"<html>502</html>",
    "cut short": answer(entry((0, "1")))[:-9],
    "a list": b"[]",
    "no status": b'{"data": {}}',
    "a status that is a list": b'{"status": []}',
    "no data": b'{"status": "success"}',
    "a vector": b'{"status": "success", "data": {"resultType": "vector", "result": []}}',
    "a result that is none": b'{"status": "success", "data": {"resultType": "matrix", "result": {}}}',
    "an entry that is none": answer(7),
    "no labels": answer({"values": []}),
    "a label that is a number": answer({"metric": {"a": 1}, "values": []}),
    "no values": answer({"metric": {}}),
    "values that are an object": answer({"metric": {}, "values": {"12": "3"}}),
    "a value that is null": answer(entry((0, None))),
    "a value that is a word": answer(entry((0, "one"))),
    "a time that is a word": answer(entry(("now", "1"))),
    "a value that is true": answer(entry((0, True))),
    "a time that is null": answer(entry((None, "1"))),
    "a sample of three": answer({"metric": {}, "values": [[0, "1", "2"]]}),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_answer_is_an_error_and_never_an_empty_list(body: bytes) -> None:
    with pytest.raises(SourceUnavailable) as away:
        series_of(body)
    assert away.value.reason == "malformed"


@pytest.mark.parametrize("kind", ["bad_data", "execution"])
def test_an_error_of_the_question_is_a_refusal(kind: str) -> None:
    body = orjson.dumps({"status": "error", "errorType": kind, "error": "1:2:\nparse error"})
    for status in (200, 400, 422):
        refused = _prometheus_json.failure(status, body)
        assert isinstance(refused, SourceRefused)
        assert (refused.reason, str(refused)) == (kind, f"it answers {status}: 1:2: parse error")
    with pytest.raises(SourceRefused):
        series_of(body)


def test_the_words_of_an_error_page_are_not_passed_on() -> None:
    for body in (b"Basic c2VjcmV0", b'{"error": "Basic c2VjcmV0"}', b'["c2VjcmV0"]', b'{"errorType": ["c2VjcmV0"]}'):
        away = _prometheus_json.failure(500, body)
        assert isinstance(away, SourceUnavailable)
        assert away.reason == "http_500"
        assert "c2VjcmV0" not in str(away)


def test_only_known_words_of_a_server_become_reasons() -> None:
    for kind in ("surprise", "bad data\n", "x" * 99):
        body = orjson.dumps({"status": "error", "errorType": kind, "error": "no"})
        assert _prometheus_json.failure(503, body).reason == "http_503"


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["metric", "values", "histograms", "a", "12"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(result=json, warnings=json, status=st.sampled_from(["success", "error"]) | json)
def test_no_answer_leads_to_anything_but_series_or_an_error_of_the_source(
    result: object, warnings: object, status: object
) -> None:
    body = orjson.dumps({"status": status, "data": {"resultType": "matrix", "result": result}, "warnings": warnings})
    try:
        found = series_of(body)
    except SourceError:
        return
    assert all(len(series.values) == len(POINTS) for series in found)


@given(body=st.binary(max_size=80), status=st.integers(400, 599))
def test_every_error_page_has_a_reason_that_can_be_a_label(body: bytes, status: int) -> None:
    assert re.fullmatch(r"http_\d{3}|[a-z_]+", _prometheus_json.failure(status, body).reason)
