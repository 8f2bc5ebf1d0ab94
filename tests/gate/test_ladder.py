"""Who may allow how much: up to level 3 one person, above it two; what earns a level, and what loses it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.gate.ladder import ALONE, Permission, Record, overrides, standing
from afdp_exporter.model import (
    Deployment,
    GateMode,
    GateVerdict,
    LevelChange,
    Phase,
    PoolingLevel,
    Status,
    StoredDecision,
)
from gated import MINUTE, NOON, deployment
from stored import decision

Word = tuple[str, int]

EARNED = Record(
    measured=400, false_alarms={"latency_seconds": (1, 400)}, decisions=400, innocent=370, caught=30, coverage=0.9,
    brier_skill=0.5, risk_bias=0.1, executed=20,
    proven=True,
)  # fmt: skip


def said(*words: Word) -> Permission:
    permission = Permission()
    for by, level in words:
        permission = permission.after(
            LevelChange(
                service="checkout", environment="production", kind="allowed", level=level, by=by, reason="", at=NOON
            )
        )
    return permission


@pytest.mark.parametrize(
    ("words", "allowed", "waits"),
    [
        ([], 2, None),
        ([("ada", 3)], 3, None),
        ([("ada", 4)], 3, (4, "ada")),
        ([("ada", 4), ("Ada ", 4)], 3, (4, "Ada ")),  # the same person
        ([("ada", 4), ("bob", 4)], 4, None),
        ([("ada", 5), ("bob", 4)], 4, (5, "ada")),
        ([("ada", 4), ("bob", 5)], 4, (5, "bob")),
        ([("ada", 4), ("bob", 4), ("cyd", 5)], 4, (5, "cyd")),
        ([("ada", 4), ("bob", 2), ("cyd", 4)], 3, (4, "cyd")),  # who lowers takes the earlier word back
        ([("ada", 5), ("bob", 5), ("bob", 4)], 4, None),
        ([("ada", 5), ("bob", 5), ("bob", 0)], 0, None),
    ],
)
def test_levels_that_act_without_asking_take_two_people(
    words: list[Word], allowed: int, waits: tuple[int, str] | None
) -> None:
    found = said(*words)
    assert found.level == allowed
    assert (found.wanted, found.by) == (waits or (None, ""))


@given(st.lists(st.tuples(st.sampled_from(["ada", "bob", "cyd"]), st.integers(0, 5)), max_size=12))
def test_no_order_of_words_lets_one_person_allow_what_takes_two(words: list[Word]) -> None:
    found = said(*words)
    if found.level > ALONE:
        assert len({by for by, level in words if level >= found.level}) >= 2
    if words:
        assert found.level <= max(words[-1][1], 0)


def test_what_is_missing_names_who_has_to_speak() -> None:
    assert standing(EARNED).missing == ("a person has to allow level 3 (allowed: 2)",)
    assert standing(EARNED, said(("ada", 3))).missing == ("two people have to allow level 4 (allowed: 3)",)
    waiting = standing(EARNED, said(("ada", 5)))
    assert (waiting.level, waiting.earned) == (3, 5)
    assert waiting.missing == ("a second person has to confirm level 4, which ada allows",)
    trusted = standing(EARNED, said(("ada", 5), ("bob", 5)))
    assert (trusted.level, trusted.missing) == (5, ())


def test_what_is_not_earned_yet_says_at_once_that_it_also_has_to_be_confirmed() -> None:
    young = standing(replace(EARNED, caught=1), said(("ada", 4)))
    assert (young.level, young.earned) == (3, 3)
    assert young.missing == (
        "2 more harmful deployments that the gate saw",
        "a second person has to confirm level 4, which ada allows",
    )


TRUSTED = Permission(level=5)


def test_levels_one_and_two_rest_on_the_team_and_then_on_all_services_where_the_own_deployments_are_few() -> None:
    few = Record(measured=2, measured_of_team=4, measured_of_all=8, false_alarms={"latency_seconds": (1, 400)})
    assert standing(few).missing == ("2 more measured deployments (of this service 2, of all 8)",)
    of_all = standing(replace(few, measured_of_all=10), TRUSTED)
    assert (of_all.level, of_all.basis) == (2, PoolingLevel.GLOBAL)
    assert of_all.missing[0] == "20 more decisions"  # of its own
    assert standing(replace(few, measured_of_team=10, measured_of_all=30)).basis is PoolingLevel.TEAM
    assert standing(replace(few, measured=10, measured_of_all=30)).basis is PoolingLevel.SERVICE


def test_every_metric_has_to_show_few_false_alarms_and_a_young_one_takes_nothing_away() -> None:
    young = replace(EARNED, false_alarms={"latency_seconds": (1, 400), "orders": (0, 20)})
    assert standing(young, TRUSTED).missing == (
        "fewer false alarms: orders 0 in 20 (at most 14 %), needed 2 %, at most 5 % with 95 % certainty",
    )
    many = replace(young, false_alarms={name: (place, 40 + place) for place, name in enumerate("abcde")})
    assert (
        "e 4 in 44 (at most 20 %), d 3 in 43 (at most 18 %), c 2 in 42 (at most 15 %), and 2 more metrics"
        in (standing(many, TRUSTED).missing[0])
    )
    rare = replace(young, false_alarms={"orders": (30, 1_000)})  # too many, though surely not many
    assert "orders 30 in 1000 (at most 5 %), needed 2 %, at most 5 %" in standing(rare, TRUSTED).missing[0]
    assert standing(young, TRUSTED, before=3).level == 3
    lost = standing(replace(young, false_alarms={"latency_seconds": (40, 400)}), TRUSTED, before=3)
    assert (lost.level, lost.lost) == (0, "false alarms: 40 in 400, at most 13 % with 95 % certainty")


@pytest.mark.parametrize(("bias", "level"), [(None, 4), (0.2, 5), (-0.2, 5), (0.21, 4), (-0.25, 4)])
def test_level_five_needs_predictions_that_are_not_biased(bias: float | None, level: int) -> None:
    found = standing(replace(EARNED, risk_bias=bias), TRUSTED)
    assert found.level == level
    assert bool(found.missing) is (level == 4)


def test_what_is_missing_says_which_way_predictions_are_biased() -> None:
    assert standing(replace(EARNED, risk_bias=-0.25), TRUSTED).missing == (
        "predictions with less bias: they expect 25 % less trouble than comes, needed at most 20 %",
    )


@pytest.mark.parametrize(
    ("worse", "before", "level", "lost"),
    [
        ({}, 0, 5, None),
        ({"coverage": 0.75}, 0, 2, None),  # not earned
        ({"coverage": 0.75}, 3, 3, None),  # but not lost either
        ({"coverage": 0.75}, 5, 3, None),  # what acts without asking is earned anew each time
        ({"false_holds": 60}, 3, 3, None),
        ({"false_holds": 90}, 3, 2, "wrong holds: 90 in 370, at most 29 % with 95 % certainty"),
        ({"false_holds": 90}, 2, 2, None),
        ({"since_wrong": 19}, 4, 3, "a rollback was wrong"),
        ({"since_wrong": 20}, 4, 5, None),
        ({"overrides": (1, 5)}, 4, 5, None),
        ({"overrides": (2, 5)}, 4, 2, "people overrode 2 of the last 5 enforced decisions"),
        ({"overrides": (2, 5)}, 2, 2, None),
    ],
)
def test_a_level_up_to_three_stays_until_a_rule_takes_it_away(
    worse: dict[str, Any], before: int, level: int, lost: str | None
) -> None:
    found = standing(replace(EARNED, **worse), TRUSTED, before)
    assert (found.level, found.lost) == (level, lost)


def test_after_overrides_a_person_has_to_speak_again() -> None:
    assert standing(replace(EARNED, overrides=(2, 5)), TRUSTED, before=2).missing == (
        "a person has to allow level 3 anew, since people overrode 2 of the last 5 enforced decisions",
    )


def _enforced(number: int, verdict: GateVerdict, **words: Any) -> StoredDecision:  # noqa: ANN401
    known = replace(
        decision(NOON - 30 * MINUTE, verdict, deployment_id=f"d{number}"),
        mode=GateMode.ENFORCED, enforced_verdict=verdict, phase=Phase.CANARY,
    )  # fmt: skip
    return StoredDecision(id=number, caller="argo", decision=replace(known, **words))


def _went_on(number: int, **words: Any) -> Deployment:  # noqa: ANN401
    return deployment(f"d{number}", **{"status": Status.SUCCEEDED, **words})


def test_a_person_overrides_what_goes_on_against_the_last_verdict_before_its_end() -> None:
    hold, allow = GateVerdict.HOLD, GateVerdict.ALLOW
    since = NOON - 60 * MINUTE

    def counted(deployed: list[Deployment], *decisions: StoredDecision, refused: tuple[str, ...] = ()) -> Any:  # noqa: ANN401
        return overrides(decisions, deployed, refused, since=since)

    assert counted([_went_on(1)], _enforced(1, hold)) == (1, 1)
    assert counted([_went_on(1, status=Status.ROLLED_BACK)], _enforced(1, hold)) == (0, 1)
    later = _enforced(1, allow, decided_at=NOON - 25 * MINUTE)
    assert counted([_went_on(1)], _enforced(1, hold), later) == (0, 1)  # it waited
    assert counted([_went_on(1)], _enforced(1, hold, phase=Phase.POST)) == (0, 1)  # nothing was left to hold
    assert counted([_went_on(1)], _enforced(1, hold, mode=GateMode.SHADOW)) == (0, 0)
    planned = _enforced(1, hold, deployment_id=None, version="v2", phase=Phase.PLAN)
    assert counted([_went_on(1)], planned) == (1, 1)
    assert counted([_went_on(1, version="v3")], planned) == (0, 0)
    assert counted([_went_on(1)], replace(_enforced(1, hold), caller="self")) == (0, 1)  # nobody was told
    back = _enforced(1, GateVerdict.ROLLBACK, phase=Phase.POST)
    assert counted([_went_on(1)], back, refused=("d1",)) == (1, 1)
    assert counted([_went_on(1)], _enforced(1, hold, decided_at=since - MINUTE)) == (0, 0)
    seven = [_went_on(number) for number in range(7)]
    first_two = [_enforced(number, hold if number < 3 else allow) for number in range(7)]
    assert counted(seven, *first_two) == (1, 5)  # the latest five
