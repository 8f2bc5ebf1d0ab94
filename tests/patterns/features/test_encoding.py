"""Features as columns: what is unknown is neutral, what is rare gets no column, nothing is invented."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.patterns.features.encoding import BELONGING, LEAST, LEVELS, learn_columns, part_of_day, signed_log

VALUES = st.one_of(
    st.booleans(),
    st.floats(-1e9, 1e9),
    st.sampled_from(["a", "b", "c"]),
    st.frozensets(st.sampled_from(["code", "database"])),
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["x", "y", "hour", "change_types", "team"]), VALUES), max_size=25)


@given(rows=ROWS)
def test_any_rows_give_finite_columns_whose_means_are_zero(rows: list[dict[str, object]]) -> None:
    rows = [{name: value for name, value in row.items() if name != "hour" or isinstance(value, float)} for row in rows]
    encoder = learn_columns(rows)
    table = encoder.encode(rows)
    assert table.shape == (len(rows), len(encoder.groups))
    assert np.isfinite(table).all()
    if rows:
        assert np.abs(table[:, : len(encoder.columns)].mean(axis=0)).max(initial=0.0) < 1e-9


@given(rows=ROWS)
def test_teams_and_what_is_left_out_get_no_column(rows: list[dict[str, object]]) -> None:
    rows = [{name: value for name, value in row.items() if name != "hour"} for row in rows]
    traits = {column.trait for column in learn_columns(rows, without=frozenset({"x"})).columns}
    assert not traits & (BELONGING | {"x"})


def test_a_level_gets_a_column_once_it_is_had_often_enough() -> None:
    rows = [{"region": "west"}] * LEAST + [{"region": "south"}] * (LEAST - 1) + [{"region": "north"}] * 10
    levels = {column.level for column in learn_columns(rows).columns if column.trait == "region"}
    assert levels == {"west", "north"}


def test_only_the_most_frequent_levels_get_columns() -> None:
    rows = [{"host": f"h{number}"} for number in range(30) for _ in range(LEAST + number)]
    levels = {column.level for column in learn_columns(rows).columns}
    assert levels == {f"h{number}" for number in range(30 - LEVELS, 30)}


def test_an_unknown_number_sits_at_the_mean() -> None:
    rows = [{"lines": float(number)} for number in (1, 10, 100, 1000)] + [{}, {}]
    encoder = learn_columns(rows)
    linear = [place for place, column in enumerate(encoder.columns) if column.kind == "linear"]
    assert encoder.encode([{}])[0, linear] == pytest.approx(0.0, abs=1e-9)


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_the_signed_log_keeps_order_and_sign(one: float, other: float) -> None:
    assert signed_log(-one) == -signed_log(one)
    if one < other:
        assert signed_log(one) <= signed_log(other)


@pytest.mark.parametrize(("hour", "part"), [(0.0, "night"), (7.9, "early"), (8.0, "morning"), (23.99, "evening")])
def test_the_day_has_six_parts(hour: float, part: str) -> None:
    assert part_of_day(hour) == part
