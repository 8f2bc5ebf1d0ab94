"""Confounders: the other deployments that may have caused a shift, with a posterior probability for each.

Bayes' rule over the candidate deployments in reach of an onset. The prior depends on the candidate's service (the one
that the metric belongs to, then those it calls, then others). The likelihood is the density of a reaction to it,
averaged over the posterior of the onset: zero before the rollout, half of it within a sample of the rollout, the rest
decaying over minutes, more slowly for users and money than for machines. Where something downstream moved and nothing
of a deployment's own service that would explain it, that counts against this deployment, since four of five such shifts
would have been detected; it is applied only where it is known of every candidate, so that the reports of all give the
same probabilities. Shifts that began together are one event with one joint likelihood; what followed on them shares
their posterior. A transient explains nothing that stays.

The onset density falls off exponentially on either side of the mode, as it does for a changepoint in noise (Hinkley
1970, Yao 1987), so that a long tail on one side takes nothing from the other.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import exp, log

import numpy as np
from scipy.special import ndtr

from afdp_exporter.impact.causal_chain import CausalPaths, onset_order, reachable
from afdp_exporter.impact.context import AnalysisContext, onset_range, possible_onsets
from afdp_exporter.impact.outcome import remedy
from afdp_exporter.model import Attribution, Deployment, Floats, Layer, Rival, Shift, Status
from afdp_exporter.wording.numbers import format_share
from afdp_exporter.wording.times import format_time

_PRIOR_SAME, _PRIOR_CALLED, _PRIOR_OTHER = (
    1.0,
    0.3,
    0.05,
)  # how likely a deployment is to move a metric of the same service, of ...
_MISS_RATE = 0.2  # how often the shift in this service that comes before an effect downstream is missed
_LATE_DISCOUNT = 0.5  # how much less likely a reaction is once the first sample after the rollout is over
_REACTION_MINUTES = {  # a reaction that begins late is the less likely, the later: to 37 % after so many minutes
    Layer.TECHNICAL: 2.0,
    Layer.SYSTEM: 2.0,
    Layer.USER: 6.0,
    Layer.BUSINESS: 12.0,
    Layer.CUSTOM: 6.0,
}
_ONSET_POINTS = np.linspace(-3, 3, 61)  # around an onset, in units of the way to the end of its range on that side, ...
_ONSET_WEIGHTS = 10.0 ** -np.abs(_ONSET_POINTS)  # ... beyond which lies a tenth of the possibility on that side
_MOST_TOGETHER = 6  # deployments that are judged once for all
_SELF = "it returned after the rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionShares:
    """The shifts with verdicts by posterior probability, and the deployments that hold the rest of it."""

    shifts: tuple[Shift, ...]
    rivals: tuple[Rival, ...]


def attribute_between(shifts: Iterable[Shift], context: AnalysisContext) -> AttributionShares:
    """Attribute what moved to the deployments around, by posterior probability.

    This deployment keeps what is at least `named_share_ratio` its own; what is another's to that degree is no effect
    of it; the rest is not distinguishable, and the reason names the others.
    """
    all_shifts = tuple(shifts)
    moved = [shift for shift in all_shifts if shift.moved]
    others = _candidates(moved, context)
    fix = remedy(context.deployment, context.others, context.settings.remedy_within)
    if not moved or not others:
        return AttributionShares(
            shifts=tuple(_confirmed_by_rollback(shift, fix, context) for shift in all_shifts), rivals=()
        )
    candidates = [context.deployment, *others]
    judged = [shift for shift in all_shifts if shift.moved or shift.verdict is Attribution.NO_EFFECT]
    shares: dict[str, dict[str, float]] = {}
    unexplained = set[str]()
    for event in _events(moved, context):
        share = _posterior(event, candidates, judged, context)
        shares |= {shift.metric: share for shift in event}
        if _unexplained(event, candidates, judged, context):
            unexplained |= {shift.metric for shift in event}
    weighed = tuple(
        _with_posterior(
            shift,
            shares[shift.metric],
            others,
            fix,
            context,
            doubt=_MISS_RATE if shift.metric in unexplained else 1.0,
        )
        if shift.metric in shares
        else shift
        for shift in all_shifts
    )
    return AttributionShares(shifts=weighed, rivals=_rivals(shares, others))


def joint_candidates(context: AnalysisContext, metric: str) -> tuple[Deployment, ...]:
    """The deployments close together, this one among them, that may have moved a metric; in order of time.

    Each began before a metric could no longer respond to one of the others. A metric of one service is not the doing of
    services that it does not call. This deployment alone where there are too many: then each is judged by itself.
    """
    mine, reach = context.deployment, context.short_window
    farthest = 2 * _MOST_TOGETHER * reach
    owners = _owners(metric, context)
    services = owners | _called_by(owners, context)
    able = [
        other
        for other in context.others
        if mine.started_at - farthest <= other.started_at <= mine.ended_at + farthest
        and _rolled_out(other, context)
        and (not owners or other.service in services)
    ]
    found = {mine.id: mine}
    while True:
        first, last = min(each.started_at for each in found.values()), max(each.ended_at for each in found.values())
        near = [
            other
            for other in able
            if other.id not in found and other.started_at <= last + reach and first <= other.ended_at + reach
        ]
        if not near:
            break
        found |= {other.id: other for other in near}
    together = sorted(found.values(), key=lambda each: (each.started_at, each.id))
    return tuple(together) if len(together) <= _MOST_TOGETHER else (context.deployment,)


def _rolled_out(other: Deployment, context: AnalysisContext) -> bool:
    return (
        other.id != context.deployment.id
        and other.environment == context.deployment.environment
        and other.status not in {Status.PLANNED, Status.CANCELLED}
    )


def _candidates(moved: Sequence[Shift], context: AnalysisContext) -> list[Deployment]:
    """The other deployments to which any onset may be a reaction."""
    onsets = {possible_onsets(shift, context) for shift in moved}
    short_window = context.short_window
    return [
        other
        for other in context.others
        if _rolled_out(other, context)
        and any(
            other.started_at - context.step <= high and low <= other.ended_at + short_window for low, high in onsets
        )
    ]


def _events(moved: Sequence[Shift], context: AnalysisContext) -> list[list[Shift]]:
    """Shifts grouped by what they go back to: roots that began together, each with what followed on it."""
    paths = CausalPaths(context.metrics, context.services)
    events: list[list[Shift]] = []
    for shift in sorted(moved, key=lambda entry: (possible_onsets(entry, context), entry.metric)):
        home = next(
            (
                event
                for event in reversed(events)  # what followed goes back to the nearest cause
                if _began_together(event[0], shift, context)
                or any(_explains(cause, shift, paths, context) for cause in event)
            ),
            None,
        )
        if home is None:
            events.append([shift])
        else:
            home.append(shift)
    return events


def _posterior(
    event: Sequence[Shift], candidates: Sequence[Deployment], judged: Sequence[Shift], context: AnalysisContext
) -> dict[str, float]:
    """The posterior probability of each candidate for one event, by its id."""
    roots = [shift for shift in event if _began_together(event[0], shift, context)]
    weights = {}
    known = _own_shifts(candidates, judged, context)
    for candidate in candidates:
        score = sum(log(max(_likelihood(shift, candidate, context), 1e-12)) for shift in roots)
        if len(known) == len(candidates) and _lacks_upstream_cause(roots, known[candidate.id], context):
            score += log(_MISS_RATE)
        weights[candidate.id] = score + log(min(_prior(shift, candidate, context) for shift in roots))
    top = max(weights.values())
    raised = {name: exp(weight - top) for name, weight in weights.items()}
    total = sum(raised.values())
    return {name: weight / total for name, weight in raised.items()}


def _unexplained(
    event: Sequence[Shift], candidates: Sequence[Deployment], judged: Sequence[Shift], context: AnalysisContext
) -> bool:
    """Whether nothing of this service explains an event, and it is not known whether that is so for the others."""
    known = _own_shifts(candidates, judged, context)
    roots = [shift for shift in event if _began_together(event[0], shift, context)]
    return len(known) < len(candidates) and _lacks_upstream_cause(roots, known[context.deployment.id], context)


def _own_shifts(
    candidates: Sequence[Deployment], judged: Sequence[Shift], context: AnalysisContext
) -> dict[str, list[Shift]]:
    """What the metrics of each candidate's own service did, by its id; only those of which it is known."""
    known = {name: report.shifts for name, report in context.known_impacts.items()} | {
        context.deployment.id: tuple(judged)
    }
    return {
        candidate.id: [shift for shift in known[candidate.id] if _is_own(shift.metric, candidate, context)]
        for candidate in candidates
        if candidate.id in known
    }


