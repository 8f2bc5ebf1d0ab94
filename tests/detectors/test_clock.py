"""The wall clock, over changes to and from summer time."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.detectors.clock import UNTOUCHED, changed_elsewhere, wall_clock

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
DAY = 86_400.0


@pytest.mark.parametrize(
    ("zone", "day"),
    [(BERLIN, (2026, 3, 29)), (BERLIN, (2026, 10, 25)), (NEW_YORK, (2026, 3, 8)), (NEW_YORK, (2026, 11, 1))],
)
def test_the_same_hour_of_two_days_is_whole_days_apart_over_a_change_of_the_clock(
    zone: ZoneInfo, day: tuple[int, int, int]
) -> None:
    at = datetime(*day, 14, 30, tzinfo=zone)
    before = [at.replace(day=day[2] - k, month=day[1]) for k in range(1, 4) if day[2] > k]
    shown = wall_clock(zone, at.timestamp() - 7 * DAY, at.timestamp()).to_wall(
        np.array([each.timestamp() for each in (*before, at)])
    )
    assert shown[-1] == at.timestamp()
    assert list((shown[-1] - shown[:-1]) / DAY) == [1.0, 2.0, 3.0][: len(before)]


@given(st.integers(0, 365 * 24 * 6), st.sampled_from([BERLIN, NEW_YORK, ZoneInfo("Asia/Tokyo"), ZoneInfo("UTC")]))
def test_around_the_deployment_time_runs_on_as_it_does(tens: int, zone: ZoneInfo) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC).timestamp() + 600.0 * tens
    times = np.arange(at - UNTOUCHED, at + DAY, 600.0)
    assert np.array_equal(wall_clock(zone, at - 7 * DAY, at).to_wall(times), times)


def test_a_change_of_the_clock_elsewhere_is_known_where_the_zone_has_none() -> None:
    spring, summer = (datetime(2026, month, 30, 9, tzinfo=UTC).timestamp() for month in (3, 6))
    assert changed_elsewhere(UTC, spring - 7 * DAY, spring)
    assert not changed_elsewhere(BERLIN, spring - 7 * DAY, spring)
    assert not changed_elsewhere(UTC, summer - 7 * DAY, summer)
