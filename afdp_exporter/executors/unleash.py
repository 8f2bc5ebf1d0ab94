"""Unleash: a feature is switched off in an environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Order, Plan
from afdp_exporter.executors._api import Api
from afdp_exporter.executors.launchdarkly import flag_of


@dataclass(frozen=True, kw_only=True)
class Unleash(Api):
    """The feature `flag` of a project in an environment; by default the one that the trait `flag` names."""

    project: str = "default"
    environment: str = "$environment"
    flag: str | None = None

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        environment = order.fill(self.environment)
        state = await self._state(order)
        if not state.get("enabled"):
            return Plan(order=order, sentence="the feature is off already", request={}, done=True)
        return Plan(
            order=order,
            sentence=f"feature {flag_of(order, self.flag)} off in {environment}",
            request={"method": "POST", "path": f"{self._path(order)}/environments/{quote(environment, safe='')}/off"},
        )

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`; switching off twice is the same as once."""
        return await self.write(plan.request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`."""
        return not (await self._state(plan.order)).get("enabled")

    async def _state(self, order: Order) -> Mapping[str, Any]:
        environment = order.fill(self.environment)
        found = await self.read(self._path(order))
        for each in found.get("environments") or []:
            if each.get("name") == environment:
                return dict(each)
        raise ActionRefused(f"the feature has no environment {environment}")

    def _path(self, order: Order) -> str:
        project, flag = quote(order.fill(self.project), safe=""), quote(flag_of(order, self.flag), safe="")
        return f"/api/admin/projects/{project}/features/{flag}"


PLUGIN = Unleash
