"""What every answer of the API is made of."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from afdp_exporter.model import Estimate
from afdp_exporter.responses import EstimateResponse, MoneyResponse, Number, Ratio, Response, Seconds, Time


class Sample(Response):
    at: Time
    share: Ratio
    size: Number
    lasted: Seconds = Field(validation_alias="duration")
    more: str = ""


@dataclass
class Source:
    at: datetime
    share: float | None
    size: float | None
    duration: timedelta


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def sent(response: Response) -> dict[str, object]:
    found: dict[str, object] = json.loads(response.to_json(), parse_constant=pytest.fail)
    assert found == response.as_json()
    return found


offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
first, last = NOON.replace(year=1971, tzinfo=None), NOON.replace(year=2200, tzinfo=None)  # each in a zone of its own
instants = st.datetimes(min_value=first, max_value=last, timezones=offsets)


@given(instants, st.floats(), st.timedeltas())
def test_an_object_is_reported_in_utc_with_finite_numbers_and_no_key_that_was_not_set(
    at: datetime, size: float, lasted: timedelta
) -> None:
    found = sent(Sample.model_validate(Source(at=at, share=None, size=size, duration=lasted)))
    assert found.keys() == {"at", "share", "size", "lasted"}
    assert str(found["at"]).endswith("Z")
    assert datetime.fromisoformat(str(found["at"])) == at
    assert found["size"] == (size if abs(size) < float("inf") else None)
    assert found["lasted"] == pytest.approx(lasted.total_seconds())


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.25, 0.25), (1 + 1e-12, 1.0), (-1e-12, 0.0), (float("nan"), None), (None, None)],
)
def test_a_share_that_was_rounded_over_its_bounds_is_at_them(share: float | None, shown: float | None) -> None:
    sample = Sample.model_validate(Source(at=NOON, share=share, size=1, duration=timedelta(0)))
    assert sent(sample)["share"] == shown


@pytest.mark.parametrize("share", [1.1, -0.1])
def test_what_is_no_share_is_not_answered_as_one(share: float) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate(Source(at=NOON, share=share, size=1, duration=timedelta(0)))


def test_a_field_may_be_missing_only_where_the_model_says_so() -> None:
    whole = {"at": NOON.astimezone(timezone(timedelta(hours=2))), "share": 0.5, "size": 2, "lasted": 60.0}
    assert sent(Sample(**whole)).keys() == whole.keys()
    assert sent(Sample(**whole, more="x"))["more"] == "x"
    with pytest.raises(ValidationError):
        Sample(at=NOON, share=0.5, size=1)
    with pytest.raises(ValidationError):
        EstimateResponse.model_validate({"low": 1, "median": 2, "high": 3, "mean": 2})


def test_money_has_its_currency_and_what_comes_beside_it() -> None:
    amount = Estimate(low=1.0, median=2.0, high=float("inf"))
    assert MoneyResponse.of(None, "USD") is None
    money = MoneyResponse.of(amount, "USD")
    assert money is not None
    assert money == MoneyResponse.beside(amount, currency="USD")
    assert sent(money) == {"low": 1.0, "median": 2.0, "high": None, "currency": "USD"}
