"""The page that Prometheus scrapes: right, whole, bounded, and never broken by what somebody sent."""

import subprocess
import threading
from collections.abc import Iterator
from cProfile import Profile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pstats import Stats
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from afdp_exporter.errors import SourceRefused, SourceUnavailable
from afdp_exporter.metrics import CardinalityLimits, SelfMetrics
from afdp_exporter.model import (
    Attribution,
    ChangeType,
    Cost,
    Deployment,
    Estimate,
    Impact,
    Layer,
    Outcome,
    Shift,
    ShiftState,
    Status,
    Strategy,
    Worse,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ONSET = NOON + timedelta(minutes=1)
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def deployment(deployment_id: str = "d1", **changes: Any) -> Deployment:  # noqa: ANN401
    plain: dict[str, Any] = {"service": "checkout", "environment": "production", "started_at": NOON}
    return Deployment(**(plain | {"id": deployment_id, "received_at": NOON} | changes))


def shift(metric: str = "latency_seconds", **changes: Any) -> Shift:  # noqa: ANN401
    figures = {"change": 0.015, "low": 0.012, "high": 0.018, "change_ratio": 0.1, "attribution_ratio": 0.97}
    plain = {"layer": Layer.TECHNICAL, "verdict": Attribution.ATTRIBUTED, "reason": "it rose", "onset": ONSET}
    return Shift(**({"metric": metric, "duration": timedelta(minutes=3)} | plain | figures | changes))


def impact(deployment_id: str = "d1", *shifts: Shift, **changes: Any) -> Impact:  # noqa: ANN401
    plain = {"measured_at": NOON, "outcome": Outcome.DEGRADATION, "outcome_reason": "slower"}
    return Impact(**({"deployment_id": deployment_id, "shifts": shifts or (shift(),)} | plain | changes))


def instruments(**limits: int) -> SelfMetrics:
    return SelfMetrics(CardinalityLimits(**limits))


def samples(page: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in read_text(page.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def shown(metrics: SelfMetrics) -> set[str]:
    return {labels["deployment_id"] for labels, _ in samples(metrics.render()[0]).get("afdp_deployment_info", [])}


def test_every_figure_of_an_impact_is_there_in_its_own_unit() -> None:
    metrics = instruments()
    metrics.show(deployment(finished_at=NOON + timedelta(minutes=5), version="v2", team="till"))
    loss = Cost(currency="USD", per_hour=Estimate(low=900, median=1200, high=1500))
    metrics.measured(impact("d1", shift(), costs=(loss,)))
    page = samples(metrics.render()[0])
    whose = {"deployment_id": "d1", "service": "checkout", "environment": "production"}
    assert page["afdp_deployment_end_timestamp_seconds"] == [(whose, NOON.timestamp() + 300)]
    assert page["afdp_deployment_outcome"] == [(whose | {"outcome": "degradation"}, 1)]
    of_metric = whose | {"metric": "latency_seconds"}
    figures = {
        "change": 0.015,
        "change_lower": 0.012,
        "change_upper": 0.018,
        "change_ratio": 0.1,
        "attribution_ratio": 0.97,
        "onset_timestamp_seconds": NOON.timestamp() + 60,
        "duration_seconds": 180,
    }
    assert {name: page[f"afdp_impact_{name}"] for name in figures} == {
        name: [(of_metric, value)] for name, value in figures.items()
    }
    in_dollars = whose | {"currency": "USD"}
    costs = {name: page[f"afdp_cost_per_hour{name}"] for name in ("", "_lower", "_upper")}
    assert costs == {"": [(in_dollars, 1200)], "_lower": [(in_dollars, 900)], "_upper": [(in_dollars, 1500)]}
    assert page["afdp_deployment_measured_timestamp_seconds"] == [(whose, NOON.timestamp())]
    assert page["afdp_impact_verdict"] == [(of_metric | {"verdict": "attributed"}, 1)]


@pytest.mark.parametrize(
    ("words", "active"),
    [
        ({"state": ShiftState.ACTIVE, "worse": Worse.UP}, 1),
        ({"state": ShiftState.RECOVERED, "worse": Worse.UP}, 0),
        ({"state": ShiftState.REPLACED, "worse": Worse.UP}, 0),
        ({"state": ShiftState.WITHDRAWN, "worse": Worse.UP, "verdict": Attribution.INCONCLUSIVE}, 0),
        ({"state": ShiftState.ACTIVE, "worse": Worse.DOWN}, 0),  # an improvement that lasts
        ({"worse": Worse.UP}, 0),  # of an older release: whether it goes on was not known
        ({"verdict": Attribution.NO_EFFECT}, 0),
        ({"state": ShiftState.SUSPECTED, "verdict": Attribution.INCONCLUSIVE, "worse": Worse.UP}, None),
        ({"verdict": Attribution.INSUFFICIENT_HISTORY}, None),
        ({"verdict": Attribution.NOT_DISTINGUISHABLE}, None),
        ({"state": ShiftState.ACTIVE, "worse": Worse.UP, "primary": False}, None),
    ],
)
def test_harm_is_active_while_it_goes_on_and_unjudged_metrics_say_nothing(
    words: dict[str, Any], active: int | None
) -> None:
    metrics = instruments()
    metrics.show(deployment(), impact("d1", shift(**words)))
    assert [value for _, value in samples(metrics.render()[0]).get("afdp_impact_active", [])] == (
        [] if active is None else [active]
    )


def rates(metrics: SelfMetrics) -> dict[str, float]:
    found = samples(metrics.render()[0]).get("afdp_cost_per_hour", [])
    return {labels["deployment_id"]: value for labels, value in found}


def test_a_gain_goes_on_until_the_next_deployment_and_what_only_takes_back_harm_is_none() -> None:
    metrics = instruments()
    gain = Cost(currency="USD", per_hour=Estimate(low=-600, median=-500, high=-400))
    loss = Cost(currency="USD", per_hour=Estimate(low=900, median=1200, high=1500))
    ended = shift(state=ShiftState.RECOVERED, recovered_at=NOON, worse=Worse.UP, ended_by="fix")
    metrics.show(deployment("better"), impact("better", costs=(gain,)))
    assert rates(metrics) == {"better": -500}
    metrics.show(deployment("next", started_at=NOON + timedelta(days=1), status=Status.PLANNED))
    metrics.show(deployment("elsewhere", started_at=NOON + timedelta(hours=1), environment="staging"))
    assert rates(metrics) == {"better": -500}
    harm = impact("harm", shift(state=ShiftState.ACTIVE, worse=Worse.UP), costs=(loss,))
    metrics.show(deployment("harm", started_at=NOON + timedelta(hours=2)), harm)
    assert rates(metrics) == {"harm": 1200}
    metrics.show(deployment("fix", started_at=NOON + timedelta(hours=3)), impact("fix", costs=(gain,)))
    metrics.measured(impact("harm", ended, costs=(replace(loss, ended=True),)))
    assert rates(metrics) == {}


def test_what_is_over_costs_nothing_an_hour_any_more_and_keeps_its_total_and_its_end() -> None:
    metrics = instruments()
    rate, total = Estimate(low=2000, median=2400, high=2800), Estimate(low=340, median=390, high=440)
    over = shift(state=ShiftState.RECOVERED, recovered_at=NOON + timedelta(minutes=10), worse=Worse.UP)
    metrics.show(
        deployment(), impact("d1", over, costs=(Cost(currency="USD", per_hour=rate, total=total, ended=True),))
    )
    page = samples(metrics.render()[0])
    assert not [name for name in page if name.startswith("afdp_cost_per_hour")]
    totals = [page[f"afdp_cost_total{name}"][0][1] for name in ("_lower", "", "_upper")]
    assert totals == [340, 390, 440]
    assert page["afdp_impact_recovered_timestamp_seconds"][0][1] == NOON.timestamp() + 600


def test_a_figure_that_is_not_known_or_not_finite_has_no_series() -> None:
    metrics = instruments()
    metrics.show(
        deployment(), impact("d1", shift(change=float("nan"), low=float("-inf"), high=None, duration=None, onset=None))
    )
    names = {name for name in samples(metrics.render()[0]) if name.startswith("afdp_impact")}
    assert names == {
        "afdp_impact_active",
        "afdp_impact_attribution_ratio",
        "afdp_impact_change_ratio",
        "afdp_impact_verdict",
    }


@pytest.mark.parametrize(
    ("status", "finished", "start_and_end"),
    [
        (Status.PLANNED, True, (False, False)),
        (Status.STARTED, False, (True, False)),
        (Status.STARTED, True, (True, True)),
        (Status.SUCCEEDED, False, (True, True)),
        (Status.FAILED, True, (True, True)),
    ],
)
def test_what_has_not_happened_yet_has_no_time(
    status: Status, finished: bool, start_and_end: tuple[bool, bool]
) -> None:
    metrics = instruments()
    metrics.show(deployment(status=status, finished_at=NOON if finished else None))
    page = samples(metrics.render()[0])
    names = ("afdp_deployment_timestamp_seconds", "afdp_deployment_end_timestamp_seconds")
    assert tuple(name in page for name in names) == start_and_end


def test_an_impact_stays_when_its_deployment_changes_and_is_replaced_by_the_next_one() -> None:
    metrics = instruments()
    metrics.measured(impact("d1"))  # not shown at all: nothing happens
    metrics.show(deployment(), impact("d1", shift("a")))
    metrics.show(deployment(version="v3"))
    page = samples(metrics.render()[0])
    assert [labels["metric"] for labels, _ in page["afdp_impact_change"]] == ["a"]
    assert [labels["version"] for labels, _ in page["afdp_deployment_info"]] == ["v3"]
    metrics.measured(impact("d1", shift("b")))
    assert [labels["metric"] for labels, _ in samples(metrics.render()[0])["afdp_impact_change"]] == ["b"]


def test_the_change_has_a_name_of_its_own_for_each_unit_that_can_be_added_up() -> None:
    metrics = instruments()
    names = ("latency_seconds", "error_ratio", "sold_eur_per_hour", "replicas", "sold_eur_total", "xyz_per_hour")
    metrics.show(deployment(), impact("d1", *map(shift, names)))
    page = samples(metrics.render()[0])
    absolute = {name: page[name][0][0] for name in page if name.startswith("afdp_impact_absolute_change")}
    assert {name: labels["metric"] for name, labels in absolute.items()} == {
        f"afdp_impact_absolute_change_{unit}{end}": metric
        for unit, metric in (("seconds", names[0]), ("ratio", names[1]), ("per_hour", names[2]))
        for end in ("", "_lower", "_upper")
    }
    assert absolute["afdp_impact_absolute_change_per_hour"]["currency"] == "EUR"
    assert page["afdp_impact_absolute_change_seconds"][0][1] == 0.015
    assert len(page["afdp_impact_change"]) == len(names)


def test_two_shifts_of_one_metric_are_one_series() -> None:
    metrics = instruments()
    metrics.show(deployment(), impact("d1", shift(), shift(change=1.0)))
    assert len(samples(metrics.render()[0])["afdp_impact_change"]) == 1


def test_a_scrape_puts_together_what_was_rendered_when_it_changed() -> None:
    metrics, scraping = instruments(), Profile()
    for number in range(300):
        shifts = (shift("latency_seconds"), shift("error_ratio"))
        metrics.show(deployment(f"d{number}", service=f"s{number}"), impact(f"d{number}", *shifts))
    page, _ = scraping.runcall(metrics.render)
    lines = len(page.splitlines())
    assert lines > 300 * 20
    assert Stats(scraping).total_calls < 3 * lines


@given(order=st.permutations(range(8)), per_service=st.integers(1, 8))
def test_the_newest_of_each_service_are_shown_in_whatever_order_they_come(order: list[int], per_service: int) -> None:
    metrics = instruments(deployments_per_service=per_service)
    for number in order:
        metrics.show(deployment(f"c{number}", started_at=NOON + timedelta(minutes=number)))
        metrics.show(deployment(f"s{number}", service="search", started_at=NOON + timedelta(minutes=number)))
    newest = range(8 - per_service, 8)
    assert shown(metrics) == {f"{letter}{number}" for letter in "cs" for number in newest}


@given(starts=st.permutations(range(400)))
@settings(max_examples=20)
def test_under_the_cap_the_oldest_go_first_and_each_series_that_went_is_counted(starts: list[int]) -> None:
    metrics = instruments(series=1000)
    for start in starts:
        metrics.show(deployment(f"d{start}", service=f"s{start}", started_at=NOON + timedelta(seconds=start)))
    assert shown(metrics) == {f"d{start}" for start in range(400 - 333, 400)}  # three series each
    assert samples(metrics.render()[0])["afdp_series_dropped_total"] == [({}, 3.0 * (400 - 333))]


def test_a_flood_of_new_services_keeps_the_page_at_its_cap() -> None:
    metrics = instruments(series=1000)
    for number in range(20_000):
        metrics.show(deployment(f"d{number}", service=f"s{number}", started_at=NOON + timedelta(seconds=number)))
    assert len(shown(metrics)) == 333
    assert samples(metrics.render()[0])["afdp_series_dropped_total"] == [({}, 3.0 * (20_000 - 333))]


@given(values=st.tuples(words, words, words, words, words), change=st.floats(allow_nan=False, allow_infinity=False))
def test_any_words_and_figures_come_back_from_the_page_as_they_are(values: tuple[str, ...], change: float) -> None:
    service, environment, version, team, metric = values
    metrics = instruments()
    metrics.show(
        deployment(service=service, environment=environment, version=version, team=team),
        impact("d1", shift(metric, change=change)),
    )
    for accept, read in (("", read_text), (OPENMETRICS, read_openmetrics)):
        families = {family.name: family.samples for family in read(metrics.render(accept)[0].decode())}
        (info,) = families["afdp_deployment_info" if "afdp_deployment_info" in families else "afdp_deployment"]
        assert (info.labels["service"], info.labels["environment"]) == (service, environment)
        assert (info.labels["version"], info.labels["team"]) == (version, team)
        (changed,) = families["afdp_impact_change"]
        assert (changed.labels["metric"], changed.value) == (metric, change)


def test_only_the_names_that_are_asked_for_are_there() -> None:
    metrics = instruments()
    metrics.show(deployment(), impact())
    metrics.queries.queried("prometheus", 0.1)
    page, _ = metrics.render("", ["afdp_impact_change", "afdp_source_up", "nonsense{"])
    assert set(samples(page)) == {"afdp_impact_change", "afdp_source_up"}
    page, _ = metrics.render(OPENMETRICS, ["afdp_impact_change"])
    assert page.endswith(b"# EOF\n")
    assert page.count(b"# EOF") == 1


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping="),
        (
            "text/html;version=1.0.0, application/openmetrics-text ; q=0.5 ;version=1.0.0",
            "application/openmetrics-text",
        ),
        ("application/openmetrics-text;version=0.0.1", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=nonsense", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;escaping=\r\nX: y",
            "application/openmetrics-text; version=1.0.0;",
        ),
    ],
)
def test_the_scraper_chooses_between_two_formats_and_nothing_else(accept: str, content_type: str) -> None:
    _, answered = instruments().render(accept)
    assert answered.startswith(content_type)
    assert "\n" not in answered


def test_no_series_shows_when_a_series_was_created() -> None:
    metrics = instruments()
    metrics.annotations.received("api")
    assert b"_created" not in metrics.render()[0] + metrics.render(OPENMETRICS)[0]


@pytest.mark.parametrize("name", ["d1", "é" * 115])
def test_counts_and_durations_name_a_deployment_where_openmetrics_is_asked_for(name: str) -> None:
    metrics = instruments()
    metrics.looks.looked(name, "attributed", 0.2)
    families = read_openmetrics(metrics.render(OPENMETRICS)[0].decode())
    named = [(s.name, s.exemplar.labels) for family in families for s in family.samples if s.exemplar is not None]
    assert named == [
        ("afdp_analyses_total", {"deployment_id": name}),
        ("afdp_analysis_duration_seconds_bucket", {"deployment_id": name}),
    ]
    assert name.encode() not in metrics.render()[0]


def test_an_id_that_is_too_long_for_an_exemplar_is_left_out() -> None:
    metrics = instruments()
    metrics.looks.looked("d" * 116, "attributed", 0.2)
    assert b"dddd" not in metrics.render(OPENMETRICS)[0]


def test_a_source_that_refuses_a_question_is_up_and_one_that_is_away_is_not() -> None:
    metrics = instruments()
    metrics.queries.queried("a", 0.2)
    metrics.queries.query_failed("b", SourceRefused("bad_query", "this is not PromQL"))
    metrics.queries.query_failed("c", SourceUnavailable("timeout", "no answer"))
    page = samples(metrics.render()[0])
    assert {labels["source"]: value for labels, value in page["afdp_source_up"]} == {"a": 1, "b": 1, "c": 0}
    assert [labels["reason"] for labels, _ in page["afdp_source_query_failures_total"]] == ["bad_query", "timeout"]


def test_two_exporters_in_one_process_count_apart() -> None:
    one, other = instruments(), instruments()
    one.annotations.received("api")
    assert "afdp_annotations_received_total" in samples(one.render()[0])
    assert "afdp_annotations_received_total" not in samples(other.render()[0])


def test_a_page_is_whole_while_deployments_arrive() -> None:
    metrics, ended, broken = instruments(), threading.Event(), []

    def scrape() -> None:
        while not ended.is_set():
            page = samples(metrics.render()[0])
            if len(page.get("afdp_deployment_info", [])) != len(page.get("afdp_deployment_timestamp_seconds", [])):
                broken.append(page)

    scraper = threading.Thread(target=scrape)
    scraper.start()
    for number in range(3000):
        metrics.show(deployment(f"d{number % 500}", service=f"s{number % 50}", started_at=NOON))
    ended.set()
    scraper.join()
    assert not broken


def _whole() -> Iterator[SelfMetrics]:
    metrics = instruments()
    metrics.show(
        deployment(
            finished_at=NOON, change_types=(ChangeType.CODE, ChangeType.DATABASE), strategy=Strategy.CANARY, version="v"
        ),
        impact(costs=(Cost(currency="EUR", per_hour=Estimate(low=1, median=2, high=3)),)),
    )
    metrics.queries.queried("prometheus", 0.1)
    metrics.queries.query_failed("prometheus", SourceUnavailable("timeout", "late"))
    metrics.annotations.received("api")
    metrics.annotations.rejected("api", "invalid")
    metrics.looks.looked("d1", "attributed", 0.2)
    metrics.process.reloaded(NOON)
    metrics.process.lagged(0.001)
    metrics.process.stored(1, writable=True)
    metrics.looks.waiting(1, NOON)
    yield metrics


@pytest.mark.real
def test_promtool_finds_nothing_to_say_about_the_page(promtool: Path) -> None:
    (metrics,) = _whole()
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=metrics.render()[0], capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_every_name_that_is_promised_for_deployments_and_the_exporter_is_there() -> None:
    (metrics,) = _whole()
    promised = """
        afdp_deployment_timestamp_seconds afdp_deployment_end_timestamp_seconds afdp_deployment_info
        afdp_deployment_outcome afdp_impact_change afdp_impact_change_lower afdp_impact_change_upper
        afdp_impact_change_ratio afdp_impact_attribution_ratio afdp_impact_duration_seconds afdp_cost_per_hour
        afdp_cost_per_hour_lower afdp_cost_per_hour_upper afdp_build_info afdp_source_up
        afdp_source_query_duration_seconds_bucket afdp_source_query_failures_total afdp_annotations_received_total
        afdp_annotations_rejected_total afdp_analyses_total afdp_analysis_duration_seconds_bucket
        afdp_analyses_pending afdp_oldest_pending_analysis_timestamp_seconds afdp_config_last_reload_successful
        afdp_config_last_reload_success_timestamp_seconds afdp_store_size_bytes afdp_store_writable
        afdp_series_dropped_total
        afdp_event_loop_lag_seconds_bucket process_resident_memory_bytes
    """
    assert set(promised.split()) <= set(samples(metrics.render()[0]))


def test_a_story_is_reported_in_whole_sentences_as_far_as_an_alert_can_carry_it() -> None:
    metrics = instruments()
    sentences = ("Latency rose by 15 ms [12, 18].", "It costs $1,200 an hour.", "x" * 600)
    metrics.show(deployment(), impact(story=sentences))
    ((labels, _),) = samples(metrics.render()[0])["afdp_deployment_story"]
    assert labels["story"] == "Latency rose by 15 ms [12, 18]. It costs $1,200 an hour."
    metrics.show(deployment(), impact(story=("y" * 700,)))
    ((labels, _),) = samples(metrics.render()[0])["afdp_deployment_story"]
    assert labels["story"] == "y" * 599 + "…"


def test_a_deployment_shows_how_many_of_its_metrics_were_judged_and_how() -> None:
    metrics = instruments()
    blind = {"verdict": Attribution.INSUFFICIENT_HISTORY, "change": None}
    metrics.show(deployment(), impact("d1", shift("a"), shift("b", **blind), shift("c", **blind)))
    counted = {labels["verdict"]: value for labels, value in samples(metrics.render()[0])["afdp_deployment_verdicts"]}
    assert counted == {"attributed": 1, "insufficient_history": 2}
