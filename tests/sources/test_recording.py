"""Recordings: what is in the files comes back, and what is wrong with them is said with its place."""

import asyncio
import gzip
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.errors import ConfigError, SourceRefused
from afdp_exporter.model import Floats, Series, Window
from afdp_exporter.settings import build
from afdp_exporter.sources import ask
from afdp_exporter.sources.recording import InMemorySource, Recording

START = 1_700_000_040  # a multiple of 60
STEP = timedelta(seconds=60)


def window(seconds: float) -> Window:
    return Window(start=datetime.fromtimestamp(START, UTC), end=datetime.fromtimestamp(START + seconds, UTC))


def series(metric: str, values: list[float], *, every: float = 60, **labels: str) -> Series:
    return Series(
        metric=metric,
        labels=labels,
        times=START + every * np.arange(len(values), dtype=np.float64),
        values=np.array(values, dtype=np.float64),
    )


def write(folder: Path, text: str, name: str = "shop.csv") -> Recording:
    (folder / name).write_text(text, encoding="utf-8")
    return Recording(path=folder)


async def values_of(recording: Recording, query: str, seconds: float = 120) -> dict[str, list[float]]:
    found = await ask(recording, query, {}, window(seconds), STEP)
    return {each.labels.get("service", ""): each.values.tolist() for each in found}


async def test_rows_become_series_by_name_and_labels(tmp_path: Path) -> None:
    recording = write(
        tmp_path,
        "timestamp,metric,service,region,value\n"
        f"{START},errors_total,cart,NA,1\n"
        f"{START},errors_total,checkout,,2\n"
        f"{START + 60},errors_total,cart,NA,3\n",
    )
    found = await ask(recording, "errors_total", {}, window(60), STEP)
    assert [(each.metric, dict(each.labels)) for each in found] == [
        ("errors_total", {"region": "NA", "service": "cart"}),
        ("errors_total", {"service": "checkout"}),
    ]
    assert found[0].values.tolist() == [1, 3]
    assert not found[0].values.flags.writeable


async def test_rows_in_any_order_over_several_files_and_compressed_ones_are_joined(tmp_path: Path) -> None:
    recording = write(tmp_path, f"value,timestamp,metric\n3,{START + 120},up\n1,{START},up\n", "a.csv")
    with gzip.open(tmp_path / "b.csv.gz", "wt") as file:
        file.write(f"timestamp,metric,value\n{START + 60},up,2\n{START + 120},up,4\n")
    (tmp_path / "notes.txt").write_text("not a recording")
    assert await values_of(recording, "up") == {"": [1, 2, 4]}


@pytest.mark.parametrize("gap", ["", "NaN", "nan"])
async def test_a_gap_in_the_file_stays_a_gap(tmp_path: Path, gap: str) -> None:
    recording = write(tmp_path, f"timestamp,metric,value\n{START},up,1\n{START + 60},up,{gap}\n{START + 120},up,3\n")
    np.testing.assert_array_equal((await values_of(recording, "up"))[""], [1, np.nan, 3])


FAULTS = {
    "": "line 1: the column timestamp is missing; there are: none",
    "timestamp,metric\n": "line 1: the column value is missing; there are: timestamp, metric",
    "timestamp,metric,value,a b\n": "line 1: column 'a b'",
    "timestamp,metric,value,value\n": "line 1: column 'value'",
    "timestamp,metric,value\n1,up,1\n2,up,x\n": "line 3, column value: 'x' is not a number",
    "timestamp,metric,value\nsoon,up,1\n": "line 2, column timestamp: 'soon' is not a time in Unix seconds",
    "timestamp,metric,value\n,up,1\n": "line 2, column timestamp: '' is not a time in Unix seconds",
    "timestamp,metric,value\n1,up,1\n1700000000000,up,1\n": "line 3, column timestamp: '1700000000000' is not a time",
    "timestamp,metric,value\n1,up,1\n2,up\n": "line 3, 2 columns where the first line names 3",
    "timestamp,metric,value\n1,up,1\n2,up,3,4\n": "line 3, 4 columns where the first line names 3",
    "timestamp,metric,value\n1,up,1,5\n": "line 2, 4 columns where the first line names 3",
    "metric,timestamp,value\nup,1,2,3\n": "line 2, 4 columns where the first line names 3",
    "timestamp,metric,value\n1,,1\n": "line 2, column metric: a name is missing",
    'timestamp,metric,value\n1,up,1\n2,"up,3\n': "cannot be read",
}


