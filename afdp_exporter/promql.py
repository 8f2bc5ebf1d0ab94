"""Puts a deployment's own words into a query, so that no value can ever change what the query asks."""

import re
from collections.abc import Mapping
from datetime import timedelta

import promql_parser

from afdp_exporter.errors import SourceRefused
from afdp_exporter.model import Deployment

_TOKEN = re.compile(
    r"""(?P<regex>[=!]~\s*)?(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|(?P<bare>\$[a-zA-Z_]\w*)|(?P<comment>\#[^\n]*)""",
    re.DOTALL,
)
_VARIABLE = re.compile(r"\$([a-zA-Z_]\w*)")
_IDENTIFIER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RATES = frozenset({"rate", "irate", "increase"})
_REGEX_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")


def variables(deployment: Deployment) -> dict[str, str]:
    """The values that `$service`, `$environment`, `$version` and `$label_NAME` stand for."""
    known = {"service": deployment.service, "environment": deployment.environment}
    if deployment.version is not None:
        known["version"] = deployment.version
    return known | {f"label_{name}": value for name, value in deployment.labels.items()}


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


def check(query: str) -> None:
    """Raise SourceRefused unless the query, its variables filled with a placeholder, is PromQL."""
    names = {match[1] for match in _VARIABLE.finditer(query)}
    try:
        promql_parser.parse(substitute(query, dict.fromkeys(names, "x")))
    except ValueError as error:
        raise SourceRefused("bad_query", f"this is not PromQL: {error}") from None


def rate_window(query: str) -> timedelta | None:
    """Over how long the query takes the rate of counters; the longest, None where its value follows no such rate.

    A ratio of rates and a quantile over them do not fall with the counters of instances that are replaced.
    """
    names = {match[1] for match in _VARIABLE.finditer(query)}
    try:
        return _rate_window(promql_parser.parse(substitute(query, dict.fromkeys(names, "x"))))
    except (ValueError, SourceRefused):
        return None


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
        case _:
            return None
    return max((found for part in parts if (found := _rate_window(part))), default=None)


def unknown_variables(query: str) -> list[str]:
    """The variables of a query that no deployment can ever fill, such as a misspelt one."""
    known = {"service", "environment", "version"}
    names = {match[1] for match in _VARIABLE.finditer(query)}
    return sorted(name for name in names if name not in known and not re.fullmatch(r"label_\w+", name))


def _fill(literal: str, values: Mapping[str, str], *, regex: bool) -> str:
    if not _VARIABLE.search(literal):
        return literal
    quote, inside = literal[0], literal[1:-1]
    if quote == "`":  # raw strings know no escapes: write the literal anew with ordinary quotes
        quote, inside = '"', _quote(inside, '"')

    def value(match: re.Match[str]) -> str:
        text = _value(match[1], values)
        return _quote(_REGEX_SPECIAL.sub(r"\\\1", text) if regex else text, quote)

    return quote + _VARIABLE.sub(value, inside) + quote


def _identifier(name: str, values: Mapping[str, str]) -> str:
    text = _value(name, values)
    if not _IDENTIFIER.fullmatch(text):
        raise SourceRefused("bad_value", f"${name} stands outside of quotes and its value {text!r} is no plain name")
    return text


def _value(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise SourceRefused("missing_value", f"the query needs ${name}, which this deployment does not tell")
    return values[name]


def _quote(text: str, quote: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return "".join(char if char.isprintable() else _unicode_escape(char) for char in escaped)


def _unicode_escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
