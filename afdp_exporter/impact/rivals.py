"""Who else may have done it: the other deployments at the time.

Each deployment in reach of an onset gets a share of the blame by Bayes' rule: what is known beforehand from its scope
(the service that the metric belongs to, then what that service calls, then others), times how well the onset's range
fits a reaction to it: none before it, every second one within a sample of its rollout, the others fading over the
minutes after, slower for users and money than for machines. Where something downstream moved and nothing of a
deployment's own service that explains it, that speaks against this deployment: four of five such shifts would have been
seen. It counts where it is known of each of them, so that the reports of all give the same shares; until then no
deployment is blamed that would not be with it. What came and went explains nothing that stays. Shifts that began
together are one event and are weighed jointly; what followed on them shares their blame.

How likely an onset is falls off exponentially on either side of the likeliest instant, as it does for a changepoint in
noise (Hinkley 1970, Yao 1987), so that a long tail of its range on one side takes nothing from the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import exp, log

import numpy as np
from scipy.special import ndtr

from afdp_exporter.impact.case import Case, onset_range, possible_onsets
from afdp_exporter.impact.outcome import remedy
from afdp_exporter.impact.paths import Paths, reachable
from afdp_exporter.impact.sequence import ordered
from afdp_exporter.model import Attribution, Deployment, Floats, Layer, Rival, Shift, Status
from afdp_exporter.wording.numbers import format_share

_SAME, _CALLED, _OTHER = 1.0, 0.3, 0.05  # how likely a deployment is to move a metric of the same service, of ...
_UNSEEN = 0.2  # how often the shift in this service that comes before an effect downstream is missed
_AT_ONCE = 0.5  # how much less likely a reaction is once the first sample after the rollout is over
_FADING = {  # a reaction that begins late is the less likely, the later: to 37 % after so many minutes
    Layer.TECHNICAL: 2.0,
    Layer.SYSTEM: 2.0,
    Layer.USER: 6.0,
    Layer.BUSINESS: 12.0,
    Layer.CUSTOM: 6.0,
}
_PLACES = np.linspace(-3, 3, 61)  # around an onset, in units of the way to the end of its range on that side, ...
_WEIGHTS = 10.0 ** -np.abs(_PLACES)  # ... beyond which lies a tenth of the possibility on that side
_MOST_TOGETHER = 6  # deployments that are judged once for all
_SELF = "it returned after the rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """The shifts with their share of the blame in the verdicts, and the deployments that have the rest of it."""

    shifts: tuple[Shift, ...]
    rivals: tuple[Rival, ...]


def shared_blame(shifts: Iterable[Shift], case: Case) -> Blame:
    """Share the blame for what moved among the deployments around.

    This deployment keeps what is at least `named_share_ratio` its own; what is another's to that degree is no effect
    of it; the rest is not distinguishable, and the reason names the others.
    """
    all_shifts = tuple(shifts)
    moved = [shift for shift in all_shifts if shift.moved]
    others = _in_reach(moved, case)
    mended = remedy(case.deployment, case.others, case.settings.remedy_within)
    if not moved or not others:
        return Blame(shifts=tuple(_certain(shift, mended, case) for shift in all_shifts), rivals=())
    candidates = [case.deployment, *others]
    judged = [shift for shift in all_shifts if shift.moved or shift.verdict is Attribution.NO_EFFECT]
    shares: dict[str, dict[str, float]] = {}
    unexplained = set[str]()
    for event in _events(moved, case):
        share = _posterior(event, candidates, judged, case)
        shares |= {shift.metric: share for shift in event}
        if _unexplained(event, candidates, judged, case):
            unexplained |= {shift.metric for shift in event}
    weighed = tuple(
        _judged(
            shift, shares[shift.metric], others, mended, case, doubt=_UNSEEN if shift.metric in unexplained else 1.0
        )
        if shift.metric in shares
        else shift
        for shift in all_shifts
    )
    return Blame(shifts=weighed, rivals=_rivals(shares, others))


def row(case: Case, metric: str) -> tuple[Deployment, ...]:
    """The deployments close together, this one among them, that may have moved a metric; in order of time.

    Each began before a metric could no longer respond to one of the others. A metric of one service is not the doing of
    services that it does not call. This deployment alone where there are too many: then each is judged by itself.
    """
    mine, reach = case.deployment, case.short_window
    farthest = 2 * _MOST_TOGETHER * reach
    able = [
        other
        for other in case.others
        if mine.started_at - farthest <= other.started_at <= mine.ended_at + farthest
        and _went_out(other, case)
        and (not _owners(metric, case) or _prior_of(metric, other, case) > _OTHER)
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
    return tuple(together) if len(together) <= _MOST_TOGETHER else (case.deployment,)


def _went_out(other: Deployment, case: Case) -> bool:
    return (
        other.id != case.deployment.id
        and other.environment == case.deployment.environment
        and other.status not in {Status.PLANNED, Status.CANCELLED}
    )


def _in_reach(moved: Sequence[Shift], case: Case) -> list[Deployment]:
    """The other deployments to which any onset may be a reaction."""
    onsets = {possible_onsets(shift, case) for shift in moved}
    short_window = case.short_window
    return [
        other
        for other in case.others
        if _went_out(other, case)
        and any(other.started_at - case.step <= high and low <= other.ended_at + short_window for low, high in onsets)
    ]


def _events(moved: Sequence[Shift], case: Case) -> list[list[Shift]]:
    """Shifts grouped by what they go back to: roots that began together, each with what followed on it."""
    paths = Paths(case.metrics, case.services)
    events: list[list[Shift]] = []
    for shift in sorted(moved, key=lambda entry: (possible_onsets(entry, case), entry.metric)):
        home = next(
            (
                event
                for event in reversed(events)  # what followed goes back to the nearest cause
                if _began_together(event[0], shift, case)
                or any(_explains(cause, shift, paths, case) for cause in event)
            ),
            None,
        )
        if home is None:
            events.append([shift])
        else:
            home.append(shift)
    return events


def _posterior(
    event: Sequence[Shift], candidates: Sequence[Deployment], judged: Sequence[Shift], case: Case
) -> dict[str, float]:
    """The share of the blame for one event of each candidate, by its id."""
    roots = [shift for shift in event if _began_together(event[0], shift, case)]
    weights = {}
    known = _known(candidates, judged, case)
    for candidate in candidates:
        score = sum(log(max(_likelihood(shift, candidate, case), 1e-12)) for shift in roots)
        if len(known) == len(candidates) and _comes_from_nowhere(roots, known[candidate.id], case):
            score += log(_UNSEEN)
        weights[candidate.id] = score + log(min(_prior(shift, candidate, case) for shift in roots))
    top = max(weights.values())
    raised = {name: exp(weight - top) for name, weight in weights.items()}
    total = sum(raised.values())
    return {name: weight / total for name, weight in raised.items()}


def _unexplained(event: Sequence[Shift], candidates: Sequence[Deployment], judged: Sequence[Shift], case: Case) -> bool:
    """Whether nothing of this service explains an event, and it is not known whether that is so for the others."""
    known = _known(candidates, judged, case)
    roots = [shift for shift in event if _began_together(event[0], shift, case)]
    return len(known) < len(candidates) and _comes_from_nowhere(roots, known[case.deployment.id], case)


def _known(candidates: Sequence[Deployment], judged: Sequence[Shift], case: Case) -> dict[str, list[Shift]]:
    """What the metrics of each candidate's own service did, by its id; only those of which it is known."""
    known = {name: report.shifts for name, report in case.reports.items()} | {case.deployment.id: tuple(judged)}
    return {
        candidate.id: [shift for shift in known[candidate.id] if _is_own(shift.metric, candidate, case)]
        for candidate in candidates
        if candidate.id in known
    }


