"""The way back: who takes a deployment back. One executor a file; its name is the kind in the configuration.

An executor is asked twice: `check` only reads the target and gives the one request that would be sent, with what has to
hold for it; `apply` sends it, once, on a condition that the target itself checks wherever it can. What is not known to
have been refused counts as begun.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol

from afdp_exporter.errors import ActionRefused
from afdp_exporter.model import Deployment
from afdp_exporter.settings import STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be taken back at a time: the deployment that did harm, and the version to return to where known."""

    deployment_id: str
    service: str
    environment: str
    at: datetime
    version: str | None = None
    previous_version: str | None = None
    traits: Mapping[str, str | float | bool] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """A name of the configuration with `$service`, `$environment`, `$version` and `$label_NAME` put in.

        Raises ActionRefused where a value is missing, or is no plain name: it may end up in a path.
        """
        known = {
            "service": self.service,
            "environment": self.environment,
            "version": self.version,
            "previous_version": self.previous_version,
            **{f"label_{name}": value for name, value in self.labels.items()},
        }
        for name in sorted(known, key=len, reverse=True):
            if f"${name}" not in text:
                continue
            value = known[name]
            if not value or not set(value) <= _PLAIN or value in {".", ".."}:
                raise ActionRefused(f"${name} is {value!r}, which is no plain name")
            text = text.replace(f"${name}", value)
        if "$" in text:
            raise ActionRefused(f"nothing is known for the variable in {text!r}")
        return text


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:@+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The one request, as it would be sent (without secrets), and what was read that it rests on."""

    order: Order
    sentence: str
    request: Mapping[str, Any]
    seen: Mapping[str, Any] = field(default_factory=dict)
    done: bool = False  # the target is back already, and nothing is to be sent


class Executor(Protocol):
    """Somebody who takes deployments back: a frozen dataclass of settings with these methods."""

    async def check(self, order: Order) -> Plan:
        """Read the target and say what would be sent; nothing is changed.

        Raises ActionRefused where the target does not stand as the order has it (another version runs, it is paused,
        GitOps owns it, there is nothing to return to), ActionUnknown where the target cannot be read now.
        """
        ...

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Send the request, once; what the target answered.

        Raises ActionRefused where it surely was not carried out, ActionUnknown where nobody can say.
        """
        ...

    async def verify(self, plan: Plan) -> bool | None:
        """Whether the target has returned; None as long as it is under way. Raises ActionUnknown."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The services that an executor is for, by name, and the environments; `dry_run` sends nothing."""

    __pydantic_config__: ClassVar = STRICT

    services: tuple[str, ...]
    environments: tuple[str, ...] = ("production",)
    dry_run: bool = True

    def __post_init__(self) -> None:
        if not self.services:
            raise ValueError("an executor is for services by name, never for all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """An executor by its name, and what it is for."""

    name: str
    kind: str
    executor: Executor
    scope: Scope


SCOPE = frozenset({"services", "environments", "dry_run"})
"""The keys of a block that are the same for all kinds."""


def way_for(deployment: Deployment, ways: Iterable[Way]) -> Way | None:
    """The first one that is for a deployment's service and environment."""
    return next(
        (
            way
            for way in ways
            if deployment.service in way.scope.services and deployment.environment in way.scope.environments
        ),
        None,
    )
