"""What is said of one metric after one deployment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from afdp_exporter.model import Attribution, Usual


@dataclass(frozen=True, slots=True)
class Compared:
    """The steps after the deployment that are compared with those before: `gap` are left out, `forward` count."""

    gap: int
    forward: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one metric did after a deployment, and whether the deployment did it.

    Times are Unix seconds; `change`, `low` and `high` are in the metric's own unit; low and high are the 5 % and 95 %
    points; `change_ratio` is the change as a share of `before`; `onset_share` is the share of all possible onsets that
    the deployment may answer for. `shape` is level, transient, gradual, spread or None. `score` orders findings: every
    attributed one stands above every other. `log_factor` is the natural log of the Bayes factor for "this deployment
    did it", None where nothing was measured. `minimum_detectable_effect` is the smallest lasting change that four
    checks of five would find, `minimum_detectable_ratio` the same as a share of the mean level of the history. `usual`
    is what follows the deployments of this service alike: the other figures then give what goes beyond it. `n_history`
    counts the points before the deployment. `harmful` says whether the change goes where it hurts, None where there is
    no change or no such direction. `account` is for the audit trail alone: the settings and the intermediate figures of
    this one analysis.
    """

    attributed: bool
    verdict: Attribution
    reason: str
    p_value: float = 1.0
    score: float = 0.0
    log_factor: float | None = None
    onset: float | None = None
    onset_low: float | None = None
    onset_high: float | None = None
    onset_share: float | None = None
    before: float | None = None
    after: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    change_ratio: float | None = None
    shape: str | None = None
    duration_seconds: float | None = None
    recovered_at: float | None = None
    minimum_detectable_effect: float | None = None
    minimum_detectable_ratio: float | None = None
    usual: Usual | None = None
    n_history: int = 0
    compared: Compared | None = None
    harmful: bool | None = None
    account: Mapping[str, float | int | str | None] = field(default_factory=dict)
