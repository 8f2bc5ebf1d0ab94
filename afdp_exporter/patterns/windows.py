"""The coming hours for a service: what a deployment of its usual kind would risk and cost in each of them."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo

import numpy as np
from scipy.special import expit

from afdp_exporter.model import Basis, Context, Estimate, Floats, Occasion, Slot, Window, Windows
from afdp_exporter.patterns.learning import Model
from afdp_exporter.patterns.prediction import REACH, mean
from afdp_exporter.patterns.risk import HERE
from afdp_exporter.patterns.threads import one_thread
from afdp_exporter.patterns.traits import OF_THE_MOMENT, Traits, moment_traits
from afdp_exporter.patterns.wording import moment_words
from afdp_exporter.wording.money import format_money
from afdp_exporter.wording.numbers import format_number, format_share

HOUR = timedelta(hours=1)
USUAL = 20
"""How many of the service's newest deployments stand for its usual ones."""
NEAR = 0.1
"""Hours within this share of the way from the best to the worst count as equally good."""
BEST = 3
TELLING = 1.25
"""A factor on the odds that is worth a reason."""
FLAT = 1.05
"""Below this ratio of the worst to the best hour there is no best one."""


def forecast(
    model: Model,
    *,
    now: datetime,
    zone: tzinfo,
    hours: int = 168,
    calendar: Sequence[Occasion] = (),
    holidays: Mapping[date, str] | None = None,
    load: Sequence[float] | None = None,
) -> Windows:
    """Rank the coming `hours` by expected cost, or by risk while no cost is known; those riskier than now come last.

    `load` is the ratio of each hour.
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
    with one_thread():
        slots = _slots(model, starts, contexts)
    current = slots[0]
    ranked = sorted(slots, key=lambda slot: (_is_riskier(slot, current), _value(slot), slot.start))
    best = ranked[0]
    avoided = None
    if current.cost_per_hour is not None and best.cost_per_hour is not None:
        avoided = current.cost_per_hour - best.cost_per_hour
    return Windows(
        service=model.home.service,
        made_at=now,
        slots=tuple(ranked),
        best=_best(slots),
        now=current,
        loss_avoided=avoided,
        currency=model.currency,
        basis=model.basis,
        n=model.n,
        sentence=_sentence(model, slots, best, avoided),
    )


def _next_hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0) + HOUR


def _slots(model: Model, starts: Sequence[datetime], contexts: Sequence[Context]) -> list[Slot]:
    usual = _usual(model)
    moments = [moment_traits(context) for context in contexts]
    rows = [{**traits, **moment} for moment in moments for traits in usual]
    table = model.design.rows(rows, [model.home] * len(rows))
    shape = (len(moments), len(usual))
    centre, spread = model.trouble.odds(table)
    low, median, high = (
        points.reshape(shape).mean(axis=1)
        for points in (expit(centre - REACH * spread), model.trouble.risk(table), expit(centre + REACH * spread))
    )
    costs = mean(model.cost, table).reshape(shape).mean(axis=1) if model.cost else None
    reasons = _reasons(model, table.reshape(*shape, -1).mean(axis=1), contexts)
    return [
        Slot(
            start=start,
            end=_next_hour(start),
            risk=Estimate(low=float(low[place]), median=float(median[place]), high=float(high[place])),
            cost_per_hour=float(costs[place]) if costs is not None else None,
            reasons=reasons[place],
        )
        for place, start in enumerate(starts)
    ]


def _usual(model: Model) -> list[Traits]:
    """The traits of the service's newest deployments without those of their moments; nothing known: an empty one."""
    own = [
        traits
        for case, traits in zip(model.cases, model.traits, strict=True)
        if case.deployment.service == model.home.service
    ]
    newest = (own or list(model.traits))[-USUAL:]
    return [{name: value for name, value in traits.items() if name not in OF_THE_MOMENT} for traits in newest] or [{}]


def _reasons(model: Model, rows: Floats, contexts: Sequence[Context]) -> list[tuple[str, ...]]:
    """What raises or lowers the odds of trouble in each hour against the mean of all hours, where it is much."""
    shares = (rows - rows.mean(axis=0)) * model.trouble.logistic.weights[1:]
    groups = np.array([name.removesuffix(HERE) for name in model.design.groups])
    found: list[list[str]] = [[] for _ in contexts]
    for name in OF_THE_MOMENT:
        factors = np.exp(shares[:, groups == name].sum(axis=1))
        for place, factor in enumerate(factors.tolist()):
            if not 1.0 / TELLING < factor < TELLING:
                found[place].append(f"{moment_words(name, contexts[place])}: {format_number(factor, 2)} times the odds")
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


def _sentence(model: Model, slots: Sequence[Slot], best: Slot, avoided: float | None) -> str:
    current, stretch = slots[0], _best(slots)[0]
    basis = f"(n = {model.n})" if model.basis is not Basis.COLD else "(nothing known yet: a prior)"
    if max(_value(slot) for slot in slots) <= FLAT * max(_value(best), 1e-12):
        return f"No coming hour is known to be better than another {basis}"
    when = f"{stretch.start:%A %d %B %H:%M} to {stretch.end:%A %H:%M}"
    risks = f"a risk of {format_share(best.risk.median)} against {format_share(current.risk.median)} now"
    if avoided is None or model.currency is None or avoided <= 0:
        return f"Best: {when}, with {risks} {basis}"
    less = format_money(model.currency, avoided, per_hour=True)
    return f"Best: {when}, with {risks}; {less} less is expected to be lost {basis}"
