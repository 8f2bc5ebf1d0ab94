"""What a change of requests costs: its arithmetic, and what its range must hold whatever the change."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.model import CloudCost
from afdp_exporter.planning.cloud_cost import CHANCES, CloudRates, Pair, Workload, cloud_cost, request_change

ROUND = CloudRates(cpu_core_hour=0.1, memory_gib_hour=0.01, storage_gib_month=0.73)
FIXED = Workload(least=2, most=2, cores=1.0, memory_gib=2.0)


def traits(*pairs: Pair) -> dict[str, float]:
    return request_change(pairs, np.random.default_rng(3).random((2000, len(pairs), CHANCES))).traits()


def cost(*pairs: Pair, rates: CloudRates = ROUND) -> CloudCost:
    found = cloud_cost(traits(*pairs), rates)
    assert found is not None
    return found


def test_more_pods_cost_what_they_ask_for_and_less_where_they_were_short_before() -> None:
    found = cost((FIXED, replace(FIXED, least=5, most=5)))
    assert found.per_hour.low < found.per_hour.median == pytest.approx(3 * (0.1 + 0.02), rel=0.05)
    assert found.sentence.startswith("3 more pods, 3 more cores, 6 GiB more memory: +$0.36 an hour [")
    assert traits((FIXED, replace(FIXED, least=5, most=5)))["replicas_delta"] == 3


def test_a_new_workload_costs_its_requests_at_least_and_one_that_is_gone_saves_as_much() -> None:
    new, gone = cost((None, FIXED)).per_hour, cost((FIXED, None)).per_hour
    assert new.low == pytest.approx(2 * (0.1 + 0.02), rel=1e-6)
    assert (gone.low, gone.median, gone.high) == pytest.approx((-new.high, -new.median, -new.low), rel=0.02)


def test_higher_requests_cost_no_more_than_their_difference() -> None:
    found = cost((FIXED, replace(FIXED, cores=2.0))).per_hour
    assert 0 <= found.low < found.median == pytest.approx(0.2)
    assert found.high == pytest.approx(0.2)


def test_storage_is_priced_by_the_month_and_has_no_range() -> None:
    found = cost((None, Workload(least=1, most=1, storage_gib=1000)))
    assert (found.per_hour.low, found.per_hour.high) == (pytest.approx(1.0), pytest.approx(1.0))
    assert found.sentence.startswith("1 more pod, 1,000 GiB more storage: +$1")


def test_the_bounds_of_an_autoscaler_widen_the_range() -> None:
    scaled = replace(FIXED, least=1, most=20, target=0.7)
    wide, narrow = cost((None, scaled)).per_hour, cost((None, replace(scaled, least=4, most=5))).per_hour
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    raised = cost((scaled, replace(scaled, most=40))).per_hour
    assert raised.low == pytest.approx(0.0, abs=1e-9)
    assert raised.high > 0


def test_the_same_workload_costs_the_same() -> None:
    found = cost((FIXED, FIXED))
    assert (found.per_hour.low, found.per_hour.high) == (0.0, 0.0)
    assert found.sentence == "The requests stay as they are: $0 an hour"


@given(
    workloads=st.lists(
        st.builds(
            lambda least, more, cores, memory, target: Workload(
                least=least, most=least + more, cores=cores, memory_gib=memory, target=target if more else None
            ),
            st.integers(0, 20), st.integers(0, 30), st.just(0.0) | st.floats(1e-9, 1e10), st.floats(0, 1e10),
            st.none() | st.floats(0.05, 1.5),
        ),
        min_size=2, max_size=2,
    ),
    rates=st.builds(CloudRates, cpu_core_hour=st.floats(0, 5), memory_gib_hour=st.floats(0, 5)),
)  # fmt: skip
def test_every_range_is_in_order_and_a_change_and_its_opposite_mirror_each_other(
    workloads: list[Workload], rates: CloudRates
) -> None:
    before, after = workloads
    there, back = traits((before, after)), traits((after, before))
    for name in ("replicas_delta", "cpu_request_delta_cores", "memory_request_delta_gib"):
        assert there[name] == pytest.approx(-back[name], abs=1e-9)
    found = cost((before, after), rates=rates).per_hour
    assert np.isfinite([found.low, found.high]).all()
    assert found.low <= found.median <= found.high


def test_requests_alone_are_enough_and_nothing_is_claimed_without_them() -> None:
    added = cloud_cost({"replicas_delta": 3.0, "cpu_request_delta_cores": 1.5}, ROUND)
    assert added is not None
    assert added.per_hour.low == pytest.approx(0.15)
    assert added.per_hour.high > 0.15
    raised = cloud_cost({"cpu_request_delta_cores": 1.5}, ROUND)
    assert raised is not None
    assert 0 <= raised.per_hour.low < 0.15
    assert raised.per_hour.high == pytest.approx(0.15)
    for said in ({}, {"table_rows": 5.0}, {"replicas_delta": 3.0}, {"cpu_request_delta_cores": "much"}):
        assert cloud_cost(said, ROUND) is None
    assert cloud_cost({"cpu_request_delta_cores": 1e308, "replicas_delta": 1e-300}, ROUND) is None
    assert cloud_cost({"cpu_request_delta_cores": True, "memory_request_delta_gib": float("inf")}, ROUND) is None
