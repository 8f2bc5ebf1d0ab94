"""Real Prometheus, Alertmanager and VictoriaMetrics on free ports of the loopback, as fixtures.

`prometheus`, `alertmanager` and `victoria_metrics` are shared by the tests of a run, so write series under a name of
the test's own, and bring back to life what you kill. `start` starts one that belongs to the test alone.
"""
