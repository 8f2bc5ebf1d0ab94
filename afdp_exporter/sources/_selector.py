"""Plain PromQL selectors, `name{label="value"}`, for sources that hold series and know no functions."""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import promql_parser
from promql_parser import MatchOp, VectorSelector

from afdp_exporter.errors import SourceRefused

Selector: TypeAlias = Callable[[Mapping[str, str]], bool]
"""Whether a series is selected, by its labels; its name is the label `__name__`."""


def selector(query: str) -> tuple[str | None, Selector]:
    """Read a selector with its four matchers (`=`, `!=`, `=~`, `!~`; an absent label is an empty one, as in PromQL).

    The name in front of the braces comes along, where there is one: nothing else is selected then.

    Raises SourceRefused for what is not PromQL, and for everything else, by its name.
    """
    try:
        parsed = promql_parser.parse(query)
    except ValueError as error:
        raise SourceRefused("bad_query", f"this is not PromQL: {error}") from None
    if not isinstance(parsed, VectorSelector):
        raise _foreign(_called(parsed))
    modifiers = {"offset": parsed.offset, "@": parsed.at, "or between labels": parsed.matchers.or_matchers}
    for name, used in modifiers.items():
        if used:
            raise _foreign(name)
    matchers = [_matcher(each.name, each.op, each.value) for each in parsed.matchers.matchers]
    if parsed.name is not None:
        matchers.append(_matcher("__name__", MatchOp.Equal, parsed.name))
    return parsed.name, lambda labels: all(matches(labels) for matches in matchers)


def _foreign(name: str) -> SourceRefused:
    only = 'only selectors such as name{label="value"}'
    return SourceRefused("bad_query", f"{name} is not something a recording can answer; {only}")


def _called(parsed: object) -> str:
    """What people call this kind of expression."""
    match parsed:
        case promql_parser.Call():
            return f"{parsed.func.name}()"
        case promql_parser.AggregateExpr():
            return f"{parsed.op}()"
        case promql_parser.BinaryExpr():
            return f"the operator {parsed.op}"
        case promql_parser.MatrixSelector() | promql_parser.SubqueryExpr():
            return "a range in [ ]"
    return {"UnaryExpr": "the operator -", "ParenExpr": "an expression in ( )"}.get(type(parsed).__name__, "a constant")


def _matcher(name: str, op: MatchOp, value: str) -> Selector:
    if op in (MatchOp.Equal, MatchOp.NotEqual):
        return lambda labels: (labels.get(name, "") == value) is (op == MatchOp.Equal)
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise SourceRefused("bad_query", f"{value!r} is no regular expression: {error}") from None
    return lambda labels: (pattern.fullmatch(labels.get(name, "")) is not None) is (op == MatchOp.Re)
