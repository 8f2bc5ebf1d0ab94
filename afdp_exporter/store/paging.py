"""The cursor that leads from one page of deployments to the next: the last one's start and id."""

import base64
from datetime import UTC, datetime, timedelta

import orjson

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.model import Deployment

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_cursor(last: Deployment) -> str:
    """Leads behind this one."""
    started_us = (last.started_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(orjson.dumps([started_us, last.id])).decode()


def read_cursor(cursor: str) -> tuple[int, str]:
    """The start, in microseconds since 1970, and id that a cursor names. Raises BadInput."""
    try:
        match orjson.loads(base64.b64decode(cursor, altchars="-_", validate=True)):
            case [int(started_us), str(last_id)]:
                return started_us, last_id
    except ValueError:
        pass
    raise BadInput(Fault(field="cursor", message="is not one that a page gave"))
