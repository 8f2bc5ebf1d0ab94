"""What every source promises, held against each: same data in, same series out."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from afdp_exporter.errors import SourceRefused
from afdp_exporter.model import Floats, Series, Window
from afdp_exporter.settings import build, kinds
from afdp_exporter.sources import Source, ask

STEP = timedelta(seconds=60)
# The data end an hour or two ago, and never at midnight: VictoriaMetrics looks for the sample of that very instant in
# the day before alone.
END = time.time() // 3600 * 3600 - 5400.0

Holder: TypeAlias = Callable[[list[Series]], Source]
"""Makes a source hold series, and gives it."""


def _recording(request: pytest.FixtureRequest, series: list[Series]) -> Source:
    folder: Path = request.getfixturevalue("tmp_path")
    names = sorted({name for each in series for name in each.labels})
    with (folder / "all.csv").open("w", encoding="utf-8") as file:
        file.write(",".join(["timestamp", "metric", *names, "value"]) + "\n")
        for each in series:
            labels = [f'"{each.labels.get(name, "").replace(chr(34), chr(34) * 2)}"' for name in names]
            for at, value in zip(each.times.tolist(), each.values.tolist(), strict=True):
                file.write(",".join([repr(at), each.metric, *labels, repr(value)]) + "\n")
    return build("sources", "recording", {"path": str(folder)}, "")


def _prometheus(request: pytest.FixtureRequest, series: list[Series]) -> Source:
    server = request.getfixturevalue("prometheus")
    server.remote_write(series)
    return build("sources", "prometheus", {"url": server.url}, "")


def _victoria_metrics(request: pytest.FixtureRequest, series: list[Series]) -> Source:
    server = request.getfixturevalue("victoria_metrics")
    server.remote_write(series)
    return build("sources", "prometheus", {"url": f"{server.url}/"}, "")


HOLDERS = {
    "recording": _recording,
    "prometheus": _prometheus,
    "prometheus of VictoriaMetrics": _victoria_metrics,
}


def test_every_kind_is_held_to_the_contract() -> None:
    assert {name.split()[0] for name in HOLDERS} == set(kinds("sources"))


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.real] if name != "recording" else []) for name in HOLDERS]
)
def hold(request: pytest.FixtureRequest) -> Holder:
    return lambda series: HOLDERS[request.param](request, series)


_numbers = count()


@pytest.fixture
def name() -> str:
    """A metric's name that no other test uses: the servers are shared."""
    return f"contract_{next(_numbers)}"


def points(number: int, every: float = 60) -> Floats:
    return END - every * np.arange(number, dtype=np.float64)[::-1]


def window(number: int, *, early: float = 0, late: float = 0) -> Window:
    """From the first of so many minutes to the last."""
    first, last = END - 60 * (number - 1) - early, END + late
    return Window(start=datetime.fromtimestamp(first, UTC), end=datetime.fromtimestamp(last, UTC))


def series(name: str, values: list[float] | Floats, **labels: str) -> Series:
    return Series(metric=name, labels=labels, times=points(len(values)), values=np.asarray(values, dtype=np.float64))


async def test_what_was_recorded_comes_back(hold: Holder, name: str) -> None:
    values = [0.3, -0.0125, 1234.5, 0.0, 3.14159, -7.0, 65536.0, np.inf]  # VictoriaMetrics rounds wider ranges
    source = hold([series(name, values, service="cart")])
    (found,) = await ask(source, name, {}, window(8), STEP)
    assert (found.metric, dict(found.labels), found.warnings) == (name, {"service": "cart"}, ())
    assert found.values.tolist() == values
    assert found.times.tolist() == points(8).tolist()
    assert not found.values.flags.writeable
    assert not found.times.flags.writeable


async def test_series_are_told_apart_by_labels_of_any_characters(hold: Holder, name: str) -> None:
    labels = ["plain", "é\U0001f600", "a,b", 'a"b', "a'b", "a\\b", "a\nb", "{}", "NA", " "]
    source = hold([series(name, [index], service=label) for index, label in enumerate(labels)])
    found = await ask(source, name, {}, window(1), STEP)
    assert {each.labels["service"]: each.values[0] for each in found} == dict(zip(labels, range(10), strict=True))


