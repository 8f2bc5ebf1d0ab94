"""Lambda: an alias goes back to the version before, and a canary's share of it to nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from afdp_exporter.aws import AWS
from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Order, Plan


@dataclass(frozen=True, kw_only=True)
class Lambda(AWS):
    """The alias of a function; both may hold `$service` and `$environment`.

    A version of the function is one of ours by its number or its description.
    """

    service: ClassVar[str] = "lambda"

    function: str = "$service"
    alias: str = "$environment"

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`: a canary loses its share; else the whole alias goes back."""
        place = self._place(order)
        found = await self.read("GetAlias", **place)
        current = str(found["FunctionVersion"])
        share = dict((found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {})
        described = await self._versions(place["FunctionName"])
        bad, target = next(iter(share), current), current if share else _before(current, described, order)
        if not share and order.previous_version is not None and _is(current, described, order.previous_version):
            return Plan(order=order, sentence=f"{place['Name']} is at {current} already", request={}, done=True)
        if order.version is not None and not _is(bad, described, order.version):
            raise ActionRefused(f"{place['Name']} does not run {order.version} but {bad} ({described.get(bad, '')!a})")
        if target is None:
            raise ActionRefused(f"{place['FunctionName']} has no earlier version that fits")
        params = {
            **place,
            "FunctionVersion": target,
            "RoutingConfig": {"AdditionalVersionWeights": {}},
            "RevisionId": found["RevisionId"],
        }
        return Plan(
            order=order,
            sentence=f"{place['FunctionName']}:{place['Name']} from {bad} back to {target} alone",
            request=self.request("UpdateAlias", **params),
            seen={"bad": bad, "target": target, "revision_id": found["RevisionId"]},
        )

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`; the alias' `RevisionId` is the condition."""
        return await self.write(plan.request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`: an alias changes at once."""
        found = await self.read("GetAlias", **self._place(plan.order))
        share = (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return found["FunctionVersion"] == plan.seen["target"] and plan.seen["bad"] not in share

    def _place(self, order: Order) -> dict[str, str]:
        return {"FunctionName": order.fill(self.function), "Name": order.fill(self.alias)}

    async def _versions(self, function: str) -> dict[str, str]:
        """The published versions of the function by their numbers, with what they are described as."""
        listed = await self.listed(
            "ListVersionsByFunction", "Versions", ("Marker", "NextMarker"), FunctionName=function
        )
        return {each["Version"]: each.get("Description", "") for each in listed if each["Version"].isdigit()}


def _is(number: str, described: Mapping[str, str], version: str) -> bool:
    return version in {number, described.get(number)}


def _before(current: str, described: Mapping[str, str], order: Order) -> str | None:
    """The newest version before the current one, of those that are the one to return to where that is known."""
    wanted = order.previous_version
    if not current.isdigit():
        return None
    earlier = sorted((int(number) for number in described if int(number) < int(current)), reverse=True)
    fitting = (str(number) for number in earlier if wanted is None or _is(str(number), described, wanted))
    return next(fitting, None)


PLUGIN = Lambda
