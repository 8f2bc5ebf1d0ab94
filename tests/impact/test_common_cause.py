"""What moved everything at once blames nobody.

Other services as witnesses.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.impact.assembly import assemble_impact
from afdp_exporter.impact.common_cause import control_series, control_services, drop_common_causes, sample_controls
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.model import (
    Attribution,
    CalendarEntry,
    CalendarEntryKind,
    Deployment,
    Layer,
    Metric,
    Outcome,
    Service,
    Shift,
)

MINUTE = timedelta(minutes=1)
LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='l{service="$service"}')
OTHER = Metric(name="error_ratio", layer=Layer.TECHNICAL, query='e{service="$service"}')


def sale(
    deploy: Callable[..., Deployment], minute: float, kind: CalendarEntryKind = CalendarEntryKind.SALE
) -> CalendarEntry:
    start = deploy().started_at + minute * MINUTE
    return CalendarEntry(name="spring-sale", kind=kind, start=start, end=start + timedelta(days=3))


@pytest.mark.parametrize("minute", [1, 0, -5, 2])
def test_a_sale_that_begins_at_the_onset_is_reported_and_nobody_is_blamed(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment], minute: float
) -> None:
    impact = assemble_impact([shift(LATENCY, 1)], case(metrics=(LATENCY,), calendar=(sale(deploy, minute),)))
    assert impact.shifts[0].verdict is Attribution.NOT_DISTINGUISHABLE
    assert impact.outcome is Outcome.UNKNOWN
    assert impact.costs == ()
    assert any("at the same time as spring-sale (sale)" in sentence for sentence in impact.story)


@pytest.mark.parametrize(("minute", "kind"), [(-600, "sale"), (9, "sale"), (1, "freeze"), (1, "incident")])
def test_an_event_that_goes_on_comes_later_or_follows_excuses_nobody(
    shift: Callable[..., Shift],
    case: Callable[..., AnalysisContext],
    deploy: Callable[..., Deployment],
    minute: float,
    kind: str,
) -> None:
    calendar = (sale(deploy, minute, CalendarEntryKind(kind)),)
    (moved,) = drop_common_causes([shift(LATENCY, 1)], case(metrics=(LATENCY,), calendar=calendar))
    assert moved.verdict is Attribution.ATTRIBUTED


def test_what_has_no_clear_onset_is_excused_by_a_sale_within_the_window(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    creeping = shift(LATENCY, None, verdict=Attribution.GRADUAL)
    (beside,) = drop_common_causes([creeping], case(metrics=(LATENCY,), calendar=(sale(deploy, 5),)))
    assert beside.verdict is Attribution.NOT_DISTINGUISHABLE
    (alone,) = drop_common_causes([creeping], case(metrics=(LATENCY,), calendar=(sale(deploy, 90),)))
    assert alone.verdict is Attribution.GRADUAL


def test_the_end_of_a_sale_is_one_too(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    ending = (sale(deploy, -3 * 24 * 60),)
    (moved,) = drop_common_causes([shift(LATENCY, 1)], case(metrics=(LATENCY,), calendar=ending))
    assert moved.verdict is Attribution.NOT_DISTINGUISHABLE


def test_the_same_shift_in_the_other_services_is_a_common_cause(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    elsewhere = {"search": (shift(LATENCY, 1.5),), "payment": (shift(LATENCY, 0.5),), "mail": (shift(OTHER, 1),)}
    (moved,) = drop_common_causes([shift(LATENCY, 1)], case(metrics=(LATENCY,), control_shifts=elsewhere))
    assert moved.verdict is Attribution.NOT_DISTINGUISHABLE
    assert moved.reason.startswith("search, payment moved the same way at the same time")


def test_a_service_that_moved_before_its_window_is_a_witness_too(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    before = shift(LATENCY, None, verdict=Attribution.NO_EFFECT)  # no matter of blame, and yet its range excludes none
    elsewhere = {"search": (before,), "payment": (before,), "mail": (shift(OTHER, 1),)}
    (moved,) = drop_common_causes([shift(LATENCY, 1)], case(metrics=(LATENCY,), control_shifts=elsewhere))
    assert moved.verdict is Attribution.NOT_DISTINGUISHABLE


def test_one_of_many_services_the_other_way_another_time_or_quiet_is_none(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    quiet = shift(LATENCY, None, verdict=Attribution.NO_EFFECT, low=-1.0, high=3.0)
    elsewhere = {
        "search": (shift(LATENCY, 1),),
        "payment": (shift(LATENCY, 1, -1.0),),
        "mail": (shift(LATENCY, 12),),
        "cart": (quiet,),
        "checkout": (shift(LATENCY, 1),),
    }
    (moved,) = drop_common_causes([shift(LATENCY, 1)], case(metrics=(LATENCY,), control_shifts=elsewhere))
    assert moved.verdict is Attribution.ATTRIBUTED
    (moved,) = drop_common_causes([shift(LATENCY, 1)], case(metrics=(LATENCY,)))
    assert moved.verdict is Attribution.ATTRIBUTED


@pytest.mark.parametrize("watched", range(6))
def test_few_witnesses_settle_it_as_all_of_them_would(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], watched: int
) -> None:
    mine, step = shift(LATENCY, 1), case(metrics=(LATENCY,)).step
    quiet = shift(LATENCY, None, verdict=Attribution.NO_EFFECT, low=-1.0, high=3.0)
    names = [f"service-{number}" for number in range(watched)]
    asked = []
    for answers in product([mine, quiet, None], repeat=watched):
        known = dict(zip(names, answers, strict=True))

        def shifts_of(
            metrics: Sequence[str], service: str, known: Mapping[str, Shift | None] = known
        ) -> dict[str, Shift]:
            found = known[service]
            return {} if found is None else dict.fromkeys(metrics, found)

        (heard,) = sample_controls([mine], names, shifts_of, step)
        asked.append(len(heard))
        few, everybody = (
            {name: (found[name],) if found.get(name) else () for name in names} for found in (heard, known)
        )
        verdicts = {
            drop_common_causes([mine], case(metrics=(LATENCY,), control_shifts=elsewhere))[0].verdict
            for elsewhere in (few, everybody)
        }
        assert len(verdicts) == 1, known
    assert min(asked, default=0) <= watched // 2


SHOP = {
    service.name: service
    for service in (
        Service(name="web", depends_on=("api",)),
        Service(name="api", depends_on=("database",)),
        Service(name="database"),
        Service(name="mail", depends_on=("queue",)),
        Service(name="queue"),
        Service(name="search"),
    )
}


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("api", ("mail", "queue", "search")),
        ("search", ("web", "api", "database", "mail", "queue")),
        ("unheard-of", ("web", "api", "database", "mail", "queue")),
    ],
)
def test_who_calls_a_service_or_is_called_by_it_is_no_witness(service: str, expected: tuple[str, ...]) -> None:
    assert control_services(service, SHOP) == expected


def test_services_that_call_each_other_in_a_circle_are_no_witnesses_of_each_other() -> None:
    circle = {"a": Service(name="a", depends_on=("b",)), "b": Service(name="b", depends_on=("a",))}
    assert control_services("a", circle) == ()


@given(sizes=st.lists(st.floats(0.01, 1e6), min_size=1, max_size=6))
def test_the_common_course_does_not_depend_on_the_size_of_a_service(sizes: list[float]) -> None:
    course = np.array([1.0, 2.0, 1.0, 2.0, 1.5])
    found = control_series([size * course for size in sizes])
    assert found is not None
    np.testing.assert_allclose(found, course / 1.5)


def test_a_gap_of_one_witness_is_filled_by_the_others_and_a_gap_of_all_stays_one() -> None:
    found = control_series([np.array([1.0, np.nan, np.nan, 1.0]), np.array([2.0, 2.0, np.nan, 2.0])])
    assert found is not None
    np.testing.assert_array_equal(found, [1.0, 1.0, np.nan, 1.0])


def test_witnesses_that_say_nothing_are_no_control() -> None:
    assert control_series([]) is None
    assert control_series([np.zeros(5), np.full(5, np.nan)]) is None


@given(
    courses=st.lists(st.lists(st.floats(0.5, 9.0) | st.just(np.nan), min_size=4, max_size=4), min_size=1, max_size=6)
)
def test_the_common_course_is_the_median_of_what_is_known(courses: list[list[float]]) -> None:
    known = [np.array(course) for course in courses if np.isfinite(course).any()]
    found = control_series([np.array(course) for course in courses])
    if not known:
        assert found is None
        return
    scaled = np.stack([course / np.nanmedian(course) for course in known])
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # where none is known
        expected = np.nanmedian(scaled, axis=0)
    assert found is not None
    np.testing.assert_allclose(found, expected)
