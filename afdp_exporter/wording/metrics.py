"""Values and changes of metrics in text, and names that are not known."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from math import floor, isfinite, log10

from afdp_exporter.model import Estimate
from afdp_exporter.wording.numbers import CURRENCIES, SYMBOLS, Unit, format_estimate, format_up_to, money_unit, rounded

_SHOWN = 10


def unknown_service(name: str, known: Iterable[str]) -> str:
    """That a service is not known, which ones are, and which of them was probably meant."""
    names = sorted(known)
    by_key = {each.casefold(): each for each in names}
    near = get_close_matches(name.casefold(), by_key, n=1, cutoff=0.6)
    meant = f"; did you mean {by_key[near[0]]}?" if near else "."
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"The service {name} is not known{meant} Known: {', '.join(names[:_SHOWN])}{more}."


_MONEY = re.compile(r"_([a-z]{3})(_per_hour)?(_total)?$")
_SUFFIX = re.compile(
    r"_(seconds|milliseconds|microseconds|ratio|percent|bytes|bytes_per_second|per_second|per_minute|per_hour|"
    r"celsius|total|count)$"
)
_SMALL_COUNT = 50  # below this level a count is written as it is, above as a share of the level


def display_name(metric: str) -> str:
    """A metric's name in words, without its unit: `request latency p95` for `request_latency_p95_seconds`.

    A ratio keeps the word: its change is in points, and `error ratio` is not `error`.
    """
    priced = _priced(metric)
    stem = metric[: priced.start()] if priced else _SUFFIX.sub(_kept_word, _SUFFIX.sub(_kept_word, metric))
    return stem.replace("_", " ").replace(":", " ").strip() or metric


def format_change(metric: str, size: Estimate, before: float | None = None, *, signed: bool = False) -> str:
    """The size of a change with its range, in the unit of the metric: `15 ms [12, 18]`.

    A count is written as a share of the level `before` it, unless that is small, smaller than the change, or not
    known. Give sizes without a sign where a verb names the direction, and `signed` where nothing does.
    """
    return format_estimate(size, _change_unit(metric, size, before), signed=signed)


def format_change_up_to(metric: str, low: float, high: float, before: float | None = None) -> str:
    """How large a change may be: `13 to 23 ms`, or `up to 23 ms` where it may be nothing; sizes without a sign."""
    size = Estimate(low=low, median=(low + high) / 2, high=high)
    return format_up_to(size, _change_unit(metric, size, before))


def format_value(metric: str, value: float) -> str:
    """A value of a metric in its unit, in three digits: `212 ms`, `3.2 %`, `$61,000 an hour`."""
    return axis(metric, abs(value)).with_unit(value)


def _change_unit(metric: str, size: Estimate, before: float | None) -> Unit:
    if _is_count(metric) and before is not None and abs(before) >= max(_SMALL_COUNT, abs(size.median)):
        return Unit(100 / abs(before), str, " %")
    return _unit(metric, max(abs(size.low), abs(size.high)))


def _kept_word(suffix: re.Match[str]) -> str:
    return "_ratio" if suffix[1] == "ratio" else ""


def dimension_of(metric: str) -> tuple[str, str | None] | None:
    """The unit of a metric that can be added up with others of it: `seconds`, `ratio`, or `per_hour` and a currency.

    None for any other.
    """
    if (priced := _priced(metric)) is not None:
        return ("per_hour", priced[1].upper()) if priced[2] else None
    found = re.search(r"_(seconds|ratio)$", metric)
    return (found[1], None) if found is not None else None


def _priced(metric: str) -> re.Match[str] | None:
    found = _MONEY.search(metric)
    return found if found and found[1].upper() in CURRENCIES else None


def _is_count(metric: str) -> bool:
    found = _SUFFIX.search(metric)
    if _priced(metric):
        return False
    return found is None or found[1] in {"total", "count", "per_second", "per_minute", "per_hour"}


def _unit(metric: str, largest: float) -> Unit:
    priced = _priced(metric)
    if priced:
        return money_unit(priced[1].upper(), per_hour=bool(priced[2]))
    found = _SUFFIX.search(metric)
    kind = found[1] if found else ""
    if kind in _SCALES:
        factor, name = _scaled(kind, largest)
        return Unit(factor, str, f" {name}")
    return Unit(*_PLAIN.get(kind, (1.0, str, "")))


def _scaled(kind: str, largest: float) -> tuple[float, str]:
    """The largest of a kind's units in which a value is not below one; the kind's own where it is zero."""
    scale = _SCALES[kind]
    if not largest:
        return next(entry for entry in scale if entry[0] == 1.0)
    return next((entry for entry in scale if largest * entry[0] >= 1), scale[-1])


_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "seconds": ((1 / 3600, "h"), (1.0, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns")),
    "milliseconds": ((1e-3, "s"), (1.0, "ms"), (1e3, "µs"), (1e6, "ns")),
    "microseconds": ((1e-6, "s"), (1e-3, "ms"), (1.0, "µs"), (1e3, "ns")),
    "bytes": ((2.0**-30, "GiB"), (2.0**-20, "MiB"), (2.0**-10, "KiB"), (1.0, "bytes")),
    "bytes_per_second": ((2.0**-30, "GiB/s"), (2.0**-20, "MiB/s"), (2.0**-10, "KiB/s"), (1.0, "bytes/s")),
}
_PLAIN: dict[str, tuple[float, Callable[[str], str], str]] = {
    "ratio": (100.0, str, " points"),
    "percent": (1.0, str, " points"),
    "celsius": (1.0, str, " °C"),
    "per_second": (1.0, str, "/s"),
    "per_minute": (1.0, str, "/min"),
    "per_hour": (1.0, str, " an hour"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """How the values of a metric are written: times `factor`, in the unit that `label` names."""

    factor: float
    label: str
    symbol: str = ""  # in front of the figure
    place: int = 0  # the power of ten that is rounded to

    def without_unit(self, value: float) -> str:
        """A value without its unit."""
        figure = rounded(value * self.factor, self.place)
        sign, digits = ("-", figure[1:]) if figure.startswith("-") else ("", figure)
        return f"{sign}{self.symbol}{digits}"

    def with_unit(self, value: float) -> str:
        """A value with its unit."""
        text = self.without_unit(value)
        return f"{text} {self.label}" if self.label and not self.symbol else text


def axis(metric: str, largest: float) -> Axis:
    """The unit in which the values of a metric up to `largest` are read best; the largest has three digits."""
    priced = _priced(metric)
    found = _SUFFIX.search(metric)
    kind = found[1] if found else ""
    factor, label, symbol = 1.0, _PER.get(kind, ""), ""
    if priced:
        currency = priced[1].upper()
        symbol = SYMBOLS.get(currency, "")
        label = f"{currency} an hour" if priced[2] else currency
    elif kind in _SCALES:
        factor, label = _scaled(kind, largest)
    elif kind == "ratio":
        factor = 100.0
    size = largest * factor
    place = floor(log10(size)) - 2 if isfinite(size) and size > 0 else 0
    return Axis(factor=factor, label=label, symbol=symbol, place=min(place, 0))


_PER = {"ratio": "%", "percent": "%", "celsius": "°C", "per_second": "/s", "per_minute": "/min", "per_hour": "an hour"}