def _is_own(metric: str, candidate: Deployment, case: Case) -> bool:
    return metric in case.per_service or candidate.service in _owners(metric, case)


def _comes_from_nowhere(roots: Sequence[Shift], own: Sequence[Shift], case: Case) -> bool:
    """Whether metrics of the very service could come before every root, and none of them explains it."""
    paths = Paths(case.metrics, case.services)

    def could(root: Shift) -> list[Shift]:
        return [shift for shift in own if paths.allowed(shift.metric, root.metric)]

    return all(could(root) and not any(_explains(shift, root, paths, case) for shift in could(root)) for root in roots)


def _began_together(first: Shift, second: Shift, case: Case) -> bool:
    return _passed(first) is _passed(second) and ordered(first, second, case.step) == 0


def _explains(cause: Shift, effect: Shift, paths: Paths, case: Case) -> bool:
    """Whether an effect may go back to a shift: it may lead there, did not come after, and stays if that does."""
    if not cause.moved or not paths.allowed(cause.metric, effect.metric):
        return False
    return ordered(effect, cause, case.step) <= 0 and (_passed(effect) or not _passed(cause))


def _passed(shift: Shift) -> bool:
    return shift.verdict is Attribution.TRANSIENT


def _prior(shift: Shift, candidate: Deployment, case: Case) -> float:
    return _prior_of(shift.metric, candidate, case)


def _prior_of(metric: str, candidate: Deployment, case: Case) -> float:
    owners = _owners(metric, case)
    if not owners or candidate.service in owners:
        return _SAME
    calls = {name: service.depends_on for name, service in case.services.items()}
    called = {name for owner in owners for name in reachable(owner, calls)}
    return _CALLED if candidate.service in called else _OTHER


