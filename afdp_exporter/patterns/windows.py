"""Ranks the coming hours by the risk and cost of a typical deployment of the service in each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

import numpy as np

from afdp_exporter.model import (
    NORMAL_REACH,
    CalendarEntry,
    Context,
    Estimate,
    Floats,
    PoolingLevel,
    Slot,
    Window,
    Windows,
)
from afdp_exporter.patterns.features.encoding import part_of_day
from afdp_exporter.patterns.features.extraction import (
    OF_THE_MOMENT,
    WEEKDAYS,
    context_features,
    history_features,
)
from afdp_exporter.patterns.mining.statements import context_words
from afdp_exporter.patterns.models.hurdle import OutcomeMixture, expected_value, risk_estimate
from afdp_exporter.patterns.models.ridge import single_threaded_blas
from afdp_exporter.patterns.models.risk import HERE
from afdp_exporter.patterns.models.training import Model
from afdp_exporter.patterns.prediction import design_rows, impute
from afdp_exporter.wording.numbers import format_money, format_number, format_share
from afdp_exporter.wording.times import format_day_and_time

HOUR = timedelta(hours=1)  # the length of a window
NEAR = 0.1
"""Hours within this share of the way from the best to the worst count as equally good."""
BEST = 3
"""The stretches that are named at most."""
NOTABLE = 1.25
"""A factor on the odds that is worth a reason."""
FLAT = 0.05
"""Below this share of now's risk or cost a gain is none."""


@dataclass(frozen=True, slots=True)
class _Deployables:
    """What may be deployed in each hour: the rows that the fits know (hours, m, p), and their weights (m,)."""

    table: Floats
    weights: Floats


def rank_windows(
    model: Model,
    *,
    now: datetime,
    zone: tzinfo,
    hours: int = 168,
    calendar: Sequence[CalendarEntry] = (),
    holidays: Mapping[date, str] | None = None,
    load: Sequence[float] | None = None,
    state: Context | None = None,
    delay_cost_per_hour: float = 0.0,
) -> Windows:
    """Rank the coming `hours` by expected cost, or by risk while no cost is known; those riskier than now come last.

    `load` is the ratio of each hour, `state` what the service has been through by now. An hour is named the best where
    the range of its saving is above none, and where it saves more than waiting costs.
    """
    first = _next_hour(now)
    starts = [one.astimezone(zone) for one in (now, *(first + HOUR * ahead for ahead in range(hours - 1)))]
    known = [event for event in calendar if event.concerns(model.home.service)]
    contexts = [
        Context(
            at=start,
            occasions=tuple(event for event in known if event.start <= start <= event.end),
            holiday=holidays.get(start.date()) if holidays else None,
            load_ratio=load[place] if load is not None and place < len(load) else None,
        )
        for place, start in enumerate(starts)
    ]
    with single_threaded_blas():
        slots, rows = _slots(model, starts, contexts, state)
        current = slots[0]
        order = sorted(range(len(slots)), key=lambda place: _rank(slots[place], current))
        saving = _saving(model, slots, rows, order[0])
    ranked = [slots[place] for place in order]
    better = saving is not None and _is_worth_it(model, slots, delay_cost_per_hour, saving)
    return Windows(
        service=model.home.service,
        made_at=now,
        slots=tuple(ranked),
        best=_best(slots) if better else (),
        now=current,
        loss_avoided=saving.median if better and saving and current.cost_per_hour is not None else None,
        saving=saving if better and current.cost_per_hour is not None else None,
        currency=model.currency,
        basis=model.basis,
        n=model.n,
        sentence=_sentence(model, ranked[0], current, saving if better else None, _best(slots)[0]),
    )


def _rank(slot: Slot, current: Slot) -> tuple[bool, float, datetime]:
    return _is_riskier(slot, current), _value(slot), slot.start


def _saving(model: Model, slots: Sequence[Slot], rows: _Deployables, best: int) -> Estimate | None:
    """How much better the best hour is expected to be than now, per hour of loss or, while no cost is known, in risk,
    with its range; None where the cases do not tell them apart."""
    gain = _value(slots[0]) - _value(slots[best])
    if gain <= FLAT * abs(_value(slots[0])):
        return None
    ours, theirs = rows.table[0], rows.table[best]
    gaps = [model.trouble.contrast(ours, theirs)]
    if model.cost and slots[0].cost_per_hour is not None:
        gaps.append(model.cost.size_model.contrast(ours, theirs))
    certainty = max(float(rows.weights @ mean) / max(float(rows.weights @ doubt), 1e-9) for mean, doubt in gaps)
    if certainty <= NORMAL_REACH:
        return None
    low, high = (gain * (1.0 + sign * NORMAL_REACH / certainty) for sign in (-1.0, 1.0))
    return Estimate(low=low, median=gain, high=high)


def _is_worth_it(model: Model, slots: Sequence[Slot], delay_cost_per_hour: float, saving: Estimate) -> bool:
    """Whether waiting for the best hour saves more, over as long as a loss usually lasts, than the delay costs."""
    if not delay_cost_per_hour or slots[0].cost_per_hour is None:
        return True
    best = min(slots, key=lambda slot: _rank(slot, slots[0]))
    wait = (best.start - slots[0].start) / HOUR
    return saving.median * model.cases.loss_hours > delay_cost_per_hour * wait


