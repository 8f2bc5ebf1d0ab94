"""Logs on stderr, one event a line, in logfmt or JSON; no value can break out of its line."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import Processor, WrappedLogger

FORMATS = ("logfmt", "json")
LEVELS = ("debug", "info", "warn", "error")


def set_up(level: str, form: str) -> None:
    """Send every log line of this process, also those of libraries, to stderr. Call it once, before anything logs."""
    sys.warnoptions.append("ignore:resource_tracker")  # a process of Python's own would write it on our stderr its way
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
    ]
    renderer: Processor = structlog.processors.JSONRenderer(default=str)  # JSON escapes by itself
    if form == "logfmt":
        shared.append(_escape)
        renderer = structlog.processors.LogfmtRenderer(key_order=["ts", "level", "msg"], drop_missing=True)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_number(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_without_traceback)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(_number(level), logging.WARNING), force=True)


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _without_traceback(record: logging.LogRecord) -> bool:
    """A request that is no HTTP is the client's fault: one line says so."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.exc_info = None
    return True


def _escape(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if value is not None and not isinstance(value, int | float):
            text = str(value)
            event[key] = text if text.isprintable() else "".join(map(_printable, text))
    return event


def _printable(char: str) -> str:
    known = char.isprintable() or char == "\n"  # which the renderer escapes by itself
    return char if known else char.encode("unicode_escape").decode()
