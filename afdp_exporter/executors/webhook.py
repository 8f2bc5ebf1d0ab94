"""A signed POST to a program of one's own (Standard Webhooks); by its id the receiver can refuse a second one."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr

from afdp_exporter.errors import ActionRefused, ActionUnknown
from afdp_exporter.executors import Order, Plan
from afdp_exporter.executors._api import Api
from afdp_exporter.settings import read_secret


@dataclass(frozen=True, kw_only=True)
class Webhook(Api):
    """Posts to `url` + `path`; with `secret` (`whsec_...`, base64) the request is signed."""

    path: str = ""
    secret: SecretStr | None = None
    secret_file: Path | None = None
    fields: Mapping[str, str] = field(default_factory=dict)  # more of the body, each may hold `$service` and so on

    def __post_init__(self) -> None:
        super().__post_init__()
        if urlsplit(self.path).netloc or (self.path and not self.path.startswith("/")):
            raise ValueError("path begins with / and stays on the server of url")

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`: there is nothing to read, so the receiver has to refuse what it must not do."""
        body = {
            "type": "rollback.requested",
            "deployment_id": order.deployment_id,
            "service": order.service,
            "environment": order.environment,
            "version": order.version,
            "previous_version": order.previous_version,
            **{name: order.fill(text) for name, text in self.fields.items()},
        }
        key = f"rollback-{hashlib.sha256(order.deployment_id.encode()).hexdigest()[:32]}"
        return Plan(
            order=order,
            sentence=f"POST to {self.url}{self.path}",
            request={
                "method": "POST",
                "path": self.path or "/",
                "body": body,
                "headers": {"webhook-id": key, "webhook-timestamp": str(int(order.at.timestamp()))},
            },
        )

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`."""
        request = dict(plan.request)
        try:
            secret = read_secret(self.secret, self.secret_file)
            if secret is not None:
                request["headers"] = {**plan.request["headers"], **_signed(secret, plan.request)}
        except (OSError, ValueError):
            raise ActionRefused("nothing was sent: its secret cannot be read, or is not base64") from None
        return await self.write(request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`: there is nothing to read, so that the metrics alone show it."""
        raise ActionUnknown(f"{self.url} cannot be asked whether it was done: {plan.sentence}")


def _signed(secret: str, request: Mapping[str, Any]) -> dict[str, str]:
    """The signature of Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    identity = request["headers"]["webhook-id"]
    moment = request["headers"]["webhook-timestamp"]
    content = f"{identity}.{moment}.".encode() + orjson.dumps(request["body"])
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {"webhook-signature": f"v1,{signature}"}


PLUGIN = Webhook
