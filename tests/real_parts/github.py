"""GitHub's own example deliveries, as `scripts/webhook-examples` fetches them."""

import json
from pathlib import Path
from typing import Any

from real_parts.servers import Missing

NAME = "GitHub's example deliveries"
FETCHED_BY = "npm"
FILE = Path(__file__).parents[2] / ".cache/webhook-examples/github.json"


def examples() -> dict[str, list[dict[str, Any]]]:
    """The bodies by event. Raises Missing."""
    if not FILE.exists():
        raise Missing(NAME)
    return {event["name"]: event["examples"] for event in json.loads(FILE.read_text())}
