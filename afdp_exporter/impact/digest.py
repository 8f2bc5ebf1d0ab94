"""A digest of some days: how many deployments, what did harm, what that cost, what still goes on."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from afdp_exporter.impact.story import headline
from afdp_exporter.model import Deployment, Estimate, MeasuredDeployment, Outcome
from afdp_exporter.wording.numbers import format_money
from afdp_exporter.wording.outcomes import outcome_word
from afdp_exporter.wording.times import format_day_and_time

_BAD = (Outcome.FAILURE, Outcome.DEGRADATION)
_WORST_FIRST = (*_BAD, Outcome.SUCCESS, Outcome.UNKNOWN)
_NAMED = 10  # harmful deployments, the worst ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The deployments that began from `start` on and before `end`, and all harm that goes on at the end.

    `lost` is by currency what the harmful ones cost so far. Its ends are the sums of the ends, as if all erred to the
    same side, so that its range is rather too wide than too narrow. `harmful` and `going_on` name the worst first.
    """

    start: datetime
    end: datetime
    deployments: int
    outcomes: Mapping[Outcome, int]
    lost: Mapping[str, Estimate]
    harmful: Sequence[MeasuredDeployment]
    going_on: Sequence[MeasuredDeployment]


def digest(
    begun: Iterable[Deployment], measured: Iterable[MeasuredDeployment], *, start: datetime, end: datetime
) -> Digest:
    """The digest of a stretch: `begun` was deployed in it, `measured` is what is known of these and of earlier ones."""
    known = {each.deployment.id: each for each in measured}
    deployments = [each for each in begun if start <= each.started_at < end]
    records = [known.get(each.id, MeasuredDeployment(deployment=each)) for each in deployments]
    harmful = sorted((each for each in records if each.decision.outcome in _BAD), key=_worst_first)
    harms = ((each, each.impact.harm) for each in known.values() if each.impact is not None)
    going_on = [each for each, harm in harms if harm is not None and harm.active and each.decision.outcome in _BAD]
    return Digest(
        start=start,
        end=end,
        deployments=len(deployments),
        outcomes=Counter(each.decision.outcome for each in records),
        lost=_lost(harmful),
        harmful=harmful,
        going_on=sorted(going_on, key=_worst_first),
    )


def digest_text(found: Digest, link: Callable[[str], str | None]) -> str:
    """The digest as plain text, for a mail or a chat; `link` gives the address of a deployment's report."""
    return "\n".join(_lines(found, link))


def _lines(found: Digest, link: Callable[[str], str | None]) -> Iterator[str]:
    yield f"Deployments from {format_day_and_time(found.start)} to {format_day_and_time(found.end)}"
    outcomes = ", ".join(
        f"{outcome_word(each).lower()} {found.outcomes[each]}" for each in _WORST_FIRST if found.outcomes.get(each)
    )
    yield f"{found.deployments} in all{f': {outcomes}' if outcomes else ''}."
    if found.lost:
        yield f"Lost so far: {' and '.join(format_money(*each) for each in found.lost.items())}."
    named = {each.deployment.id for each in found.going_on}
    over = [each for each in found.harmful if each.deployment.id not in named]
    for title, records in (("Harm that goes on", found.going_on), ("Harm that is over", over)):
        if records:
            yield from ("", title)
        for each in records[:_NAMED]:
            yield f"- {headline(each)}"
            if (address := link(each.deployment.id)) is not None:
                yield f"  {address}"
        if len(records) > _NAMED:
            yield f"- and {len(records) - _NAMED} more"


def _lost(harmful: Iterable[MeasuredDeployment]) -> dict[str, Estimate]:
    totals: defaultdict[str, list[Estimate]] = defaultdict(list)
    for each in harmful:
        for cost in each.impact.costs if each.impact is not None else ():
            if cost.total is not None and cost.total.median > 0:
                totals[cost.currency].append(cost.total)
    return {
        currency: Estimate(
            low=sum(each.low for each in all_of_it),
            median=sum(each.median for each in all_of_it),
            high=sum(each.high for each in all_of_it),
        )
        for currency, all_of_it in totals.items()
    }


def _worst_first(each: MeasuredDeployment) -> tuple[bool, float, datetime]:
    costs = each.impact.costs if each.impact is not None else ()
    lost = max((cost.total.median for cost in costs if cost.total is not None), default=0.0)
    return each.decision.outcome is not Outcome.FAILURE, -lost, each.deployment.started_at