def _is_own(metric: str, candidate: Deployment, context: AnalysisContext) -> bool:
    return metric in context.per_service or candidate.service in _owners(metric, context)


def _lacks_upstream_cause(roots: Sequence[Shift], own: Sequence[Shift], context: AnalysisContext) -> bool:
    """Whether metrics of the very service could come before every root, and none of them explains it."""
    paths = CausalPaths(context.metrics, context.services)

    def could(root: Shift) -> list[Shift]:
        return [shift for shift in own if paths.allowed(shift.metric, root.metric)]

    return all(
        could(root) and not any(_explains(shift, root, paths, context) for shift in could(root)) for root in roots
    )


def _began_together(first: Shift, second: Shift, context: AnalysisContext) -> bool:
    return _is_transient(first) is _is_transient(second) and onset_order(first, second, context.step) == 0


def _explains(cause: Shift, effect: Shift, paths: CausalPaths, context: AnalysisContext) -> bool:
    """Whether an effect may go back to a shift: it may lead there, did not come after, and stays if that does."""
    if not cause.moved or not paths.allowed(cause.metric, effect.metric):
        return False
    return onset_order(effect, cause, context.step) <= 0 and (_is_transient(effect) or not _is_transient(cause))


def _is_transient(shift: Shift) -> bool:
    return shift.verdict is Attribution.TRANSIENT