def _next_hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0) + HOUR


def _slots(
    model: Model, starts: Sequence[datetime], contexts: Sequence[Context], state: Context | None
) -> tuple[list[Slot], _Deployables]:
    """Each hour, were a deployment of the service's usual kind begun in it, in the state that the service is in now."""
    moments = [context_features(context) | history_features(state or context) for context in contexts]
    usual = impute(model, moments[0])
    changes = [{name: value for name, value in each.items() if name not in moments[0]} for each in usual.traits]
    _, first, kinds = np.unique(design_rows(model, moments), axis=0, return_index=True, return_inverse=True)
    kind_of = kinds.ravel()  # many hours are alike to the fits
    table = design_rows(model, [change | moments[hour] for hour in first for change in changes])
    rows = table.reshape(len(first), len(changes), -1)
    odds, costs = model.trouble.log_odds(table), None
    if model.cost:
        event = OutcomeMixture(table, np.tile(usual.weights, len(first)), odds.probability)
        costs = expected_value(model.cost, event).reshape(len(first), -1) @ usual.weights
    doubt, m = model.trouble.unreported(usual.imputed_share), len(changes)
    risks = [
        risk_estimate(odds.some(slice(m * kind, m * (kind + 1))), usual.weights, doubt) for kind in range(len(first))
    ]
    reasons = _reasons(model, np.einsum("kcp,c->kp", rows, usual.weights)[kind_of], contexts)
    counts = model.cases.parts_of_the_week(model.home.service)
    slots = [
        Slot(
            start=start,
            end=_next_hour(start),
            risk=risks[kind],
            cost_per_hour=None if costs is None else float(costs[kind]),
            reasons=reasons[place],
            n=counts[_part_of_the_week(contexts[place])],
        )
        for place, (start, kind) in enumerate(zip(starts, kind_of, strict=True))
    ]
    return slots, _Deployables(rows[kind_of], usual.weights)


def _part_of_the_week(context: Context) -> tuple[str, str]:
    """The weekday and the part of the day, which are what is learned from of the clock."""
    return WEEKDAYS[context.at.weekday()], part_of_day(float(context.at.hour))


def _reasons(model: Model, rows: Floats, contexts: Sequence[Context]) -> list[tuple[str, ...]]:
    """What raises or lowers the odds of trouble in each hour against the mean of all hours, where it is much."""
    shares = (rows - rows.mean(axis=0)) * model.trouble.logistic.weights[1:]
    groups = np.array([name.removesuffix(HERE) for name in model.design.groups])
    found: list[list[str]] = [[] for _ in contexts]
    for name in OF_THE_MOMENT:
        factors = np.exp(shares[:, groups == name].sum(axis=1))
        for place, factor in enumerate(factors.tolist()):
            if not 1.0 / NOTABLE < factor < NOTABLE:
                found[place].append(
                    f"{context_words(name, contexts[place])}: {format_number(factor, 2)} times the odds"
                )
    return [tuple(one) for one in found]


def _is_riskier(slot: Slot, current: Slot) -> bool:
    """Whether an hour is riskier than now: however cheap it seems, it is no better time."""
    return slot.risk.median > current.risk.median


def _value(slot: Slot) -> float:
    return slot.risk.median if slot.cost_per_hour is None else slot.cost_per_hour


def _best(slots: Sequence[Slot]) -> tuple[Window, ...]:
    """The best stretches of time: neighbouring hours that are nearly as good as the best one."""
    values = [_value(slot) for slot in slots if not _is_riskier(slot, slots[0])]
    limit = min(values) + NEAR * (max(values) - min(values))
    stretches: list[list[Slot]] = []
    for slot in slots:
        if _value(slot) > limit or _is_riskier(slot, slots[0]):
            continue
        if stretches and stretches[-1][-1].end == slot.start:
            stretches[-1].append(slot)
        else:
            stretches.append([slot])
    ordered = sorted(stretches, key=lambda stretch: min((_value(slot), slot.start) for slot in stretch))
    return tuple(Window(start=stretch[0].start, end=stretch[-1].end) for stretch in ordered[:BEST])


def _sentence(model: Model, best: Slot, current: Slot, saving: Estimate | None, stretch: Window) -> str:
    basis = f"(n = {model.n})" if model.basis is not PoolingLevel.COLD else "(nothing known yet: a prior)"
    if saving is None:
        return f"No coming hour is known to be better than another {basis}"
    when = f"{format_day_and_time(stretch.start)} to {format_day_and_time(stretch.end)}"
    risks = f"a risk of {format_share(best.risk.median)} against {format_share(current.risk.median)} now"
    if current.cost_per_hour is None or model.currency is None:
        return f"Best: {when}, with {risks} {basis}"
    less = format_money(model.currency, saving, per_hour=True)
    return f"Best: {when}, with {risks}; {less} less is expected to be lost {basis}"
