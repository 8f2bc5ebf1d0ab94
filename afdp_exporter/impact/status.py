"""Whether the harm of a deployment goes on, and what it costs, in words: alike on pages, in stories and in notices."""

from datetime import datetime

from afdp_exporter.model import Cost, Estimate, Impact, ShiftState
from afdp_exporter.wording.durations import format_duration, format_time
from afdp_exporter.wording.money import format_money


def harm_status(impact: Impact, started_at: datetime) -> str | None:
    """`going on, as of 14:10`, or `over after 10 minutes, $390 [$340, $440] in all`; None where no harm was found."""
    harm = impact.harm
    if harm is None or not harm.state.found:
        return None
    since = harm.since or started_at
    if harm.active:
        return f"going on, as of {format_time(harm.as_of or impact.measured_at, near=started_at)}"
    if harm.state is ShiftState.REPLACED or harm.over_at is None:
        return "not seen to recover before the next deployment"
    losses = [
        format_money(cost.currency, cost.total)
        for cost in impact.costs
        if cost.ended and cost.total is not None and cost.total.median > 0
    ]
    in_all = f", {' and '.join(losses)} in all" if losses else ""
    return f"over after {format_duration(harm.over_at - since)}{in_all}"


def cost_sentence(cost: Cost, started_at: datetime) -> str:
    """What it costs an hour and so far while it goes on, what it cost in all once it is over."""
    gain = cost.per_hour.median < 0
    rate = format_money(cost.currency, unsigned(cost.per_hour), per_hour=True)
    total = None if cost.total is None else format_money(cost.currency, unsigned(cost.total))
    lasted = "" if cost.duration is None else f" in {format_duration(cost.duration)}"
    if cost.ended:
        return f"It {'gained' if gain else 'cost'} {total or rate} in all{lasted if total else ''}; it is over."
    so_far = f", {total} so far{lasted}" if total and cost.duration else ""
    as_of = f", as of {format_time(cost.as_of, near=started_at)}" if so_far and cost.as_of is not None else ""
    return f"It {'gains' if gain else 'costs'} {rate}{so_far}{as_of}."


def cost_figures(cost: Cost, started_at: datetime) -> tuple[tuple[str, str], ...]:
    """What it costs, as figures with what each of them is: per hour and so far while it goes on, else in all."""
    what = "Gain" if cost.per_hour.median < 0 else "Loss"
    total = None if cost.total is None else format_money(cost.currency, unsigned(cost.total))
    lasted = "" if cost.duration is None else f", in {format_duration(cost.duration)}"
    rate = format_money(cost.currency, unsigned(cost.per_hour), per_hour=True)
    if cost.ended:
        return ((f"{what} in all{lasted}", total),) if total else ((f"{what} while it lasted", rate),)
    figures = ((f"{what} while it goes on", rate),)
    if total is None or not cost.duration:
        return figures
    as_of = f", as of {format_time(cost.as_of, near=started_at)}" if cost.as_of is not None else ""
    return (*figures, (f"{what} so far{as_of}", total))


def unsigned(estimate: Estimate) -> Estimate:
    """An estimate without its sign, for where a word names the direction."""
    if estimate.median >= 0:
        return estimate
    return Estimate(low=-estimate.high, median=-estimate.median, high=-estimate.low)
