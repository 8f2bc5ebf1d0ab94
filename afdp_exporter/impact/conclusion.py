"""From single shifts to one impact: each part of this package asked in its turn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.cost import costs
from afdp_exporter.impact.family import left_alone, settle
from afdp_exporter.impact.habits import usual_by_reports
from afdp_exporter.impact.horizons import FIRST, as_judged, kept
from afdp_exporter.impact.likelihood import informed
from afdp_exporter.impact.outcome import decide
from afdp_exporter.impact.recovery import Recovery
from afdp_exporter.impact.rivals import Blame, shared_blame
from afdp_exporter.impact.seen import fingerprint, seen_before
from afdp_exporter.impact.sequence import links, supported
from afdp_exporter.impact.shock import common_shock
from afdp_exporter.impact.states import with_states
from afdp_exporter.impact.story import story, told
from afdp_exporter.impact.visibility import visible
from afdp_exporter.impact.worth import with_worth
from afdp_exporter.model import Attribution, Impact, Shift

NONE: Mapping[str, Recovery] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Early:
    """The shifts that stood so long `after` the rollout."""

    after: timedelta
    shifts: tuple[Shift, ...]


def conclude(
    shifts: Iterable[Shift], case: Case, early: Sequence[Early] = (), recoveries: Mapping[str, Recovery] = NONE
) -> Impact:
    """The impact of a deployment from the shifts of all its metrics, as each was judged by itself.

    `early` are those that stood some time after the rollout, the longest first, where the look reaches further;
    `recoveries` what became since of each metric that moved.
    """
    blame = standing(shifts, as_judged(case))
    final, first_hour = blame.shifts, tuple[Shift, ...]()
    for stretch in early:
        moved = tuple(shift for shift in stretch.shifts if shift.moved)
        final = kept(final, moved, stretch.after, recoveries)
        first_hour = moved if stretch.after == FIRST else first_hour
    stood = with_states(visible(final, case), case, recoveries)
    final = with_worth(stood, (stretch.shifts for stretch in early), case)
    decision = decide(final, case)
    impact = Impact(
        deployment_id=case.deployment.id,
        measured_at=case.now,
        shifts=final,
        outcome=decision.outcome,
        outcome_reason=decision.reason,
        label_source=decision.label_source,
        links=tuple(told(link, final, case.step) for link in links(final, case)),
        costs=costs(final, case),
        rivals=blame.rivals,
        seen_before=seen_before(fingerprint(final, first_hour), case),
        first_hour=first_hour,
    )
    return replace(impact, story=story(impact, case))


def standing(shifts: Iterable[Shift], case: Case) -> Blame:
    """The shifts that stand among all metrics, beside common causes and other deployments."""
    ratio = case.settings.false_discovery_ratio
    blame = shared_blame(common_shock(settle(usual_by_reports(informed(shifts, case), case), ratio), case), case)
    return replace(blame, shifts=left_alone(_in_time(blame.shifts, case)))


def _in_time(shifts: tuple[Shift, ...], case: Case) -> tuple[Shift, ...]:
    """A late shift stands only as long as the upstream shift does that opened its window."""
    late = {name for name, in_time in supported(shifts, case).items() if not in_time}
    reason = "it moved too late for a direct effect, and nothing that it could have followed on moved before it"
    return tuple(
        replace(shift, verdict=Attribution.NO_EFFECT, reason=reason) if shift.metric in late else shift
        for shift in shifts
    )
