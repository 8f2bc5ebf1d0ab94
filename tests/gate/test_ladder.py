"""Who may allow how much: up to level 3 one person, above it two."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.gate.ladder import ALONE, Permission, Record, standing
from afdp_exporter.model import LevelChange
from gated import NOON

Word = tuple[str, int]

EARNED = Record(
    measured=400, false_alarms=(1, 400), decisions=400, caught=30, coverage=0.9, brier_skill=0.5, executed=20,
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
