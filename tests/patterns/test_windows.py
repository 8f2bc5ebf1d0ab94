"""The coming hours: ranked by what is known, and honest where nothing is."""

from datetime import UTC, date, timedelta, timezone
from itertools import pairwise

import pytest
from planted_worlds import START, World

from afdp_exporter.model import CalendarEntry, CalendarEntryKind, PoolingLevel, Windows
from afdp_exporter.patterns import fit, rank_windows

NOW = START + timedelta(days=300, hours=9, minutes=20)
SALE = CalendarEntry(
    name="sale", kind=CalendarEntryKind.SALE, start=NOW - timedelta(hours=1), end=NOW + timedelta(days=2)
)


@pytest.fixture(scope="module")
def ranked(steady: World) -> Windows:
    assert "sale" in steady.planted
    model = fit(steady.cases, service=steady.cases[0].deployment.service, team="shop", now=NOW)
    return rank_windows(model, now=NOW, zone=UTC, calendar=[SALE])


def test_every_coming_hour_is_there_once_without_a_gap(ranked: Windows) -> None:
    slots = sorted(ranked.slots, key=lambda slot: slot.start)
    assert len(slots) == 168
    assert slots[0] == ranked.now
    assert slots[0].start == NOW
    assert all(one.end == other.start for one, other in pairwise(slots))


def test_the_best_comes_first_and_avoids_the_sale(ranked: Windows) -> None:
    riskier = [slot.risk.median > ranked.now.risk.median for slot in ranked.slots]
    assert riskier == sorted(riskier)
    costs = [slot.cost_per_hour or 0.0 for slot in ranked.slots if slot.risk.median <= ranked.now.risk.median]
    assert costs == sorted(costs)
    assert all(not window.start < SALE.end for window in ranked.best)
    assert ranked.best[0].start <= ranked.slots[0].start < ranked.best[0].end


def test_the_loss_avoided_is_nows_less_the_best_ones(ranked: Windows) -> None:
    assert ranked.now.cost_per_hour is not None
    assert ranked.loss_avoided == pytest.approx(ranked.now.cost_per_hour - (ranked.slots[0].cost_per_hour or 0.0))
    assert ranked.loss_avoided > 0
    assert ranked.currency == "USD"
    assert ranked.saving is not None
    assert 0 < ranked.saving.low < ranked.saving.median < ranked.saving.high
    assert ranked.saving.median == ranked.loss_avoided
    assert "less is expected to be lost" in ranked.sentence


def test_a_risk_has_its_range(ranked: Windows) -> None:
    assert all(0 < slot.risk.low <= slot.risk.median <= slot.risk.high < 1 for slot in ranked.slots)


def test_each_hour_says_how_many_deployments_it_rests_on(ranked: Windows, steady: World) -> None:
    home = steady.cases[0].deployment.service
    own = [case for case in steady.cases if case.deployment.service == home and case.impact.measured_at <= NOW]
    by_start = {(slot.start.weekday(), slot.start.hour): slot.n for slot in ranked.slots}
    middle_of_each_part = range(2, 24, 4)
    assert sum(by_start[day, hour] for day in range(7) for hour in middle_of_each_part) == len(own)


def test_a_time_that_was_bad_gives_its_reason(two_part: World) -> None:
    assert "sale" in two_part.law.odds
    model = fit(two_part.cases, service="service-0", team="shop", now=NOW)
    during = rank_windows(model, now=NOW, zone=UTC, calendar=[SALE], hours=72).now
    assert any(reason.startswith("sale: ") for reason in during.reasons)


def test_without_history_no_hour_is_better_than_another() -> None:
    model = fit([], service="new", team=None, now=NOW)
    answer = rank_windows(model, now=NOW, zone=UTC, hours=24)
    assert (answer.basis, answer.loss_avoided) == (PoolingLevel.COLD, None)
    assert answer.sentence == "No coming hour is known to be better than another (nothing known yet: a prior)"
    assert len({slot.risk for slot in answer.slots}) == 1


def test_hours_are_reported_in_the_zone_of_the_people(steady: World) -> None:
    zone = timezone(timedelta(hours=-7))
    model = fit(steady.cases, service="service-0", team="shop", now=NOW)
    answer = rank_windows(model, now=NOW, zone=zone, hours=30, holidays={date(2026, 11, 1): "Day"}, load=[1.0] * 30)
    assert all(slot.start.tzinfo is zone for slot in answer.slots)