@pytest.mark.parametrize(("text", "message"), FAULTS.items())
async def test_a_bad_file_is_refused_with_its_name_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceRefused) as refused:
        await ask(write(tmp_path, text), "up", {}, window(60), STEP)
    assert str(refused.value).startswith(f"shop.csv: {message}")
    assert refused.value.reason == "bad_recording"


async def test_a_compressed_file_that_is_cut_short_or_no_text_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"timestamp,metric,value\n" + b"1,up,1\n" * 10_000)
    for content in (whole[:-20], b"no gzip", gzip.compress(b"timestamp,metric,value\n1,\xff,1\n")):
        (tmp_path / "shop.csv.gz").write_bytes(content)
        with pytest.raises(SourceRefused, match=r"shop\.csv\.gz: cannot be read"):
            await ask(Recording(path=tmp_path), "up", {}, window(60), STEP)


async def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="holds no"):
        await ask(Recording(path=tmp_path), "up", {}, window(60), STEP)


def test_a_folder_that_is_not_there_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sources\[0\]\.path"):
        build("sources", "recording", {"path": str(tmp_path / "none")}, "sources[0]")
    assert isinstance(build("sources", "recording", {"path": str(tmp_path)}, "sources[0]"), Recording)


async def test_the_files_are_read_once_even_when_asked_at_once(tmp_path: Path) -> None:
    recording = write(tmp_path, f"timestamp,metric,value\n{START},up,1\n")
    await asyncio.gather(*(values_of(recording, "up") for _ in range(8)))
    (tmp_path / "shop.csv").unlink()
    assert await values_of(recording, "up", seconds=0) == {"": [1]}


FOREIGN = {
    "rate(up[5m])": "rate()",
    "sum by (service) (up)": "sum()",
    "histogram_quantile(0.95, up)": "histogram_quantile()",
    "up / down": "the operator /",
    "-up": "the operator -",
    "up[5m]": "a range in [ ]",
    "up[5m:1m]": "a range in [ ]",
    "(up)": "an expression in ( )",
    "42": "a constant",
    "up offset 5m": "offset",
    "up @ 1700000000": "@",
}


@pytest.mark.parametrize(("query", "name"), FOREIGN.items())
async def test_anything_but_a_selector_is_refused_by_its_name(query: str, name: str) -> None:
    with pytest.raises(SourceRefused) as refused:
        await ask(InMemorySource([]), query, {}, window(60), STEP)
    only = 'only selectors such as name{label="value"}'
    assert str(refused.value) == f"{name} is not something a recording can answer; {only}"


@pytest.mark.parametrize("query", ["up{", "", 'up{a=~"("}'])
async def test_what_is_not_promql_is_refused(query: str) -> None:
    with pytest.raises(SourceRefused) as refused:
        await ask(InMemorySource([]), query, {}, window(60), STEP)
    assert refused.value.reason == "bad_query"


SELECTED = {
    "up": ["a", "ab", "none"],
    '{__name__="up"}': ["a", "ab", "none"],
    'up{service="a"}': ["a"],
    'up{service!="a"}': ["ab", "none"],
    'up{service=~"a"}': ["a"],
    'up{service=~"a.*"}': ["a", "ab"],
    'up{service!~"a.*"}': ["none"],
    'up{service=""}': ["none"],
    'up{service!="",service!="ab"}': ["a"],
    'up{absent="x"}': [],
}


@pytest.mark.parametrize(("query", "selected"), SELECTED.items())
async def test_the_four_matchers_select_as_prometheus_does(query: str, selected: list[str]) -> None:
    tape = InMemorySource(
        [series("up", [1], service="ab"), series("up", [1], service="a"), series("up", [1]), series("upp", [1])]
    )
    found = await ask(tape, query, {}, window(0), STEP)
    assert sorted(each.labels.get("service", "none") for each in found) == sorted(selected)


