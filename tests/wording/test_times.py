"""Times that a person reads: on the configured clock, never without its zone."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import afdp_exporter
from afdp_exporter.impact.story import headline
from afdp_exporter.model import MeasuredDeployment
from afdp_exporter.plots.scales import Scale, time_ticks
from afdp_exporter.wording.times import (
    format_clock_range,
    format_day_and_time,
    format_moment,
    format_time,
    use_time_zone,
)
from tests.receivers import degradation, notice

WINTER, SUMMER = datetime(2026, 3, 2, 13, tzinfo=UTC), datetime(2026, 7, 2, 13, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_the_zone_is_named_as_it_is_at_that_instant() -> None:
    use_time_zone(ZoneInfo("Europe/Berlin"))
    assert format_time(WINTER) == "2026-03-02 14:00 CET"
    assert format_moment(SUMMER) == "2 Jul at 15:00 CEST"
    assert format_day_and_time(SUMMER) == "Thu 02 Jul 2026, 15:00 CEST"
    assert format_clock_range(WINTER, WINTER - MINUTE, WINTER + MINUTE) == "14:00 [13:59, 14:01] CET"
    assert format_clock_range(WINTER, None, None) == "14:00 CET"


def test_a_zone_without_a_name_is_reported_by_its_offset() -> None:
    use_time_zone(ZoneInfo("America/Sao_Paulo"))
    assert format_time(WINTER) == "2026-03-02 10:00 UTC-03"


def test_the_date_is_left_out_only_on_the_day_named_before_by_the_same_clock() -> None:
    late = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
    assert format_time(late + 60 * MINUTE, near=late) == "23:30 UTC"
    use_time_zone(ZoneInfo("Europe/Berlin"))
    assert format_time(late + 60 * MINUTE, near=late) == "2026-03-03 00:30 CET"


def test_the_marks_of_a_plot_are_round_on_that_clock() -> None:
    use_time_zone(ZoneInfo("Asia/Kolkata"))
    scale = Scale(low=WINTER.timestamp(), high=WINTER.timestamp() + 6 * 3600, begin=0, end=100)
    assert all(tick.label.endswith(":00") for tick in time_ticks(scale))


def test_a_notice_is_on_that_clock() -> None:
    use_time_zone(ZoneInfo("Europe/Berlin"))
    measured = MeasuredDeployment(deployment=notice().deployment, impact=degradation())
    assert "(2026-03-02 13:00 CET)" in headline(measured)


def test_only_one_place_words_a_time_of_day() -> None:
    """What is worded elsewhere has no zone, or another one; the exceptions are named."""
    package = Path(afdp_exporter.__file__).parent
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.suffix in {".py", ".html", ".j2"} and re.search(r"%H:%M(?!:%S)|%-?I:%M", path.read_text())
    }
    assert found == {
        "wording/times.py",
        "plots/scales.py",  # an axis, below which the page names the zone
        "tracking/ingestion.py",  # part of an event's name
    }
