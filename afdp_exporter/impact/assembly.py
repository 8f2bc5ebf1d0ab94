"""Combines the shifts of all metrics into one Impact."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType

from afdp_exporter.impact.bayes_factor import with_service_prior
from afdp_exporter.impact.causal_chain import causal_links, supported
from afdp_exporter.impact.common_cause import drop_common_causes
from afdp_exporter.impact.confounders import AttributionShares, attribute_between
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.cost import costs
from afdp_exporter.impact.event_study import usual_by_reports
from afdp_exporter.impact.looks import FIRST_HOUR, judged_window, keep_early_effects, with_states
from afdp_exporter.impact.multiple_testing import control_fdr, drop_unsupported_secondary
from afdp_exporter.impact.outcome import decide
from afdp_exporter.impact.power import mark_underpowered, with_worth
from afdp_exporter.impact.recovery import Recovery
from afdp_exporter.impact.recurrence import fingerprint, seen_before
from afdp_exporter.impact.story import explain_link, story
from afdp_exporter.model import Attribution, Impact, Shift

_NO_RECOVERIES: Mapping[str, Recovery] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShorterWindow:
    """The shifts that stood so long `after` the rollout."""

    after: timedelta
    shifts: tuple[Shift, ...]


def assemble_impact(
    shifts: Iterable[Shift],
    context: AnalysisContext,
    shorter: Sequence[ShorterWindow] = (),
    recoveries: Mapping[str, Recovery] = _NO_RECOVERIES,
) -> Impact:
    """The impact of a deployment from the shifts of all its metrics, as each was judged by itself.

    `shorter` are those that stood some time after the rollout, the longest first, where the look reaches further;
    `recoveries` what became since of each metric that moved.
    """
    attributed = surviving_shifts(shifts, judged_window(context))
    final, first_hour = attributed.shifts, tuple[Shift, ...]()
    for window in shorter:
        moved = tuple(shift for shift in window.shifts if shift.moved)
        final = keep_early_effects(final, moved, window.after, recoveries)
        first_hour = moved if window.after == FIRST_HOUR else first_hour
    stood = with_states(mark_underpowered(final, context), context, recoveries)
    final = with_worth(stood, (window.shifts for window in shorter), context)
    decision = decide(final, context)
    impact = Impact(
        deployment_id=context.deployment.id,
        measured_at=context.now,
        shifts=final,
        outcome=decision.outcome,
        outcome_reason=decision.reason,
        label_source=decision.label_source,
        links=tuple(explain_link(link, final, context.step) for link in causal_links(final, context)),
        costs=costs(final, context),
        rivals=attributed.rivals,
        seen_before=seen_before(fingerprint(final, first_hour), context),
        first_hour=first_hour,
    )
    return replace(impact, story=story(impact, context))


def surviving_shifts(shifts: Iterable[Shift], context: AnalysisContext) -> AttributionShares:
    """The shifts that stand among all metrics, beside common causes and other deployments."""
    ratio = context.settings.false_discovery_ratio
    attributed = attribute_between(
        drop_common_causes(control_fdr(usual_by_reports(with_service_prior(shifts, context), context), ratio), context),
        context,
    )
    return replace(attributed, shifts=drop_unsupported_secondary(_drop_late(attributed.shifts, context)))


def _drop_late(shifts: tuple[Shift, ...], context: AnalysisContext) -> tuple[Shift, ...]:
    """A late shift stands only as long as the upstream shift does that opened its window."""
    late = {name for name, in_time in supported(shifts, context).items() if not in_time}
    reason = "it moved too late for a direct effect, and nothing that it could have followed on moved before it"
    return tuple(
        replace(shift, verdict=Attribution.NO_EFFECT, reason=reason) if shift.metric in late else shift
        for shift in shifts
    )
