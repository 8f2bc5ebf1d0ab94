"""A loopback server that speaks the part of Kubernetes' API that rollouts are read from: lists in pages, watches with
bookmarks, 410 for a place that is forgotten, connections that break off."""

import asyncio
import copy
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from afdp_exporter.feeds._rollouts import KINDS

PAGE = 2  # objects, however many are asked for
_REVISION = {"deployments": "deployment.kubernetes.io/revision", "rollouts": "rollout.argoproj.io/revision"}
_API = {"rollouts": "argoproj.io/v1alpha1"}


class Kubernetes:
    """A cluster whose controllers do what a test asks of them."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        self.version = 100
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.kept: list[dict[str, Any]] = []
        self.log: list[tuple[int, str, str, dict[str, Any]]] = []
        self.oldest = 0
        self.changed = asyncio.Condition()
        self.requests: list[str] = []
        self.kinds = set(KINDS)
        self.watching = asyncio.Event()
        self.breaks: list[bytes] = []  # what is sent before a watch breaks off, for the next ones
        self.expire_pages = 0

    # what happens in the cluster

    async def create(self, plural: str, name: str, image: str) -> None:
        """A new workload, rolled out at once; its first revision is 1."""
        await self._tick()
        meta = {
            "name": name,
            "namespace": "shop",
            "uid": hashlib.sha256(f"{plural}/{name}".encode()).hexdigest()[:32],
            "generation": 0,
            "creationTimestamp": self._stamp(),
            "annotations": {},
            "labels": {"app.kubernetes.io/name": name},
            "managedFields": [],
        }
        selector = {"matchLabels": {"app": name}}
        made = {"metadata": meta, "spec": {"replicas": 2, "selector": selector}, "status": {}, "kind": plural}
        self.objects[plural, name] = made
        await self._template(plural, name, {"metadata": {"labels": {"app": name}}, "spec": _containers(image)})
        await self.finish(plural, name)

    async def roll(self, plural: str, name: str, image: str) -> None:
        """A new image; the controller begins, and does not end."""
        await self._tick()
        template = copy.deepcopy(self.objects[plural, name]["spec"]["template"])
        template["spec"] = _containers(image)
        await self._template(plural, name, template)

    async def restart(self, plural: str, name: str) -> None:
        """`kubectl rollout restart`."""
        await self._tick()
        template = copy.deepcopy(self.objects[plural, name]["spec"]["template"])
        template["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": self._stamp()}
        await self._template(plural, name, template)

    async def scale(self, plural: str, name: str, replicas: int) -> None:
        """More or fewer pods, as an autoscaler makes them."""
        await self._tick()
        workload = self.objects[plural, name]
        workload["spec"]["replicas"] = replicas
        workload["metadata"]["generation"] += 1
        await self._publish("MODIFIED", plural, workload)
        await self.finish(plural, name)

    async def finish(self, plural: str, name: str, *, well: bool = True) -> None:
        """All pods are there; or the deadline has passed."""
        await self._tick()
        workload = self.objects[plural, name]
        if plural == "deployments":
            reason = "NewReplicaSetAvailable" if well else "ProgressDeadlineExceeded"
            before = (workload["status"].get("conditions") or [{}])[0]
            if before.get("reason") != reason or before.get("of") != self._number(workload, plural):
                self._progress(workload, "True" if well else "False", reason)
        count = workload["spec"]["replicas"]
        workload["status"] |= {
            "replicas": count,
            "updatedReplicas": count,
            "readyReplicas": count,
            "availableReplicas": count,
            "phase": "Healthy" if well else "Degraded",
        }
        workload["status"] |= {"updatedNumberScheduled": 3, "desiredNumberScheduled": 3, "numberAvailable": 3}
        await self._observed(plural, workload)

    async def abort(self, name: str) -> None:
        """`kubectl argo rollouts abort`: what is new is taken down, its revision stays."""
        await self._tick()
        workload = self.objects["rollouts", name]
        workload["status"] |= {"abort": True, "phase": "Degraded", "updatedReplicas": 0}
        await self._observed("rollouts", workload)

    async def retry(self, name: str) -> None:
        """`kubectl argo rollouts retry rollout`: the same revision again."""
        await self._tick()
        workload = self.objects["rollouts", name]
        del workload["status"]["abort"]
        workload["status"] |= {"phase": "Progressing"}
        await self._observed("rollouts", workload)

    async def replace_pods(self, name: str, updated: int) -> None:
        """Somebody has deleted so many pods of a StatefulSet with `OnDelete`, and they are back, new."""
        await self._tick()
        workload = self.objects["statefulsets", name]
        count = workload["spec"]["replicas"]
        workload["status"] |= {"replicas": count, "readyReplicas": count, "updatedReplicas": updated}
        await self._observed("statefulsets", workload)

    async def delete(self, plural: str, name: str) -> None:
        """Gone, with its revisions."""
        gone = self.objects.pop((plural, name))
        self.kept = [
            each for each in self.kept if each["metadata"]["ownerReferences"][0]["uid"] != gone["metadata"]["uid"]
        ]
        await self._publish("DELETED", plural, gone)

    async def forget(self) -> None:
        """The history of changes is compacted: whoever watches from before has to list anew."""
        self.version += 10
        self.oldest = self.version
        self.breaks.append(b"")
        async with self.changed:
            self.changed.notify_all()

    async def bookmark(self) -> None:
        """Show everybody who watches how far the world has come, although nothing of theirs has changed."""
        self.version += 5
        for plural in (*KINDS, *{kind.revisions.plural for kind in KINDS.values()}):
            await self._publish("BOOKMARK", plural, {"metadata": {"resourceVersion": str(self.version)}})

    # controllers

    async def _template(self, plural: str, name: str, template: dict[str, Any]) -> None:
        workload = self.objects[plural, name]
        meta = workload["metadata"]
        workload["spec"]["template"] = template
        meta["generation"] += 1
        meta["managedFields"] = [{"manager": "kubectl", "time": self._stamp()}]
        await self._publish("MODIFIED" if meta["generation"] > 1 else "ADDED", plural, workload)
        await self._tick()
        number = max((self._number(each, plural) for each in self._own(workload)), default=0) + 1
        hashed = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
        same = [each for each in self._own(workload) if each["metadata"]["name"].endswith(hashed)]
        if same:  # a rollback takes an old revision up again, under a new number
            self._renumber(same[0], plural, number)
            await self._publish("MODIFIED", same[0]["plural"], same[0])
        else:
            self.kept.append(self._revision(plural, workload, template, hashed, number))
            await self._publish("ADDED", self.kept[-1]["plural"], self.kept[-1])
        if plural in _REVISION:
            meta["annotations"][_REVISION[plural]] = str(number)
        if plural == "daemonsets":
            meta["annotations"]["deprecated.daemonset.template.generation"] = str(number)
        workload["status"] |= {"updateRevision": f"{name}-{hashed}", "updatedReplicas": 0, "updatedNumberScheduled": 0}
        workload["status"] |= {"phase": "Progressing"}
        if plural == "deployments":
            self._progress(workload, "True", "ReplicaSetUpdated")
        await self._observed(plural, workload)

    def _revision(
        self, plural: str, workload: dict[str, Any], template: dict[str, Any], hashed: str, number: int
    ) -> dict[str, Any]:
        meta = workload["metadata"]
        kept: dict[str, Any] = {
            "metadata": {
                "name": f"{meta['name']}-{hashed}",
                "namespace": "shop",
                "creationTimestamp": self._stamp(),
                "labels": {"app": meta["name"]},
                "annotations": {},
                "ownerReferences": [{"uid": meta["uid"]}],
            },
            "plural": KINDS[plural].revisions.plural,
        }
        inside = copy.deepcopy(template)
        if plural in _REVISION:
            inside["metadata"]["labels"]["pod-template-hash"] = hashed
            kept["spec"] = {"template": inside}
        else:
            kept["data"] = {"spec": {"template": {"$patch": "replace", **inside}}}
        self._renumber(kept, plural, number)
        return kept

    @staticmethod
    def _renumber(kept: dict[str, Any], plural: str, number: int) -> None:
        if plural in _REVISION:
            notes, name = kept["metadata"]["annotations"], _REVISION[plural]
            if name in notes:
                notes[f"{name}-history"] = ",".join(filter(None, (notes.get(f"{name}-history"), notes[name])))
            notes[name] = str(number)
        else:
            kept["revision"] = number

    @staticmethod
    def _number(kept: dict[str, Any], plural: str) -> int:
        if plural in _REVISION:
            return int(kept["metadata"]["annotations"].get(_REVISION[plural], 0))
        return int(kept.get("revision", 0))

    def _own(self, workload: dict[str, Any]) -> list[dict[str, Any]]:
        uid = workload["metadata"]["uid"]
        return [each for each in self.kept if each["metadata"]["ownerReferences"][0]["uid"] == uid]

    def _progress(self, workload: dict[str, Any], status: str, reason: str) -> None:
        condition = {"type": "Progressing", "status": status, "reason": reason, "lastUpdateTime": self._stamp()}
        workload["status"]["conditions"] = [condition | {"of": self._number(workload, "deployments")}]

    async def _observed(self, plural: str, workload: dict[str, Any]) -> None:
        seen = workload["metadata"]["generation"]
        workload["status"]["observedGeneration"] = str(seen) if plural == "rollouts" else seen
        fields = [each for each in workload["metadata"]["managedFields"] if "subresource" not in each]
        workload["metadata"]["managedFields"] = [*fields, {"subresource": "status", "time": self._stamp()}]
        await self._publish("MODIFIED", plural, workload)

    async def _tick(self) -> None:
        self.now += timedelta(seconds=30)

    def _stamp(self) -> str:
        return self.now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def _publish(self, what: str, plural: str, workload: dict[str, Any]) -> None:
        self.version += 1
        workload["metadata"]["resourceVersion"] = str(self.version)
        async with self.changed:
            self.log.append((self.version, what, plural, copy.deepcopy(workload)))
            self.changed.notify_all()

    # the API

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """GET of any collection."""
        plural = request.path.rpartition("/")[2]
        self.requests.append(f"{request.path}?{request.query_string}")
        if plural in KINDS and plural not in self.kinds:
            return _failure(404, "NotFound")
        if request.query.get("watch") == "True" or request.query.get("watch") == "true":
            return await self._watch(request, plural)
        return self._listed(request, plural)

    def _listed(self, request: web.Request, plural: str) -> web.Response:
        found = [each for (kind, _), each in sorted(self.objects.items()) if kind == plural]
        if plural in {"replicasets", "controllerrevisions"}:
            chosen = dict(pair.split("=") for pair in request.query.get("labelSelector", "").split(",") if pair)
            found = [
                each
                for each in self.kept
                if each["plural"] == plural and chosen.items() <= each["metadata"]["labels"].items()
            ]
        place = request.query.get("continue")
        if place and self.expire_pages:
            self.expire_pages -= 1
            return _failure(410, "Expired")
        first = int(place or 0)
        meta: dict[str, Any] = {"resourceVersion": str(self.version)}
        if first + PAGE < len(found):
            meta["continue"] = str(first + PAGE)
        return web.json_response({"kind": "List", "metadata": meta, "items": found[first : first + PAGE]})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        place = int(request.query["resourceVersion"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if place < self.oldest:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return response
        self.watching.set()
        async with self.changed:
            self.changed.notify_all()
        while True:
            for version, what, kind, workload in list(self.log):
                if version > place and kind == plural:
                    place = version
                    await response.write(json.dumps({"type": what, "object": workload}).encode() + b"\n")
            if self.breaks:
                await response.write(self.breaks.pop())
                assert request.transport is not None
                request.transport.abort()
                return response
            async with self.changed:
                if not any(version > place and kind == plural for version, _, kind, _ in self.log) and not self.breaks:
                    await self.changed.wait()


def _containers(image: str) -> dict[str, Any]:
    return {"containers": [{"name": "app", "image": image}, {"name": "proxy", "image": "envoy:1.30"}]}


def _failure(code: int, reason: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "reason": reason}, status=code)
