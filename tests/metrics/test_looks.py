"""How often an innocent deployment is blamed, as it is exposed."""

from prometheus_client import CollectorRegistry

from afdp_exporter.metrics.self_monitoring import Looks


def test_without_a_placebo_that_could_be_judged_there_is_no_ratio() -> None:
    registry = CollectorRegistry()
    looks = Looks(registry)
    of = {"metric": "latency_seconds"}

    looks.replayed("latency_seconds", blamed=0, placebos=0)
    assert registry.get_sample_value("afdp_false_alarm_ratio", of) is None
    assert registry.get_sample_value("afdp_false_alarm_placebos", of) == 0

    looks.replayed("latency_seconds", blamed=1, placebos=50)
    assert registry.get_sample_value("afdp_false_alarm_ratio", of) == 0.02

    looks.replayed("latency_seconds", blamed=0, placebos=0)
    assert registry.get_sample_value("afdp_false_alarm_ratio", of) is None
