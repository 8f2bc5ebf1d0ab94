"""Docker Swarm: the spec before. A second rollback would go forward again, so the image is looked at first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp
from aiodocker import Docker, DockerError

from afdp_exporter.errors import ActionRefused, ActionUnknown
from afdp_exporter.executors import Order, Plan
from afdp_exporter.executors._images import is_of
from afdp_exporter.settings import STRICT

_BROKEN = (aiohttp.ClientError, OSError, TimeoutError)


@dataclass(frozen=True, kw_only=True)
class Swarm:
    """The service named `target` (it may hold `$service` and `$environment`), by the engine of a manager at `url`."""

    __pydantic_config__: ClassVar = STRICT

    url: str = "unix:///var/run/docker.sock"
    target: str = "$service"

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        found = await self._service(order)
        image, state = _image(found["Spec"]), (found.get("UpdateStatus") or {}).get("State", "")
        if state.startswith("rollback"):
            return Plan(
                order=order,
                sentence=f"{found['Spec']['Name']} was rolled back already ({state})",
                request={},
                done=True,
            )
        if order.version is not None and not is_of(image, order.version):
            raise ActionRefused(f"{found['Spec']['Name']} does not run {order.version} but {image}")
        before = found.get("PreviousSpec")
        if not before:
            raise ActionRefused(f"{found['Spec']['Name']} has no earlier spec")
        back = _image(before)
        if back == image:
            raise ActionRefused(f"the spec before of {found['Spec']['Name']} has the same image")
        index = int(found["Version"]["Index"])
        return Plan(order=order, sentence=f"{found['Spec']['Name']} from {image} back to {back}",
            request={
                "method": "POST", "path": f"/services/{found['ID']}/update",
                "params": {"version": index, "rollback": "previous"}, "body": found["Spec"],
            },
            seen={"image": image, "target": back, "version": index},
        )  # fmt: skip

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`; the version in the request is the condition: a stale one is refused."""
        request = plan.request
        try:
            async with Docker(url=self.url) as docker:
                return dict(
                    await docker._query_json(  # noqa: SLF001 - the library's own update builds the spec anew
                        request["path"].lstrip("/"), method="POST", params=request["params"], data=request["body"]
                    )
                    or {}
                )
        except DockerError as error:
            if error.status < 500 or "out of sequence" in str(error.message):
                raise ActionRefused(f"the engine refused with {error.status}: {error.message}") from None
            raise ActionUnknown(f"the engine answered {error.status}, and may have done it: {error.message}") from None
        except _BROKEN as error:
            raise ActionUnknown(f"the engine gave no answer, and may have done it: {type(error).__name__}") from None

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`."""
        found = await self._service(plan.order)
        if _image(found["Spec"]) != plan.seen["target"]:
            return False
        state = (found.get("UpdateStatus") or {}).get("State", "")
        return True if state == "rollback_completed" else None

    async def _service(self, order: Order) -> dict[str, Any]:
        try:
            async with Docker(url=self.url) as docker:
                return dict(await docker.services.inspect(order.fill(self.target)))
        except DockerError as error:
            if error.status == 404:
                raise ActionRefused(f"there is no service {order.fill(self.target)}") from None
            raise ActionUnknown(f"the engine answers {error.status}: {error.message}") from None
        except _BROKEN as error:
            raise ActionUnknown(f"the engine cannot be read: {type(error).__name__}") from None


def _image(spec: Mapping[str, Any]) -> str:
    return str(spec["TaskTemplate"]["ContainerSpec"]["Image"])


PLUGIN = Swarm
