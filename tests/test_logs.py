"""Log lines: whatever is in them, each is one line."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

import pytest
import structlog
from aiohttp.http_exceptions import BadStatusLine
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter import logs


@contextmanager
def logging_to(form: str, level: str = "info") -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, before = root.handlers[:], root.level
    with redirect_stderr(io.StringIO()) as stderr:
        logs.set_up(level, form)
        yield stderr
    structlog.reset_defaults()
    root.handlers, root.level = handlers, before


@given(value=st.text(st.characters()), form=st.sampled_from(logs.FORMATS))
def test_no_value_can_end_its_line_or_colour_it(value: str, form: str) -> None:
    with logging_to(form) as stderr:
        structlog.get_logger().info("refused", path=value)
        logging.getLogger("some.library").warning("said %s", value)
    written = stderr.getvalue()
    written.encode()
    assert len(written.splitlines()) == 2
    assert all(char.isprintable() or char == "\n" for char in written)


def test_json_lines_hold_the_value_as_it_is() -> None:
    with logging_to("json") as stderr:
        structlog.get_logger().warning("refused", path="a\nb", count=3)
    line = json.loads(stderr.getvalue())
    assert (line["level"], line["msg"], line["path"], line["count"]) == ("warning", "refused", "a\nb", 3)


def test_a_level_hides_what_is_below_it() -> None:
    with logging_to("logfmt", "warn") as stderr:
        structlog.get_logger().info("hidden")
        structlog.get_logger().warning("shown")
    assert "hidden" not in stderr.getvalue()
    assert "shown" in stderr.getvalue()


@pytest.mark.parametrize(("error", "traced"), [(BadStatusLine("x"), False), (ValueError("x"), True)])
def test_only_our_own_faults_leave_a_traceback(error: Exception, traced: bool) -> None:
    with logging_to("logfmt") as stderr:
        logging.getLogger("aiohttp.server").error("Error handling request", exc_info=error)
    assert len(stderr.getvalue().splitlines()) == 1
    assert (type(error).__name__ in stderr.getvalue()) is traced
