"""What a case teaches about trouble, and what it does not."""

from dataclasses import replace

import pytest
from planted_worlds import LATENCY, World

from afdp_exporter.model import Attribution, Layer, Outcome, Shift, Status, TrainingExample, Worse
from afdp_exporter.patterns import fit, mine
from afdp_exporter.patterns.models.targets import failure_labels, trouble_labels


def measured(case: TrainingExample, outcome: Outcome, verdict: Attribution, ratio: float | None) -> TrainingExample:
    shift = Shift(
        metric=LATENCY,
        layer=Layer.TECHNICAL,
        verdict=verdict,
        reason="planted",
        worse=Worse.UP,
        change=1.0,
        attribution_ratio=ratio,
    )
    return replace(case, impact=replace(case.impact, outcome=outcome, shifts=(shift,), label_source="rule"))


@pytest.mark.parametrize(
    ("outcome", "verdict", "ratio", "taught"),
    [
        (Outcome.DEGRADATION, Attribution.ATTRIBUTED, 0.8, (0.8, 1.0)),
        (Outcome.DEGRADATION, Attribution.ATTRIBUTED, None, (1.0, 1.0)),
        (Outcome.SUCCESS, Attribution.NO_EFFECT, None, (0.0, 1.0)),
        (Outcome.SUCCESS, Attribution.INCONCLUSIVE, 0.5, (0.1, 1.0)),
        (Outcome.UNKNOWN, Attribution.NOT_DISTINGUISHABLE, 0.5, (0.5, 1.0)),
        (Outcome.UNKNOWN, Attribution.INSUFFICIENT_HISTORY, None, (0.0, 0.0)),
    ],
)
def test_a_measured_outcome_counts_as_far_as_it_is_sure(
    steady: World, outcome: Outcome, verdict: Attribution, ratio: float | None, taught: tuple[float, float]
) -> None:
    labels = trouble_labels([measured(steady.cases[0], outcome, verdict, ratio)])
    assert (labels.happened[0], labels.weight[0]) == taught


def test_harm_that_was_not_found_but_cannot_be_ruled_out_counts_as_far_as_it_is_missed(steady: World) -> None:
    case = measured(steady.cases[0], Outcome.UNKNOWN, Attribution.NO_EFFECT, 0.5)

    def taught(**finding: object) -> tuple[float, float]:
        shifts = tuple(replace(shift, **finding) for shift in case.impact.shifts)
        labels = trouble_labels([replace(case, impact=replace(case.impact, shifts=shifts))])
        return float(labels.happened[0]), float(labels.weight[0])

    assert taught(ruled_out=False) == (0.1, 1.0)
    assert taught(ruled_out=False, verdict=Attribution.INSUFFICIENT_HISTORY) == (0.0, 0.0)
    assert taught(ruled_out=False, verdict=Attribution.INCONCLUSIVE, change=None) == (0.0, 0.0)
    assert taught(ruled_out=None) == (0.0, 0.0)


def test_a_humans_word_wins_over_what_was_measured(steady: World) -> None:
    case = measured(steady.cases[0], Outcome.DEGRADATION, Attribution.ATTRIBUTED, 0.8)

    def said(word: Outcome) -> tuple[float, float]:
        labels = trouble_labels([replace(case, deployment=replace(case.deployment, labelled_outcome=word))])
        return float(labels.happened[0]), float(labels.weight[0])

    assert [said(word) for word in (Outcome.SUCCESS, Outcome.FAILURE)] == [(0.0, 1.0), (1.0, 1.0)]
    assert said(Outcome.UNKNOWN)[1] == 0.0


def test_failure_is_learned_from_what_was_followed_by_trouble_alone(steady: World) -> None:
    case = steady.cases[0]
    failed = replace(case, deployment=replace(case.deployment, status=Status.FAILED))
    worse = measured(case, Outcome.DEGRADATION, Attribution.ATTRIBUTED, 0.9)
    well = measured(case, Outcome.SUCCESS, Attribution.NO_EFFECT, None)
    labels = failure_labels([failed, worse, well])
    assert labels.happened.tolist() == [1.0, 0.0, 0.0]
    assert labels.weight.tolist() == [1.0, 1.0, 0.0]


def test_nothing_is_learned_of_changes_from_a_rollback(steady: World) -> None:
    cases = steady.cases[:60]
    marked = [replace(case, rollback=place % 3 == 0) for place, case in enumerate(cases)]
    without = [case for case in marked if not case.rollback]
    home = cases[0].deployment
    learned = [
        fit(each, service=home.service, team=home.team, now=cases[-1].impact.measured_at) for each in (marked, without)
    ]
    assert learned[0].cases.ids == learned[1].cases.ids
    assert mine(marked) == mine(without)
