"""What every store promises of deployments."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from afdp_exporter.errors import BadInput, Fault, NotFound, StoreError
from afdp_exporter.model import Deployment, Impact, Look, LookState, Outcome, Status
from afdp_exporter.patterns import deployment_context
from afdp_exporter.store import Amendment, Store


async def ids_of_all_pages(store: Store, **words: Any) -> list[str]:  # noqa: ANN401 - as the store takes them
    """All ids, page by page."""
    found: list[str] = []
    cursor = None
    while True:
        page = await store.deployments.page(cursor=cursor, **words)
        found += [deployment.id for deployment in page.deployments]
        cursor = page.cursor
        if cursor is None:
            return found


async def test_an_id_is_taken_once_and_the_first_one_stays(
    store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look]
) -> None:
    first = await store.deployments.record(deployment(version="v1"), (look(),))
    second = await store.deployments.record(deployment(version="v2"), (look(minutes=5),))
    assert (first.created, second.created) == (True, False)
    assert second.deployment == first.deployment == await store.deployments.find("d1")
    assert await store.looks.of_deployment("d1") == (look(),)


async def test_an_idempotency_key_stands_for_the_first_deployment_that_came_with_it(
    store: Store, deployment: Callable[..., Deployment]
) -> None:
    await store.deployments.record(deployment("d1"), (), key="delivery")
    again = await store.deployments.record(deployment("d2"), (), key="delivery")
    assert not again.created
    assert again.deployment.id == "d1"
    with pytest.raises(NotFound):
        await store.deployments.find("d2")


async def test_a_key_that_comes_with_a_known_id_stands_for_it_from_then_on(
    store: Store, deployment: Callable[..., Deployment]
) -> None:
    await store.deployments.record(deployment("d1"), ())
    await store.deployments.record(deployment("d1"), (), key="delivery")
    assert (await store.deployments.record(deployment("d2"), (), key="delivery")).deployment.id == "d1"


async def test_of_many_at_once_each_is_kept_or_refused_by_itself(
    store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look]
) -> None:
    await store.deployments.record(deployment("known"), (), key="old")
    given: list[tuple[Deployment, str | None]] = [
        *((deployment(f"d{number}", version=f"v{number}"), None) for number in range(70)),
        (deployment("known", version="other"), None),
        (deployment("keyed"), "new"),
        (deployment("keyed again"), "new"),
        (deployment("old again"), "old"),
        (deployment("broken", description="\ud800"), None),
    ]

    async def record(each: Deployment, key: str | None) -> tuple[str, bool] | None:
        try:
            found = await store.deployments.record(each, (look(deployment_id=each.id),), key=key)
        except BadInput:
            return None
        return found.deployment.id, found.created

    answers = await asyncio.gather(*(record(*each) for each in given))
    keyed = answers[71:73]
    assert answers[:70] == [(f"d{number}", True) for number in range(70)]
    assert (answers[70], answers[73:]) == (("known", False), [("known", False), None])
    assert {created for _, created in filter(None, keyed)} == {True, False}
    assert len({name for name, _ in filter(None, keyed)}) == 1
    kept = [name for name, created in filter(None, answers) if created]
    assert sorted(await ids_of_all_pages(store)) == sorted(["known", *kept])
    for name in kept:
        assert await store.looks.of_deployment(name) == (look(deployment_id=name),)
    assert sorted(change.id for change in await store.changes.since(0)) == sorted(["known", *kept])


async def test_fifty_deliveries_of_one_event_at_once_make_one_deployment(
    store: Store, deployment: Callable[..., Deployment]
) -> None:
    answers = await asyncio.gather(
        *(store.deployments.record(deployment(f"d{number}"), (), key="delivery") for number in range(50)),
        *(store.deployments.record(deployment("same"), ()) for _ in range(50)),
    )
    assert sum(one.created for one in answers) == 2
    assert len({one.deployment.id for one in answers}) == 2
    assert len((await store.deployments.page(limit=100)).deployments) == 2


async def test_an_unknown_deployment_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="d9"):
        await store.deployments.find("d9")
    with pytest.raises(NotFound):
        await store.deployments.amend("d9", Amendment)


async def test_pages_follow_each_other_without_a_gap_while_more_deployments_come_in(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    for number in range(10):  # two at each instant, so that the id has to decide
        await store.deployments.record(deployment(f"d{number}", started_at=noon + timedelta(minutes=number // 2)), ())
    first = await store.deployments.page(limit=3)
    await store.deployments.record(deployment("later", started_at=noon + timedelta(hours=1)), ())
    second = await store.deployments.page(limit=3, cursor=first.cursor)
    assert [one.id for one in first.deployments + second.deployments] == ["d9", "d8", "d7", "d6", "d5", "d4"]
    assert await ids_of_all_pages(store, limit=5) == ["later", *(f"d{number}" for number in reversed(range(10)))]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"service": "checkout"}, ["a", "b"]),
        ({"environment": "staging"}, ["b", "c"]),
        ({"service": "checkout", "environment": "staging"}, ["b"]),
        ({"service": "checkout' OR 1=1 --"}, []),
    ],
)
async def test_a_page_holds_only_what_was_asked_for(
    store: Store, deployment: Callable[..., Deployment], words: dict[str, Any], expected: list[str]
) -> None:
    await store.deployments.record(deployment("a"), ())
    await store.deployments.record(deployment("b", environment="staging"), ())
    await store.deployments.record(deployment("c", environment="staging", service="search"), ())
    assert sorted(await ids_of_all_pages(store, limit=1, **words)) == expected


async def test_since_counts_the_instant_itself(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    await store.deployments.record(deployment("before", started_at=noon - timedelta(microseconds=1)), ())
    await store.deployments.record(deployment("at"), ())
    assert await ids_of_all_pages(store, since=noon) == ["at"]


@pytest.mark.parametrize(
    "cursor", ["", "x", "W10=", "WzEsMl0=", "bnVsbA==", "Wy0xLCJcdWQ4MDAiXQ==", "é", "WzFlOTksIngiXQ=="]
)
async def test_a_cursor_that_no_page_gave_is_bad_input(store: Store, cursor: str) -> None:
    with pytest.raises(BadInput) as caught:
        await store.deployments.page(cursor=cursor)
    assert caught.value.faults[0].field == "cursor"


@pytest.mark.parametrize(
    ("words", "touches"),
    [
        ({}, True),
        ({"status": Status.PLANNED}, False),
        ({"minutes": -1}, False),
        ({"minutes": -1, "lasting": 1}, True),
        ({"minutes": -60 * 24 * 30, "lasting": 60 * 24 * 30}, True),
        ({"minutes": -60 * 24 * 30, "lasting": 60 * 24 * 40}, True),
        ({"minutes": -60 * 24 * 30, "lasting": 60 * 24 * 29}, False),
        ({"minutes": 10}, True),
        ({"minutes": 10.1}, False),
        ({"minutes": 11, "lasting": 60 * 24 * 2}, False),
    ],
)
async def test_a_window_finds_every_rollout_that_touches_it(
    store: Store, deployment: Callable[..., Deployment], noon: datetime, words: dict[str, Any], touches: bool
) -> None:
    start = noon + timedelta(minutes=words.get("minutes", 0))
    finish = start + timedelta(minutes=words["lasting"]) if "lasting" in words else None
    status = words.get("status", Status.SUCCEEDED)
    await store.deployments.record(deployment(started_at=start, finished_at=finish, status=status), ())
    found = await store.deployments.overlapping(noon, noon + timedelta(minutes=10))
    assert [one.id for one in found] == (["d1"] if touches else [])


async def test_the_nearest_of_a_window_are_those_that_started_closest(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    for minutes in (-50, -20, -5, 4, 10, 30):
        at = noon + timedelta(minutes=minutes)
        await store.deployments.record(deployment(f"{minutes}", started_at=at, finished_at=at), ())
    long_ago = {"started_at": noon - timedelta(days=2), "finished_at": noon}
    await store.deployments.record(deployment("long", **long_ago), ())
    await store.deployments.record(deployment("other", service="web", started_at=noon, finished_at=noon), ())
    window = (noon - timedelta(minutes=20), noon + timedelta(minutes=10))

    async def nearest(limit: int, target: tuple[str, str] | None = None) -> list[str]:
        found = await store.deployments.nearest(*window, at=noon, limit=limit, target=target)
        return [each.id for each in found]

    assert await nearest(3) == ["-5", "other", "4"]
    assert await nearest(100) == ["long", "-20", "-5", "other", "4", "10"]
    assert await nearest(100, ("web", "production")) == ["other"]
    assert await nearest(100, ("web", "staging")) == []


async def test_what_is_under_way_is_counted_among_those_that_started_last(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    def minutes(count: float) -> datetime:
        return noon + timedelta(minutes=count)

    begun = {
        "over": (-30, -20),
        "long": (-600, 5),
        "ends now": (-20, 0),
        "forgotten": (-15, None),
        "no end yet": (-14, None),
        "later": (0, 10),
    }
    for name, (start, end) in begun.items():
        finished = None if end is None else minutes(end)
        await store.deployments.record(deployment(name, started_at=minutes(start), finished_at=finished), ())
    planned = deployment("planned", started_at=minutes(-1), finished_at=None, status=Status.PLANNED)
    await store.deployments.record(planned, ())
    assert await store.history.under_way(noon, minutes(-15), limit=100) == 2
    assert await store.history.under_way(noon, minutes(-15), limit=4) == 1
    kept = [await store.deployments.find(name) for name in begun]
    assert deployment_context(replace(planned, started_at=noon), earlier=kept, impacts={}, zone=UTC).in_flight == 2


async def test_an_amendment_is_read_changed_and_kept_at_once(
    store: Store, deployment: Callable[..., Deployment]
) -> None:
    await store.deployments.record(deployment(labels={"count": "0"}), ())

    def count(stored: Deployment) -> Amendment:
        return Amendment(deployment=replace(stored, labels={"count": str(int(stored.labels["count"]) + 1)}))

    await asyncio.gather(*(store.deployments.amend("d1", count) for _ in range(50)))
    assert (await store.deployments.find("d1")).labels == {"count": "50"}


async def test_what_a_change_raises_reaches_the_caller_and_changes_nothing(
    store: Store, deployment: Callable[..., Deployment]
) -> None:
    await store.deployments.record(deployment(), ())

    def refuse(stored: Deployment) -> Amendment:
        raise BadInput(Fault("status", "cannot go back"))

    with pytest.raises(BadInput, match="cannot go back"):
        await store.deployments.amend("d1", refuse)
    assert await store.deployments.find("d1") == deployment()


async def test_an_amendment_that_cannot_be_kept_leaves_deployment_and_looks_alone(
    store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look]
) -> None:
    await store.deployments.record(deployment(), (look(),))
    twice = (look(minutes=5), look(minutes=5, reason="\ud800"))
    with pytest.raises(StoreError):
        await store.deployments.amend(
            "d1", lambda stored: Amendment(deployment=replace(stored, version="v2"), looks=twice)
        )
    assert await store.deployments.find("d1") == deployment()
    assert await store.looks.of_deployment("d1") == (look(),)


async def test_what_text_and_numbers_cannot_carry_is_bad_input_with_its_place(
    store: Store, deployment: Callable[..., Deployment]
) -> None:
    odd = deployment(
        service="\ud800", traffic_ratio=float("nan"), traits={"size": float("inf")}, labels={"a": "\udfff"}
    )
    with pytest.raises(BadInput) as caught:
        await store.deployments.record(odd, ())
    assert [fault.field for fault in caught.value.faults] == ["service", "traffic_ratio", "traits.size", "labels.a"]
    await store.deployments.record(deployment(), ())


async def test_recent_gives_the_newest_of_each_service_and_environment(
    store: Store,
    deployment: Callable[..., Deployment],
    impact: Callable[..., Impact],
    look: Callable[..., Look],
    noon: datetime,
) -> None:
    for number in range(5):
        for service, environment in (("checkout", "production"), ("checkout", "staging"), ("search", "production")):
            await store.deployments.record(
                deployment(
                    f"{service}-{environment}-{number}",
                    service=service,
                    environment=environment,
                    started_at=noon + timedelta(minutes=number),
                ),
                (look(f"{service}-{environment}-{number}"),),
            )
    await store.looks.finish(look("search-production-4"), impact("search-production-4"))
    found = await store.history.recent(2)
    assert sorted(one.deployment.id for one in found) == sorted(
        f"{place}-{number}"
        for place in ("checkout-production", "checkout-staging", "search-production")
        for number in (3, 4)
    )
    assert [one.deployment.id for one in found if one.impact is not None] == ["search-production-4"]


async def test_the_newest_of_each_place_are_found_by_what_became_of_them(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    for number, outcome in enumerate((Outcome.FAILURE, Outcome.DEGRADATION, Outcome.SUCCESS)):
        name = f"d{number}"
        await store.deployments.record(deployment(name, started_at=noon + timedelta(minutes=number)), (look(name),))
        await store.looks.finish(look(name), replace(impact(name), outcome=outcome))
    labelled = deployment("d3", started_at=noon + timedelta(minutes=3), labelled_outcome=Outcome.FAILURE)
    await store.deployments.record(labelled, ())
    bad = await store.history.recent(3, {Outcome.DEGRADATION, Outcome.FAILURE})
    assert {each.deployment.id for each in bad} == {"d1", "d3"}


async def test_an_overview_holds_what_was_measured_and_finds_it_by_its_outcome(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    recorded = {f"d{n}": deployment(f"d{n}", started_at=noon + timedelta(minutes=n)) for n in range(6)}
    for each in recorded.values():
        await store.deployments.record(each, (look(each.id),))
    bad = [replace(impact(), deployment_id=name, outcome=Outcome.FAILURE) for name in ("d1", "d3", "d4")]
    for each in bad:
        await store.looks.finish(look(each.deployment_id, state=LookState.DONE), each)
    first = await store.history.overview(outcome=Outcome.FAILURE, service="checkout", limit=2)
    second = await store.history.overview(outcome=Outcome.FAILURE, cursor=first.cursor, limit=2)
    assert [each.impact for each in (*first.measured, *second.measured)] == bad[::-1]
    assert second.cursor is None
    unknown = (await store.history.overview(outcome=Outcome.UNKNOWN)).measured
    assert [(each.deployment.id, each.impact) for each in unknown] == [("d5", None), ("d2", None), ("d0", None)]
    assert len((await store.history.overview()).measured) == 6
