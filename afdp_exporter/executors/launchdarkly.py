"""LaunchDarkly: a flag is turned off."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Order, Plan
from afdp_exporter.executors._api import Api
from afdp_exporter.http_config import Address

_VERSION = {"LD-API-Version": "20240415"}


@dataclass(frozen=True, kw_only=True)
class LaunchDarkly(Api):
    """The flag `flag` of a project in an environment; by default the one that the trait `flag` names.

    `authorization` has the type "" : LaunchDarkly takes its tokens without a word before them.
    """

    url: Address = "https://app.launchdarkly.com"
    project: str = "default"
    environment: str = "$environment"
    flag: str | None = None

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        path, environment = self._path(order), order.fill(self.environment)
        found = await self.read(path, [("env", environment)])
        state = (found.get("environments") or {}).get(environment)
        if state is None:
            raise ActionRefused(f"the flag has no environment {environment}")
        if not state.get("on"):
            return Plan(order=order, sentence="the flag is off already", request={}, done=True)
        body = {
            "environmentKey": environment,
            "comment": f"afdp: deployment {order.deployment_id} did harm",
            "instructions": [{"kind": "turnFlagOff"}],
        }
        return Plan(order=order, sentence=f"flag {path.rpartition('/')[2]} off in {environment}",
            request={
                "method": "PATCH", "path": path, "body": body, "headers": _VERSION,
                "content_type": "application/json; domain-model=launchdarkly.semanticpatch",
            },
            seen={"version": state.get("version")},
        )  # fmt: skip

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`; turning off twice is the same as once."""
        return await self.write(plan.request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`."""
        environment = plan.order.fill(self.environment)
        found = await self.read(self._path(plan.order), [("env", environment)])
        return not ((found.get("environments") or {}).get(environment) or {}).get("on", True)

    def _path(self, order: Order) -> str:
        return f"/api/v2/flags/{quote(order.fill(self.project), safe='')}/{quote(flag_of(order, self.flag), safe='')}"


def flag_of(order: Order, configured: str | None) -> str:
    """The flag of the configuration, else the one that the deployment's trait `flag` names. Raises ActionRefused."""
    named = configured if configured is not None else order.traits.get("flag")
    if not isinstance(named, str) or not named:
        raise ActionRefused("no flag is configured, and the deployment has no trait `flag`")
    return order.fill(named) if configured is not None else named


PLUGIN = LaunchDarkly
