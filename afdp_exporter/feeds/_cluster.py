"""The objects of a Kubernetes API: listed page by page, then watched; whatever breaks off is taken up again."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from kubernetes_asyncio.client import ApiClient, ApiException, CustomObjectsApi

from afdp_exporter.errors import FeedError
from afdp_exporter.feeds._reasons import reason_of
from afdp_exporter.feeds._rollouts import Object, Resource

_PAGE = 500
_WATCH = 300  # seconds after which the server is asked to end a watch, so that a dead connection is noticed
_QUIET = (10, _WATCH + 30)  # seconds until connected, and between two words
_PAUSE = 1.0  # seconds before a watch that broke off without a word is tried again
_TRIES = 5
_BROKEN = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
_REASONS = {401: "the token is wrong or has expired", 403: "the role has to allow get, list and watch"}


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects of a kind were given; `refused` says why there are none where the role does not allow them."""

    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """An object as it is now, or as it was when it was deleted."""

    content: Object
    deleted: bool = False


class Cluster:
    """What an API server says of some namespaces; of all, where none are named."""

    def __init__(self, api: ApiClient, namespaces: tuple[str, ...]) -> None:
        self._objects = CustomObjectsApi(api)
        self._host = str(api.configuration.host)
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)

    @property
    def namespaces(self) -> tuple[str | None, ...]:
        """Each of which is followed by itself."""
        return self._namespaces

    async def kept(self, revisions: Resource, namespace: str | None, workload: Object | None) -> list[Object]:
        """What keeps the revisions in a namespace; of one workload, where it is given. Raises FeedError."""
        selector = (workload["spec"].get("selector") or {}).get("matchLabels") or {} if workload else {}
        labels = ",".join(f"{name}={text}" for name, text in sorted(selector.items()))
        found, _ = await self._list(revisions, namespace, labels)
        return found

    async def follow(self, kind: Resource, namespace: str | None) -> AsyncIterator[Changed | Listed]:
        """Every object of a kind, then each that changes; anew when the server has forgotten our place.

        Ends at once where the cluster has no such kind, or the role does not allow it. Raises FeedError.
        """
        while True:
            try:
                found, place = await self._list(kind, namespace)
            except _Absent:
                yield Listed()
                return
            except _Forbidden as error:
                yield Listed(refused=str(error))
                return
            for each in found:
                yield Changed(each)
            yield Listed()
            async for change in self._changes(kind, namespace, place):
                yield change

    async def check(self, kind: Resource, namespace: str | None) -> None:
        """Raise FeedError where the objects of a kind cannot be listed; a kind that is not there is well."""
        try:
            await self._page(kind, namespace, limit=1)
        except _Absent:
            return

    async def _changes(self, kind: Resource, namespace: str | None, place: str) -> AsyncIterator[Changed]:
        """What changes behind a place, until the server has forgotten it."""
        silent = 0
        while True:
            heard = False
            try:
                async for event in self._watched(kind, namespace, place):
                    content = event["object"]
                    heard, place = True, str(content["metadata"]["resourceVersion"])
                    if event["type"] != "BOOKMARK":
                        yield Changed(content, deleted=event["type"] == "DELETED")
            except _Refusal as refusal:
                if refusal.status == 410:
                    return
                raise self._refused(kind, refusal) from None
            except (*_BROKEN, KeyError, TypeError, AttributeError) as error:  # or what no API server sends
                if silent >= _TRIES:
                    raise FeedError(f"watching {kind.plural} at {self._host}: {reason_of(error)}") from None
            silent = 0 if heard else silent + 1
            if silent:
                await asyncio.sleep(_PAUSE)

    async def _watched(self, kind: Resource, namespace: str | None, place: str) -> AsyncIterator[Any]:
        """The events of one watch, each a line however long; a line that is cut off is left to the next watch."""
        words = {"watch": True, "resource_version": place, "allow_watch_bookmarks": True, "timeout_seconds": _WATCH}
        answer = await self._ask(kind, namespace, _preload_content=False, **words)
        try:
            if answer.status != 200:
                raise _Refusal(answer.status, answer.headers.get("Retry-After"))
            rest: list[bytes] = []
            async for chunk in answer.content.iter_any():
                *lines, last = chunk.split(b"\n")
                for line in lines:
                    whole = b"".join((*rest, line))
                    rest.clear()
                    if whole.strip():
                        yield _event(whole)
                rest.append(last)
        finally:
            answer.close()

    async def _list(self, kind: Resource, namespace: str | None, labels: str = "") -> tuple[list[Object], str]:
        """All objects, and the place behind which they change; from the start where pages are forgotten meanwhile."""
        found: list[Object] = []
        words: dict[str, Any] = {"limit": _PAGE} | ({"label_selector": labels} if labels else {})
        while True:
            try:
                page = await self._page(kind, namespace, **words)
            except _Expired:
                found.clear()
                del words["_continue"]
                continue
            found += page["items"]
            following = page["metadata"].get("continue")
            if not following:
                return found, page["metadata"]["resourceVersion"]
            words["_continue"] = following

    async def _page(self, kind: Resource, namespace: str | None, **words: Any) -> Any:  # noqa: ANN401 - a list
        try:
            return await self._ask(kind, namespace, **words)
        except _Refusal as refusal:
            if refusal.status == 410 and "_continue" in words:
                raise _Expired from None
            raise self._refused(kind, refusal) from None
        except _BROKEN as error:
            raise FeedError(f"listing {kind.plural} at {self._host}: {reason_of(error)}") from None

    async def _ask(self, kind: Resource, namespace: str | None, **words: Any) -> Any:  # noqa: ANN401 - an answer
        words.setdefault("_request_timeout", 60 if words.get("_preload_content", True) else _QUIET)
        group, version, plural = kind.group, kind.version, kind.plural
        try:
            if namespace is None:
                return await self._objects.list_cluster_custom_object(group, version, plural, **words)
            return await self._objects.list_namespaced_custom_object(group, version, namespace, plural, **words)
        except ApiException as error:
            wait = error.headers.get("Retry-After") if error.headers else None
            raise _Refusal(error.status, wait) from None

    def _refused(self, kind: Resource, refusal: "_Refusal") -> FeedError:
        if refusal.status == 404:
            return _Absent(f"the cluster has no {kind.plural}.{kind.group}")
        wait = str(refusal.retry_after or "")
        seconds = float(wait) if wait.isascii() and wait.isdigit() else None
        why = f"{kind.plural}: {self._host} answers {refusal.status} {_REASONS.get(refusal.status, '')}".strip()
        return (_Forbidden if refusal.status == 403 else FeedError)(why, wait=seconds)


def _event(line: bytes) -> Any:  # noqa: ANN401 - an event
    event = orjson.loads(line)
    if event["type"] == "ERROR":
        raise _Refusal(event["object"].get("code", 0))
    return event


class _Refusal(Exception):
    """The server says no."""

    def __init__(self, status: int, retry_after: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.retry_after = retry_after


class _Expired(Exception):
    """The pages of a list are forgotten."""


class _Absent(FeedError):
    """The cluster has no such kind."""


class _Forbidden(FeedError):
    """The role does not allow this kind."""
