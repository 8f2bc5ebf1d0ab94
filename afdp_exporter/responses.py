"""What every answer of the API is made of: its base, and its times, numbers, shares and ranges.

A response model is filled from an object with the same attributes, or by keyword. It is both what is sent and what
`docs/openapi.yaml` is generated from, so a component of the description is named as its model, without `Response`.
"""

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Annotated, Any, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from afdp_exporter.model import Estimate

_ROUNDING = 1e-9
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"


class Response(BaseModel):
    """What is answered. A field with a default may be missing from the answer; each other one is always there."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, from_attributes=True, validate_by_name=True, defer_build=True
    )

    @classmethod
    def beside(cls, source: object, **more: object) -> Self:
        """Filled from the attributes of an object, and with what comes beside them."""
        return cls.model_validate({name: getattr(source, name) for name in cls.model_fields if name not in more} | more)

    def as_json(self) -> dict[str, Any]:
        """As types that JSON knows, without what was not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_json(self) -> bytes:
        """As JSON."""
        return self.model_dump_json(by_alias=True, exclude_unset=True).encode()


def number_json(value: float | None) -> float | None:
    """A number that JSON knows; null for the others."""
    return value if value is not None and isfinite(value) else None


def time_json(time: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z") if time else None


def _share(value: float | None) -> float | None:
    """A share that a rounding error put beside its bounds is at its bounds."""
    known = number_json(value)
    return known if known is None or not -_ROUNDING <= known <= 1 + _ROUNDING else min(max(known, 0.0), 1.0)


def _seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)


Time: TypeAlias = Annotated[
    datetime,
    AfterValidator(_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _TIME}),
]
"""RFC 3339 in UTC."""
Number: TypeAlias = Annotated[float | None, BeforeValidator(number_json)]
"""A number; null where it is unknown or not finite."""
Ratio: TypeAlias = Annotated[Annotated[float, Field(ge=0, le=1)] | None, BeforeValidator(_share)]
"""From 0 to 1; null where it is unknown."""
Seconds: TypeAlias = Annotated[float, BeforeValidator(_seconds)]
Count: TypeAlias = Annotated[int, Field(ge=0)]


class EstimateResponse(Response):
    """A number with its 5 % and 95 % points."""

    low: Number
    median: Number
    high: Number


class MoneyResponse(EstimateResponse):
    """Money with its 5 % and 95 % points; a loss is positive, a gain negative."""

    currency: str | None

    @classmethod
    def of(cls, estimate: Estimate | None, currency: str | None) -> Self | None:
        """An amount of one currency; None where none is known."""
        if estimate is None:
            return None
        return cls(low=estimate.low, median=estimate.median, high=estimate.high, currency=currency)
