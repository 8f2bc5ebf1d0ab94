"""What a cloud billed, day by day; one cloud a file.

Bills are a day late or more and cost to ask for: they only say how list prices compare with what is paid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar, Protocol

import orjson

from afdp_exporter.errors import BillError, CallFailed, SecretUnreadable
from afdp_exporter.http_client import Answer, Client, tried
from afdp_exporter.logins import Login, called
from afdp_exporter.settings import STRICT

_SECONDS = 30.0  # for one call
_MOST = 4 * 1024**2  # bytes of one answer
_TRIES = 3
_LONGEST_WAIT = 10.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """Money by day (UTC), in one currency; days on which nothing was billed may be left out."""

    currency: str
    days: Mapping[date, float]


class Bill(Protocol):
    """The bill of one account, as far as its settings choose."""

    async def daily(self, since: date, until: date) -> Billed:
        """What was billed of each day from `since` to the one before `until`. Raises BillError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPrice:
    """What a bill is compared with: a query of money an hour at list prices, of a source (the first one by default)."""

    __pydantic_config__: ClassVar = STRICT

    list_price: str | Mapping[str, Any]
    source: str | None = None


LIST_PRICE = frozenset({"list_price", "source"})
"""The settings that the bills of all clouds share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledCloud:
    """A bill beside the list prices of the same things."""

    bill: Bill
    listed: ListPrice


@dataclass(frozen=True, slots=True)
class Api:
    """A cloud's API of JSON, asked now and then."""

    login: Login
    client: Client = field(default_factory=Client)

    async def ask(
        self, method: str, url: str, *, body: object = None, params: Sequence[tuple[str, str]] = ()
    ) -> dict[str, Any]:
        """What it answers, after a few tries where another may help. Raises BillError."""
        data = None if body is None else orjson.dumps(body)
        headers = {"Accept": "application/json", "Content-Type": "application/json"}

        async def call() -> Answer:
            return await called(
                self.client, self.login, method, url, headers=headers, data=data, params=tuple(params),
                seconds=_SECONDS, most=_MOST,
            )  # fmt: skip

        try:
            answer = await tried(call, tries=_TRIES, longest_wait=_LONGEST_WAIT)
        except (CallFailed, SecretUnreadable) as error:
            raise BillError(str(error)) from None
        try:
            found = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            found = None
        if not answer.ok:
            raise BillError(f"it answers {answer.status}{_words(found)}")
        if not isinstance(found, dict):
            raise BillError("its answer is no JSON object")
        return found


def in_one_currency(rows: Sequence[tuple[date, str, float]]) -> Billed:
    """The days of a bill, each the sum of its rows. Raises BillError for none, and for several currencies."""
    currencies = sorted({currency for _, currency, _ in rows})
    if len(currencies) != 1:
        raise BillError(f"it is in {' and '.join(currencies)}" if currencies else "nothing was billed")
    days: dict[date, float] = {}
    for day, _, amount in rows:
        days[day] = days.get(day, 0.0) + amount
    return Billed(currency=currencies[0], days=days)


def _words(document: object) -> str:
    error = document.get("error") if isinstance(document, dict) else None
    text = error.get("message") if isinstance(error, dict) else None
    return f": {''.join(each if each.isprintable() else ' ' for each in text)[:300]}" if isinstance(text, str) else ""
