"""Rounding by the width of a range, and plain numbers, factors, shares and p-values in text."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor, isfinite, log10

from afdp_exporter.model import Estimate, Forecast
from afdp_exporter.wording.times import format_time

_SURE = 0.99  # from this chance on a figure moves for sure


@dataclass(frozen=True, slots=True)
class Unit:
    """How a figure of one unit is written: times `factor`, then `form` of the rounded text."""

    factor: float = 1.0
    form: Callable[[str], str] = str
    tail: str = ""  # behind the value, once, before the range
    cents: bool = False  # whether fractions are written in two digits


def format_estimate(size: Estimate, unit: Unit, *, signed: bool = False) -> str:
    """A value with its range in one unit: `15 ms [12, 18]`; `signed`: a rise has a plus sign."""
    low, middle, high = (value * unit.factor for value in (size.low, size.median, size.high))
    place = decimal_place(low, middle, high)
    if unit.cents:
        place = _money_place(place, low, middle, high)
    value, *ends = (unit.form(rounded(each, place, cents=unit.cents)) for each in (middle, low, high))
    if signed and middle > 0 and any(digit in value for digit in "123456789"):
        value = f"+{value}"
    tail = " point" if unit.tail == " points" and value.lstrip("+-") == "1" else unit.tail
    if low == middle == high:
        return f"{value}{tail}"
    return f"{value}{tail} [{', '.join(ends)}]"


def format_up_to(size: Estimate, unit: Unit) -> str:
    """Only the range of a value: `13 to 23 ms`, `up to 23 ms` where it begins at nothing or below."""
    low, middle, high = (value * unit.factor for value in (size.low, size.median, size.high))
    place = decimal_place(low, middle, high)
    first, last = (unit.form(rounded(each, place, cents=unit.cents)) for each in (low, high))
    return f"{first} to {last}{unit.tail}" if low > 0 and first != last else f"up to {last}{unit.tail}"


def format_number(value: float, digits: int = 3) -> str:
    """A number without a range: 0.0123, 15.4, 1,230."""
    return rounded(value, _leading_place(value) - digits + 1)


def format_factor(factor: Estimate) -> str:
    """How many times, with the range: `3 [2.6, 3.5]`."""
    return format_estimate(factor, Unit())


def format_share(ratio: float) -> str:
    """A share of one in whole percent, never rounded to certainty: `0 %`, `under 1 %`, `27 %`, `over 99 %`."""
    if not isfinite(ratio):
        return "unknown"
    return f"{_whole_percent(ratio)} %"


def format_share_range(share: Estimate) -> str:
    """A share of one with its range: `27 % [7, 59]`; a narrow range bears decimals: `0.4 % [0.1, 0.9]`."""
    low, middle, high = (100 * value for value in (share.low, share.median, share.high))
    place = min(decimal_place(low, middle, high), 0)
    value = _whole_percent(share.median) if place == 0 else rounded(middle, place)
    if low == middle == high:
        return f"{value} %"
    return f"{value} % [{rounded(low, place)}, {rounded(high, place)}]"


def format_p_value(p_value: float | None) -> str:
    """A p-value in two digits, without powers of ten."""
    if p_value is None:
        return "none"
    return "<\N{NO-BREAK SPACE}0.0001" if p_value < 1e-4 else format_number(p_value, 2)


def decimal_place(low: float, middle: float, high: float) -> int:
    """The power of ten to round to: a range is written in about 6 to 60 steps, a bare figure in three digits.

    One digit more where an end would become 0 without being near it: a range that begins at 0 says "perhaps nothing".
    """
    width = high - low
    if isfinite(width) and width > 0:
        place = floor(log10(width) - log10(5.5))
        step = 10.0**place
        return place - any(step / 20 < abs(end) <= step / 2 for end in (low, high))
    return _leading_place(middle) - 2


def rounded(value: float, place: int, *, cents: bool = False) -> str:
    """A value rounded to a power of ten, without trailing zeros; with `cents` a fraction has two digits at least."""
    if not isfinite(value):
        return "unknown"
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    if cents and place < 0:
        text = f"{round(value, -place) + 0.0:,.{max(-place, 2)}f}"
        return text.removeprefix("-") if not any(digit in text for digit in "123456789") else text
    text = f"{round(value, -place):,.{max(-place, 0)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


def _leading_place(value: float) -> int:
    return floor(log10(abs(value))) if isfinite(value) and value else 2


def _money_place(place: int, low: float, middle: float, high: float) -> int:
    """Whole amounts without a range have no fraction, others no more than cents, unless they are less than a cent."""
    if low == middle == high and middle == floor(middle):
        return max(place, 0)
    return max(place, -2) if max(abs(low), abs(high)) >= 0.01 else place


def _whole_percent(ratio: float) -> str:
    if 0 < ratio <= 0.005:
        return "under 1"
    if 0.995 <= ratio < 1:
        return "over 99"
    return f"{100 * ratio:.0f}"


def format_forecast(size: Forecast, form: Callable[[Estimate], str]) -> str:
    """A figure that may not move at all: the probability that it does, and its size then, written by `form`."""
    if size.if_moved is None or size.chance >= _SURE:
        return form(size)
    return f"{format_share(size.chance)}: {form(size.if_moved)}"


SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "BRL": "R$", "CNY": "CN¥"}
CURRENCIES = frozenset(SYMBOLS) | {
    "AED", "ARS", "AUD", "CAD", "CHF", "CLP", "COP", "CZK", "DKK", "HKD", "HUF", "IDR", "ILS", "MXN", "MYR", "NOK",
    "NZD", "PHP", "PLN", "RON", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "UAH", "VND", "ZAR",
}  # fmt: skip


def format_money(currency: str, amount: Estimate | float, *, per_hour: bool = False, signed: bool = False) -> str:
    """An amount, with its range where it has one: `$1,200 an hour [$950, $1,460]`."""
    if not isinstance(amount, Estimate):
        amount = Estimate(low=amount, median=amount, high=amount)
    return format_estimate(amount, money_unit(currency, per_hour=per_hour), signed=signed)


def format_money_between(currency: str, low: float, high: float) -> str:
    """Two amounts and what lies between them: `$950 to $1,460`; one where they are the same."""
    unit = money_unit(currency)
    place = max(decimal_place(low, low, high), -2)
    first, second = (unit.form(rounded(value, place, cents=True)) for value in (low, high))
    return first if first == second else f"{first} to {second}"


def money_unit(currency: str, *, per_hour: bool = False) -> Unit:
    """How amounts of a currency are written: its symbol before, or its code behind the figure."""
    symbol = SYMBOLS.get(currency)

    def written(text: str) -> str:
        sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
        return f"{sign}{symbol}{digits}" if symbol else f"{sign}{digits} {currency}"

    return Unit(form=written, tail=" an hour" if per_hour else "", cents=True)


def format_duration(time: timedelta) -> str:
    """A length of time in one unit: `45 seconds`, `4 minutes`, `2.5 hours`, `3 days`."""
    seconds = time.total_seconds()
    for name, size, limit in (("second", 1, 60), ("minute", 60, 3600), ("hour", 3600, 86400)):
        if seconds < limit:
            return _counted(seconds / size, name)
    return _counted(seconds / 86400, "day")


def _counted(number: float, name: str) -> str:
    text = f"{number:.0f}" if abs(number - round(number)) < 0.05 or number >= 10 else f"{number:.1f}"
    return f"{text} {name}" if text == "1" else f"{text} {name}s"


_UNITS = {"hours": timedelta(hours=1), "minutes": timedelta(minutes=1), "seconds": timedelta(seconds=1)}


def short_history(there: timedelta, needed: timedelta, ready_at: datetime) -> str:
    """How much of the history that is `needed` is there, and from when on a deployment can be judged.

    `6 of 20 minutes of history; deployments from 2026-03-02 14:20 UTC on can be judged`. What is needed and the time
    are rounded up, what is there is rounded down.
    """
    name = next((name for name, unit in _UNITS.items() if needed >= 3 * unit), "seconds")
    text = f"{floor(there / _UNITS[name])} of {ceil(needed / _UNITS[name])} {name}"
    minute = ready_at.replace(second=0, microsecond=0)
    full = minute if minute == ready_at else minute + timedelta(minutes=1)
    return f"{text} of history; deployments from {format_time(full)} on can be judged"
