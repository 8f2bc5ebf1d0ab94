"""The names that dashboards, rules and other people's pipelines hang on."""

import re

PROMISED = frozenset(
    {
        "afdp_deployment_timestamp_seconds",
        "afdp_deployment_end_timestamp_seconds",
        "afdp_deployment_info",
        "afdp_deployment_outcome",
        "afdp_impact_change",
        "afdp_impact_change_lower",
        "afdp_impact_change_upper",
        "afdp_impact_change_ratio",
        "afdp_impact_attribution_ratio",
        "afdp_impact_duration_seconds",
        "afdp_cost_per_hour",
        "afdp_cost_per_hour_lower",
        "afdp_cost_per_hour_upper",
        "afdp_prevented_cost_total",
        "afdp_predicted_change",
        "afdp_predicted_cost_per_hour",
        "afdp_predicted_failure_ratio",
        "afdp_deploy_now_risk_ratio",
        "afdp_best_window_timestamp_seconds",
        "afdp_gate_verdict",
        "afdp_pattern_deployments",
        "afdp_pattern_cost_multiplier",
        "afdp_false_alarm_ratio",
        "afdp_false_alarm_placebos",
        "afdp_prediction_coverage_ratio",
        "afdp_prediction_brier_score",
        "afdp_predictions_scored",
        "afdp_build_info",
        "afdp_source_up",
        "afdp_source_query_duration_seconds",
        "afdp_source_query_failures_total",
        "afdp_annotations_received_total",
        "afdp_annotations_rejected_total",
        "afdp_analyses_total",
        "afdp_analysis_duration_seconds",
        "afdp_analyses_pending",
        "afdp_oldest_pending_analysis_timestamp_seconds",
        "afdp_config_last_reload_successful",
        "afdp_config_last_reload_success_timestamp_seconds",
        "afdp_store_size_bytes",
        "afdp_series_dropped_total",
    }
)

_NAME = re.compile(r"\bafdp_[a-z0-9_]+")
_OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")
_NO_METRICS = {"afdp_exporter"}  # the package


def named(text: str) -> set[str]:
    """The metrics of ours that a text names; a histogram's parts count as the histogram."""
    found = set(_NAME.findall(text)) - _NO_METRICS
    return {_family(name) for name in found}


def _family(name: str) -> str:
    for part in _OF_A_HISTOGRAM:
        whole = name.removesuffix(part)
        if whole != name and whole in PROMISED:
            return whole
    return name
