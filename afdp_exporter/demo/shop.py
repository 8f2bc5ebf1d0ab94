"""What is known of the shop beforehand: its services, its metrics, its sale, its clock.

The shop lives by UTC. Its metrics are gauges as recording rules leave them, so that plain selectors read them from a
recording and from a Prometheus alike.
"""

from datetime import UTC, datetime, timedelta

from afdp_exporter.model import CalendarEntry, CalendarEntryKind, Layer, Metric, Money, Service, Worse

API, CHECKOUT, WORKER = "api", "checkout", "worker"
ENVIRONMENT = "production"
STEP = timedelta(minutes=1)
HISTORY = timedelta(weeks=8)
AHEAD = timedelta(days=1)  # what a running demo still has before it

LATENCY = "request_latency_p95_seconds"
ERRORS = "error_ratio"
REQUESTS = "requests_per_second"
CPU = "cpu_ratio"
REPLICAS = "replicas"
INFRA_COST = "infra_cost_usd_per_hour"
LOCKS = "db_lock_wait_seconds"
BACKLOG = "queue_backlog_jobs"
SESSIONS = "mobile_sessions"
ABANDONMENT = "cart_abandonment_ratio"
TICKETS = "support_tickets_per_minute"
REVENUE = "revenue_usd_per_hour"
VISITS = "visits_per_second"  # counted at the edge, before any service: no deployment touches it

_USD = Money(currency="USD", per_unit=1)

METRICS = (
    Metric(
        name=LATENCY,
        layer=Layer.TECHNICAL,
        query=f'{LATENCY}{{service="$service"}}',
        worse=Worse.UP,
        leads_to=(SESSIONS, ABANDONMENT),
    ),
    Metric(
        name=ERRORS,
        layer=Layer.TECHNICAL,
        query=f'{ERRORS}{{service="$service"}}',
        worse=Worse.UP,
        leads_to=(BACKLOG, SESSIONS, REVENUE),
    ),
    Metric(
        name=LOCKS,
        layer=Layer.TECHNICAL,
        query=LOCKS,
        worse=Worse.UP,
        leads_to=(LATENCY, ERRORS, BACKLOG),
    ),
    Metric(name=BACKLOG, layer=Layer.TECHNICAL, query=BACKLOG, worse=Worse.UP),
    Metric(
        name=REQUESTS,
        layer=Layer.TECHNICAL,
        query=f'{REQUESTS}{{service="$service"}}',
        control=VISITS,
        primary=False,
    ),
    Metric(name=CPU, layer=Layer.SYSTEM, query=f'{CPU}{{service="$service"}}', worse=Worse.UP),
    Metric(
        name=REPLICAS,
        layer=Layer.SYSTEM,
        query=f'{REPLICAS}{{service="$service"}}',
        leads_to=(INFRA_COST,),
        primary=False,
    ),
    Metric(
        name=SESSIONS,
        layer=Layer.USER,
        query=SESSIONS,
        worse=Worse.DOWN,
        control=VISITS,
        leads_to=(REVENUE,),
    ),
    Metric(name=ABANDONMENT, layer=Layer.USER, query=ABANDONMENT, worse=Worse.UP, leads_to=(REVENUE,)),
    Metric(name=TICKETS, layer=Layer.USER, query=TICKETS, worse=Worse.UP, primary=False),
    Metric(name=REVENUE, layer=Layer.BUSINESS, query=REVENUE, worse=Worse.DOWN, control=VISITS, money=_USD),
    Metric(
        name=INFRA_COST,
        layer=Layer.BUSINESS,
        query=f'{INFRA_COST}{{service="$service"}}',
        worse=Worse.UP,
        money=_USD,
    ),
)

_OWN = (LATENCY, ERRORS, REQUESTS, CPU, REPLICAS, INFRA_COST)

SERVICES = (
    Service(name=API, team="platform", depends_on=(WORKER,), metrics=tuple(metric.name for metric in METRICS)),
    Service(name=CHECKOUT, team="storefront", depends_on=(API,), metrics=(*_OWN, SESSIONS, ABANDONMENT, REVENUE)),
    Service(name=WORKER, team="platform", metrics=(*_OWN, LOCKS, BACKLOG)),
)


def story_at(end: datetime) -> datetime:
    """When the newest API update goes out: the last 14:00 with at least two hours of data after it."""
    latest = end.astimezone(UTC) - timedelta(hours=2)
    return latest_at(latest, hour=14)


def sale(story: datetime) -> CalendarEntry:
    """The sale of the shop's history: from a Thursday at 10:00 to the Sunday at 22:00, about three weeks before."""
    start = latest_at(story - timedelta(days=17), hour=10, weekday=3)
    return CalendarEntry(
        name="autumn-sale", kind=CalendarEntryKind.SALE, start=start, end=start + timedelta(days=3, hours=12)
    )


def latest_at(instant: datetime, *, hour: int, weekday: int | None = None) -> datetime:
    """The last full `hour` (of the `weekday`, Monday is 0) that is not after `instant`."""
    found = instant.replace(hour=hour, minute=0, second=0, microsecond=0)
    while found > instant or weekday not in (None, found.weekday()):
        found -= timedelta(days=1)
    return found
