"""Durations, secrets, and errors that name their place."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from afdp_exporter.errors import ConfigError
from afdp_exporter.model import Metric
from afdp_exporter.settings import build, parse, parse_duration, read_secret


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("7d", 604_800), ("250ms", 0.25), ("1w2d", 777_600), ("1m500ms", 60.5)],
)
def test_durations_are_read_as_prometheus_writes_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5m1h", "1.5h", "5M", None, 300, True, "9" * 30 + "y"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_every_combination_of_units_adds_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}d{hours}h{minutes}m{seconds}s"
    assert parse_duration(text) == timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def test_a_secret_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    assert read_secret(None, file) == "old"
    file.write_text("new\n")
    assert read_secret(SecretStr("ignored"), file) == "new"


def test_an_unknown_key_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"^metrics\[3\]\.worze: unknown key; known: name, layer, query, worse"):
        parse(Metric, {"name": "a", "layer": "user", "query": "a", "worze": "up"}, "metrics[3]")


def test_a_wrong_value_is_named_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match=r"^m\.layer: ") as caught:
        parse(Metric, {"name": "a", "layer": "s3cret", "query": "a"}, "m")
    assert "s3cret" not in str(caught.value)


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"^sources\[0\]\.kind: unknown kind 'graphite'; known: "):
        build("sources", "graphite", {}, "sources[0]")
