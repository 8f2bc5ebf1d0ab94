"""New Relic: change tracking by NerdGraph. Events cannot be changed; those of one deployment have one group."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import orjson
from pydantic import FilePath, SecretStr

from afdp_exporter.errors import DeliveryError
from afdp_exporter.http_config import Address
from afdp_exporter.model import Notification, Strategy
from afdp_exporter.notify._exchange import Exchange, read_key
from afdp_exporter.notify._facts import attributes, key

_OLDEST = timedelta(hours=23)  # New Relic takes a day
_SHORT, _LONG = 200, 4000  # characters
_TYPES = {Strategy.BLUE_GREEN: "blue green", Strategy.CANARY: "canary", Strategy.ROLLING: "rolling"}
_PASSING = (
    "TOO_MANY",
    "TIMEOUT",
    "SERVER",
    "UNAVAILABLE",
    "THROTTL",
    "INTERNAL",
    "ACCESS",
    "UNAUTHORIZED",
    "FORBIDDEN",
)


@dataclass(frozen=True, kw_only=True)
class NewRelic(Exchange):
    """An account, reached with a user key; `entity` finds the one entity of a service, whose name is `$service`."""

    appends: ClassVar[bool] = True

    url: Address = "https://api.newrelic.com"
    api_key: SecretStr | None = None
    api_key_file: FilePath | None = None
    entity: str = "name = '$service' AND domain = 'APM'"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.api_key is None) is (self.api_key_file is None):
            raise ValueError("exactly one of api_key and api_key_file is needed")

    async def reach(self) -> None:
        """As `Receiver.reach`: who we are."""
        await self._ask("{actor{user{id}}}")

    async def send(self, notice: Notification) -> None:
        """As `Receiver.send`; an event whose answer is lost comes twice, in the same group."""
        event = _graphql(_event(notice, self.entity))
        await self._ask(
            f"mutation{{changeTrackingCreateEvent(changeTrackingEvent:{event})"
            "{changeTrackingEvent{changeTrackingId} messages}}"
        )

    async def _ask(self, document: str) -> None:
        shown = {"API-Key": read_key(self.api_key, self.api_key_file)}
        answer = await self.call("POST", "/graphql", {"query": document}, more=shown)
        errors = answer.get("errors") if isinstance(answer, dict) else None
        if errors or not isinstance(answer, dict):
            raise _refused(errors)


def _refused(errors: Any) -> DeliveryError:  # noqa: ANN401 - JSON
    """What NerdGraph says is wrong by its class alone, since its words repeat what was sent.

    What is wrong with one service, such as an entity that is not there, holds up no other one.
    """
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    word = str((first.get("extensions") or {}).get("errorClass", ""))
    word = word if word.replace("_", "").isalnum() and len(word) < 60 else "an error"
    passing = any(each in word.upper() for each in _PASSING)
    return DeliveryError("refused", f"NerdGraph answers {word}", retry=passing)


def _event(notice: Notification, entity: str) -> dict[str, Any]:
    deployment = notice.deployment
    fields = {"version": deployment.version or "unknown", "commit": deployment.commit, "deepLink": notice.report_url}
    kind = _TYPES.get(deployment.strategy, "basic") if deployment.strategy is not None else "basic"
    service = deployment.service.replace("\\", "\\\\").replace("'", "\\'")
    event: dict[str, Any] = {
        "categoryAndTypeData": {
            "categoryFields": {"deployment": {name: value for name, value in fields.items() if value is not None}},
            "kind": {"category": "deployment", "type": kind},
        },
        "entitySearch": {"query": entity.replace("$service", service)},
        "shortDescription": notice.headline[:_SHORT],
        "description": "\n".join([notice.headline, *(notice.impact.story if notice.impact else ())])[:_LONG],
        "groupId": key(deployment),
        "customAttributes": {name: _shortened(value) for name, value in attributes(notice).items()},
    }
    if timedelta() <= notice.at - deployment.started_at < _OLDEST:
        event["timestamp"] = int(deployment.started_at.timestamp() * 1000)
    return event


def _shortened(value: str | float | bool) -> str | float | bool:
    return value[:_LONG] if isinstance(value, str) else value


def _graphql(value: object) -> str:
    """A value as a literal of GraphQL, whose strings are those of JSON."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_graphql(each)}" for name, each in value.items()) + "}"
    return orjson.dumps(value).decode()


PLUGIN = NewRelic
