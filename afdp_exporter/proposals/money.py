"""Users, orders, revenue, and what the machines cost."""

from afdp_exporter.model import Layer, Worse
from afdp_exporter.proposals.convention import APPS, PREFIX, Candidate, Convention, Role

_GAINED = f"{PREFIX}(?P<what>revenue|sales|turnover)_(?P<currency>usd|eur|gbp|jpy|inr)"


def _gain(metric: str, name: str, query: str) -> Candidate:
    """What the business lives on."""
    return Candidate(role=Role.MONEY, metric=metric, name=name, query=query, layer=Layer.BUSINESS, worse=Worse.DOWN)


def _cost(metric: str, name: str, query: str) -> Candidate:
    """What the machines cost: told, not judged."""
    return Candidate(role=Role.COST, metric=metric, name=name, query=query, layer=Layer.BUSINESS, primary=False)


BUSINESS = Convention(
    title="business figures",
    key="business",
    service=APPS,
    leading=False,
    shared=True,
    candidates=(
        _gain(f"{_GAINED}_total", "<prefix><what>_<currency>_per_hour", "3600 * sum(rate(<m>{<of>}[<window>]))"),
        _gain(f"{_GAINED}_per_hour", "<prefix><what>_<currency>_per_hour", "sum(<m>{<of>})"),
        _gain(
            f"{PREFIX}(?P<what>orders|checkouts|purchases|payments|bookings|signups)_total",
            "<prefix><what>_per_hour",
            "3600 * sum(rate(<m>{<of>}[<window>]))",
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
        _cost(
            "container_cpu_allocation",
            "infra_cost_usd_per_hour",
            "sum(sum by (node) (<m>{<of>}) * on (node) max by (node) (node_cpu_hourly_cost{}))"
            " + sum(sum by (node) (container_memory_allocation_bytes{<of>}) / 1073741824"
            " * on (node) max by (node) (node_ram_hourly_cost{}))",
        ),
    ),
)

RECORDED_COST = Convention(
    title="recorded costs",
    key="recorded_cost",
    service=APPS,
    leading=False,
    candidates=(
        _cost(f"{PREFIX}cost_(?P<currency>usd|eur|gbp)_per_hour", "<prefix>cost_<currency>_per_hour", "sum(<m>{<of>})"),
    ),
)
