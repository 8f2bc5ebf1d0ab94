"""Other services as witnesses."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.impact.peers import common_course, witnesses
from afdp_exporter.model import Service

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
    assert witnesses(service, SHOP) == expected


def test_services_that_call_each_other_in_a_circle_are_no_witnesses_of_each_other() -> None:
    circle = {"a": Service(name="a", depends_on=("b",)), "b": Service(name="b", depends_on=("a",))}
    assert witnesses("a", circle) == ()


@given(sizes=st.lists(st.floats(0.01, 1e6), min_size=1, max_size=6))
def test_the_common_course_does_not_depend_on_the_size_of_a_service(sizes: list[float]) -> None:
    course = np.array([1.0, 2.0, 1.0, 2.0, 1.5])
    found = common_course([size * course for size in sizes])
    assert found is not None
    np.testing.assert_allclose(found, course / 1.5)


def test_a_gap_of_one_witness_is_filled_by_the_others_and_a_gap_of_all_stays_one() -> None:
    found = common_course([np.array([1.0, np.nan, np.nan, 1.0]), np.array([2.0, 2.0, np.nan, 2.0])])
    assert found is not None
    np.testing.assert_array_equal(found, [1.0, 1.0, np.nan, 1.0])


def test_witnesses_that_say_nothing_are_no_control() -> None:
    assert common_course([]) is None
    assert common_course([np.zeros(5), np.full(5, np.nan)]) is None


@given(
    courses=st.lists(st.lists(st.floats(0.5, 9.0) | st.just(np.nan), min_size=4, max_size=4), min_size=1, max_size=6)
)
def test_the_common_course_is_the_median_of_what_is_known(courses: list[list[float]]) -> None:
    known = [np.array(course) for course in courses if np.isfinite(course).any()]
    found = common_course([np.array(course) for course in courses])
    if not known:
        assert found is None
        return
    scaled = np.stack([course / np.nanmedian(course) for course in known])
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # where none is known
        expected = np.nanmedian(scaled, axis=0)
    assert found is not None
    np.testing.assert_allclose(found, expected)
