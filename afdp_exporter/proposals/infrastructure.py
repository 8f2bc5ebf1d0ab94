"""What watches, carries or stores rather than serves: jobs that nobody deploys as a service of theirs."""

import re

_TOOLS = (
    "prometheus",
    "alertmanager",
    "grafana",
    "pushgateway",
    "thanos",
    "mimir",
    "cortex",
    "loki",
    "tempo",
    "jaeger",
    "opencost",
    "promtail",
    "vmagent",
    "vmalert",
    "vmsingle",
    "vmstorage",
    "vminsert",
    "vmselect",
    "victoria-?metrics",
    "fluentd",
    "fluent-bit",
    "(?:otel|opentelemetry)-collector",
    "cadvisor",
    "kubelet",
    "nodes?",
    "etcd",
    "core-?dns",
    "(?:kube-)?api-?servers?",
    "metrics-server",
    "istiod",
)
_PARTS = "(?:[-_](?:server|operator|agent|sidecar|metrics))*"
_NAME = re.compile(
    rf"(?:.*/)?(?:{'|'.join(_TOOLS)}){_PARTS}"
    rf"|.*[-_](?:prometheus|alertmanager|grafana){_PARTS}"
    r"|(?:.*[-_/])?[a-z0-9]*exporters?|(?:.*/)?kube-.*|kubernetes-(?:apiservers|nodes|cadvisor)",
    re.IGNORECASE,
)
BUILDS = (
    "(?:prometheus|alertmanager|grafana|pushgateway|thanos|mimir|cortex|loki|tempo|promtail|jaeger|etcd|coredns|afdp"
    "|kubernetes|kube_state_metrics|[a-z0-9_]+_exporter)_build_info|vm_app_version|cadvisor_version_info"
)
"""An RE2 pattern of the metrics by which such a program names itself, whatever its job is called."""


def is_infrastructure(service: str) -> bool:
    """Whether a name is that of a usual tool, of an exporter, or of a part of Kubernetes."""
    return _NAME.fullmatch(service) is not None
