"""Every `afdp_*` name and help, and a collector over a snapshot that the use cases replace."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from afdp_exporter.settings import STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How much is shown on `/metrics`: the newest deployments of each service, under a cap on all series."""

    __pydantic_config__: ClassVar = STRICT

    deployments_per_service: Annotated[int, Field(ge=1, le=1000)] = 20
    series: Annotated[int, Field(ge=1000)] = 25_000
