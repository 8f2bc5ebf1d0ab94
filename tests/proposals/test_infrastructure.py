"""What is no service of anybody's, by its name."""

import pytest

from afdp_exporter.proposals.infrastructure import is_infrastructure


@pytest.mark.parametrize(
    "name",
    [
        "prometheus",
        "monitoring/prometheus-server",
        "kube-prometheus-stack-prometheus",
        "alertmanager",
        "node",
        "node-exporter",
        "node_exporter",
        "postgres-exporter",
        "kube-state-metrics",
        "kubelet",
        "kubernetes-nodes",
        "coredns",
        "grafana",
        "otel-collector",
        "victoria-metrics",
        "afdp-exporter",
    ],
)
def test_tools_exporters_and_parts_of_kubernetes_are(name: str) -> None:
    assert is_infrastructure(name)


@pytest.mark.parametrize(
    "name", ["checkout", "orders-node", "shop/cart", "kubernetes-pods", "exports", "grafana-plugins-shop", "search"]
)
def test_services_are_not(name: str) -> None:
    assert not is_infrastructure(name)
