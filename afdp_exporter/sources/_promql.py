"""PromQL: a query, checked; the values of a deployment put into it so that none can change what it asks."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import promql_parser

from afdp_exporter.errors import SourceRefused
from afdp_exporter.sources import RepeatsNothing
from afdp_exporter.sources._variables import NUMBERS, VARIABLE, check
from afdp_exporter.sources._variables import value as value_of

_TOKEN = re.compile(
    r"""(?P<regex>[=!]~\s*)?(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|(?P<bare>\$[a-zA-Z_]\w*)|(?P<comment>\#[^\n]*)""",
    re.DOTALL,
)
_ELSEWHEN = re.compile(r"(?: offset -?\w+| @ \S+)+$")
_RATES = frozenset({"rate", "irate", "increase"})
_OVER_A_RANGE = (promql_parser.MatrixSelector, promql_parser.SubqueryExpr)
_MEANS = frozenset(
    {"rate", "increase", "delta", "avg_over_time", "sum_over_time", "count_over_time", "changes", "resets", "deriv"}
)  # each value of a window counts; `irate` takes the last two, a maximum is there at once
_RECORDED = re.compile(r":(?:\w+_)?(?P<operation>[a-z]+)(?P<window>(?:[0-9]+(?:ms|[smhdwy]))+)")
"""The end of a recording rule's name by Prometheus' convention, level:metric:operations: `job:requests:rate5m`."""
_RECORDED_MEANS = frozenset({"rate", "increase", "delta", "deriv", "changes", "resets", "mean", "avg", "sum", "count"})
_OF_A_RATIO = re.compile(r"_per_|ratio|quantile")
_IDENTIFIER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?(e-?[0-9]+)?")
_REGEX_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """Text that is ready to be sent."""

    text: str

    @property
    def ranges(self) -> tuple[tuple[str, timedelta], ...]:
        """As `Bound.ranges`."""
        found: dict[tuple[str, timedelta], None] = {}

        def visit(expression: promql_parser.Expr) -> bool:
            if isinstance(expression, promql_parser.MatrixSelector):
                selector = _ELSEWHEN.sub("", expression.vector_selector.prettify())
                found[selector, expression.range] = None
            return True

        promql_parser.walk(promql_parser.parse(self.text), visit)
        return tuple(found)


@dataclass(frozen=True)
class PromQL:
    """A query in PromQL that was checked; as `sources.Query`."""

    text: str

    @cached_property
    def variables(self) -> frozenset[str]:
        """As `Query.variables`."""
        return frozenset(match[1] for match in VARIABLE.finditer(self.text))

    @cached_property
    def rate_window(self) -> timedelta | None:
        """The longest window of `rate`, `irate` and `increase` that the value follows.

        A ratio of rates and a quantile over them do not fall with the counters of instances that are replaced. That of
        a recording rule stands at the end of its name.
        """
        return _rate_window(promql_parser.parse(filled(self.text)))

    @cached_property
    def averages_over(self) -> timedelta | None:
        """The longest window over which a part of the value is a rate, a sum or a mean."""
        return _averages_over(promql_parser.parse(filled(self.text)))

    def bind(self, values: Mapping[str, str]) -> BoundQuery:
        """As `Query.bind`: inside a string a value is escaped, outside of strings it has to be a plain name."""
        return BoundQuery(substitute(self.text, values))


class SpeaksPromQL(RepeatsNothing):
    """What all sources have in common that are asked in PromQL, one query a call."""

    queries_per_call: ClassVar[int] = 1
    settles_after: timedelta = timedelta(0)

    def prepare(self, query: str | Mapping[str, Any]) -> PromQL:
        """As `Source.prepare`."""
        if not isinstance(query, str):
            raise SourceRefused("bad_query", "a query in PromQL is a text")
        return prepared(query)

    async def reach(self) -> None:
        """As `Source.reach`: what is at hand always answers."""


def selectors(query: str) -> tuple[str, ...]:
    """The selectors of raw samples of a query without variables, each once; those of another time are left out."""
    found: dict[str, None] = {}

    def visit(expression: promql_parser.Expr) -> bool:
        if isinstance(expression, promql_parser.MatrixSelector):
            expression = expression.vector_selector
        if isinstance(expression, promql_parser.VectorSelector):
            text = expression.prettify()
            if not _ELSEWHEN.search(text):
                found[text] = None
        return True

    promql_parser.walk(promql_parser.parse(query), visit)
    return tuple(found)


def metric_names(query: str) -> tuple[str | None, ...]:
    """The metrics that a query without variables asks for, each once; None for a selector that names none."""
    found: dict[str | None, None] = {}

    def visit(expression: promql_parser.Expr) -> bool:
        if isinstance(expression, promql_parser.MatrixSelector):
            expression = expression.vector_selector
        if isinstance(expression, promql_parser.VectorSelector):
            equal = (each for each in expression.matchers.matchers if each.op == promql_parser.MatchOp.Equal)
            found[expression.name or next((each.value for each in equal if each.name == "__name__"), None)] = None
        return True

    promql_parser.walk(promql_parser.parse(query), visit)
    return tuple(found)


@lru_cache(maxsize=1024)
def prepared(query: str) -> PromQL:
    """The query, checked. Raises SourceRefused for what is not PromQL, and for a variable that nothing can fill."""
    found = PromQL(query)
    check(found.variables)
    try:
        promql_parser.parse(filled(query))
    except ValueError as error:
        raise SourceRefused("bad_query", f"this is not PromQL: {error}") from None
    return found


def filled(query: str) -> str:
    """The query with a placeholder for each variable."""
    names = {match[1] for match in VARIABLE.finditer(query)}
    return substitute(query, {name: "0.5" if name in NUMBERS else "x" for name in names})


def substitute(query: str, values: Mapping[str, str]) -> str:
    """The query with each variable replaced by its escaped value.

    Inside a string a value is quoted, behind `=~` it also loses its meaning as a regular expression; outside of
    strings only an identifier may stand. Raises SourceRefused when a value is missing or cannot stand there.
    """

    def place(match: re.Match[str]) -> str:
        if match["string"]:
            inside = _fill(match["string"], values, regex=bool(match["regex"]))
            return (match["regex"] or "") + inside
        if match["bare"]:
            return _identifier(match["bare"][1:], values)
        return match[0]

    return _TOKEN.sub(place, query)


def _rate_window(expression: promql_parser.Expr) -> timedelta | None:
    match expression:
        case promql_parser.Call(func=function, args=arguments):
            ranges = [each.range for each in arguments if isinstance(each, promql_parser.MatrixSelector)]
            if function.name in _RATES:
                return max(ranges, default=None)
            if function.name.startswith("histogram_"):
                return None
            parts = list(arguments)
        case promql_parser.BinaryExpr(lhs=left, rhs=right, op=operator):
            parts = [left, right]
            if str(operator) == "/" and all(_rate_window(part) for part in parts):
                return None
        case promql_parser.AggregateExpr() | promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            parts = [expression.expr]
        case promql_parser.VectorSelector(name=str(name)) if not _OF_A_RATIO.search(name):
            return _recorded(name, _RATES)
        case _:
            return None
    return max((found for part in parts if (found := _rate_window(part))), default=None)


def _averages_over(expression: promql_parser.Expr) -> timedelta | None:
    match expression:
        case promql_parser.Call(func=function, args=arguments):
            taken = [each.range for each in arguments if isinstance(each, _OVER_A_RANGE) and each.range is not None]
            inside = max(filter(None, map(_averages_over, arguments)), default=None)
            return max(taken) + (inside or timedelta(0)) if taken and function.name in _MEANS else inside
        case promql_parser.BinaryExpr(lhs=left, rhs=right):
            parts = [left, right]
        case (
            promql_parser.AggregateExpr()
            | promql_parser.ParenExpr()
            | promql_parser.UnaryExpr()
            | promql_parser.SubqueryExpr()
        ):
            parts = [expression.expr]
        case promql_parser.MatrixSelector():
            parts = [expression.vector_selector]
        case promql_parser.VectorSelector(name=str(name)):
            return _recorded(name, _RECORDED_MEANS)
        case _:
            return None
    return max(filter(None, map(_averages_over, parts)), default=None)


def _recorded(name: str, operations: Collection[str]) -> timedelta | None:
    """The window at the end of a recording rule's name, behind one of these operations."""
    found = _RECORDED.fullmatch(name, max(name.rfind(":"), 0))
    return promql_parser.parse_duration(found["window"]) if found and found["operation"] in operations else None


def _fill(literal: str, values: Mapping[str, str], *, regex: bool) -> str:
    if not VARIABLE.search(literal):
        return literal
    quote, inside = literal[0], literal[1:-1]
    if quote == "`":  # raw strings know no escapes: write the literal anew with ordinary quotes
        quote, inside = '"', _quote(inside, '"')

    def value(match: re.Match[str]) -> str:
        text = value_of(match[1], values)
        return _quote(_REGEX_SPECIAL.sub(r"\\\1", text) if regex else text, quote)

    return quote + VARIABLE.sub(value, inside) + quote


def _identifier(name: str, values: Mapping[str, str]) -> str:
    text = value_of(name, values)
    if not (_NUMBER if name in NUMBERS else _IDENTIFIER).fullmatch(text):
        raise SourceRefused("bad_value", f"${name} stands outside of quotes and its value {text!r} is no plain name")
    return text


def _quote(text: str, quote: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return "".join(char if _is_plain(char) else _unicode_escape(char) for char in escaped)


def _is_plain(char: str) -> bool:
    """Whether a character may stand for itself; the one for what cannot be decoded is refused by Prometheus' parser."""
    return char.isprintable() and char != "\ufffd"


def _unicode_escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
