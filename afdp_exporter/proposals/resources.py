"""Use and saturation of resources: hosts, containers, processes."""

from afdp_exporter.proposals.convention import APPS, Convention, Role, system

NODE = Convention(
    title="node-exporter",
    key="node",
    service=("job",),
    candidates=(
        system(
            Role.SATURATION,
            "node_load1",
            "load_per_core",
            'sum(node_load1{<of>}) / count(node_cpu_seconds_total{<of>, mode="idle"})',
        ),
        system(
            Role.CPU,
            "node_cpu_seconds_total",
            "cpu_ratio",
            '1 - avg(rate(node_cpu_seconds_total{<of>, mode="idle"}[<window>]))',
        ),
        system(
            Role.MEMORY,
            "node_memory_MemAvailable_bytes",
            "memory_used_ratio",
            "1 - sum(node_memory_MemAvailable_bytes{<of>}) / sum(node_memory_MemTotal_bytes{<of>})",
        ),
        system(
            Role.DISK,
            "node_disk_io_time_seconds_total",
            "disk_busy_ratio",
            "max(rate(node_disk_io_time_seconds_total{<of>}[<window>]))",
        ),
    ),
)

KUBERNETES = Convention(
    title="kube-state-metrics and cAdvisor",
    key="kube",
    service=("container", "pod_label_app", "label_app"),
    leading=False,
    candidates=(
        system(
            Role.SATURATION,
            "container_cpu_cfs_throttled_periods_total",
            "cpu_throttled_ratio",
            "sum(rate(<m>{<of>}[<window>])) / sum(rate(container_cpu_cfs_periods_total{<of>}[<window>]))",
        ),
        system(Role.CPU, "container_cpu_usage_seconds_total", "cpu_cores", "sum(rate(<m>{<of>}[<window>]))"),
        system(Role.MEMORY, "container_memory_working_set_bytes", "memory_bytes", "sum(<m>{<of>})"),
        system(
            Role.RESTARTS,
            "kube_pod_container_status_restarts_total",
            "restarts_per_hour",
            "3600 * sum(rate(<m>{<of>}[<window>]))",
        ),
    ),
)

PROCESS = Convention(
    title="the process, as Prometheus clients tell it",
    key="process",
    service=APPS,
    leading=False,
    candidates=(
        system(Role.CPU, "process_cpu_seconds_total", "cpu_cores", "sum(rate(<m>{<of>}[<window>]))"),
        system(Role.MEMORY, "process_resident_memory_bytes", "memory_bytes", "sum(<m>{<of>})"),
    ),
)
