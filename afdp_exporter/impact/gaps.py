"""What is no longer measured after a deployment: missing data can show an effect, and never that there is none."""

from datetime import UTC, datetime, timedelta

import numpy as np

from afdp_exporter.model import Floats
from afdp_exporter.wording.durations import format_duration
from afdp_exporter.wording.numbers import format_share

SHORT = 3  # steps at the end of a stretch that may be missing
USUAL = 0.99  # quantile of the gaps of the history: as long a one at the end is usual, too
FEW = 0.2  # the share of the steps after a deployment that may be missing, ...
AS_BEFORE = 2.0  # ... or so many times that of the history


def missing_after(times: Floats, values: Floats, deployed_at: datetime, until: datetime, step: timedelta) -> str | None:
    """Why the data after a deployment is too little to say that nothing changed, as a sentence; None where it is not.

    `times` (n,) Unix seconds in order, `values` (n,) with NaN for gaps; what was to be measured ends at `until`.
    """
    start, end, seconds = deployed_at.timestamp(), until.timestamp(), step.total_seconds()
    known = times[np.isfinite(values) & (times <= end)]
    before, after = known[known < start], known[known >= start]
    if not len(after):
        return "it was not measured after the deployment"
    apart = np.diff(before) / seconds
    usual = float(np.quantile(apart, USUAL)) if len(apart) else 1.0
    behind = end - float(after[-1])
    if behind / seconds > max(float(SHORT), usual) + 1.0:
        last = datetime.fromtimestamp(float(after[-1]), UTC)
        return (
            f"its data ends at {last:%H:%M}, {format_duration(timedelta(seconds=behind))} before the end of the check"
        )
    lacking = 1.0 - len(after) / max((end - start) / seconds, 1.0)
    lacked = 1.0 - len(before) / max((start - float(times[0])) / seconds, 1.0)
    if lacking > max(FEW, AS_BEFORE * lacked):
        return f"{format_share(lacking)} of its data after the deployment is missing"
    return None