def _prior(shift: Shift, candidate: Deployment, context: AnalysisContext) -> float:
    return _prior_of(shift.metric, candidate, context)


def _prior_of(metric: str, candidate: Deployment, context: AnalysisContext) -> float:
    owners = _owners(metric, context)
    if not owners or candidate.service in owners:
        return _PRIOR_SAME
    return _PRIOR_CALLED if candidate.service in _called_by(owners, context) else _PRIOR_OTHER


def _called_by(owners: Collection[str], context: AnalysisContext) -> set[str]:
    """The services that these call, however indirectly."""
    calls = {name: service.depends_on for name, service in context.services.items()}
    return {name for owner in owners for name in reachable(owner, calls)}


def _owners(name: str, context: AnalysisContext) -> set[str]:
    """The services that a metric belongs to; none where its query is the same for all and no service names it."""
    named = {service.name for service in context.services.values() if name in (service.metrics or ())}
    return {context.deployment.service} if name in context.per_service else named


def _likelihood(shift: Shift, candidate: Deployment, context: AnalysisContext) -> float:
    """How well the onset fits a reaction to this deployment: the reaction's density, averaged over where it may be.

    Values that look back, such as rates, show a step as a ramp, of which the middle is found. An onset counts from the
    own deployment on, that of another may lie before. The onset was looked for from this deployment on, or from the
    first of those judged together; the rest of the possibility, `1 - onset_ratio`, lies before that and speaks for
    those that were there.
    """
    if shift.onset is None:
        return 1.0  # uninformative: the same for all candidates
    step = context.step.total_seconds()
    low, high = (end.timestamp() for end in onset_range(shift, context.step))
    looks_back = context.rate_windows.get(shift.metric, timedelta(0)).total_seconds()
    low, middle = min(low, high - looks_back), min(shift.onset.timestamp(), high - looks_back / 2)
    ends = np.where(_ONSET_POINTS < 0, max(middle - low, step / 4), max(high - middle, step / 4))
    known = float(
        np.average(
            reaction_density(middle + _ONSET_POINTS * ends, candidate, shift.layer, step), weights=_ONSET_WEIGHTS
        )
    )
    earlier = 1 - (1.0 if shift.onset_ratio is None else shift.onset_ratio)
    looked_from = (
        joint_candidates(context, shift.metric)[0] if shift.metric in context.judged_jointly else context.deployment
    )
    start, own = candidate.started_at.timestamp(), looked_from.started_at.timestamp()
    if earlier <= 0 or start >= own:
        return known * (1 - earlier)
    before = float(reaction_density(np.arange(start, own, step / 2), candidate, shift.layer, step).mean())
    return known * (1 - earlier) + before * earlier


