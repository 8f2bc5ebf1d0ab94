"""Who takes back the deployments of which services: a block under `rollback`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from afdp_exporter.executors import Executor
from afdp_exporter.model import Deployment
from afdp_exporter.settings import STRICT


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
