"""Any order, any repetition: the same deployment."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.fields import ID
from afdp_exporter.model import Announcement, ChangeType, Deployment, Origin, Outcome, Recurrence, Status
from afdp_exporter.tracking.merge import Life, apply_manual_edits, deployment_id, merge_announcements, rollouts

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def reported(status: Status | None, minutes: float | None, **words: object) -> Announcement:
    origin = Origin(service="checkout", environment="production")
    plain = Announcement(sender="github", key="octo/hello:1", event=f"{status}:{minutes}", origin=origin)
    return replace(plain, status=status, at=None if minutes is None else at(minutes), **words)


def life(*announcements: Announcement) -> Life:
    lives = [merge_announcements(order, received_at=NOON) for order in itertools.permutations(announcements)]
    assert all(each == lives[0] for each in lives)
    assert lives[0] is not None
    return lives[0]


P, S, OK, BAD, BACK, OFF = (
    Status.PLANNED,
    Status.STARTED,
    Status.SUCCEEDED,
    Status.FAILED,
    Status.ROLLED_BACK,
    Status.CANCELLED,
)


@pytest.mark.parametrize(
    ("events", "status", "started", "finished", "happened"),
    [
        ([(P, 0)], P, 0, None, False),
        ([(P, 0), (S, 5)], S, 5, None, True),
        ([(P, 0), (S, 5), (OK, 9)], OK, 5, 9, True),
        ([(S, 0), (P, 1), (S, 60), (OK, 65)], OK, 60, 65, True),  # created, waits for approval, runs
        ([(S, 0), (BAD, 5)], BAD, 0, 5, True),
        ([(S, 0), (BAD, 5), (S, 30), (OK, 33)], OK, 0, 33, True),  # run again
        ([(S, 0), (OK, 5), (BACK, 60)], BACK, 0, 5, True),  # the rollout was over long before it was taken back
        ([(S, 0), (OK, 5), (S, 9), (OK, 12)], OK, 0, 5, True),  # what is over does not start again
        ([(S, 0), (OK, 5), (P, 900)], OK, 0, 5, True),
        ([(S, 0), (BAD, 5), (OK, 40)], OK, 0, 40, True),  # it got well, and ended then
        ([(S, 0), (BAD, 5), (BAD, 40)], BAD, 0, 5, True),
        ([(S, 0), (BACK, 5), (S, 30), (OK, 33)], OK, 0, 33, True),
        ([(S, 0), (OK, 0)], OK, 0, 0, True),  # within one tick of the sender's clock
        ([(OK, 7)], OK, 7, 7, True),
        ([(P, 0), (OK, 7)], OK, 0, 7, True),
        ([(P, 0), (OFF, 3)], OFF, 0, 3, False),
        ([(S, 0), (OFF, 3)], OFF, 0, 3, True),
        ([(OFF, 3)], OFF, 3, 3, False),
    ],
)
def test_a_life_is_made_of_its_events(
    events: list[tuple[Status, float]],
    status: Status,
    started: float,
    finished: float | None,
    happened: bool,
) -> None:
    found = life(*(reported(*event) for event in events))
    assert found.deployment.status is status
    assert found.deployment.started_at == at(started)
    assert found.deployment.finished_at == (None if finished is None else at(finished))
    assert found.happened is happened


@pytest.mark.parametrize(
    ("events", "status", "finished"),
    [
        ([(S, 0), (OK, 5), (BAD, 20)], BAD, 5),  # 15 minutes after its end, it is about the rollout
        ([(S, 0), (OK, 5), (BAD, 20.1)], OK, 5),
        ([(S, 0), (OK, 5), (BAD, 9), (OK, 60)], OK, 60),
        ([(S, 0), (OK, 5), (BACK, 70), (OK, 75)], OK, 5),
        ([(S, 0), (OFF, 5), (BAD, 3000)], OFF, 5),
        ([(S, 0), (BAD, 5), (OK, 3000)], OK, 3000),
    ],
)
def test_a_state_that_is_observed_later_says_nothing_of_what_is_over(
    events: list[tuple[Status, float]], status: Status, finished: float
) -> None:
    found = life(*(reported(*event, observed=True) for event in events)).deployment
    assert (found.status, found.finished_at) == (status, at(finished))


def test_what_is_observed_later_leaves_no_words_behind() -> None:
    reported_later = reported(BACK, 90, observed=True, description="aborted", traffic_ratio=0.0)
    found = life(
        reported(S, 0, observed=True), reported(OK, 5, observed=True, traffic_ratio=1.0), reported_later
    ).deployment
    assert (found.description, found.traffic_ratio) == (None, 1.0)


def test_how_it_failed_does_not_describe_what_was_deployed() -> None:
    failed = reported(BAD, 5, description="Rolling back web.shop: failed checks threshold reached")
    assert life(reported(S, 0, description="a new basket"), failed).deployment.description == "a new basket"
    assert life(reported(S, 0), failed).deployment.description == failed.description


def threaded(recurrence: Recurrence, *events: tuple[str, Status, float]) -> list[tuple[str, int]]:
    """The ids of the rollouts of a thread, and how many events each has, whatever order they come in."""
    plain = [
        reported(status, minutes, key=key, thread="t", recurrence=recurrence, event=f"{key}{status}{minutes}")
        for key, status, minutes in events
    ]
    found = [rollouts(order) for order in itertools.permutations(plain)]
    assert all(each == found[0] for each in found)
    return [(name, len(events)) for name, events in found[0].items()]


def test_a_key_that_comes_back_is_another_rollout_where_its_sender_says_so() -> None:
    events = (("a", OK, 0), ("b", OK, 10), ("a", OK, 20))
    assert threaded(Recurrence.ONCE, *events) == [("github:a", 2), ("github:b", 1)]
    assert threaded(Recurrence.RETURNS, *events) == [("github:a", 1), ("github:b", 1), ("github:a:2", 1)]


def test_a_start_after_the_end_is_another_rollout_where_its_sender_says_so() -> None:
    events = (("a", S, 0), ("a", BAD, 5), ("a", S, 30), ("a", OK, 33))
    assert threaded(Recurrence.RETURNS, *events) == [("github:a", 4)]
    assert threaded(Recurrence.RESTARTS, *events) == [("github:a", 2), ("github:a:2", 2)]
    assert threaded(Recurrence.RESTARTS, ("a", S, 0), ("a", BAD, 5), ("a", S, 5.5)) == [("github:a", 3)]


def test_a_run_that_succeeded_and_ends_again_is_another_rollout_where_its_sender_tells_no_start() -> None:
    events = ("a", S, 0), ("a", OK, 5), ("a", OK, 90)
    assert threaded(Recurrence.REPEATS, *events) == [("github:a", 2), ("github:a:2", 1)]
    assert threaded(Recurrence.RESTARTS, *events) == [("github:a", 3)]
    assert threaded(Recurrence.REPEATS, ("a", OK, 0), ("a", BAD, 90)) == [("github:a", 1), ("github:a:2", 1)]
    assert threaded(Recurrence.REPEATS, ("a", BAD, 0), ("a", OK, 90), ("a", OK, 90.5)) == [("github:a", 3)]


def test_what_is_said_of_the_newest_rollout_makes_none() -> None:
    assert threaded(Recurrence.RETURNS, ("t", BACK, 0)) == []
    assert threaded(Recurrence.RETURNS, ("a", OK, 0), ("b", BAD, 10), ("t", BACK, 11)) == [
        ("github:a", 1),
        ("github:b", 2),
    ]


def test_the_later_word_holds_and_an_empty_one_says_nothing() -> None:
    found = life(
        reported(
            S, 0, version="v1", actor="ann", change_types=(ChangeType.DATABASE,), traits={"files": 3.0, "rows": 1.0}
        ),
        reported(None, 1, description="moves a table", labels={"area": "shop"}),
        reported(OK, 5, version="v2", actor="", change_types=(ChangeType.CODE,), traits={"files": 4.0}),
    ).deployment
    assert (found.version, found.actor, found.description) == ("v2", "ann", "moves a table")
    assert found.change_types == (ChangeType.CODE, ChangeType.DATABASE)
    assert found.traits == {"files": 4.0, "rows": 1.0}
    assert found.labels == {"area": "shop"}


def test_times_that_are_reported_besides_the_event_hold() -> None:
    found = life(reported(OK, 9, started_at=at(1), finished_at=at(4))).deployment
    assert (found.started_at, found.finished_at) == (at(1), at(4))
    backwards = life(reported(OK, 9, started_at=at(5), finished_at=at(4))).deployment
    assert backwards.started_at == backwards.finished_at == at(4)


def test_as_long_as_no_status_is_known_there_is_no_deployment() -> None:
    assert merge_announcements([reported(None, 0, version="v1")], received_at=NOON) is None
    assert merge_announcements([], received_at=NOON) is None


def test_what_a_deployment_may_not_hold_is_cut_or_left_out() -> None:
    found = life(
        reported(
            OK,
            0,
            version=" v1\n\x1b[31m ",
            description="a\r\nb\x00" + "x" * 9000,
            url="javascript:alert(1)",
            actor="x" * 500,
            traits={"good": 1.0, "": 2.0, "nan": float("nan"), "list": [1], "long": "x" * 600},  # type: ignore[dict-item]
            labels={"app.kubernetes.io/name": "shop", "1st": "no", "empty": ""},
        )
    ).deployment
    assert found.version == "v1  [31m"
    assert found.description is not None
    assert found.description.startswith("a\nb x")
    assert len(found.description) == 8192
    assert found.url is None
    assert len(found.actor or "") == 128
    assert found.traits == {"good": 1.0}
    assert found.labels == {"app_kubernetes_io_name": "shop"}


@given(st.text(max_size=40), st.text(max_size=300))
def test_every_key_has_an_id_that_the_api_takes(sender: str, key: str) -> None:
    announcement = replace(reported(OK, 0), sender=f"s{sender}", key=key)
    assert ID.fullmatch(deployment_id(announcement))


def test_keys_that_differ_have_ids_that_differ() -> None:
    keys = ["a/b", "a-b", "a b", "a_b", "a%b", "x" * 200, "x" * 201]
    assert len({deployment_id(replace(reported(OK, 0), key=key)) for key in keys}) == len(keys)
    assert deployment_id(reported(OK, 0)) == "github:octo:hello:1"


def stored(**words: object) -> Deployment:
    return replace(life(reported(S, 0, version="v1", traits={"a": 1.0, "b": 1.0})).deployment, **words)


def test_what_somebody_changed_by_hand_outlives_later_events() -> None:
    before = stored()
    after = life(
        reported(S, 0, version="v1", traits={"a": 1.0, "b": 1.0}), reported(OK, 5, traits={"b": 2.0})
    ).deployment
    by_hand = stored(labelled_outcome=Outcome.FAILURE, note="seen", version="v1.0.1", traits={"a": 7.0, "b": 1.0})
    found = apply_manual_edits(by_hand, before, after)
    assert (found.labelled_outcome, found.note, found.version) == (Outcome.FAILURE, "seen", "v1.0.1")
    assert (found.status, found.finished_at) == (OK, at(5))
    assert found.traits == {"a": 7.0, "b": 2.0}


def test_a_deployment_that_was_reported_by_hand_gains_what_it_lacks() -> None:
    mine = Deployment(id="x", service="api", environment="staging", started_at=at(1), received_at=NOON, version="v9")
    found = apply_manual_edits(mine, None, life(reported(S, 0, version="v1", actor="ann"), reported(BAD, 5)).deployment)
    assert (found.service, found.environment, found.version, found.started_at) == ("api", "staging", "v9", at(1))
    assert (found.actor, found.status, found.finished_at) == ("ann", BAD, at(5))


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("rollback_production", True),
        ("Rollback deployment", True),
        ("RollbackProd", True),
        ("prod / roll-back", True),
        ("production: Roll back", True),
        ("deploy-with-rollback", False),
        ("release, rollback on failure", False),
        ("scrollback", False),
        ("rollbacks-report", False),
        ("ship", False),
    ],
)
def test_what_is_called_a_rollback_is_one(name: str, is_one: bool) -> None:
    found = life(reported(OK, 5, origin=Origin(service="checkout", pipeline=name))).deployment
    assert found.traits == ({"rollback": True} if is_one else {})
    said = reported(OK, 5, origin=Origin(service="checkout", pipeline=name), traits={"rollback": False})
    assert life(said).deployment.traits == {"rollback": False}


@pytest.mark.parametrize("recurrence", [Recurrence.RETURNS, Recurrence.RESTARTS])
def test_a_rollout_of_a_thread_that_has_not_ended_is_over_with_the_next(recurrence: Recurrence) -> None:
    plain = [
        reported(status, minutes, key=key, thread="t", recurrence=recurrence, event=f"{key}{status}{minutes}")
        for key, status, minutes in (("a", S, 0), ("b", S, 5), ("b", OK, 9))
    ]
    for order in itertools.permutations(plain):
        lives = [merge_announcements(each, received_at=NOON) for each in rollouts(order).values()]
        found = [each.deployment for each in lives if each is not None]
        assert [(each.status, each.started_at, each.finished_at) for each in found] == [
            (OFF, at(0), at(5)),
            (OK, at(5), at(9)),
        ]


def test_a_rollback_begins_a_rollout_and_takes_back_one_that_has_begun() -> None:
    back = reported(S, 5, goes_back=True)
    begun = life(back).deployment
    assert (begun.status, begun.traits) == (S, {"rollback": True})
    taken = life(reported(S, 0), reported(BAD, 4), back, reported(BAD, 9)).deployment
    assert (taken.status, taken.finished_at, taken.traits) == (BACK, at(4), {})


def test_what_was_skipped_ends_a_plan_and_is_nothing_by_itself() -> None:
    skipped = reported(OFF, 5, needless=True)
    assert merge_announcements([skipped], received_at=NOON) is None
    assert life(reported(P, 0), skipped).deployment.status is OFF
