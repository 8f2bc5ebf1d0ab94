"""New Relic's change tracking: the GraphQL mutations that are sent there may be sent here, too."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from graphql import FieldNode, GraphQLError, OperationDefinitionNode, OperationType, parse, value_from_ast_untyped

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import Time
from afdp_exporter.model import Announcement, ChangeType, Ignored, Origin, Recurrence, Status, Strategy, Trait
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Payload, check, digest, read
from afdp_exporter.webhooks._verification import Token, Verifier

_TOKENS = 2000  # in a mutation
_EVENT = "changeTrackingCreateEvent"
_LEGACY = "changeTrackingCreateDeployment"
_ENTITY = re.compile(r"""\b(name|id)\s*=\s*(?:'([^']+)'|"([^"]+)")""", re.IGNORECASE)
_CATEGORIES = {"deployment": (), "feature flag": (ChangeType.FLAG,), "featureflag": (ChangeType.FLAG,)}
_TYPES = {
    "bluegreen": Strategy.BLUE_GREEN,
    "canary": Strategy.CANARY,
    "rolling": Strategy.ROLLING,
    "shadow": Strategy.CANARY,
}


class _Query(Payload):
    query: str
    variables: Mapping[str, Any] | None = None


class _Kind(Payload):
    category: str = "deployment"
    type: str = ""


class _Deployment(Payload):
    version: str | None = None
    commit: str | None = None
    changelog: str | None = None
    deepLink: str | None = None  # noqa: N815 - as it is sent


class _Fields(Payload):
    deployment: _Deployment | None = None


class _Category(Payload):
    categoryFields: _Fields | None = None  # noqa: N815
    kind: _Kind = _Kind()


class _Search(Payload):
    query: str


class _Event(Payload):
    categoryAndTypeData: _Category  # noqa: N815
    entitySearch: _Search | None = None  # noqa: N815
    user: str | None = None
    description: str | None = None
    shortDescription: str | None = None  # noqa: N815
    groupId: str | None = None  # noqa: N815
    timestamp: Time | None = None
    customAttributes: Mapping[str, Any] | None = None  # noqa: N815


class _Legacy(_Deployment):
    entityGuid: str  # noqa: N815
    deploymentType: str = ""  # noqa: N815
    user: str | None = None
    description: str | None = None
    groupId: str | None = None  # noqa: N815
    timestamp: Time | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRelic:
    """It has no settings of its own."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = Token("api-key")

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:  # noqa: ARG002 - all of it is in the body
        """The changes that one mutation creates."""
        payload = read(_Query, body)
        changes = enumerate(_mutations(payload))
        return [_change(name, words, digest(body, place)) for place, (name, words) in changes] or [
            Ignored(reason="this query creates no change")
        ]


def _mutations(payload: _Query) -> list[tuple[str, dict[str, Any]]]:
    """The fields of the mutations with their arguments."""
    try:
        document = parse(payload.query, no_location=True, max_tokens=_TOKENS)
        return [
            (node.name.value, _arguments(node, dict(payload.variables or {})))
            for operation in document.definitions
            if isinstance(operation, OperationDefinitionNode) and operation.operation is OperationType.MUTATION
            for node in operation.selection_set.selections
            if isinstance(node, FieldNode)
        ]
    except (GraphQLError, RecursionError, ValueError) as error:
        raise BadInput(Fault("query", f"is not GraphQL: {error}"[:200])) from None


def _arguments(node: FieldNode, variables: dict[str, Any]) -> dict[str, Any]:
    return {each.name.value: value_from_ast_untyped(each.value, variables) for each in node.arguments or ()}


def _change(name: str, words: Mapping[str, Any], delivery: str) -> Parsed:
    if name == _EVENT:
        return _event(check(_Event, words.get("changeTrackingEvent"), "changeTrackingEvent"), delivery)
    if name == _LEGACY:
        return _legacy(check(_Legacy, words.get("deployment"), "deployment"), delivery)
    return Ignored(reason=f"the mutation {name!a} creates no change")


def _event(payload: _Event, delivery: str) -> Parsed:
    kind = payload.categoryAndTypeData.kind
    changes = _CATEGORIES.get(kind.category.lower())
    if changes is None:
        return Ignored(reason=f"a change of the category {kind.category!a} is no deployment")
    entity = _entity(payload.entitySearch.query if payload.entitySearch else "")
    fields = payload.categoryAndTypeData.categoryFields
    deployment = (fields.deployment if fields else None) or _Deployment()
    return Announcement(
        sender="new_relic",
        **_grouped(payload.groupId, entity.service or entity.application, deployment, delivery),
        event=delivery,
        at=payload.timestamp,
        status=Status.SUCCEEDED,
        origin=entity,
        version=deployment.version,
        commit=deployment.commit,
        actor=payload.user,
        url=deployment.deepLink,
        description=payload.shortDescription or payload.description or deployment.changelog,
        change_types=changes,
        strategy=_strategy(kind.type),
        traits={**_rollback(kind.type), **(payload.customAttributes or {})},
    )


def _entity(query: str) -> Origin:
    """Whose change it is: entities are searched for by their name, or by their id."""
    found = {each[1].lower(): each[2] or each[3] for each in _ENTITY.finditer(query)}
    return Origin(service=found["name"]) if "name" in found else _with_id(found.get("id"))


def _with_id(entity: str | None) -> Origin:
    return Origin(application=entity, labels={"entity": entity} if entity else {})


def _rollback(kind: str) -> dict[str, Trait]:
    return {"rollback": True} if re.fullmatch(r"roll[ _-]?back", kind, re.IGNORECASE) else {}


def _legacy(payload: _Legacy, delivery: str) -> Parsed:
    return Announcement(
        sender="new_relic",
        **_grouped(payload.groupId, payload.entityGuid, payload, delivery),
        event=delivery,
        at=payload.timestamp,
        status=Status.SUCCEEDED,
        origin=_with_id(payload.entityGuid),
        version=payload.version,
        commit=payload.commit,
        actor=payload.user,
        url=payload.deepLink,
        description=payload.description or payload.changelog,
        strategy=_strategy(payload.deploymentType),
        traits=_rollback(payload.deploymentType),
    )


def _grouped(group: str | None, entity: str | None, deployed: _Deployment, delivery: str) -> dict[str, Any]:
    """A group may hold changes of several entities, and later versions of the same one.

    What comes again later without a time of its own is another change: the way back has the words of the way there.
    """
    what = deployed.version or deployed.commit
    if group is None:
        return {"key": delivery, "thread": f"{delivery}:runs", "recurrence": Recurrence.REPEATS}
    if what is None:
        return {"key": group}
    thread = f"{group}:{entity or ''}"
    return {"key": f"{thread}:{what}", "thread": thread, "recurrence": Recurrence.RETURNS}


def _strategy(kind: str) -> Strategy | None:
    return _TYPES.get(re.sub(r"[ _-]", "", kind.lower()))


PLUGIN = NewRelic
