"""A note at a time, as Grafana keeps it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A text with tags at a time, or for a region of time. `deployment_id` is what it tells of, where it tells of one.

    `id` is 0 as long as it is not stored.
    """

    id: int = 0
    at: datetime
    until: datetime | None = None
    text: str
    tags: tuple[str, ...] = ()
    dashboard_uid: str | None = None
    panel_id: int | None = None
    deployment_id: str | None = None
    created_at: datetime
    updated_at: datetime