def _owners(name: str, case: Case) -> set[str]:
    """The services that a metric belongs to; none where its query is the same for all and no service names it."""
    named = {service.name for service in case.services.values() if name in (service.metrics or ())}
    return {case.deployment.service} if name in case.per_service else named


def _likelihood(shift: Shift, candidate: Deployment, case: Case) -> float:
    """How well the onset fits a reaction to this deployment: the reaction's density, averaged over where it may be.

    Values that look back, such as rates, show a step as a ramp, of which the onset is found half-way or later.
    The onset was looked for from this deployment on, or from the first of those judged together; the rest of the
    possibility, `1 - onset_ratio`, lies before that and speaks for those that were there.
    """
    if shift.onset is None:
        return 1.0  # it tells nobody from another
    step = case.step.total_seconds()
    low, high = (end.timestamp() for end in onset_range(shift, case.step))
    looks_back = case.smoothed.get(shift.metric, timedelta(0)).total_seconds()
    low, middle = low - looks_back, shift.onset.timestamp() - looks_back / 2
    ends = np.where(_PLACES < 0, max(middle - low, step / 4), max(high - middle, step / 4))
    known = float(np.average(reaction(middle + _PLACES * ends, candidate, shift.layer, step), weights=_WEIGHTS))
    earlier = 1 - (1.0 if shift.onset_ratio is None else shift.onset_ratio)
    looked_from = row(case, shift.metric)[0] if shift.metric in case.joint else case.deployment
    start, own = candidate.started_at.timestamp(), looked_from.started_at.timestamp()
    if earlier <= 0 or start >= own:
        return known * (1 - earlier)
    before = float(reaction(np.arange(start, own, step / 2), candidate, shift.layer, step).mean())
    return known * (1 - earlier) + before * earlier


def reaction(at: Floats, candidate: Deployment, layer: Layer, step: float) -> Floats:
    """How likely, up to a factor, a reaction is to begin at these instants."""
    start, end = candidate.started_at.timestamp(), candidate.ended_at.timestamp() + step
    begun = ndtr((at - start + step / 2) / (step / 2))
    later = (1 - _AT_ONCE) * np.exp(-np.maximum(at - end, 0.0) / (60 * _FADING[layer]))
    density: Floats = begun * np.where(at <= end, 1.0, later)
    return density


def _judged(
    shift: Shift,
    share: Mapping[str, float],
    others: Sequence[Deployment],
    mended: Deployment | None,
    case: Case,
    *,
    doubt: float,
) -> Shift:
    """A shift with this deployment's share of the blame; `doubt` is what its odds may have to be multiplied by."""
    mine = share[case.deployment.id]
    named = case.settings.named_share_ratio
    if _returned(shift, mended, case):
        return _certain(shift, mended, case)
    if doubt * mine / (doubt * mine + 1.0 - mine) >= named:
        return replace(shift, attribution_ratio=_times(shift.attribution_ratio, mine))
    strongest = max(others, key=lambda other: share[other.id])
    ratio = _times(shift.attribution_ratio, mine)
    if share[strongest.id] >= named:
        reason = (
            f"{_told(strongest)} explains it better (its share of the blame is {format_share(share[strongest.id])})"
        )
        return replace(shift, verdict=Attribution.NO_EFFECT, attribution_ratio=ratio, reason=reason)
    likely = [other for other in others if share[other.id] >= 0.1] or [strongest]
    who = ", ".join(_told(other) for other in likely)
    count = {1: "two"}.get(len(likely), str(len(likely) + 1))
    own = format_share(mine)
    reason = f"not told apart from {who}: one of these {count} did it (this deployment's share of the blame is {own})"
    return replace(shift, verdict=Attribution.NOT_DISTINGUISHABLE, attribution_ratio=ratio, reason=reason)


def _times(ratio: float | None, share: float) -> float | None:
    return None if ratio is None else ratio * share


def _certain(shift: Shift, mended: Deployment | None, case: Case) -> Shift:
    """Surer where the metric returned after the rollback: half of the remaining doubt is gone."""
    if not shift.moved or not _returned(shift, mended, case):
        return shift
    ratio = shift.attribution_ratio
    return replace(
        shift,
        attribution_ratio=None if ratio is None else 1 - (1 - ratio) / 2,
        reason=f"{shift.reason}; {_SELF}",
    )


def _returned(shift: Shift, mended: Deployment | None, case: Case) -> bool:
    if mended is None or shift.recovered_at is None:
        return False
    start = mended.started_at - case.step
    return start <= shift.recovered_at <= mended.ended_at + case.short_window


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


def _told(deployment: Deployment) -> str:
    return f"{deployment.name} at {_clock(deployment.started_at)}"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M}"
