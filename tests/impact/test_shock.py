"""What moved everything at once blames nobody."""

from collections.abc import Callable
from datetime import timedelta
from itertools import product

import pytest

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.conclusion import conclude
from afdp_exporter.impact.shock import common_shock, hear_witnesses
from afdp_exporter.model import Attribution, Deployment, Layer, Metric, Occasion, OccasionKind, Outcome, Shift

MINUTE = timedelta(minutes=1)
LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='l{service="$service"}')
OTHER = Metric(name="error_ratio", layer=Layer.TECHNICAL, query='e{service="$service"}')


def sale(deploy: Callable[..., Deployment], minute: float, kind: OccasionKind = OccasionKind.SALE) -> Occasion:
    start = deploy().started_at + minute * MINUTE
    return Occasion(name="spring-sale", kind=kind, start=start, end=start + timedelta(days=3))


@pytest.mark.parametrize("minute", [1, 0, -5, 2])
def test_a_sale_that_begins_at_the_onset_is_told_and_nobody_is_blamed(
    shift: Callable[..., Shift], case: Callable[..., Case], deploy: Callable[..., Deployment], minute: float
) -> None:
    impact = conclude([shift(LATENCY, 1)], case(metrics=(LATENCY,), calendar=(sale(deploy, minute),)))
    assert impact.shifts[0].verdict is Attribution.NOT_DISTINGUISHABLE
    assert impact.outcome is Outcome.UNKNOWN
    assert impact.costs == ()
    assert any("at the same time as spring-sale (sale)" in sentence for sentence in impact.story)


@pytest.mark.parametrize(("minute", "kind"), [(-600, "sale"), (9, "sale"), (1, "freeze"), (1, "incident")])
def test_an_event_that_goes_on_comes_later_or_follows_excuses_nobody(
    shift: Callable[..., Shift], case: Callable[..., Case], deploy: Callable[..., Deployment], minute: float, kind: str
) -> None:
    calendar = (sale(deploy, minute, OccasionKind(kind)),)
    (moved,) = common_shock([shift(LATENCY, 1)], case(metrics=(LATENCY,), calendar=calendar))
    assert moved.verdict is Attribution.ATTRIBUTED


def test_what_has_no_clear_onset_is_excused_by_a_sale_within_the_window(
    shift: Callable[..., Shift], case: Callable[..., Case], deploy: Callable[..., Deployment]
) -> None:
    creeping = shift(LATENCY, None, verdict=Attribution.GRADUAL)
    (beside,) = common_shock([creeping], case(metrics=(LATENCY,), calendar=(sale(deploy, 5),)))
    assert beside.verdict is Attribution.NOT_DISTINGUISHABLE
    (alone,) = common_shock([creeping], case(metrics=(LATENCY,), calendar=(sale(deploy, 90),)))
    assert alone.verdict is Attribution.GRADUAL


def test_the_end_of_a_sale_is_one_too(
    shift: Callable[..., Shift], case: Callable[..., Case], deploy: Callable[..., Deployment]
) -> None:
    ending = (sale(deploy, -3 * 24 * 60),)
    (moved,) = common_shock([shift(LATENCY, 1)], case(metrics=(LATENCY,), calendar=ending))
    assert moved.verdict is Attribution.NOT_DISTINGUISHABLE


def test_the_same_shift_in_the_other_services_is_a_common_cause(
    shift: Callable[..., Shift], case: Callable[..., Case]
) -> None:
    elsewhere = {"search": (shift(LATENCY, 1.5),), "payment": (shift(LATENCY, 0.5),), "mail": (shift(OTHER, 1),)}
    (moved,) = common_shock([shift(LATENCY, 1)], case(metrics=(LATENCY,), elsewhere=elsewhere))
    assert moved.verdict is Attribution.NOT_DISTINGUISHABLE
    assert moved.reason.startswith("search, payment moved the same way at the same time")


def test_a_service_that_moved_before_its_window_is_a_witness_too(
    shift: Callable[..., Shift], case: Callable[..., Case]
) -> None:
    before = shift(LATENCY, None, verdict=Attribution.NO_EFFECT)  # no matter of blame, and yet its range excludes none
    elsewhere = {"search": (before,), "payment": (before,), "mail": (shift(OTHER, 1),)}
    (moved,) = common_shock([shift(LATENCY, 1)], case(metrics=(LATENCY,), elsewhere=elsewhere))
    assert moved.verdict is Attribution.NOT_DISTINGUISHABLE


def test_one_of_many_services_the_other_way_another_time_or_quiet_is_none(
    shift: Callable[..., Shift], case: Callable[..., Case]
) -> None:
    quiet = shift(LATENCY, None, verdict=Attribution.NO_EFFECT, low=-1.0, high=3.0)
    elsewhere = {
        "search": (shift(LATENCY, 1),),
        "payment": (shift(LATENCY, 1, -1.0),),
        "mail": (shift(LATENCY, 12),),
        "cart": (quiet,),
        "checkout": (shift(LATENCY, 1),),
    }
    (moved,) = common_shock([shift(LATENCY, 1)], case(metrics=(LATENCY,), elsewhere=elsewhere))
    assert moved.verdict is Attribution.ATTRIBUTED
    (moved,) = common_shock([shift(LATENCY, 1)], case(metrics=(LATENCY,)))
    assert moved.verdict is Attribution.ATTRIBUTED


@pytest.mark.parametrize("watched", range(6))
def test_few_witnesses_settle_it_as_all_of_them_would(
    shift: Callable[..., Shift], case: Callable[..., Case], watched: int
) -> None:
    mine, step = shift(LATENCY, 1), case(metrics=(LATENCY,)).step
    quiet = shift(LATENCY, None, verdict=Attribution.NO_EFFECT, low=-1.0, high=3.0)
    names = [f"service-{number}" for number in range(watched)]
    asked = []
    for answers in product([mine, quiet, None], repeat=watched):
        known = dict(zip(names, answers, strict=True))
        heard = hear_witnesses(mine, names, known.__getitem__, step)
        asked.append(len(heard))
        few, everybody = (
            {name: (found[name],) if found.get(name) else () for name in names} for found in (heard, known)
        )
        verdicts = {
            common_shock([mine], case(metrics=(LATENCY,), elsewhere=elsewhere))[0].verdict
            for elsewhere in (few, everybody)
        }
        assert len(verdicts) == 1, known
    assert min(asked, default=0) <= watched // 2
