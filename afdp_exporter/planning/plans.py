"""What the configuration says about planning: whose clock counts, what is special about a time, who belongs to whom."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from afdp_exporter.model import BillRatio, CalendarEntry, Deployment
from afdp_exporter.planning.cloud_cost import CloudRates
from afdp_exporter.settings import STRICT, Duration


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError):
        raise ValueError("a time zone such as Europe/Paris is expected") from None
    return name


def _country(name: str) -> str:
    import holidays  # noqa: PLC0415 - all countries' calendars

    if name not in holidays.list_supported_countries(include_aliases=False):
        raise ValueError("a country code such as DE is expected")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningSettings:
    """Whose clock and holidays count, and how much is learned from."""

    __pydantic_config__: ClassVar = STRICT

    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    holidays: Annotated[str, AfterValidator(_country)] | None = None
    cases: Annotated[int, Field(ge=10, le=100_000)] = 3000
    deadline: Duration = timedelta(seconds=60)
    delay_cost_per_hour: Annotated[float, Field(ge=0)] = 0.0  # what an hour of waiting costs, in the metrics' currency
    cloud_rates: CloudRates = CloudRates()

    @property
    def zone(self) -> ZoneInfo:
        """The clock of the people who deploy, by which times are written."""
        return ZoneInfo(self.time_zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The clock of the people who deploy, and what is special about a time."""

    zone: ZoneInfo = ZoneInfo("UTC")
    occasions: tuple[CalendarEntry, ...] = ()
    holidays: Mapping[date, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What the configuration says about planning."""

    settings: PlanningSettings = PlanningSettings()
    occasions: tuple[CalendarEntry, ...] = ()
    teams: Mapping[str, str] = field(default_factory=dict)
    billed: Mapping[str, BillRatio] = field(default_factory=dict)  # what is known of bills by now

    @property
    def billed_rates(self) -> BillRatio | None:
        """How the bill that `cloud_rates` name compares with them; None as long as that is not known."""
        return self.billed.get(self.settings.cloud_rates.bill or "")

    def team_of(self, deployment: Deployment) -> str | None:
        """Whose a deployment is: as it says itself, else as its service is configured."""
        return deployment.team or self.teams.get(deployment.service)

    def calendar(self, now: datetime) -> Calendar:
        """The clock and the special times from two years back to the coming one."""
        years = range(now.year - 2, now.year + 2)
        free = _holidays(self.settings.holidays, years) if self.settings.holidays else {}
        return Calendar(zone=self.settings.zone, occasions=self.occasions, holidays=free)


def _holidays(country: str, years: range) -> dict[date, str]:
    import holidays  # noqa: PLC0415 - all countries' calendars

    return dict(holidays.country_holidays(country, years=years))
