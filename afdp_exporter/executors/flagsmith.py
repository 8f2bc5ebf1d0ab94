"""Flagsmith: a feature is switched off in an environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Order, Plan
from afdp_exporter.executors._api import Api
from afdp_exporter.executors.launchdarkly import flag_of
from afdp_exporter.http_config import Address


@dataclass(frozen=True, kw_only=True)
class Flagsmith(Api):
    """The feature `flag` in the environment whose key is `environment_key`; by default the trait `flag` names it."""

    url: Address = "https://api.flagsmith.com"
    environment_key: str
    flag: str | None = None

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        state = await self._state(order)
        if not state.get("enabled"):
            return Plan(order=order, sentence="the feature is off already", request={}, done=True)
        body = {**state, "enabled": False}
        return Plan(
            order=order,
            sentence=f"feature {flag_of(order, self.flag)} off",
            request={"method": "PUT", "path": f"{self._path()}{state['id']}/", "body": body},
        )

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`; switching off twice is the same as once."""
        return await self.write(plan.request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`."""
        return not (await self._state(plan.order)).get("enabled")

    async def _state(self, order: Order) -> dict[str, Any]:
        flag = flag_of(order, self.flag)
        found = await self.read(self._path(), [("feature_name", flag)])
        states = found.get("results") if isinstance(found, dict) else found
        for each in states or []:
            feature = each.get("feature")
            name = feature.get("name") if isinstance(feature, dict) else each.get("feature_name", flag)
            if name == flag:
                return dict(each)
        raise ActionRefused(f"there is no feature {flag} in this environment")

    def _path(self) -> str:
        return f"/api/v1/environments/{quote(self.environment_key, safe='')}/featurestates/"


PLUGIN = Flagsmith
