"""Users, orders, revenue, and what the machines cost."""

from afdp_exporter.model import Layer, Worse
from afdp_exporter.proposals.convention import APPS, PREFIX, Candidate, Convention, Role

BUSINESS = Convention(
    title="business figures",
    key="business",
    service=APPS[:4],
    leading=False,
    shared=True,
    candidates=(
        Candidate(
            role=Role.MONEY,
            metric=f"{PREFIX}(?P<what>revenue|sales|turnover)_(?P<currency>usd|eur|gbp|jpy|inr)_total",
            name="<prefix><what>_<currency>_per_hour",
            query="3600 * sum(rate(<m>{<of>}[5m]))",
            layer=Layer.BUSINESS,
            worse=Worse.DOWN,
        ),
        Candidate(
            role=Role.MONEY,
            metric=f"{PREFIX}(?P<what>revenue|sales|turnover)_(?P<currency>usd|eur|gbp|jpy|inr)_per_hour",
            name="<prefix><what>_<currency>_per_hour",
            query="sum(<m>{<of>})",
            layer=Layer.BUSINESS,
            worse=Worse.DOWN,
        ),
        Candidate(
            role=Role.MONEY,
            metric=f"{PREFIX}(?P<what>orders|checkouts|purchases|payments|bookings|signups)_total",
            name="<prefix><what>_per_hour",
            query="3600 * sum(rate(<m>{<of>}[5m]))",
            layer=Layer.BUSINESS,
            worse=Worse.DOWN,
        ),
        Candidate(
            role=Role.USERS,
            metric=f"{PREFIX}(?P<what>[a-z]+_abandonment)_ratio",
            name="<prefix><what>_ratio",
            query="max(<m>{<of>})",
            layer=Layer.USER,
        ),
        Candidate(
            role=Role.USERS,
            metric=f"{PREFIX}(?P<what>active_sessions|[a-z]+_sessions)",
            name="<prefix><what>",
            query="sum(<m>{<of>})",
            layer=Layer.USER,
            worse=Worse.DOWN,
        ),
    ),
)

OPENCOST = Convention(
    title="OpenCost",
    key="opencost",
    service=("container",),
    leading=False,
    candidates=(
        Candidate(
            role=Role.COST,
            metric="container_cpu_allocation",
            name="infra_cost_usd_per_hour",
            query="sum(sum by (node) (<m>{<of>}) * on (node) max by (node) (node_cpu_hourly_cost{}))"
            " + sum(sum by (node) (container_memory_allocation_bytes{<of>}) / 1073741824"
            " * on (node) max by (node) (node_ram_hourly_cost{}))",
            layer=Layer.BUSINESS,
            primary=False,
        ),
    ),
)

RECORDED_COST = Convention(
    title="recorded costs",
    key="recorded_cost",
    service=APPS[:4],
    leading=False,
    candidates=(
        Candidate(
            role=Role.COST,
            metric=f"{PREFIX}cost_(?P<currency>usd|eur|gbp)_per_hour",
            name="<prefix>cost_<currency>_per_hour",
            query="sum(<m>{<of>})",
            layer=Layer.BUSINESS,
            primary=False,
        ),
    ),
)
