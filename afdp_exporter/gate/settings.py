"""What the configuration says about the gate of a service."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from afdp_exporter.settings import STRICT, Duration

Ratio = Annotated[float, Field(gt=0, le=1)]
Amount = Annotated[float, Field(ge=0)]


class WhenUnknown(StrEnum):
    """What a pipeline does where the gate has no verdict: go on, or wait."""

    ALLOW = "allow"
    HOLD = "hold"


class Enforcement(StrEnum):
    """Whether the verdict is to be obeyed: never, always, or once the automation level of the service is 3."""

    SHADOW = "shadow"
    ENFORCED = "enforced"
    EARNED = "earned"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """The gate of one service, or of all that have no block of their own (`default`).

    Amounts of money are an hour, in the currency of the service's costs.
    """

    __pydantic_config__: ClassVar = STRICT

    mode: Enforcement = Enforcement.EARNED
    when_unknown: WhenUnknown = WhenUnknown.ALLOW
    hold_risk_ratio: Ratio = 0.5  # a planned deployment whose risk surely lies above it is held ...
    warn_risk_ratio: Ratio = 0.25  # ... and one whose risk lies above this one is warned of
    delay_cost_per_hour: Amount = 0.0
    rollback_cost: Amount | None = None  # of one rollback; None: what earlier rollbacks of the service cost, else 0
    ignore_below_per_hour: Amount = 0.0  # a loss below it is never more than a warning
    severe_per_hour: Amount | None = None  # a loss that is surely above it is rolled back
    guard_rails: Mapping[str, float] = field(default_factory=dict)  # metric -> the value that harm must not cross
    repair_time: Duration = timedelta(hours=1)  # until a person has rolled back, where too few failures are known
    next_check: Duration = timedelta(minutes=1)
    hold_at_most: Duration = timedelta(hours=1)  # after that a hold is reported as a failure to who cannot wait
    match_ratio: Ratio = 0.8  # the similarity from which on what is seen matches an earlier failure
    warm_up: Duration = timedelta(minutes=5)  # of a canary, which its means leave out


def settings_of(service: str, gates: Mapping[str, GateSettings]) -> GateSettings:
    """Its own block, else the one of all others, else the defaults."""
    return gates.get(service) or gates.get("default") or GateSettings()
