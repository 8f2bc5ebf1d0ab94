"""What came and went."""

from collections.abc import Callable
from datetime import timedelta

from afdp_exporter.impact.excursion import excursion
from afdp_exporter.model import Attribution, Deployment, Layer, Metric, Shift

MINUTE = timedelta(minutes=1)
LOCKS = Metric(name="locks", layer=Layer.TECHNICAL, query="k")
TIMEOUTS = Metric(name="timeouts", layer=Layer.TECHNICAL, query="t")
JOBS = Metric(name="jobs", layer=Layer.SYSTEM, query="j")


def test_it_lasts_from_the_first_onset_to_the_last_recovery(
    shift: Callable[..., Shift], deploy: Callable[..., Deployment]
) -> None:
    start = deploy().started_at
    over = [
        shift(JOBS, 3, verdict=Attribution.TRANSIENT, recovered_at=start + 15 * MINUTE),
        shift(LOCKS, 1, verdict=Attribution.TRANSIENT, recovered_at=start + 2 * MINUTE),
        shift(TIMEOUTS, 1, recovered_at=start + 8 * MINUTE),
    ]
    whole = excursion(over)
    assert whole is not None
    assert whole.metrics == ("locks", "timeouts", "jobs")
    assert (whole.start, whole.duration) == (start + MINUTE, 14 * MINUTE)


def test_what_lasts_and_what_was_not_this_deployment_is_none(
    shift: Callable[..., Shift], deploy: Callable[..., Deployment]
) -> None:
    back = deploy().started_at + 5 * MINUTE
    other = shift(LOCKS, 1, verdict=Attribution.NO_EFFECT, recovered_at=back)
    assert excursion([shift(JOBS, 3), other]) is None
