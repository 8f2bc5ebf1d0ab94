"""`/trust`: how far to trust what is said here, and whether the exporter itself is well."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from afdp_exporter.handlers.pages.rendering import page
from afdp_exporter.handlers.state import STATE, State
from afdp_exporter.metrics import Instruments
from afdp_exporter.model import Estimate
from afdp_exporter.planning.scoreboard import NOMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alarms:
    """How often innocent deployments were blamed on a metric; None where no placebo could be judged."""

    metric: str
    ratio: float | None
    placebos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """How well the predictions of a service came true."""

    service: str
    n: int
    coverage: float | None
    brier: float | None
    base: float | None
    skill: Estimate | None


async def trust(request: web.Request) -> web.Response:
    """False alarms, coverage, what is pending, and the sources."""
    state = request.app[STATE]
    told, now = state.instruments, state.clock()
    backlog = await state.store.backlog(now)
    up, fed = _by(told, "afdp_source_up", "source"), _by(told, "afdp_feed_up", "feed")
    return page(
        request,
        "trust.html",
        alarms=_alarms(state),
        scores=_scores(told),
        intended=NOMINAL,
        backlog=backlog,
        sources=[(name, up.get(name)) for name in state.rules.watched.sources],
        feeds=[(name, fed.get(name)) for name in state.rules.feeds],
        failures=_total(told, "afdp_source_query_failures_total"),
        size=await state.store.size_bytes(),
        healthy=state.store.healthy,
        reloaded=bool(_total(told, "afdp_config_last_reload_successful")),
        reloaded_at=datetime.fromtimestamp(_total(told, "afdp_config_last_reload_success_timestamp_seconds"), UTC),
        looks=_by(told, "afdp_analyses_total", "verdict"),
    )


def _alarms(state: State) -> list[_Alarms]:
    ratios = _by(state.instruments, "afdp_false_alarm_ratio", "metric")
    placebos = _by(state.instruments, "afdp_false_alarm_placebos", "metric")
    return [
        _Alarms(metric=metric.name, ratio=ratios.get(metric.name), placebos=int(placebos.get(metric.name, 0)))
        for metric in state.rules.watched.metrics
    ]


def _scores(told: Instruments) -> list[_Scored]:
    coverage = _by(told, "afdp_prediction_coverage_ratio", "service")
    brier = _by(told, "afdp_prediction_brier_score", "service")
    base = _by(told, "afdp_prediction_base_rate_ratio", "service")
    skill, low, high = (_by(told, f"afdp_prediction_skill_ratio{end}", "service") for end in ("", "_lower", "_upper"))
    return [
        _Scored(
            service=service,
            n=int(n),
            coverage=coverage.get(service),
            brier=brier.get(service),
            base=base.get(service),
            skill=Estimate(low=low[service], median=skill[service], high=high[service]) if service in skill else None,
        )
        for service, n in sorted(_by(told, "afdp_predictions_scored", "service").items())
    ]


def _by(told: Instruments, name: str, label: str) -> Mapping[str, float]:
    return {sample.labels[label]: sample.value for sample in told.samples(name)}


def _total(told: Instruments, name: str) -> float:
    return sum(sample.value for sample in told.samples(name))
