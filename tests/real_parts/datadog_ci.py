"""Datadog's own command line, as `scripts/datadog-ci` fetches it."""

import shutil
from pathlib import Path

from real_parts.servers import Missing

NAME = "Datadog's command line datadog-ci"
FETCHED_BY = "npm"
FILE = Path(__file__).parents[2] / ".cache/datadog-ci/node_modules/@datadog/datadog-ci/dist/bundle.js"


def command() -> tuple[str, ...]:
    """How it is called. Raises Missing."""
    node = shutil.which("node")
    if node is None or not FILE.exists():
        raise Missing(NAME)
    return node, str(FILE)