async def test_a_sample_counts_until_it_is_a_step_old() -> None:
    at = np.array([0.0, 30, 60, 100, 180, 299, 360])
    tape = InMemorySource([Series(metric="up", labels={}, times=START + at, values=np.append(at[:-1], np.nan))])
    (found,) = await ask(tape, "up", {}, window(360), STEP)
    np.testing.assert_array_equal(found.values, [0, 60, 100, 180, np.nan, 299, np.nan])
    assert found.times.tolist() == [START + 60 * point for point in range(7)]


async def test_what_was_recorded_in_longer_steps_is_held_for_its_own_spacing_and_no_longer() -> None:
    values = np.arange(12.0)
    values[[4, 5]] = np.nan
    recorded = series("up", values.tolist(), every=300)
    there = ~np.isnan(recorded.values)
    tape = InMemorySource([replace(recorded, times=recorded.times[there], values=recorded.values[there])])
    (found,) = await ask(tape, "up", {}, window(11 * 300), STEP)
    np.testing.assert_array_equal(found.values, np.repeat(values, 5)[:56])


async def test_many_queries_are_asked_in_one_call_and_each_series_is_held_for_its_own_spacing() -> None:
    tape = InMemorySource([series("fast", [0, 1, 2, 3], every=60), series("slow", [0, 1], every=180)])
    assert tape.queries_per_call > 1
    asked = [tape.prepare(name).bind({}) for name in ("fast", "slow", "fast")]
    found = await tape.fetch(asked, window(180), STEP)
    values = [each.values.tolist() for answer in found if isinstance(answer, list) for each in answer]
    assert values == [[0, 1, 2, 3], [0, 0, 0, 1], [0, 1, 2, 3]]


async def test_a_series_of_nothing_but_gaps_is_left_out() -> None:
    tape = InMemorySource([series("up", [np.nan, np.nan]), series("up", [1, 2], service="a")])
    assert [each.labels for each in await ask(tape, "up", {}, window(60), STEP)] == [{"service": "a"}]


times = st.lists(st.integers(0, 600), min_size=1, max_size=40, unique=True).map(sorted)


@given(seconds=times, start=st.integers(-50, 50), length=st.integers(60, 700), step=st.sampled_from([1, 7, 60]))
async def test_every_answer_lies_on_the_grid_and_each_value_was_recorded_just_before(
    seconds: list[int], start: int, length: int, step: int
) -> None:
    recorded: Floats = START + np.array(seconds, dtype=np.float64)
    tape = InMemorySource([Series(metric="up", labels={}, times=recorded, values=recorded)])
    asked = Window(
        start=datetime.fromtimestamp(START + start, UTC), end=datetime.fromtimestamp(START + start + length, UTC)
    )
    for answer in await ask(tape, "up", {}, asked, timedelta(seconds=step)):
        assert (answer.times % step == 0).all()
        assert answer.times[0] >= asked.start.timestamp()
        assert answer.times[-1] <= asked.end.timestamp() < answer.times[-1] + step
        for time, value in zip(answer.times, answer.values, strict=True):
            before = recorded[recorded <= time]
            assert np.isnan(value) or value == before[-1]
            assert not np.isnan(value) or not len(before) or time - before[-1] >= step


def large(folder: Path, last: str) -> Recording:
    """One whose files are larger than what is read in the same process."""
    rows = (f"{START + 60 * place},up,cart,{place}.{'0' * 1000}\n" for place in range(33_000))
    return write(folder, f"timestamp,metric,service,value\n{''.join(rows)}{last}")


async def test_a_large_recording_is_read_by_another_process_and_says_the_same(tmp_path: Path) -> None:
    recording = large(tmp_path, f"{START + 60},up,cart,7\n")
    assert await values_of(recording, "up", 240) == {"cart": [0, 7, 2, 3, 4]}
    (found,) = recording.read()
    assert (found.metric, found.labels, found.times.size) == ("up", {"service": "cart"}, 33_000)
    assert not found.times.flags.writeable


async def test_a_fault_of_a_large_recording_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match=r"shop.csv: line 33002, column value: 'x' is not a number") as refused:
        await values_of(large(tmp_path, f"{START},up,cart,x\n"), "up")
    assert refused.value.reason == "bad_recording"