def reaction_density(at: Floats, candidate: Deployment, layer: Layer, step: float) -> Floats:
    """How likely, up to a factor, a reaction is to begin at these instants."""
    start, end = candidate.started_at.timestamp(), candidate.ended_at.timestamp() + step
    begun = ndtr((at - start + step / 2) / (step / 2))
    later = (1 - _LATE_DISCOUNT) * np.exp(-np.maximum(at - end, 0.0) / (60 * _REACTION_MINUTES[layer]))
    density: Floats = begun * np.where(at <= end, 1.0, later)
    return density


def _with_posterior(
    shift: Shift,
    share: Mapping[str, float],
    others: Sequence[Deployment],
    fix: Deployment | None,
    context: AnalysisContext,
    *,
    doubt: float,
) -> Shift:
    """A shift with this deployment's posterior; `doubt` is what its odds may have to be multiplied by."""
    mine = share[context.deployment.id]
    named = context.settings.named_share_ratio
    if _returned(shift, fix, context):
        return _confirmed_by_rollback(shift, fix, context)
    if doubt * mine / (doubt * mine + 1.0 - mine) >= named:
        return replace(shift, attribution_ratio=_scaled_ratio(shift.attribution_ratio, mine))
    strongest = max(others, key=lambda other: share[other.id])
    ratio = _scaled_ratio(shift.attribution_ratio, mine)
    if share[strongest.id] >= named:
        reason = (
            f"{_describe(strongest)} explains it better (its share of the blame is {format_share(share[strongest.id])})"
        )
        return replace(shift, verdict=Attribution.NO_EFFECT, attribution_ratio=ratio, reason=reason)
    likely = [other for other in others if share[other.id] >= 0.1] or [strongest]
    who = ", ".join(_describe(other) for other in likely)
    count = {1: "two"}.get(len(likely), str(len(likely) + 1))
    own = format_share(mine)
    reason = f"not told apart from {who}: one of these {count} did it (this deployment's share of the blame is {own})"
    return replace(shift, verdict=Attribution.NOT_DISTINGUISHABLE, attribution_ratio=ratio, reason=reason)


def _scaled_ratio(ratio: float | None, share: float) -> float | None:
    return None if ratio is None else ratio * share


def _confirmed_by_rollback(shift: Shift, fix: Deployment | None, context: AnalysisContext) -> Shift:
    """Surer where the metric returned after the rollback: half of the remaining doubt is gone."""
    if not shift.moved or not _returned(shift, fix, context):
        return shift
    ratio = shift.attribution_ratio
    return replace(
        shift,
        attribution_ratio=None if ratio is None else 1 - (1 - ratio) / 2,
        reason=f"{shift.reason}; {_SELF}",
    )


def _returned(shift: Shift, fix: Deployment | None, context: AnalysisContext) -> bool:
    if fix is None or shift.recovered_at is None:
        return False
    start = fix.started_at - context.step
    return start <= shift.recovered_at <= fix.ended_at + context.short_window


def _rivals(shares: Mapping[str, Mapping[str, float]], others: Sequence[Deployment]) -> tuple[Rival, ...]:
    """The other deployments by their largest share; those below one in a hundred are no rivals."""
    largest = {other.id: max(share[other.id] for share in shares.values()) for other in others}
    found = [
        Rival(
            deployment_id=other.id,
            service=other.service,
            started_at=other.started_at,
            share_ratio=largest[other.id],
        )
        for other in others
        if largest[other.id] >= 0.01
    ]
    return tuple(sorted(found, key=lambda rival: -rival.share_ratio))


def _describe(deployment: Deployment) -> str:
    return f"{deployment.name} at {format_time(deployment.started_at)}"
