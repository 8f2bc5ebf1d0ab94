"""The report: complete, plain JSON, honest about what is not known yet."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from afdp_exporter.model import (
    Attribution,
    Cost,
    Deployment,
    Estimate,
    Impact,
    Layer,
    Link,
    Look,
    LookState,
    Outcome,
    Rival,
    SeenBefore,
    Shift,
    Status,
    Worse,
)
from afdp_exporter.watching.report import report_of
from api_description import DESCRIBED

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
AFTER = timedelta(minutes=2)


def deployment(**changes: Any) -> Deployment:  # noqa: ANN401
    plain = {"id": "d1", "service": "checkout", "environment": "production", "started_at": NOON, "version": "v2"}
    return Deployment(**(plain | {"received_at": NOON} | changes))


def look(state: LookState = LookState.DUE, **changes: Any) -> Look:  # noqa: ANN401
    return Look(**({"deployment_id": "d1", "after": AFTER, "due_at": NOON + AFTER, "state": state} | changes))


def impact(**changes: Any) -> Impact:  # noqa: ANN401
    shift = Shift(
        metric="latency_seconds",
        layer=Layer.TECHNICAL,
        verdict=Attribution.ATTRIBUTED,
        reason="it rose within a minute",
        worse=Worse.UP,
        onset=NOON + timedelta(seconds=60),
        before=0.1,
        after=0.115,
        change=0.015,
        low=0.012,
        high=0.018,
        change_ratio=0.15,
        p_value=0.01,
        attribution_ratio=0.97,
        shape="level",
        duration=timedelta(minutes=15),
        recovered_at=NOON + timedelta(minutes=16),
    )
    whole = {
        "deployment_id": "d1",
        "measured_at": NOON + AFTER,
        "shifts": (shift,),
        "outcome": Outcome.DEGRADATION,
        "outcome_reason": "latency rose by 15 ms",
        "links": (
            Link(
                cause="latency_seconds",
                effect="revenue_usd_per_hour",
                lag=timedelta(minutes=3),
                together=False,
                seen_before=2,
                sentence="Revenue fell 3 minutes after latency rose.",
            ),
        ),
        "costs": (
            Cost(currency="USD", per_hour=Estimate(low=900, median=1200, high=1500)),
            Cost(currency="EUR", per_hour=Estimate(low=-1, median=0, high=1), ended=True),
        ),
        "rivals": (Rival(deployment_id="d0", service="search", started_at=NOON, share_ratio=0.2),),
        "seen_before": SeenBefore(count=3, deployment_ids=("c", "b", "a")),
        "story": ("Latency rose.", "Revenue fell."),
    }
    return Impact(**(whole | changes))


def test_an_impact_is_reported_under_the_promised_names() -> None:
    report = report_of(deployment(), impact(), (look(LookState.DONE, outcome=Outcome.DEGRADATION),)).as_json()
    promised = "metric verdict onset before after change low high change_ratio p_value attribution_ratio shape"
    (shift,) = report["impacts"]
    assert set(f"{promised} duration_seconds recovered_at reason".split()) <= set(shift)
    assert (shift["onset"], shift["recovered_at"]) == ("2026-03-02T12:01:00Z", "2026-03-02T12:16:00Z")
    assert (shift["low"], shift["change"], shift["high"], shift["harmful"]) == (0.012, 0.015, 0.018, True)
    assert report["outcome"] == "degradation"
    assert report["cost_per_hour"] == {"low": 900, "median": 1200, "high": 1500, "currency": "USD"}
    assert [cost["currency"] for cost in report["costs"]] == ["USD", "EUR"]
    (step,) = report["sequence"]
    assert (step["from"], step["to"], step["lag_seconds"]) == ("latency_seconds", "revenue_usd_per_hour", 180)
    assert step["sentence"] == "Revenue fell 3 minutes after latency rose."
    assert report["seen_before"]["count"] == 3
    assert report["seen_before"]["deployments"] == ["c", "b", "a"]
    assert report["rivals"][0]["share_ratio"] == 0.2
    assert report["story"] == ["Latency rose.", "Revenue fell."]
    assert (report["looks"][0]["after_seconds"], report["looks"][0]["state"]) == (120, "done")


def test_a_report_is_plain_json_and_holds_no_figure_that_is_not_finite() -> None:
    nan, infinite = float("nan"), float("inf")
    broken = Shift(
        metric="m", layer=Layer.USER, verdict=Attribution.INCONCLUSIVE, reason="gaps", change=nan, low=-infinite
    )
    cost = Cost(currency="USD", per_hour=Estimate(low=-infinite, median=nan, high=infinite))
    report = report_of(deployment(), impact(shifts=(broken,), costs=(cost,)), ()).as_json()
    assert orjson.loads(orjson.dumps(report)) == report
    assert report["impacts"][0]["change"] is None
    assert report["cost_per_hour"] == {"low": None, "median": None, "high": None, "currency": "USD"}


@pytest.mark.parametrize("measured", [None, impact()])
def test_the_report_is_as_the_api_describes_it(measured: Impact | None) -> None:
    schema = {"$ref": "#/components/schemas/Report", "components": DESCRIBED["components"]}
    looks = tuple(look(state, outcome=Outcome.UNKNOWN, account={"points": 3}) for state in LookState)
    links = dict.fromkeys(("self", "report", "series", "page"), "/x")
    beside = {"warnings": [], "gate": None, "links": links}
    Draft202012Validator(schema).validate(report_of(deployment(), measured, looks).as_json() | beside)


def test_every_time_is_reported_in_utc() -> None:
    there = timezone(timedelta(hours=2))
    report = report_of(deployment(started_at=datetime(2026, 3, 2, 14, 0, 0, 500_000, tzinfo=there)), None, ()).as_json()
    assert report["deployment"]["started_at"] == "2026-03-02T12:00:00.500000Z"


@pytest.mark.parametrize(
    ("changes", "looks", "awaited"),
    [
        ({}, (look(),), "checkout v2 yet: the first look is due at 2026-03-02 12:02 UTC."),
        (
            {},
            (look(LookState.WAITING, reason="prometheus does not answer"),),
            "due at 2026-03-02 12:02 UTC. It waits: prometheus does not answer.",
        ),
        ({}, (look(LookState.FAILED, reason="it took too long"),), "failed, the last one with: it took too long."),
        ({}, (), "no look at it is planned."),
        ({"status": Status.PLANNED}, (), "is planned for 2026-03-02 12:00 UTC; it is measured once it is done."),
    ],
)
def test_before_anything_is_measured_the_story_says_what_is_awaited(
    changes: dict[str, Any], looks: tuple[Look, ...], awaited: str
) -> None:
    report = report_of(deployment(**changes), None, looks).as_json()
    assert report["story"][0].endswith(awaited)
    assert (report["outcome"], report["impacts"], report["cost_per_hour"]) == ("unknown", [], None)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, ("degradation", "latency rose by 15 ms", "rule")),
        ({"status": Status.ROLLED_BACK}, ("failure", "it was rolled back", "rollback")),
        (
            {"status": Status.ROLLED_BACK, "labelled_outcome": Outcome.SUCCESS, "note": "a rehearsal"},
            ("success", "a rehearsal", "human"),
        ),
    ],
)
def test_a_human_speaks_before_the_sender_and_both_before_the_measurement(
    changes: dict[str, Any], shown: tuple[str, str, str]
) -> None:
    report = report_of(deployment(**changes), impact(), ()).as_json()
    assert (report["outcome"], report["outcome_reason"], report["outcome_source"]) == shown
