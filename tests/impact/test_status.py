"""Whether harm goes on, and what it costs, in the one wording of pages, stories and notices."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from afdp_exporter.impact.status import cost_figures, cost_sentence, harm_status
from afdp_exporter.model import Attribution, Cost, Estimate, Impact, Layer, Outcome, Shift, ShiftState, Worse

START = datetime(2026, 3, 2, 14, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RATE = Estimate(low=2100, median=2400, high=2700)
TOTAL = Estimate(low=340, median=390, high=440)


def shift(state: ShiftState | None, **words: object) -> Shift:
    plain = Shift(
        metric="latency_seconds",
        layer=Layer.TECHNICAL,
        verdict=Attribution.ATTRIBUTED,
        reason="it rose",
        worse=Worse.UP,
        change=0.015,
        low=0.012,
        high=0.018,
        onset=START + MINUTE,
        state=state,
        as_of=START + 70 * MINUTE,
    )
    return replace(plain, **words)  # type: ignore[arg-type]


def impact(*shifts: Shift, costs: tuple[Cost, ...] = ()) -> Impact:
    return Impact(
        deployment_id="d1",
        measured_at=START + 80 * MINUTE,
        shifts=shifts,
        outcome=Outcome.DEGRADATION,
        outcome_reason="worse",
        costs=costs,
    )


def cost(**words: object) -> Cost:
    return replace(Cost(currency="USD", per_hour=RATE, total=TOTAL, duration=10 * MINUTE), **words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shifts", "costs", "text"),
    [
        ((shift(ShiftState.ACTIVE),), (), "going on, as of 15:10"),
        ((shift(ShiftState.ACTIVE, as_of=START + timedelta(days=1)),), (), "going on, as of 2026-03-03 14:00"),
        (
            (shift(ShiftState.RECOVERED, recovered_at=START + 11 * MINUTE),),
            (cost(ended=True), cost(ended=True, currency="EUR")),
            "over after 10 minutes, $390 [$340, $440] and €390 [€340, €440] in all",
        ),
        ((shift(ShiftState.RECOVERED, recovered_at=START + 11 * MINUTE),), (), "over after 10 minutes"),
        ((shift(ShiftState.REPLACED),), (), "not seen to recover before the next deployment"),
        (
            (shift(ShiftState.ACTIVE), shift(ShiftState.RECOVERED, recovered_at=START + 11 * MINUTE)),
            (cost(ended=True),),
            "going on, as of 15:10",
        ),
        ((shift(ShiftState.ACTIVE, worse=Worse.DOWN),), (), None),  # an improvement
        ((shift(ShiftState.SUSPECTED, verdict=Attribution.INCONCLUSIVE),), (), None),
        ((shift(None),), (), None),  # of an older release
    ],
)
def test_harm_is_going_on_or_over_with_what_it_cost(
    shifts: tuple[Shift, ...], costs: tuple[Cost, ...], text: str | None
) -> None:
    assert harm_status(impact(*shifts, costs=costs), START) == text


def test_a_cost_is_an_hour_and_so_far_while_it_goes_on_and_in_all_once_it_is_over() -> None:
    running, over = cost(as_of=START + 10 * MINUTE), cost(ended=True)
    assert cost_sentence(running, START) == (
        "It costs $2,400 an hour [$2,100, $2,700], $390 [$340, $440] so far in 10 minutes, as of 14:10."
    )
    assert cost_figures(running, START) == (
        ("Loss while it goes on", "$2,400 an hour [$2,100, $2,700]"),
        ("Loss so far, as of 14:10", "$390 [$340, $440]"),
    )
    assert cost_sentence(over, START) == "It cost $390 [$340, $440] in all in 10 minutes; it is over."
    assert cost_figures(over, START) == (("Loss in all, in 10 minutes", "$390 [$340, $440]"),)
    gain = cost(per_hour=Estimate(low=-90, median=-80, high=-70), total=None)
    assert cost_figures(gain, START) == (("Gain while it goes on", "$80 an hour [$70, $90]"),)
