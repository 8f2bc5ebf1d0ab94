"""How long what grows is kept."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field

from afdp_exporter.settings import STRICT, Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """After the end of a deployment; None: for ever. What it did, and all that was learned of it, stays."""

    __pydantic_config__: ClassVar = STRICT

    courses: Annotated[Duration, Field(ge=timedelta(days=1))] | None = None
