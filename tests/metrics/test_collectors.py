"""What is shown beside the deployments: the outlook, the measures of stability, the events."""

from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from afdp_exporter.metrics import CardinalityLimits, SelfMetrics
from afdp_exporter.model import (
    CalendarEntry,
    CalendarEntryKind,
    Deployment,
    Estimate,
    Outcome,
    PoolingLevel,
    Prediction,
    Slot,
    Stability,
    Status,
    Window,
    Windows,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLACE = {"service": "checkout", "environment": "production"}
RISK = Estimate(low=0.3, median=0.5, high=0.7)


def deployment(**changes: Any) -> Deployment:  # noqa: ANN401
    return Deployment(**({"id": "d1", "started_at": NOON, "received_at": NOON} | PLACE | changes))


def samples(instruments: SelfMetrics, name: str) -> list[tuple[dict[str, str], float]]:
    page = instruments.render(names=[name])[0].decode()
    return [(each.labels, each.value) for family in text_string_to_metric_families(page) for each in family.samples]


def test_a_planned_deployment_shows_its_time_its_risk_and_what_that_rests_on() -> None:
    instruments, planned = SelfMetrics(CardinalityLimits()), deployment(status=Status.PLANNED)
    instruments.show(planned)
    instruments.outlook.predicted(
        planned,
        Prediction(
            deployment_id="d1",
            basis=PoolingLevel.TEAM,
            n=12,
            risk=RISK,
            failure=RISK,
            metrics={},
            patterns=("On Mondays it costs twice as much (n = 20)",),
        ),
    )
    whose = PLACE | {"deployment_id": "d1"}
    assert samples(instruments, "afdp_deployment_planned_timestamp_seconds") == [(whose, NOON.timestamp())]
    assert samples(instruments, "afdp_deployment_timestamp_seconds") == []
    risks = {labels["quantile"]: value for labels, value in samples(instruments, "afdp_predicted_risk_ratio")}
    assert risks == {"0.05": 0.3, "0.5": 0.5, "0.95": 0.7}
    assert samples(instruments, "afdp_prediction_deployments") == [(whose | {"basis": "team"}, 12)]
    matched = whose | {"pattern": "On Mondays it costs twice as much (n = 20)"}
    assert samples(instruments, "afdp_pattern_matched") == [(matched, 1)]
    instruments.outlook.over("d1")
    assert samples(instruments, "afdp_predicted_risk_ratio") == []


def test_the_coming_hours_show_the_risk_of_now_beside_that_of_the_best_one() -> None:
    now, later = (
        Slot(start=NOON + hour * HOUR, end=NOON + (hour + 1) * HOUR, risk=risk, cost_per_hour=None)
        for hour, risk in ((0, RISK), (5, Estimate(low=0.0, median=0.1, high=0.2)))
    )
    instruments = SelfMetrics(CardinalityLimits())
    instruments.outlook.ranked(
        "production",
        Windows(
            service="checkout",
            made_at=NOON,
            slots=(later, now),
            best=(Window(start=later.start, end=later.end),),
            now=now,
            loss_avoided=300.0,
            currency="USD",
            basis=PoolingLevel.SERVICE,
            n=40,
            sentence="",
        ),
    )
    assert samples(instruments, "afdp_deploy_now_risk_ratio_lower") == [(PLACE, 0.3)]
    assert samples(instruments, "afdp_deploy_now_risk_ratio_upper") == [(PLACE, 0.7)]
    assert samples(instruments, "afdp_deploy_now_deployments") == [(PLACE | {"basis": "service"}, 40)]
    assert samples(instruments, "afdp_best_window_risk_ratio") == [(PLACE, 0.1)]
    assert samples(instruments, "afdp_best_window_loss_avoided_per_hour") == [(PLACE | {"currency": "USD"}, 300)]


def test_stability_is_reported_with_its_interval_and_what_it_rests_on() -> None:
    instruments, place = SelfMetrics(CardinalityLimits()), ("checkout", "production")
    share = Estimate(low=0.1, median=0.25, high=0.5)
    measured = Stability(
        deployments=8, failures=2, change_failure_ratio=share, restored=1, time_to_restore=timedelta(hours=2)
    )
    instruments.stability.show(
        {place: measured, ("new", "production"): Stability(deployments=0, failures=0, change_failure_ratio=None)}
    )
    shown = {
        name: samples(instruments, name) for name in ("afdp_change_failure_ratio", "afdp_change_failure_deployments")
    }
    assert shown == {"afdp_change_failure_ratio": [(PLACE, 0.25)], "afdp_change_failure_deployments": [(PLACE, 8)]}
    assert samples(instruments, "afdp_change_failure_ratio_lower") == [(PLACE, 0.1)]
    assert samples(instruments, "afdp_time_to_restore_seconds") == [(PLACE, 7200)]
    assert samples(instruments, "afdp_time_to_restore_deployments") == [(PLACE, 1)]


def test_of_an_event_that_comes_again_the_newest_is_shown() -> None:
    instruments = SelfMetrics(CardinalityLimits())
    sales = [
        CalendarEntry(
            name="sale", kind=CalendarEntryKind.SALE, start=NOON + days * 24 * HOUR, end=NOON + days * 24 * HOUR + HOUR
        )
        for days in (7, 0)
    ]
    instruments.events.show(sales)
    labels = {"event": "sale", "kind": "sale"}
    assert samples(instruments, "afdp_event_timestamp_seconds") == [(labels, sales[0].start.timestamp())]
    assert samples(instruments, "afdp_event_end_timestamp_seconds") == [(labels, sales[0].end.timestamp())]


def test_of_very_many_events_those_that_start_last_are_shown() -> None:
    instruments = SelfMetrics(CardinalityLimits())
    starts = [NOON + hour * HOUR for hour in range(1000)]
    instruments.events.show(
        CalendarEntry(name=f"incident {at:%d %H}", kind=CalendarEntryKind.OTHER, start=at, end=at + HOUR)
        for at in starts
    )
    shown = [value for _, value in samples(instruments, "afdp_event_timestamp_seconds")]
    assert shown == [at.timestamp() for at in starts[-200:]]


def test_a_humans_word_is_the_outcome_that_is_shown() -> None:
    instruments = SelfMetrics(CardinalityLimits())
    instruments.show(deployment(labelled_outcome=Outcome.SUCCESS, note="planned downtime"))
    assert [labels["outcome"] for labels, _ in samples(instruments, "afdp_deployment_outcome")] == ["success"]


def test_a_flood_of_planned_deployments_and_services_keeps_the_whole_page_at_its_cap() -> None:
    instruments = SelfMetrics(CardinalityLimits(series=1000))
    likely = Prediction(
        deployment_id="", basis=PoolingLevel.TEAM, n=12, risk=RISK, failure=RISK, metrics={}, patterns=()
    )
    slot = Slot(start=NOON, end=NOON + HOUR, risk=RISK, cost_per_hour=None)
    hours = {"made_at": NOON, "slots": (slot,), "now": slot, "best": (Window(start=slot.start, end=slot.end),)}
    none = {"loss_avoided": None, "currency": None, "basis": PoolingLevel.TEAM, "n": 12, "sentence": ""}
    for number in range(3000):
        planned = deployment(id=f"d{number}", service=f"s{number}", status=Status.PLANNED)
        instruments.show(planned)
        instruments.outlook.predicted(planned, likely)
        instruments.outlook.ranked("production", Windows(service=planned.service, **hours, **none))  # type: ignore[arg-type]
    failing = Stability(deployments=3, failures=1, change_failure_ratio=RISK)
    instruments.stability.show({(f"s{number}", "production"): failing for number in range(3000)})
    page = instruments.render()[0].decode()
    shown = [each for family in text_string_to_metric_families(page) for each in family.samples]
    of_services = [each for each in shown if "service" in each.labels]
    assert 900 < len(of_services) <= 1000
    assert {each.labels["deployment_id"] for each in shown if each.name == "afdp_predicted_failure_ratio"} == {
        f"d{number}" for number in range(2990, 3000)
    }
    ((_, dropped),) = samples(instruments, "afdp_series_dropped_total")
    assert dropped > 3000
