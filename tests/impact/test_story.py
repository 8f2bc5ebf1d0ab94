"""The one place where an impact becomes words."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.conclusion import conclude
from afdp_exporter.model import Layer, Measured, Metric, Money, Outcome, Shift, Worse

MINUTE = timedelta(minutes=1)
LATENCY = Metric(name="response_time_seconds", layer=Layer.TECHNICAL, query="l", worse=Worse.UP)
SESSIONS = Metric(name="mobile_sessions", layer=Layer.USER, query="s", worse=Worse.DOWN)
REVENUE = Metric(
    name="revenue_usd_per_hour",
    layer=Layer.BUSINESS,
    query="r",
    worse=Worse.DOWN,
    money=Money(currency="USD", per_unit=1.0),
)
ALL = (LATENCY, SESSIONS, REVENUE)


@pytest.fixture
def slowdown(shift: Callable[..., Shift]) -> tuple[Shift, ...]:
    """Slower answers, then fewer sessions, then less revenue."""
    return (
        shift(LATENCY, 1, 0.015, low=0.012, high=0.018, before=0.2),
        shift(SESSIONS, 5, -20.0, low=-27.0, high=-14.0, before=1000.0),
        shift(REVENUE, 11, -1203.0, low=-1460.0, high=-950.0, before=60_000.0),
    )


def past(slowdown: tuple[Shift, ...], case: Case, days: tuple[int, ...]) -> tuple[Measured, ...]:
    """The same slowdown after earlier deployments, each measured by the same way."""
    records = []
    for day in days:
        back = timedelta(days=-day)
        deployment = replace(case.deployment, id=f"d-{day}", started_at=case.deployment.started_at + back)
        moved = tuple(moved_by(entry, back) for entry in slowdown)
        scene = replace(case, deployment=deployment, now=case.now + back)
        records.append(Measured(deployment=deployment, impact=conclude(moved, scene)))
    return tuple(records)


def moved_by(entry: Shift, time: timedelta) -> Shift:
    """The shift, that much later."""
    ends: Mapping[str, datetime | None] = {"onset": entry.onset, "onset_low": entry.onset_low}
    later = {name: at and at + time for name, at in {**ends, "onset_high": entry.onset_high}.items()}
    return replace(entry, **later)


def test_the_slowdown_reads_as_one_sentence_in_order_with_ranges_and_its_past(
    slowdown: tuple[Shift, ...], case: Callable[..., Case]
) -> None:
    scene = case(metrics=ALL)
    impact = conclude(slowdown, replace(scene, past=past(slowdown, scene, (21, 14, 7))))
    assert impact.story[0] == (
        "Deployment checkout v2.1.0 at 14:00 raised response time by 15 ms [12, 18]; "
        "4 minutes later mobile sessions fell by 2 % [1.4, 2.7]; "
        "6 minutes later revenue fell by $1,200 an hour [$950, $1,460]; "
        "the same sequence followed three earlier deployments."
    )
    assert impact.story[1] == ("It costs $1,200 an hour [$950, $1,460], $2,200 [$1,700, $2,700] so far in 1.8 hours.")
    assert impact.seen_before.deployment_ids == ("d-7", "d-14", "d-21")
    assert [link.seen_before for link in impact.links] == [3, 3]
    assert impact.outcome is Outcome.DEGRADATION
