"""Argo CD: an Application back to an earlier entry of its history."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Order, Plan
from afdp_exporter.executors._api import Api
from afdp_exporter.executors._images import is_of


@dataclass(frozen=True, kw_only=True)
class ArgoCD(Api):
    """The application named `application`, which may hold `$service` and `$environment`; `project` is its own.

    What is synced automatically is refused: the next sync would undo a rollback.
    """

    application: str = "$service"
    project: str | None = None
    prune: bool = False

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        path = self._path(order)
        found = await self.read(path, self._params())
        automated = ((found["spec"].get("syncPolicy") or {}).get("automated")) is not None
        if automated and (found["spec"]["syncPolicy"]["automated"] or {}).get("enabled", True):
            raise ActionRefused(f"{path} is synced automatically and would undo it: revert the commit instead")
        state = found.get("status") or {}
        if ((state.get("operationState") or {}).get("phase")) == "Running":
            raise ActionRefused(f"{path}: another operation is in progress")
        history = sorted(state.get("history") or [], key=lambda entry: int(entry["id"]))
        if not history:
            raise ActionRefused(f"{path} has no history")
        current = history[-1]
        if not _is_of(current, found, order.version):
            raise ActionRefused(f"{path} does not run {order.version} but {_named(current)}")
        before = [entry for entry in history[:-1] if _revisions(entry) != _revisions(current)]
        wanted = order.previous_version
        target = next((entry for entry in reversed(before) if wanted is None or _matches(entry, wanted)), None)
        if target is None and wanted is not None and order.version is not None and _matches(current, order.version):
            raise ActionRefused(f"{path} has no revision {wanted} in its history")
        target = target or (before[-1] if before else None)  # versions that are no revisions name none to return to
        if target is None:
            raise ActionRefused(f"{path} has no earlier revision in its history")
        body: dict[str, Any] = {"id": int(target["id"]), "prune": self.prune, "dryRun": False}
        if self.project is not None:
            body["project"] = self.project
        return Plan(
            order=order,
            sentence=f"{path} back to history {target['id']} ({_named(target)})",
            request={"method": "POST", "path": f"{path}/rollback", "body": body},
            seen={"id": int(current["id"]), "target": int(target["id"]), "revision": _named(target)},
        )

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`."""
        return await self.write(plan.request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`: the operation has ended, and the newest entry is of the revision that was asked for."""
        state = (await self.read(self._path(plan.order), self._params())).get("status") or {}
        phase = (state.get("operationState") or {}).get("phase")
        if phase == "Running":
            return None
        history = sorted(state.get("history") or [], key=lambda entry: int(entry["id"]))
        returned = bool(history) and int(history[-1]["id"]) > plan.seen["id"]
        return returned and _named(history[-1]) == plan.seen["revision"] and phase == "Succeeded"

    def _path(self, order: Order) -> str:
        return f"/api/v1/applications/{quote(order.fill(self.application), safe='')}"

    def _params(self) -> list[tuple[str, str]]:
        return [("project", self.project)] if self.project is not None else []


def _is_of(entry: Mapping[str, Any], found: Mapping[str, Any], version: str | None) -> bool:
    if version is None:
        return True
    images = ((found.get("status") or {}).get("summary") or {}).get("images") or []
    return any(is_of(str(image), version) for image in images) or _matches(entry, version)


def _matches(entry: Mapping[str, Any], version: str) -> bool:
    revisions = _revisions(entry)
    return version in revisions or (len(version) >= 7 and any(each.startswith(version) for each in revisions))


def _revisions(entry: Mapping[str, Any]) -> list[str]:
    """The revision of an entry of the history, or that of each source where there are several."""
    return [str(each) for each in entry.get("revisions") or [entry.get("revision")] if each]


def _named(entry: Mapping[str, Any]) -> str:
    return ", ".join(_revisions(entry)) or "an unknown revision"


PLUGIN = ArgoCD
