"""What is asked about each metric of a deployment: the series of one rollout are judged together, and drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from afdp_exporter.impact import Finding, ObservedSeries, Rollout
from afdp_exporter.impact.attribution import Case, judge_cases
from afdp_exporter.impact.common_cause import control_series
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.counterfactual import counterfactuals
from afdp_exporter.impact.data_quality import missing_after
from afdp_exporter.impact.verdict import shift_of
from afdp_exporter.model import Attribution, Floats, Shift, Trajectory
from afdp_exporter.watching.evidence import MetricData


def insufficient_data(evidence: MetricData, case: AnalysisContext) -> str | None:
    """Why too little of a metric was measured after a deployment to say that nothing changed; None where it was enough.

    Where the clocks differ, only what is after the later of the two times at which it may have begun is after it.
    """
    if evidence.series is None:
        return evidence.problem or "nothing was fetched"
    begun = case.deployment.started_at + abs(evidence.skew)  # the judged window begins at the earlier one
    return missing_after(evidence.series.times, evidence.series.values, begun, case.now, evidence.step or case.step)


class CaseJudge:
    """The judgements of one deployment, as it was known at one time; `briefly` where only what moved is of interest."""

    def __init__(self, case: AnalysisContext, *, briefly: bool = False) -> None:
        self._briefly = briefly
        self._case = case
        self._rollout = Rollout(
            deployed_at=case.deployment.started_at.timestamp(),
            finished_at=case.deployment.ended_at.timestamp(),
            earlier=case.earlier,
            time_zone=case.zone,
        )
        self._cases: dict[int, tuple[MetricData, Case]] = {}  # by identity, with what keeps it theirs

    def near(self, gathered: Sequence[MetricData]) -> dict[str, Finding]:
        """What is found of each metric with a series, by its name, as an effect of the rollout itself."""
        findings = judge_cases(self._rollout, [self._prepared(each) for each in gathered], briefly=self._briefly)
        return {each.metric.name: finding for each, finding in zip(gathered, findings, strict=True)}

    def late(
        self, evidence: Mapping[str, MetricData], near: Mapping[str, Finding], windows: Mapping[str, float | None]
    ) -> dict[str, tuple[Finding, float | None]]:
        """Metrics that may follow others are asked twice: for an effect of their own first, then for a late one.

        `windows` says within how many seconds each may respond. Returns each finding with the window it came from.
        """
        asked = {name: within for name, within in windows.items() if within is not None and not near[name].attributed}
        cases = [self._prepared(evidence[name]).responding_within(within) for name, within in asked.items()]
        found: dict[str, tuple[Finding, float | None]] = {name: (near[name], None) for name in windows}
        findings = judge_cases(self._rollout, cases, briefly=self._briefly)
        for (name, within), late in zip(asked.items(), findings, strict=True):
            if late.attributed or (late.verdict.moved and not near[name].verdict.moved):
                found[name] = late, within
        return found

    def _prepared(self, evidence: MetricData) -> Case:
        if id(evidence) not in self._cases:
            self._cases[id(evidence)] = evidence, Case.of(self._rollout, self._observed(evidence))
        return self._cases[id(evidence)][1]

    def _observed(self, evidence: MetricData, within: float | None = None) -> ObservedSeries:
        series, window = evidence.series, evidence.rate_window
        if series is None:
            raise ValueError(f"{evidence.metric.name} has no series")
        return ObservedSeries(
            times=series.times,
            values=series.values,
            control=self._control(evidence),
            of=series.of,
            worse=evidence.metric.worse,
            step=(evidence.step or self._case.step).total_seconds(),
            respond_within=within,
            rate_window=None if window is None else window.total_seconds(),
            looks_back=None if evidence.smoothed_over is None else evidence.smoothed_over.total_seconds(),
        )

    def _control(self, evidence: MetricData) -> Floats | None:
        """What the deployment cannot have touched."""
        if evidence.control is not None:
            return evidence.control.values
        return control_series([peer.values for peer in evidence.peers.values()])

    def drawn(
        self, gathered: Sequence[MetricData], answers: Mapping[str, tuple[Finding, float | None]]
    ) -> tuple[Trajectory, ...]:
        """The courses of metrics with a series, beside what was to be expected."""
        found = [
            (name, finding, self._observed(each, within))
            for each in gathered
            for name in (each.metric.name,)
            for finding, within in (answers[name],)
        ]
        return tuple(each for each in counterfactuals(self._rollout, found) if each is not None)

    def lacking(self, shift: Shift, evidence: MetricData) -> str | None:
        """Why too little was measured after the deployment to say that nothing is worse; None where it was enough.

        What could not be judged at all has its own reason.
        """
        if not shift.moved and shift.verdict not in {Attribution.NO_EFFECT, Attribution.INCONCLUSIVE}:
            return None
        if shift.verdict is Attribution.INCONCLUSIVE and shift.change is None:
            return None
        return insufficient_data(evidence, self._case)

    def witnesses(self, evidence: Mapping[str, MetricData], metrics: Sequence[str], service: str) -> dict[str, Shift]:
        """What another service's series of some metrics did, by metric; without those of which it has none."""
        peers = [
            replace(evidence[metric], series=series, control=None, peers={})
            for metric in metrics
            if (series := evidence[metric].peers.get(service)) is not None
        ]
        cases = [Case.of(self._rollout, self._observed(each)) for each in peers]
        findings = judge_cases(self._rollout, cases, briefly=True)
        return {
            each.metric.name: shift_of(finding, each.metric, each.series.warnings)
            for each, finding in zip(peers, findings, strict=True)
            if each.series is not None
        }
