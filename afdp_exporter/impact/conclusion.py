"""From single shifts to one impact: each part of this package asked in its turn."""

from collections.abc import Iterable
from dataclasses import replace

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.cost import costs
from afdp_exporter.impact.family import left_alone, settle
from afdp_exporter.impact.first_hour import kept
from afdp_exporter.impact.outcome import decide
from afdp_exporter.impact.rivals import Blame, shared_blame
from afdp_exporter.impact.seen import fingerprint, seen_before
from afdp_exporter.impact.sequence import links, supported
from afdp_exporter.impact.shock import common_shock
from afdp_exporter.impact.states import with_states
from afdp_exporter.impact.story import story, told
from afdp_exporter.model import Attribution, Impact, Shift


def conclude(shifts: Iterable[Shift], case: Case, early: Iterable[Shift] = ()) -> Impact:
    """The impact of a deployment from the shifts of all its metrics, as each was judged by itself.

    `early` are those that stood an hour after the rollout, where the look reaches further.
    """
    blame = standing(shifts, case)
    first_hour = tuple(shift for shift in early if shift.moved)
    final = with_states(kept(blame.shifts, first_hour), case)
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
    blame = shared_blame(common_shock(settle(shifts, ratio), case), case)
    return replace(blame, shifts=left_alone(_in_time(blame.shifts, case)))


def _in_time(shifts: tuple[Shift, ...], case: Case) -> tuple[Shift, ...]:
    """A late shift stands only as long as the upstream shift does that opened its window."""
    late = {name for name, in_time in supported(shifts, case).items() if not in_time}
    reason = "it moved too late for a direct effect, and nothing that it could have followed on moved before it"
    return tuple(
        replace(shift, verdict=Attribution.NO_EFFECT, reason=reason) if shift.metric in late else shift
        for shift in shifts
    )