SELECTED = {
    '="a"': ["a"],
    '!="a"': ["ab", "b", "none"],
    '=~"a.*"': ["a", "ab"],
    '!~"a|b"': ["ab", "none"],
    '=""': ["none"],
    '=~".*"': ["a", "ab", "b", "none"],
}


@pytest.mark.parametrize(("matcher", "selected"), SELECTED.items())
async def test_a_selector_selects_the_same_everywhere(
    hold: Holder, name: str, matcher: str, selected: list[str]
) -> None:
    source = hold([*(series(name, [1], service=value) for value in ("a", "b", "ab")), series(name, [1])])
    found = await ask(source, f"{name}{{service{matcher}}}", {}, window(1), STEP)
    assert sorted(each.labels.get("service", "none") for each in found) == selected


async def test_a_long_gap_stays_a_gap(hold: Holder, name: str) -> None:
    values = np.arange(90.0)
    values[30:60] = np.nan
    source = hold([series(name, values)])
    (found,) = await ask(source, name, {}, window(90), STEP)
    recorded = ~np.isnan(values)
    assert found.values[recorded].tolist() == values[recorded].tolist()
    assert np.isnan(found.values[40:60]).all()  # from ten minutes on; servers may fill up to five


async def test_a_series_that_ends_early_or_starts_late_has_gaps_there(hold: Holder, name: str) -> None:
    early, late = series(name, np.full(90, np.nan), at="early"), series(name, np.full(90, np.nan), at="late")
    early.values[:30], late.values[60:] = 1, 2
    source = hold([early, late])
    first, second = await ask(source, name, {}, window(90), STEP)
    assert (first.labels["at"], second.labels["at"]) == ("early", "late")
    assert np.isnan(first.values[40:]).all()
    assert np.isnan(second.values[:60]).all()
    assert (first.times == second.times).all()


async def test_a_window_is_answered_on_the_multiples_of_the_step_inside_it(hold: Holder, name: str) -> None:
    source = hold([series(name, np.arange(120.0))])
    (found,) = await ask(source, name, {}, window(100, early=17, late=31), STEP)
    assert found.times.tolist() == points(100).tolist()
    assert found.values.tolist() == list(range(20, 120))
    (coarse,) = await ask(source, name, {}, window(101, late=31), timedelta(minutes=5))
    assert (coarse.times % 300 == 0).all()
    assert coarse.values.tolist() == [119 - (END - at) / 60 for at in coarse.times]


async def test_a_range_beyond_what_a_server_gives_at_once_comes_in_one_piece(hold: Holder, name: str) -> None:
    values = np.arange(23_456.0)
    source = hold([series(name, values)])
    (found,) = await ask(source, name, {}, window(23_456), STEP)
    assert (found.values == values).all()


async def test_what_is_not_there_is_an_empty_list(hold: Holder, name: str) -> None:
    source = hold([series(name, [1], service="a")])
    assert await ask(source, f"{name}_absent", {}, window(10), STEP) == []
    assert await ask(source, f'{name}{{service="b"}}', {}, window(10), STEP) == []
    long_ago = Window(start=datetime.fromtimestamp(END - 90_000, UTC), end=datetime.fromtimestamp(END - 86_400, UTC))
    assert await ask(source, name, {}, long_ago, STEP) == []


async def test_what_is_not_promql_is_refused(hold: Holder, name: str) -> None:
    with pytest.raises(SourceRefused):
        await ask(hold([series(name, [1])]), f"{name}{{", {}, window(10), STEP)


@pytest.mark.parametrize("step", [timedelta(0), timedelta(seconds=-60), timedelta(milliseconds=1500)])
async def test_a_step_that_is_no_whole_number_of_seconds_is_refused(hold: Holder, name: str, step: timedelta) -> None:
    with pytest.raises(SourceRefused, match="whole number of seconds"):
        await ask(hold([series(name, [1])]), name, {}, window(10), step)


async def test_a_window_without_a_point_of_the_grid_is_refused_and_never_empty(hold: Holder, name: str) -> None:
    between = Window(start=datetime.fromtimestamp(END + 1, UTC), end=datetime.fromtimestamp(END + 59, UTC))
    with pytest.raises(SourceRefused, match="no multiple of 60 s"):
        await ask(hold([series(name, [1])]), name, {}, between, STEP)
