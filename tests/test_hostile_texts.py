"""Texts that make a careless pattern take a time that grows with the square of their length: none of ours does."""

import pytest

from afdp_exporter.feeds.git import _COUNTS
from afdp_exporter.feeds.grafana import _MARKUP
from afdp_exporter.tracking.annotations import _PAIR
from afdp_exporter.versions import version_of

LONG = 1_000_000


def test_digits_without_end_are_no_version() -> None:
    assert version_of("1" * LONG, None) == "1" * LONG
    assert version_of("1" * LONG + ".1", "f" * 40) == "1" * LONG + ".1"


def test_digits_without_end_count_nothing() -> None:
    assert _COUNTS.findall("1" * LONG + " 2 files") == [("2", "file")]


def test_brackets_without_end_are_text() -> None:
    assert _MARKUP.sub("", "<" * LONG + "b>bold</b>") == "<" * (LONG - 1) + "bold"


@pytest.mark.parametrize(
    ("tag", "pair"), [("version: 1.2 ", ("version", "1.2")), ("a=" + "b " * 9 + "c", ("a", "b " * 9 + "c"))]
)
def test_a_tag_is_a_pair_without_the_space_around_it(tag: str, pair: tuple[str, str]) -> None:
    found = _PAIR.fullmatch(tag)
    assert found is not None
    assert found.groups() == pair


def test_space_without_end_within_a_tag_is_part_of_it() -> None:
    found = _PAIR.fullmatch("a=y" + " " * LONG + "x")
    assert found is not None
    assert len(found[2]) == LONG + 2
