"""Figures as people read them: the unit comes from the metric's name, the digits from the width of the range."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from math import floor, isfinite, log10

from afdp_exporter.model import Estimate

_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "BRL": "R$", "CNY": "CN¥"}
_CODES = frozenset(_SYMBOLS) | {
    "AED", "ARS", "AUD", "CAD", "CHF", "CLP", "COP", "CZK", "DKK", "HKD", "HUF", "IDR", "ILS", "MXN", "MYR", "NOK",
    "NZD", "PHP", "PLN", "RON", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "UAH", "VND", "ZAR",
}  # fmt: skip
_MONEY = re.compile(r"_([a-z]{3})(_per_hour)?(_total)?$")
_SUFFIX = re.compile(
    r"_(seconds|milliseconds|microseconds|ratio|percent|bytes|bytes_per_second|per_second|per_minute|per_hour|"
    r"celsius|total|count)$"
)
_SMALL_COUNT = 50  # below this level a count is told as it is, above as a share of the level


@dataclass(frozen=True, slots=True)
class _Unit:
    """How a figure of one unit is written: times `factor`, then `form` of the rounded text."""

    factor: float
    form: Callable[[str], str]
    tail: str = ""  # behind the figure, once, before the range
    cents: bool = False  # whether fractions are told in two digits


def called(metric: str) -> str:
    """A metric's name in words, without its unit: `request latency p95` for `request_latency_p95_seconds`."""
    priced = _priced(metric)
    stem = metric[: priced.start()] if priced else _SUFFIX.sub("", _SUFFIX.sub("", metric))
    return stem.replace("_", " ").replace(":", " ").strip() or metric


def change(metric: str, size: Estimate, before: float | None = None) -> str:
    """The size of a change with its range, in the unit of the metric: `15 ms [12, 18]`.

    A count is told as a share of the level `before` it, unless that is small, smaller than the change, or not known.
    Signs are kept; give sizes without one where a verb tells the direction.
    """
    if _is_count(metric) and before is not None and abs(before) >= max(_SMALL_COUNT, abs(size.median)):
        factor = 100 / abs(before)
        return _with_range(size, _Unit(factor, str, " %"))
    return _with_range(size, _unit(metric, max(abs(size.low), abs(size.high))))


def money(currency: str, size: Estimate, *, per_hour: bool = False) -> str:
    """An amount of money with its range: `$1,200 an hour [$950, $1,460]`."""
    return _with_range(size, _money(currency, " an hour" if per_hour else ""))


def span(time: timedelta) -> str:
    """A length of time in one unit: `45 seconds`, `4 minutes`, `2.5 hours`, `3 days`."""
    seconds = time.total_seconds()
    for name, size, limit in (("second", 1, 60), ("minute", 60, 3600), ("hour", 3600, 86400)):
        if seconds < limit:
            return _counted(seconds / size, name)
    return _counted(seconds / 86400, "day")


def _counted(number: float, name: str) -> str:
    text = f"{number:.0f}" if abs(number - round(number)) < 0.05 or number >= 10 else f"{number:.1f}"
    return f"{text} {name}" if text == "1" else f"{text} {name}s"


def _priced(metric: str) -> re.Match[str] | None:
    found = _MONEY.search(metric)
    return found if found and found[1].upper() in _CODES else None


def _is_count(metric: str) -> bool:
    found = _SUFFIX.search(metric)
    if _priced(metric):
        return False
    return found is None or found[1] in {"total", "count", "per_second", "per_minute", "per_hour"}


def _unit(metric: str, largest: float) -> _Unit:
    priced = _priced(metric)
    if priced:
        return _money(priced[1].upper(), " an hour" if priced[2] else "")
    found = _SUFFIX.search(metric)
    kind = found[1] if found else ""
    if kind in _SCALES:
        scale = _SCALES[kind]
        factor, name = next((entry for entry in scale if largest * entry[0] >= 1), scale[-1])
        return _Unit(factor, str, f" {name}")
    return _Unit(*_PLAIN.get(kind, (1.0, str, "")))


_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "seconds": ((1 / 3600, "h"), (1.0, "s"), (1e3, "ms"), (1e6, "µs")),
    "milliseconds": ((1e-3, "s"), (1.0, "ms"), (1e3, "µs")),
    "microseconds": ((1e-6, "s"), (1e-3, "ms"), (1.0, "µs")),
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


def _money(currency: str, tail: str) -> _Unit:
    symbol = _SYMBOLS.get(currency)

    def written(text: str) -> str:
        sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
        return f"{sign}{symbol}{digits}" if symbol else f"{sign}{digits} {currency}"

    return _Unit(1.0, written, tail, cents=True)


def _with_range(size: Estimate, unit: _Unit) -> str:
    low, middle, high = (value * unit.factor for value in (size.low, size.median, size.high))
    place = _place(low, middle, high)
    first, *ends = (unit.form(_rounded(value, place, cents=unit.cents)) for value in (middle, low, high))
    if low == middle == high:
        return f"{first}{unit.tail}"
    return f"{first}{unit.tail} [{', '.join(ends)}]"


def _place(low: float, middle: float, high: float) -> int:
    """The power of ten to round to: a range is told in about 6 to 60 steps, a bare figure in three digits.

    One digit more where an end would become 0 without being near it: a range that begins at 0 says "perhaps nothing".
    """
    width = high - low
    if isfinite(width) and width > 0:
        place = floor(log10(width / 5.5))
        step = 10.0**place
        return place - any(step / 20 < abs(end) <= step / 2 for end in (low, high))
    return floor(log10(abs(middle))) - 2 if isfinite(middle) and middle else 0


def _rounded(value: float, place: int, *, cents: bool = False) -> str:
    if not isfinite(value):
        return "unknown"
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    if cents and place < 0:
        return f"{round(value, -place) + 0.0:,.{max(-place, 2)}f}"
    text = f"{round(value, -place):,.{max(-place, 0)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """How the values of a metric are written: times `factor`, in the unit that `label` names."""

    factor: float
    label: str
    symbol: str = ""  # in front of the figure
    place: int = 0  # the power of ten that is rounded to

    def plain(self, value: float) -> str:
        """A value without its unit."""
        figure = _rounded(value * self.factor, self.place)
        sign, digits = ("-", figure[1:]) if figure.startswith("-") else ("", figure)
        return f"{sign}{self.symbol}{digits}"

    def told(self, value: float) -> str:
        """A value with its unit."""
        text = self.plain(value)
        return f"{text} {self.label}" if self.label and not self.symbol else text


def axis(metric: str, largest: float) -> Axis:
    """The unit in which the values of a metric up to `largest` are read best; three digits of the largest are told."""
    priced = _priced(metric)
    found = _SUFFIX.search(metric)
    kind = found[1] if found else ""
    factor, label, symbol = 1.0, _PER.get(kind, ""), ""
    if priced:
        currency = priced[1].upper()
        symbol = _SYMBOLS.get(currency, "")
        label = f"{currency} an hour" if priced[2] else currency
    elif kind in _SCALES:
        scale = _SCALES[kind]
        factor, label = next((entry for entry in scale if largest * entry[0] >= 1), scale[-1])
    elif kind == "ratio":
        factor = 100.0
    size = largest * factor
    place = floor(log10(size)) - 2 if isfinite(size) and size > 0 else 0
    return Axis(factor=factor, label=label, symbol=symbol, place=min(place, 0))


_PER = {"ratio": "%", "percent": "%", "celsius": "°C", "per_second": "/s", "per_minute": "/min", "per_hour": "an hour"}
