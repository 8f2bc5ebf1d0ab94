"""Azure Monitor: a release annotation in Application Insights for each deployment, whose properties hold the story.

Its id is made of the deployment's, so that a notice that is sent again replaces what is there.
"""

import uuid
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Annotated, Any, ClassVar

import orjson
from pydantic import StringConstraints

from afdp_exporter.http_client import Answer
from afdp_exporter.http_config import Address
from afdp_exporter.logins.azuread import AzureAD
from afdp_exporter.model import Notification
from afdp_exporter.notify._exchange import Exchange, delivered
from afdp_exporter.notify._facts import attributes, key

_SCOPE = "https://management.azure.com/.default"
_RESOURCE = r"^/subscriptions/[\w-]+/resourceGroups/[\w.()-]+/providers/[Mm]icrosoft\.[Ii]nsights/components/[\w.()-]+$"
_MOST = 1024 * 1024
_NAME = 150  # characters that a chart shows


@dataclass(frozen=True, kw_only=True)
class AzureMonitor(Exchange):
    """The Application Insights `resource`, where `azuread` may write annotations."""

    appends: ClassVar[bool] = False

    url: Address = "https://management.azure.com"
    resource: Annotated[str, StringConstraints(pattern=_RESOURCE)]
    azuread: AzureAD

    async def reach(self) -> None:
        """As `Receiver.reach`: read the resource."""
        await self._call("GET", "", "2020-02-02")

    async def send(self, notice: Notification) -> None:
        """As `Receiver.send`."""
        await self._call("PUT", "/Annotations", "2015-05-01", _annotation(notice))

    async def _call(self, method: str, path: str, version: str, body: dict[str, Any] | None = None) -> None:
        data = orjson.dumps(body) if body is not None else None

        async def once() -> Answer:
            place = f"{self.resource}{path}"
            shown = await self._login.headers(method, self.url + place, {}, data)
            sent = {"Content-Type": "application/json", **shown}
            params = [("api-version", version)]
            answer = await self.request(method, place, most=_MOST, data=data, params=params, more=sent)
            if answer.status == HTTPStatus.UNAUTHORIZED:
                self._login.renews(shown)
            return answer

        await delivered(once(), self.url)

    @cached_property
    def _login(self) -> AzureAD:
        return self.azuread.reading(_SCOPE)


def _annotation(notice: Notification) -> dict[str, Any]:
    deployment = notice.deployment
    story = {f"story_{number}": text for number, text in enumerate(notice.impact.story if notice.impact else (), 1)}
    properties = {name: str(value) for name, value in (attributes(notice) | story).items()}
    return {
        "Id": str(uuid.uuid5(uuid.NAMESPACE_OID, key(deployment))),
        "AnnotationName": f"{deployment.name}: {notice.measured.decision.outcome}"[:_NAME],
        "EventTime": deployment.started_at.strftime("%Y-%m-%dT%H:%M:%S"),
        "Category": "Deployment",
        "Properties": orjson.dumps(properties).decode(),
    }


PLUGIN = AzureMonitor
