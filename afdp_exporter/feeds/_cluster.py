"""The objects of a Kubernetes API: listed page by page, then watched; whatever breaks off is taken up again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiClient, ApiException, CustomObjectsApi
from kubernetes_asyncio.watch import Watch

from afdp_exporter.errors import FeedError
from afdp_exporter.feeds._rollouts import Kind, Object

_PAGE = 500
_WATCH = 300  # seconds after which the server is asked to end a watch, so that a dead connection is noticed
_QUIET = (10, _WATCH + 30)  # seconds until connected, and between two words
_PAUSE = 1.0  # seconds before a watch that broke off without a word is tried again
_TRIES = 5
_BROKEN = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


class Cluster:
    """What an API server says of some namespaces; of all, where none are named."""

    def __init__(self, api: ApiClient, namespaces: tuple[str, ...]) -> None:
        self._objects = CustomObjectsApi(api)
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)

    @property
    def namespaces(self) -> tuple[str | None, ...]:
        """Each of which is followed by itself."""
        return self._namespaces

    async def kept(self, kind: Kind, workload: Object) -> list[Object]:
        """What keeps the revisions in the namespace of a workload. Raises FeedError."""
        selector = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
        labels = ",".join(f"{name}={text}" for name, text in sorted(selector.items()))
        found, _ = await self._list("apps", "v1", workload["metadata"]["namespace"], kind.revisions, labels)
        return found

    async def follow(self, kind: Kind, namespace: str | None) -> AsyncIterator[Object | None]:
        """Every object of a kind, then None, then each that changes; anew when the server has forgotten our place.

        Ends at once where the cluster has no such kind. Raises FeedError.
        """
        while True:
            try:
                found, place = await self._list(kind.group, kind.version, namespace, kind.plural)
            except _Absent:
                yield None
                return
            for each in found:
                yield each
            yield None
            async for each in self._changes(kind, namespace, place):
                yield each

    async def _changes(self, kind: Kind, namespace: str | None, place: str) -> AsyncIterator[Object]:
        """What changes behind a place, until the server has forgotten it."""
        silent = 0
        while True:
            watch, heard = Watch(return_type="object"), False
            words = {"resource_version": place, "allow_watch_bookmarks": True, "timeout_seconds": _WATCH}
            function, places = self._function(namespace)
            arguments = (kind.group, kind.version, *places, kind.plural)
            try:
                async for event in watch.stream(function, *arguments, _request_timeout=_QUIET, **words):
                    heard, place = True, str(watch.resource_version or place)  # type: ignore[redundant-expr]
                    if event["type"] in {"ADDED", "MODIFIED"}:
                        yield event["raw_object"]
            except ApiException as error:
                if error.status == 410:
                    return
                raise _refused(kind.plural, error) from None
            except _BROKEN as error:
                if silent >= _TRIES:
                    raise FeedError(f"watching {kind.plural} breaks off: {type(error).__name__}") from None
            finally:
                await watch.close()
            silent = 0 if heard else silent + 1
            if silent:
                await asyncio.sleep(_PAUSE)

    async def _list(
        self, group: str, version: str, namespace: str | None, plural: str, labels: str = ""
    ) -> tuple[list[Object], str]:
        """All objects, and the place behind which they change; from the start where pages are forgotten meanwhile."""
        found: list[Object] = []
        words: dict[str, Any] = {"limit": _PAGE, "_request_timeout": 60} | (
            {"label_selector": labels} if labels else {}
        )
        function, places = self._function(namespace)
        while True:
            try:
                page = await function(group, version, *places, plural, **words)
            except ApiException as error:
                if error.status == 410 and "_continue" in words:
                    found.clear()
                    del words["_continue"]
                    continue
                if error.status == 404:
                    raise _Absent(f"the cluster has no {plural}.{group}") from None
                raise _refused(plural, error) from None
            except _BROKEN as error:
                raise FeedError(f"listing {plural} breaks off: {type(error).__name__}") from None
            found += page["items"]
            following = page["metadata"].get("continue")
            if not following:
                return found, page["metadata"]["resourceVersion"]
            words["_continue"] = following

    def _function(self, namespace: str | None) -> tuple[Any, tuple[str, ...]]:
        if namespace is None:
            return self._objects.list_cluster_custom_object, ()
        return self._objects.list_namespaced_custom_object, (namespace,)


class _Absent(FeedError):
    """The cluster has no such kind."""


def _refused(plural: str, error: ApiException) -> FeedError:
    words = {401: "the token is wrong", 403: "the role has to allow get, list and watch"}
    wait = str(error.headers.get("Retry-After", "")) if error.headers else ""
    seconds = float(wait) if wait.isascii() and wait.isdigit() else None
    return FeedError(
        f"{plural}: the cluster answers {error.status} {words.get(error.status, '')}".strip(), wait=seconds
    )
