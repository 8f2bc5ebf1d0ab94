"""Amounts of money in text: `$1,200`, `950 CHF`, with their range and per hour."""

from afdp_exporter.model import Estimate
from afdp_exporter.wording.numbers import Unit, decimal_place, format_estimate, rounded

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
